"""benchmarks/drop_in.py: the programs that it runs, and the libraries that they load."""

import pytest

from benchmarks import drop_in
from benchmarks.files import Files
from benchmarks.timing import Effort

pytestmark = pytest.mark.system


def test_every_program_runs_with_every_library(monkeypatch):
    loaded = set()
    measured = drop_in.cpu_seconds

    def noted(variables: dict[str, str], command: list[str]) -> float:
        loaded.add((variables.get("LD_PRELOAD", "the system's"), command[0]))
        return measured(variables, command)

    monkeypatch.setattr(drop_in, "SIZE", "64×64")
    monkeypatch.setattr(drop_in, "cpu_seconds", noted)
    _, _, *lines = drop_in.measure(Files(), Effort(0, 2)).splitlines()
    assert len(lines) == 3 * len(drop_in.KINDS) + len(drop_in.ENCODINGS)
    assert len(loaded) == 3 * 3


def test_a_program_that_fails_is_not_measured():
    with pytest.raises(SystemExit, match="djpeg failed"):
        drop_in.cpu_seconds({}, ["djpeg", "-scale", "nonsense"])
