"""The log from which runs are resumed: entries that it keeps and skips, and files it refuses."""

import errno
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from pyfd._core import log as log_module
from pyfd._core.log import Log, OtherRunError

HEADER = {"format": "test", "version": 1, "model": "a", "steps": (1, 2)}
ENTRIES = [{"place": 0}, ["b.jpg", 3], {"text": "ä\udcff\n", "values": [0.1, None, True]}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with three entries."""
    path = tmp_path / "folder" / "log.jsonl"
    with Log(path, HEADER) as log:
        assert list(log.entries()) == []
        for entry in ENTRIES:
            log.append(entry)
    return path


def entries(path: Path, **options) -> list:
    with Log(path, HEADER, **options) as log:
        return list(log.entries())


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


def test_lines_that_are_too_long_are_skipped_to_their_end(path, monkeypatch):
    """A part of one is no entry, wherever it is cut."""
    monkeypatch.setattr(log_module, "_LONGEST_LINE", 1000)
    long = json.dumps([["x"]] * 300).encode() + b"\n"
    path.write_bytes(path.read_bytes() + long * 3 + b"[5]\n" + b"[" * 5000 + b'\n[6]\n[7] "')
    assert entries(path) == [*ENTRIES, [5], [6]]
    path.write_bytes(path.read_bytes() + b"\n" + b"[8]" + b" " * 2000 + b"[9]")
    assert entries(path) == [*ENTRIES, [5], [6]]


def test_a_log_of_any_size_takes_little_memory(path):
    """Entries are read one by one; an endless line is passed over in pieces."""
    with path.open("ab") as file:
        for _ in range(200):
            file.write(b'["' + b"x" * 200_000 + b'"]\n')
        file.write(b"[" * 40_000_000)
    tracemalloc.start()
    try:
        with Log(path, HEADER) as log:
            assert sum(1 for _ in log.entries()) == 203
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_log_that_grows_while_it_is_read(path):
    """What is appended meanwhile, by another process without end, belongs to the next run."""
    with Log(path, HEADER) as log, path.open("ab", buffering=0) as other:
        found = []
        for entry in log.entries():
            found.append(entry)
            other.write(b"[4]\n" * 10_000)
    assert found == ENTRIES


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("start", [b"", b'{"format": "test", "version": 1}\n'])
def test_a_file_that_is_larger_than_any_log(path, restart, start):
    path.write_bytes(start)
    os.truncate(path, 1 << 40)  # a terabyte that takes no space
    with pytest.raises(OtherRunError, match=f"it has {1 << 40} bytes, more than the 4294967296"):
        Log(path, HEADER, restart=restart)
    assert path.stat().st_size == 1 << 40


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("line", [b" ", b"\0", b"[", b'{"format": "test", "version": 1, "a": "'])
def test_an_endless_first_line(path, restart, line):
    path.write_bytes(line * (20_000_000 // len(line)))
    with pytest.raises(OtherRunError, match="its first line is not the header of a log"):
        Log(path, HEADER, restart=restart)


@pytest.mark.parametrize(
    "version", ["9" * 4000, "-1", "1e400", "NaN", "true", "[" * 900 + "]" * 900]
)
def test_headers_of_strangers_give_short_reasons(path, version):
    names = json.dumps("x" * 100_000)
    path.write_text(f'{{"format": "test", "version": {version}, {names}: 1}}\n')
    with pytest.raises(OtherRunError) as caught:
        Log(path, HEADER)
    assert len(str(caught.value)) < 500


VERSION = r"another version of pyfd wrote it \(format {}, not {}\)"


@pytest.mark.parametrize(
    ("header", "reason", "replaceable"),
    [
        ({**HEADER, "model": "b"}, "other model", True),
        ({**HEADER, "model": "b", "steps": [1]}, "other model, steps", True),
        ({**HEADER, "more": 1}, "other more", True),
        ({"format": "test", "version": 1, "model": "a"}, "other steps", True),
        ({**HEADER, "version": 2}, VERSION.format(1, 2), True),
        ({**HEADER, "version": 0}, VERSION.format(1, 0), False),
        ({**HEADER, "format": "another"}, "it has the format 'test', not 'another'", False),
    ],
)
def test_another_runs_log_is_refused_or_replaced(path, header, reason, replaceable):
    """A restart replaces no log of a newer version and no other kind of file."""
    before = path.read_bytes()
    with pytest.raises(OtherRunError, match=rf"log\.jsonl is not a log of this run: {reason}$"):
        Log(path, header)
    assert path.read_bytes() == before
    if not replaceable:
        with pytest.raises(OtherRunError, match=rf"log\.jsonl is not a log of this run: {reason}$"):
            Log(path, header, restart=True)
        assert path.read_bytes() == before
        return
    with Log(path, header, restart=True) as log:
        assert list(log.entries()) == []
        log.append([1])
    with Log(path, header) as log:
        assert list(log.entries()) == [[1]]
    assert len(path.read_text().splitlines()) == 2
    assert [file.name for file in path.parent.iterdir()] == ["log.jsonl"]


NO_HEADER = "its first line is not the header of a log"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("photo", NO_HEADER),
        ("{", NO_HEADER),
        ('{"format": "te', NO_HEADER),
        ("[]", NO_HEADER),
        ("{}", NO_HEADER),
        ("\nnotes", NO_HEADER),
        ("\xff\xfe", NO_HEADER),
        ('{"format": [1]}', r"it has the format \[1\], not 'test'"),
        ('{"format": "test"}', VERSION.format(None, 1)),
        ('{"format": "test", "version": "0"}', VERSION.format("'0'", 1)),
    ],
)
@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_is_no_log_is_kept(path, text, reason, restart):
    path.write_text(text, encoding="latin-1")
    with pytest.raises(OtherRunError, match=reason) as caught:
        Log(path, HEADER, restart=restart)
    assert not caught.value.replaceable
    assert path.read_text(encoding="latin-1") == text


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_file_is_refused_or_replaced(path, text):
    path.write_text(text)
    with pytest.raises(OtherRunError, match=r"it is empty$"):
        Log(path, HEADER)
    assert entries(path, restart=True) == []
    assert json.loads(path.read_text())["model"] == "a"


@pytest.mark.parametrize("restart", [False, True])
def test_a_pipe_in_the_logs_place(tmp_path, restart):
    """It is refused at once; opening it would wait for a writer."""
    os.mkfifo(tmp_path / "log.jsonl")
    code = "import sys; from pyfd._core.log import Log\n"
    code += f"Log(sys.argv[1], {{'format': 'test', 'version': 1}}, restart={restart})"
    arguments = [sys.executable, "-c", code, tmp_path / "log.jsonl"]
    done = subprocess.run(arguments, stderr=subprocess.PIPE, text=True, timeout=60)
    assert "log.jsonl is not a log of this run: it is not a regular file" in done.stderr


def test_errors_of_the_system_name_the_log(path, tmp_path):
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        Log(tmp_path / "directory", HEADER)
    assert caught.value.strerror == f"{tmp_path / 'directory'}: Is a directory"
    with pytest.raises(NotADirectoryError) as caught:
        Log(path / "below.jsonl", HEADER)
    assert caught.value.strerror == f"{path / 'below.jsonl'}: Not a directory"


def test_a_log_in_a_deep_folder_that_is_not_there(tmp_path):
    try:
        with Log(tmp_path.joinpath("new", *["d"] * 1500, "log.jsonl"), HEADER) as log:
            assert list(log.entries()) == []
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "new"], check=True)


# ---- several processes --------------------------------------------------------


def test_a_log_that_another_process_has_just_created(tmp_path, monkeypatch):
    """Its entries are kept, and so are those that it appends later."""
    path = tmp_path / "log.jsonl"
    link = os.link
    others = []

    def late(*arguments) -> None:
        monkeypatch.setattr(os, "link", link)
        others.append(Log(path, HEADER))
        others[0].append(["first"])
        link(*arguments)

    monkeypatch.setattr(os, "link", late)
    with Log(path, HEADER) as log:
        assert list(log.entries()) == [["first"]]
        log.append(["second"])
        others[0].append(["third"])
    others[0].close()
    assert entries(path) == [["first"], ["second"], ["third"]]
    assert [file.name for file in tmp_path.iterdir()] == ["log.jsonl"]


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_system_without_hard_links(tmp_path, monkeypatch, exists):
    path = tmp_path / "log.jsonl"

    def refuse(*_) -> None:
        if exists:
            path.write_text(json.dumps(HEADER) + '\n["first"]\n')
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with Log(path, HEADER) as log:
        assert list(log.entries()) == [["first"]] * exists
        log.append(["second"])
    assert entries(path) == [["first"]] * exists + [["second"]]
    assert [file.name for file in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_log_that_is_replaced_while_another_process_appends(path):
    """The other process's entries do not get into the new log."""
    with Log(path, HEADER) as old, Log(path, {**HEADER, "model": "b"}, restart=True) as new:
        old.append(["old"])
        new.append(["new"])
    with Log(path, {**HEADER, "model": "b"}) as log:
        assert list(log.entries()) == [["new"]]


def test_a_full_disk(path):
    """Entries that were not written whole are skipped, and later entries are kept."""

    class Full:
        def __init__(self, file) -> None:
            self.file = file
            self.left = 5

        def __getattr__(self, name: str):
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            if not self.left:
                raise OSError(28, "No space left on device")
            written = self.file.write(data[: self.left])
            self.left -= written
            return written

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
    running = [subprocess.Popen([sys.executable, "-c", APPEND, str(path), name]) for name in "abc"]
    assert [process.wait() for process in running] == [0, 0, 0]
    with Log(path, header) as log:
        found = {(name, number) for name, number, text in log.entries() if text == name * 20_000}
    assert found == {(name, number) for name in "abc" for number in range(200)}
    assert sum(map(bool, path.read_bytes().splitlines())) == 601  # some are empty
