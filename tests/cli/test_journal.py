"""A directory that is re-quantized again: finished files are skipped, and no others."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import pyfd
from pyfd.cli import journal
from pyfd.cli.requantize import _settings
from tests.jpegs import encode_with_pillow, picture
from tests.metadata import profile

OPTIONS = [
    ["-q", "40"],
    ["--progressive"],
    ["--optimize"],
    ["--restart-rows", "1"],
    ["--no-metadata"],
    ["--keep", "comment"],
    ["--lenient"],
    ["--radius", "1"],
    ["--orient", "trim"],
    ["--radius-files", "0"],
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "deep/c.JPEG"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_with_pillow(picture(48, 40, seed=len(name)), comment=b"hello"))
    return tmp_path / "in"


def written(top: Path) -> dict[str, tuple[int, int]]:
    """Return every output with the numbers that change when a file is written again."""
    files = [path for path in top.rglob("*.[jJ]*") if path.suffix != ".jsonl"]
    found = {str(path.relative_to(top)): path.stat() for path in files}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def test_what_is_done_is_left_alone(run, source, tmp_path):
    out = tmp_path / "out"
    assert run("requantize", source, "-o", out) == (0, "", "")
    first = written(out)
    assert sorted(first) == ["a.jpg", "b.jpg", "deep/c.JPEG"]
    assert run("requantize", source, "-o", out) == (
        0,
        "",
        f"pyfd: {out}: 3 of 3 are done already\n",
    )
    assert written(out) == first


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option[0])
def test_other_settings_do_all_again(run, source, tmp_path, option):
    out = tmp_path / "out"
    for arguments in ([], option, []):
        before = written(out)
        assert run("requantize", source, "-o", out, *arguments) == (0, "", "")
        assert not before.items() & written(out).items()
    assert (out / "a.jpg").read_bytes() == pyfd.requantize(source / "a.jpg", "fd-cvpr2019")


def test_larger_limits_do_only_what_was_refused(run, source, tmp_path):
    out = tmp_path / "out"
    (source / "large.jpg").write_bytes(encode_with_pillow(picture(200, 200)))
    assert run("requantize", source, "-o", out, "--max-pixels", 10_000)[0] == 1
    before = written(out)
    assert run("requantize", source, "-o", out)[0] == 0
    assert before.items() < written(out).items()


def replaced(path: Path) -> None:
    """Replace a file by another one of the same size, older than the output."""
    path.write_bytes(path.read_bytes().replace(b"hello", b"other"))
    os.utime(path, ns=(0, 0))


def replaced_with_equal_time(path: Path) -> None:
    """Put another file in a file's place, of the same size and time."""
    status, data = path.stat(), path.read_bytes()
    path.with_suffix(".new").write_bytes(data.replace(b"hello", b"other"))
    os.utime(path.with_suffix(".new"), ns=(status.st_atime_ns, status.st_mtime_ns))
    path.with_suffix(".new").replace(path)


def rewritten_with_equal_time(path: Path) -> None:
    """Change a file's content, but not its inode, size and time."""
    status, data = path.stat(), path.read_bytes()
    path.write_bytes(data.replace(b"hello", b"other"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("folder", "change"),
    [
        ("in", replaced),
        ("out", replaced),
        ("out", Path.unlink),
        ("out", lambda path: path.write_bytes(path.read_bytes()[:-9])),
        ("out", lambda path: path.write_bytes(bytes(path.stat().st_size))),
        ("in", replaced_with_equal_time),
        ("out", replaced_with_equal_time),
        ("in", rewritten_with_equal_time),
        ("out", rewritten_with_equal_time),
    ],
    ids=[
        "another source",
        "another output",
        "no output",
        "a cut output",
        "zeros",
        "a source of equal time",
        "an output of equal time",
        "a source's content, of equal time",
        "an output's content, of equal time",
    ],
)
@pytest.mark.parametrize("options", [[], ["--verify"]])
def test_what_changed_is_done_again(run, source, tmp_path, folder, change, options):
    out = tmp_path / "out"
    run("requantize", source, "-o", out)
    before = written(out)
    change(tmp_path / folder / "b.jpg")
    del before["b.jpg"]
    again = run("requantize", source, "-o", out, *options)
    assert again == (0, "", f"pyfd: {out}: 2 of 3 are done already\n")
    assert before.items() < written(out).items()
    assert (out / "b.jpg").read_bytes() == pyfd.requantize(source / "b.jpg", "fd-cvpr2019")


def test_a_second_source_of_the_same_names(run, source, tmp_path):
    """Files of equal size and time, as from an archive, are not taken for the same file."""
    twin = tmp_path / "twin"
    twin.mkdir()
    data = (source / "a.jpg").read_bytes()
    (twin / "a.jpg").write_bytes(data.replace(b"hello", b"other"))
    for path in (source / "a.jpg", twin / "a.jpg"):
        os.utime(path, ns=(10**18, 10**18))
    run("requantize", source, "-o", tmp_path / "out")
    run("requantize", twin, "-o", tmp_path / "out")
    assert pyfd.probe(tmp_path / "out" / "a.jpg").comment == b"other"


def test_a_refused_file_is_named_again(run, source, tmp_path):
    (source / "bad.jpg").write_bytes(b"no JPEG")
    first = run("requantize", source, "-o", tmp_path / "out")
    second = run("requantize", source, "-o", tmp_path / "out")
    assert first[0] == second[0] == 1
    assert second[2].splitlines() == [
        f"pyfd: {tmp_path / 'out'}: 3 of 4 are done already",
        *first[2].splitlines(),
    ]


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_journal_that_was_cut_off(run, source, tmp_path, cut):
    """As after a power failure, files whose entries cannot be read are processed again."""
    out = tmp_path / "out"
    run("requantize", source, "-o", out)
    journal = out / ".pyfd-requantize.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert run("requantize", source, "-o", out)[0] == 0
    code, _, err = run("requantize", source, "-o", out)
    assert (code, err) == (0, f"pyfd: {out}: 3 of 3 are done already\n")


@pytest.mark.parametrize("line", ["[" * 100_000, "3", '"ab"', "[[], {}]", "[1, 2]", "\xff", "null"])
def test_a_journal_of_nonsense(run, source, tmp_path, line):
    out = tmp_path / "out"
    run("requantize", source, "-o", out)
    before = written(out)
    with (out / ".pyfd-requantize.jsonl").open("a", encoding="latin-1") as file:
        file.write(line)
    assert run("requantize", source, "-o", out)[0] == 0
    assert written(out) == before


def test_a_journal_that_cannot_be_written(run, source, tmp_path):
    (tmp_path / "out" / ".pyfd-requantize.jsonl").mkdir(parents=True)
    code, _, err = run("requantize", source, "-o", tmp_path / "out")
    journal = tmp_path / "out" / ".pyfd-requantize.jsonl"
    assert (code, err) == (1, f"pyfd: {tmp_path / 'out'}: {journal}: Is a directory\n")
    assert not written(tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("my own notes", "its first line is not the header of a log"),
        ('{"format": "notes"}', "it has the format 'notes', not 'pyfd-journal'"),
        (
            '{"format": "pyfd-journal", "version": 3}',
            "another version of pyfd wrote it (format 3, not 2)",
        ),
    ],
)
def test_a_file_that_is_no_journal_is_kept(run, source, tmp_path, text, reason):
    journal = tmp_path / "out" / ".pyfd-requantize.jsonl"
    journal.parent.mkdir()
    journal.write_text(text)
    code, _, err = run("requantize", source, "-o", tmp_path / "out")
    problem = f"{journal} is not a journal of this pyfd: {reason}. Move it away or delete it"
    assert (code, err) == (1, f"pyfd: {tmp_path / 'out'}: {problem}\n")
    assert journal.read_text() == text
    assert not written(tmp_path / "out")


def test_an_empty_journal_is_begun_anew(run, source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".pyfd-requantize.jsonl").touch()
    assert run("requantize", source, "-o", tmp_path / "out") == (0, "", "")
    again = run("requantize", source, "-o", tmp_path / "out")
    assert again[2] == f"pyfd: {tmp_path / 'out'}: 3 of 3 are done already\n"


def test_another_codec_does_all_again(run, source, tmp_path, monkeypatch):
    """The same version of pyfd with another patch of the fork is another codec."""
    run("requantize", source, "-o", tmp_path / "out")
    monkeypatch.setattr(pyfd, "libjpeg_turbo_version", lambda: "2.1.5+pyfd.other")
    assert run("requantize", source, "-o", tmp_path / "out") == (0, "", "")


def test_every_reading_option_is_in_the_journal(run, source, tmp_path):
    run("requantize", source, "-o", tmp_path / "out", "--lenient", "--max-pixels", 10_000)
    first, *_ = (tmp_path / "out" / ".pyfd-requantize.jsonl").read_text().splitlines()
    assert json.loads(first)["settings"]["reading"] == {"strict": False}
    reading = {"limits": pyfd.Limits(), "strict": True, "region": (1, 2)}  # one is new
    assert _settings(pyfd.QTables.uniform(1), reading, {})["reading"] == {
        "strict": True,
        "region": (1, 2),
    }


def test_names_that_are_no_text(run, source, tmp_path):
    name = os.fsdecode(b"\xff\n.jpg")
    (source / "a.jpg").rename(source / name)
    for _ in range(2):
        code, _, err = run("requantize", source, "-o", tmp_path / "out")
    assert (code, err) == (0, f"pyfd: {tmp_path / 'out'}: 3 of 3 are done already\n")


def test_one_file_has_no_journal(run, source, tmp_path):
    assert run("requantize", source / "a.jpg", "-o", tmp_path / "x.jpg")[0] == 0
    assert not list(tmp_path.rglob("*.jsonl"))


# ---- what can be trusted --------------------------------------------------------


def journal_of(out: Path) -> tuple[Any, list[Any]]:
    """Return the header and the entries."""
    text = (out / ".pyfd-requantize.jsonl").read_text()
    header, *lines = [json.loads(line) for line in text.splitlines() if line]
    return header, lines


def stamp_of(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def forge(out: Path, source: Path, target: Path) -> None:
    """Append a line that fits the files as they are now: it needs no secret."""
    entry = [str(source), str(target.relative_to(out))]
    entry += [stamp_of(source), sha256(source), stamp_of(target), sha256(target)]
    with (out / ".pyfd-requantize.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")


UNDEFENDED = {
    "the source itself": lambda data: data,
    "other tables": lambda data: pyfd.requantize(data, "fd-2018"),
    "one other table": lambda data: pyfd.requantize(
        data, [*pyfd.QTables.preset("fd-cvpr2019").array[:1], pyfd.QTables.uniform(7).array[0]]
    ),
    "no JPEG file": lambda _: b"GIF89a",
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("options", [[], ["--verify"], ["--engine", "local"]])
@pytest.mark.parametrize("make", UNDEFENDED.values(), ids=UNDEFENDED)
def test_a_forged_line_does_not_make_an_undefended_output_done(
    run, source, tmp_path, make, options
):
    out = tmp_path / "out"
    run("requantize", source, "-o", out)
    (out / "b.jpg").write_bytes(make((source / "b.jpg").read_bytes()))
    forge(out, source / "b.jpg", out / "b.jpg")
    code, _, err = run("requantize", source, "-o", out, *options)
    assert (code, err) == (0, f"pyfd: {out}: 2 of 3 are done already\n")
    assert (out / "b.jpg").read_bytes() == pyfd.requantize(source / "b.jpg", "fd-cvpr2019")


def test_an_output_that_is_swapped_for_a_pipe_is_not_waited_for(run, source, tmp_path):
    out = tmp_path / "out"
    run("requantize", source, "-o", out)
    (out / "b.jpg").unlink()
    os.mkfifo(out / "b.jpg")
    for options in ([], ["--verify"]):
        code, _, err = run("requantize", source, "-o", out, *options)
        assert code == 1
        assert err.splitlines()[1].endswith("b.jpg: not a regular file")


@pytest.mark.parametrize("folder", ["in", "out"])
def test_verify_reads_what_the_file_system_calls_unchanged(run, source, tmp_path, folder):
    """As after a fault of the disk, which changes no time."""
    out, path = tmp_path / "out", tmp_path / folder / "b.jpg"
    run("requantize", source, "-o", out)
    path.write_bytes(path.read_bytes().replace(b"hello", b"other"))
    entries = (out / ".pyfd-requantize.jsonl").read_text().splitlines(keepends=True)
    place = 2 if folder == "in" else 4
    for number, line in enumerate(entries[1:], 1):
        entry = json.loads(line)
        if entry[1] == "b.jpg":
            entry[place] = stamp_of(path)
            entries[number] = json.dumps(entry) + "\n"
    (out / ".pyfd-requantize.jsonl").write_text("".join(entries))
    done = f"pyfd: {out}: {{}} of 3 are done already\n"
    assert run("requantize", source, "-o", out) == (0, "", done.format(3))
    assert run("requantize", source, "-o", out, "--verify") == (0, "", done.format(2))
    assert run("requantize", source, "-o", out, "--verify") == (0, "", done.format(3))
    assert (out / "b.jpg").read_bytes() == pyfd.requantize(source / "b.jpg", "fd-cvpr2019")


def test_a_copy_of_the_output_is_recognized_by_its_digests(run, source, tmp_path, monkeypatch):
    """Other times and inodes cost one reading of the files, and no work again."""
    out, copy = tmp_path / "out", tmp_path / "copy"
    run("requantize", source, "-o", out)
    shutil.copytree(out, copy)
    (source / "a.jpg").touch()
    before = written(copy)
    done = (0, "", f"pyfd: {copy}: 3 of 3 are done already\n")
    assert run("requantize", source, "-o", copy) == done
    assert written(copy) == before

    def fail(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(journal, "_digest_of_file", fail)
    assert run("requantize", source, "-o", copy) == done


def test_outputs_with_much_metadata_are_recognized(run, source, tmp_path):
    grid = 33  # points on each side of a look-up table of 16-bit numbers
    table = b"mft2" + bytes(4) + bytes([3, 3, grid, 0]) + bytes(36) + b"\0\2\0\2"
    icc = profile((b"A2B0", table + bytes(12 + 6 * grid**3 + 12)))
    assert len(icc) > 200_000
    (source / "b.jpg").write_bytes(encode_with_pillow(picture(48, 40), icc_profile=icc))
    before = None
    for line in ("", f"pyfd: {tmp_path / 'out'}: 3 of 3 are done already\n"):
        assert run("requantize", source, "-o", tmp_path / "out") == (0, "", line)
        assert before in (None, written(tmp_path / "out"))
        before = written(tmp_path / "out")


def test_gray_and_color_files_with_three_tables(run, source, tmp_path):
    (source / "gray.jpg").write_bytes(encode_with_pillow(picture(48, 40, channels=1)))
    Image.fromarray(picture(48, 40)).convert("CMYK").save(source / "cmyk.jpg")
    tables = pyfd.QTables([pyfd.QTables.uniform(step).array[0] for step in (16, 17, 18)])
    tables.save(tmp_path / "tables.json")
    for line in ("", f"pyfd: {tmp_path / 'out'}: 5 of 5 are done already\n"):
        found = run("requantize", source, "-o", tmp_path / "out", "-q", tmp_path / "tables.json")
        assert found == (0, "", line)


def test_the_first_versions_journal_is_begun_anew(run, source, tmp_path):
    """It has no digests."""
    out = tmp_path / "out"
    run("requantize", source, "-o", out)
    header, lines = journal_of(out)
    old = [[*line[:2], *line[2][:2], *line[4][:2]] for line in lines]
    text = "".join(json.dumps(item) + "\n" for item in [{**header, "version": 1}, *old])
    (out / ".pyfd-requantize.jsonl").write_text(text)
    assert run("requantize", source, "-o", out) == (0, "", "")
    assert journal_of(out)[0] == header
    assert len(journal_of(out)[1]) == 3


def test_verify_is_for_directories(run, source, tmp_path):
    code, _, err = run("requantize", source / "a.jpg", "-o", tmp_path / "x.jpg", "--verify")
    assert code == 2
    assert "--verify is for a resumed run" in err


# ---- pyfd requantize SRC DST --------------------------------------------------


def test_source_and_target(run, source, tmp_path):
    out = tmp_path / "out"
    assert run("requantize", source, out) == (0, "", "")
    assert (out / "a.jpg").read_bytes() == pyfd.requantize(source / "a.jpg", "fd-cvpr2019")
    assert run("requantize", source, out)[2] == f"pyfd: {out}: 3 of 3 are done already\n"
    (tmp_path / "empty").mkdir()
    assert run("requantize", source, tmp_path / "empty")[0] == 0


def test_two_sources_are_not_source_and_target(run, source, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jpg").write_bytes(b"precious")
    code, _, err = run("requantize", source, other)
    assert code == 2
    assert f"give -o {other}" in err
    assert run("requantize", source, other / "a.jpg")[0] == 2
    assert run("requantize", source / "a.jpg", source / "b.jpg")[0] == 2
    assert (other / "a.jpg").read_bytes() == b"precious"


def test_the_journal_is_json_lines(run, source, tmp_path):
    run("requantize", source, "-o", tmp_path / "out")
    header, lines = journal_of(tmp_path / "out")
    assert header["settings"]["qtables"] == pyfd.QTables.preset("fd-cvpr2019").array.tolist()
    assert sorted(line[:2] for line in lines) == [  # threads record them as they finish
        [str(source / name), name] for name in ("a.jpg", "b.jpg", "deep/c.JPEG")
    ]
    for read, written_to, before, read_digest, after, written_digest in lines:
        target = tmp_path / "out" / written_to
        assert (before, read_digest) == (stamp_of(Path(read)), sha256(Path(read)))
        assert (after, written_digest) == (stamp_of(target), sha256(target))
