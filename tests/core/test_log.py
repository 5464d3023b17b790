"""The log from which runs are resumed: entries that it keeps and skips, and files it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyfd._core.log import Log, OtherRunError

HEADER = {"format": "test", "version": 1, "model": "a", "steps": (1, 2)}
ENTRIES = [{"place": 0}, ["b.jpg", 3], {"text": "ä\udcff\n", "values": [0.1, None, True]}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with three entries."""
    path = tmp_path / "folder" / "log.jsonl"
    with Log(path, HEADER) as log:
        assert log.entries == []
        for entry in ENTRIES:
            log.append(entry)
    return path


def entries(path: Path, **options) -> list:
    with Log(path, HEADER, **options) as log:
        return log.entries


def test_goes_on(path):
    assert entries(path) == ENTRIES
    with Log(path, HEADER) as log:
        log.append([4])
    assert entries(path) == [*ENTRIES, [4]]
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 5


def test_each_entry_is_in_the_file_at_once(path):
    with Log(path, HEADER) as log:
        log.append([4])
        assert path.read_text().endswith("[4]\n")


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_last_line_that_was_cut_off(path, cut):
    path.write_bytes(path.read_bytes()[:-cut])
    kept = ENTRIES if cut == 1 else ENTRIES[:2]
    assert entries(path) == kept
    with Log(path, HEADER) as log:
        log.append([4])
    assert entries(path) == [*kept, [4]]


def test_a_line_that_another_process_cut_off(path):
    """Entries after it, from a process that had the log open all the time, are kept."""
    with Log(path, HEADER) as log:
        with path.open("a") as other:
            other.write('{"place": 7, "exam')
        log.append([4])
        log.append([5])
    assert entries(path) == [*ENTRIES, [4], [5]]


@pytest.mark.parametrize("line", ["[" * 100_000, "3", "null", '"ab"', "\xff", "{}{}", "1" * 9999])
def test_lines_of_nonsense_are_skipped(path, line):
    with path.open("a", encoding="latin-1") as file:
        file.write(line + "\n")
    assert entries(path) == ENTRIES


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({**HEADER, "model": "b"}, "other model"),
        ({**HEADER, "model": "b", "steps": [1]}, "other model, steps"),
        ({**HEADER, "more": 1}, "other more"),
        ({"format": "test", "version": 1, "model": "a"}, "other steps"),
        ({**HEADER, "version": 2}, "its first line is not the header of one"),
        ({**HEADER, "format": "another"}, "its first line is not the header of one"),
    ],
)
def test_another_runs_log_is_refused_or_replaced(path, header, reason):
    before = path.read_bytes()
    with pytest.raises(OtherRunError, match=rf"log\.jsonl is not a log of this run: {reason}$"):
        Log(path, header)
    assert path.read_bytes() == before
    with Log(path, header, restart=True) as log:
        assert log.entries == []
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("text", ["", "\n", "photo", "{", '{"format": "te', "[]", "\xff\xfe"])
def test_a_file_that_is_no_log_is_refused_or_replaced(path, text):
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="its first line is not the header of one"):
        Log(path, HEADER)
    assert entries(path, restart=True) == []
    assert json.loads(path.read_text())["model"] == "a"


def test_a_full_disk(path):
    """Entries that were not written whole are skipped, and later entries are kept."""

    class Full:
        def __init__(self, file) -> None:
            self.file = file
            self.left = 5

        def fileno(self) -> int:
            return self.file.fileno()

        def write(self, data: bytes) -> int:
            if not self.left:
                raise OSError(28, "No space left on device")
            written = self.file.write(data[: self.left])
            self.left -= written
            return written

        def close(self) -> None:
            self.file.close()

    with Log(path, HEADER) as log:
        file, log._file = log._file, Full(log._file)
        with pytest.raises(OSError, match="No space"):
            log.append(["lost in part"])
        log._file = file
        log.append(["kept"])
    assert entries(path) == [*ENTRIES, ["kept"]]


APPEND = """
import sys
from pyfd._core.log import Log
with Log(sys.argv[1], {"format": "test", "version": 1}) as log:
    for number in range(200):
        log.append([sys.argv[2], number, sys.argv[2] * 20_000])
"""


def test_processes_append_whole_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    header = {"format": "test", "version": 1}
    Log(path, header).close()
    running = [subprocess.Popen([sys.executable, "-c", APPEND, str(path), name]) for name in "abc"]
    assert [process.wait() for process in running] == [0, 0, 0]
    with Log(path, header) as log:
        found = {(name, number) for name, number, text in log.entries if text == name * 20_000}
    assert found == {(name, number) for name in "abc" for number in range(200)}
    assert sum(map(bool, path.read_bytes().splitlines())) == 601  # some are empty
