"""Files that pyfd reads besides JPEGs: hostile ones are errors, bounded in time and memory."""

import json
import os
import re
import shutil
import subprocess
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import FrequencyStatistics, QTables
from pyfd.evaluation import dataset
from pyfd.evaluation.report import data as report
from pyfd.qtables import parse_tables
from tests.jpegs import picture

TABLE = [[9] * 8] * 8
TABLES = {"format": "pyfd-qtables", "version": 1, "name": "mine", "tables": [TABLE]}
LABELS = "file,label\n"


def statistics() -> dict:
    found = pyfd.calibrate([picture(16, 16)])
    return {
        "format": "pyfd-statistics",
        "version": 1,
        "unit_bits": 40,
        "images": 1,
        "blocks": [4, 4, 4],
        "sums": list(found.sums),
        "squares": list(found.squares),
        "failures": {},
    }


LOADERS = {
    "QTables.load": QTables.load,
    "parse_tables": lambda path: parse_tables(str(path)),
    "FrequencyStatistics.load": FrequencyStatistics.load,
    "report": report.load,
    "labels": lambda path: dataset.load(path.parent, path),
}

#: Content that no loader takes.
HOSTILE = {
    "nothing": b"",
    "zeros": bytes(5000),
    "all bytes": bytes(range(256)) * 40,
    "a JPEG": pyfd.encode(picture(16, 16), "fd-2018"),
    "UTF-16": '{"format": "pyfd-qtables"}'.encode("utf-16"),
    "not UTF-8": b'{"format": "\xff\xfe"}',
    "half a character": b'{"format": "pyfd\xe2\x82',
    "a byte-order mark alone": b"\xef\xbb\xbf",
    "two byte-order marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "null": b"null",
    "a number": b"[3",
    "a string": b'"pyfd-qtables"',
    "a list": b"[]",
    "an empty object": b"{}",
    "deep lists": b"[" * 500_000,
    "deep lists, closed": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep in a key": b'{"format": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of many digits": b'{"format": ' + b"9" * 100_000 + b"}",
    "many digits alone": b"9" * 100_000,
    "NaN": b'{"format": NaN}',
    "Infinity": b'{"format": -Infinity}',
    "1e999": b'{"format": 1e999}',
    "a key twice": b'{"format": "pyfd-qtables", "format": "pyfd-statistics"}',
    "no end": json.dumps(TABLES).encode()[:-1],
    "more after it": json.dumps(TABLES).encode() + b"{}",
    "a surrogate": b'{"format": "\\ud800"}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_hostile_content(tmp_path, load, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.json|report\.json") as caught:
        load(path)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_what_is_no_regular_file(tmp_path, load):
    """A device that ends at once, a folder, nothing, a link to itself."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "null").symlink_to("/dev/null")
    with pytest.raises(ValueError, match="null"):
        load(tmp_path / "null")
    for name in ("loop", "none", "."):
        with pytest.raises((ValueError, OSError)):
            load(tmp_path / name)


def test_a_pipe_that_the_user_names(tmp_path):
    """As in ``-q <(pyfd tables show annex-k:50)``."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    tables = QTables.annex_k(50)
    writer = threading.Thread(target=pipe.write_text, args=[tables.to_text()])
    writer.start()
    assert parse_tables(str(pipe)) == tables
    writer.join()


def test_a_device_that_never_ends(tmp_path):
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=f"zero has more than {1 << 20} bytes"):
        QTables.load(tmp_path / "zero")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("QTables.load", 1 << 20),
        ("parse_tables", 1 << 20),
        ("FrequencyStatistics.load", 64 << 20),
        ("report", 64 << 20),
        ("labels", 256 << 20),
    ],
)
def test_files_that_are_too_large_are_not_read(tmp_path, name, most):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a sparse file of a terabyte
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"has more than {most} bytes"):
        LOADERS[name](path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


# ---- tables in JSON ---------------------------------------------------------------------

HUGE = 10**700
BAD_TABLES = [
    None, {}, {"0": TABLE}, "tables", "a" * 100_000, 3, True, [], [[]], [[[]]], [None], [TABLE] * 5,
    [TABLE[:7]], [[*TABLE, [9] * 8]], [[row[:7] for row in TABLE]], [{"0": 1}], [["a" * 8] * 8],
    [[{str(i): 9 for i in range(8)}] * 8], [TABLE, None], [TABLE, "x"], TABLE[0], [TABLE[0]],
    *[[[[step, *[9] * 7], *TABLE[1:]]] for step in
      (0, -1, 65536, HUGE, -HUGE, 10**50, 1.0, 9.5, 1e300, True, None, "9", "a" * 50_000, [9], {})],
]  # fmt: skip


@pytest.mark.parametrize("load", [LOADERS["QTables.load"], LOADERS["parse_tables"]])
@pytest.mark.parametrize("tables", BAD_TABLES, ids=range(len(BAD_TABLES)))
def test_tables_of_another_shape_or_range(tmp_path, load, tables):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({**TABLES, "tables": tables}))
    with pytest.raises(ValueError, match=r"file\.json"):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "pyfd-statistics"}, {"format": None}, {"version": 2}, {"version": "1"},
        {"version": HUGE}, {"version": [1]}, {"name": 3}, {"name": ["x"]}, {"origin": "x"},
        {"origin": [1]}, {"origin": 3},
    ],
)  # fmt: skip
def test_other_fields_of_table_files(tmp_path, change):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({**TABLES, **change}))
    with pytest.raises(ValueError, match=r"file\.json"):
        QTables.load(path)


def test_one_long_string_among_many_steps_takes_no_memory(tmp_path):
    """numpy would give every step the room of the longest one."""
    rows = [["a" * 500_000, *["b"] * 7], *[["b"] * 8] * 7]
    path = tmp_path / "file.json"
    path.write_text(json.dumps({**TABLES, "tables": [rows]}))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"tables\[0\]\[0\]\[0\]"):
        QTables.load(path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_json_with_a_byte_order_mark_and_any_line_ends(tmp_path):
    text = json.dumps(TABLES, indent=1)
    for end in ("\n", "\r\n", "\r"):
        (tmp_path / "t.json").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", end).encode())
        for load in (LOADERS["QTables.load"], LOADERS["parse_tables"]):
            assert load(tmp_path / "t.json") == QTables.uniform(9)


def test_one_table_may_stand_alone(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps({**TABLES, "tables": TABLE}))
    assert QTables.load(tmp_path / "t.json") == QTables.uniform(9)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"format": ', "line 1, column 12"),
        ('{\n "format": "pyfd-qtables",\n "version": 1,,\n}', "line 3, column"),
        ('{\n "tables": [[1, 2,]]}', "line 2, column"),
        ('{\n "name": "\xff"}', "line 2, byte 11"),
    ],
)
def test_errors_in_json_name_the_place(tmp_path, content, place):
    (tmp_path / "t.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=place):
        QTables.load(tmp_path / "t.json")


# ---- statistics ----------------------------------------------------------------------


def test_statistics_come_back(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps(statistics()))
    found = FrequencyStatistics.load(tmp_path / "s.json")
    assert found == pyfd.calibrate([picture(16, 16)])
    (tmp_path / "s.json").write_text("\ufeff" + json.dumps(statistics()), encoding="utf-8")
    assert FrequencyStatistics.load(tmp_path / "s.json") == found
    FrequencyStatistics().save(tmp_path / "empty.json")
    assert FrequencyStatistics.load(tmp_path / "empty.json") == FrequencyStatistics()


NUMBERS = (HUGE, -1, 2**63, 1.0, 1e300, True, None, "1", [1], {})
BAD_STATISTICS = [
    *[{"images": value} for value in (*NUMBERS, 5)],  # there are four blocks
    *[{"blocks": [value, 4, 4]} for value in (*NUMBERS, 0)],
    *[{"blocks": [4, 4, value]} for value in (*NUMBERS, 0)],
    *[{"blocks": value} for value in (HUGE, None, [], [4], [4] * 4, "444", {"0": 4})],
    *[{key: [value] * 192} for key in ("sums", "squares") for value in (HUGE, 1.5, None, "1")],
    *[{key: value} for key in ("sums", "squares") for value in (None, [], [1] * 191, "1" * 192)],
    {"squares": [-1] * 192},
    {"sums": [4 * 32767 * 2**40 + 1] * 192},
    {"squares": [4 * 32767**2 * 2**40 + 1] * 192},
    *[{"failures": value} for value in (None, [], "x", {"a": 1}, {"a": None}, {"a": ["x"]})],
    *[{"unit_bits": value} for value in (0, 41, HUGE, "40", None)],
    *[{"version": value} for value in (0, 2, HUGE, "1", None, [])],
]


@pytest.mark.parametrize("change", BAD_STATISTICS, ids=range(len(BAD_STATISTICS)))
def test_statistics_that_cannot_be(tmp_path, change):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({**statistics(), **change}))
    with pytest.raises(ValueError, match=r"file\.json is not a statistics file") as caught:
        FrequencyStatistics.load(path)
    assert len(str(caught.value)) < 700


# ---- labels ------------------------------------------------------------------------------


def test_labels_with_any_line_ends(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(picture(16, 16)).save(tmp_path / name)
    for end in ("\n", "\r\n", "\r"):
        text = f"\ufeff{LABELS}a.png,1\nb.png,2\n".replace("\n", end)
        (tmp_path / "labels.csv").write_bytes(text.encode())
        found = dataset.load(tmp_path, tmp_path / "labels.csv")
        assert (found.names, found.labels.tolist()) == (["a.png", "b.png"], [1, 2])


@pytest.mark.parametrize("row", ["x.png," + "9" * 5000, '"' + "x" * 200_000, "a\0b,1", "..,1"])
def test_hostile_rows(tmp_path, row):
    path = tmp_path / "labels.csv"
    path.write_text(LABELS + row)
    with pytest.raises(ValueError, match=r"labels\.csv"):
        dataset.load(tmp_path, path)


# ---- tables as text, as cjpeg takes them ----------------------------------------------------

NUMBERS_64 = [str(step) for step in range(1, 65)]
ROWS = "\n".join(" ".join(NUMBERS_64[8 * i : 8 * i + 8]) for i in range(8))
SPELLINGS = {
    "plain": ROWS,
    "commas": ", ".join(NUMBERS_64),
    "commas without spaces": ",".join(NUMBERS_64),
    "a trailing comma": ROWS.replace("\n", ",\n") + ",",
    "CRLF": ROWS.replace("\n", "\r\n"),
    "CR": ROWS.replace("\n", "\r"),
    "tabs and form feeds": ROWS.replace(" ", "\t").replace("\n", "\f\v"),
    "comments": "# one\n" + ROWS.replace("\n", " # row\n") + "#two",
    "comments and CRLF": ("# one\n" + ROWS.replace("\n", "# row\n") + "\n#").replace("\n", "\r\n"),
    "a comment after a comma": ROWS.replace("\n", ",# row\n"),
    "zeros before": " ".join(f"{step:0>12}" for step in NUMBERS_64),
    "a comment in Latin-1": b"# gr\xf6\xdfe\n".decode("latin-1") + ROWS,
    "no line end": " ".join(NUMBERS_64),
    "four tables": "\n\n".join([ROWS] * 4),
}
WANTED = np.arange(1, 65).reshape(8, 8)


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_spellings(tmp_path, text):
    (tmp_path / "t.txt").write_bytes(text.encode("latin-1"))
    for found in (QTables.from_text(text), parse_tables(str(tmp_path / "t.txt"))):
        assert all((table == WANTED).all() for table in found)
    assert parse_tables(str(tmp_path / "t.txt")).name == "t.txt"


def test_beyond_cjpeg(tmp_path):
    """cjpeg refuses a byte-order mark, and a lone CR does not end its comments."""
    for text in ("\ufeff" + ROWS, "# one\r" + ROWS.replace("\n", " # row\r")):
        (tmp_path / "t.txt").write_bytes(text.encode())
        for found in (QTables.from_text(text), parse_tables(str(tmp_path / "t.txt"))):
            assert (found[0] == WANTED).all()


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        (ROWS.replace("20", "x20"), "line 3, column 10", "'x20' is not a step"),
        (ROWS.replace("20", "-20"), "line 3, column 10", "'-20' is not a step"),
        (ROWS.replace("20", "2.5"), "line 3, column 10", "'2.5' is not a step"),
        (ROWS.replace("20", "2e1"), "line 3, column 10", "'2e1' is not a step"),
        (ROWS.replace("20", "20,,"), "line 3, column 10", "'20,,' is not a step"),
        (ROWS.replace("20", "20 ,"), "line 3, column 13", "',' is not a step"),
        (ROWS.replace("20", "２０"), "line 3, column 10", "is not a step"),
        (ROWS.replace(" 20", "\xa020"), "line 3, column 7", "is not a step"),
        (ROWS.replace("20", "20,0,5"), "line 3, column 13", "1...65535, not 0"),
        (ROWS.replace("20", "65536"), "line 3, column 10", "1...65535, not 65536"),
        (ROWS.replace("20", "9" * 5000), "line 3, column 10", "1...65535, not 9999"),
        ("\r\n#\r\r\n" + ROWS.replace("20", "x"), "line 6, column 10", "'x' is not a step"),
        ("\ufeffx" + ROWS, "line 1, column 1", "'x1' is not a step"),
        (ROWS[:-3], "line 8, column 21", "not 63 words"),
        (ROWS + " 5", "line 8, column 26", "not 65 words"),
        ("\n".join([ROWS] * 5), "line 40, column 24", "not 320 words"),
        ("# only this", "line 1, column 1", "not 0 words"),
    ],
)
def test_errors_in_text_name_the_place(tmp_path, text, place, why):
    (tmp_path / "t.txt").write_bytes(text.encode())
    for load in (QTables.from_text, lambda _: parse_tables(str(tmp_path / "t.txt"))):
        with pytest.raises(ValueError, match=f"{place}: the text must hold .*{re.escape(why)}"):
            load(text)


def cjpegs(tables: bytes, folder) -> QTables | None:
    """Return the tables that cjpeg reads from a file, or None if it refuses the file."""
    (folder / "t.txt").write_bytes(tables)
    (folder / "x.ppm").write_bytes(b"P6 8 8 255\n" + bytes(192))
    command = ["cjpeg", "-qtables", "t.txt", "-qslots", "0", "-sample", "1x1", "x.ppm"]
    found = subprocess.run(command, cwd=folder, capture_output=True)
    return pyfd.probe(found.stdout).qtables if found.returncode == 0 else None


@pytest.mark.system
def test_cjpeg_reads_the_same(tmp_path):
    assert shutil.which("cjpeg"), "make test-system installs it"
    for name, text in SPELLINGS.items():
        theirs = cjpegs(text.encode("latin-1"), tmp_path)
        assert theirs is not None, name
        assert (theirs[0] == WANTED).all(), name


PIECES = st.lists(
    st.sampled_from(["7", "12", "250", " ", " ", "\n", "\r\n", ",", ", ", "#c\n", "#", "x", "\t"]),
    max_size=40,
)


@pytest.mark.system
@given(PIECES)
def test_cjpeg_reads_the_same_of_any_text(tmp_path_factory, pieces):
    """Whatever from_text takes, cjpeg takes, and reads the same steps from it."""
    folder = tmp_path_factory.mktemp("cjpeg")
    text = "".join(pieces)
    have = len(re.findall("[0-9]+", re.sub("#[^\n]*", "", text)))
    text += "\n" + "9 " * (-have % 64 or (0 if have else 64))
    try:
        ours = QTables.from_text(text)
    except ValueError:
        return
    theirs = cjpegs(text.encode(), folder)
    assert theirs is not None
    assert (theirs[0] == ours[0]).all()
