"""The timing of two builds against each other."""

from __future__ import annotations

import pytest

from benchmarks import compare
from tests.jpegs import encode_with_pillow, picture


def test_two_builds_are_asked_in_turn(tmp_path):
    (tmp_path / "file.jpg").write_bytes(encode_with_pillow(picture(16, 16)))
    with compare.workers([compare.ROOT] * 2, tmp_path) as (old, new):
        for operation in compare.OPERATIONS:
            found = compare.compare(old, new, operation, "file.jpg", 0)
            assert found.pairs == 5
            assert found.value > 0
    assert new.process.returncode == 0


class Constant:
    """A worker whose answers are the same time per repetition."""

    def __init__(self, seconds: float) -> None:
        self.answer, self.calls = seconds, []

    def seconds(self, operation: str, name: str, times: int = 1) -> float:
        self.calls.append((operation, name, times))
        return self.answer


def test_short_work_is_repeated():
    old, new = Constant(0.0005), Constant(0.001)
    found = compare.compare(old, new, "plain", "a.jpg", 0)
    assert found == (2, 2, 2, 5, 0.001, 0.0005)
    assert old.calls == new.calls == [("plain", "a.jpg", 1)] + [("plain", "a.jpg", 4)] * 6


def test_answers_are_seconds_of_one_repetition(tmp_path):
    """Each of a hundred repetitions takes less than fifty times as long as a single one."""
    (tmp_path / "file.jpg").write_bytes(encode_with_pillow(picture(64, 64)))
    with compare.workers([compare.ROOT], tmp_path) as (worker,):
        assert worker.seconds("encode", "file.jpg", 100) < 50 * worker.seconds("encode", "file.jpg")


def test_a_commit_is_counted_with_its_own_program():
    """Signatures of C functions may change between commits."""
    assert (compare.ROOT / compare.DRIVER).is_file()


def test_unknown_commit_is_refused():
    with pytest.raises(SystemExit, match="no-such-commit"):
        compare.commit_of("no-such-commit")
