"""The forms of `pyfd tables convert` that encoders take: C, VA-API, a DQT segment, a picture.

The oracles are C compilers, Pillow, and libva's header where it is installed
(tests/pipelines/test_cameras.py).
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import QTables
from pyfd._core import encoder_tables
from pyfd.cli.tables.convert import FORMS
from tests.jpegs import ZIGZAG, encode_with_pillow, picture, tables

COMPILERS = [("cc", "-std=c99", "c"), ("c++", "-std=c++11", "c++")]
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only")

#: What would end a comment of C, or mean something to a compiler, a terminal or a reader.
NAMES = [
    "*/ int evil = 1; /*",
    "**//",
    "/*/",
    "??/",
    "*??/\n/",
    "*\\\n/ int evil; /*",
    "a\r\n*/\n#error evil\n/*",
    "\x00\x1b[2J\u2028\u202e*/",
    "\ud800",
    "%s \\",
    "",
    "x" * 5000,
    "*/" * 3000,
]


def convert(run, item: QTables, target: Path, *options: object) -> tuple[int, str, str]:
    item.save(target.with_name("source.json"))
    return run("tables", "convert", target.with_name("source.json"), target, *options)


def written(n: int, step: int = 1) -> QTables:
    """Return `n` tables in which no two steps are equal."""
    return QTables(np.arange(step, step + 64 * n).reshape(n, 8, 8), f"{n} tables")


def up_to_four(most: int) -> st.SearchStrategy[QTables]:
    more = st.tuples(tables(most), tables(most))
    return tables(most) | more.map(lambda pair: QTables([*pair[0], *pair[1]][:4]))


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def arrays_of(text: str) -> dict[str, tuple[str, list[int]]]:
    """Return the arrays of a header: their types and values, by name."""
    found = re.findall(r"static const (\w+) (\w+)\[64\] = \{([\d, \n]+)\};", without_comments(text))
    return {
        name: (c_type, [int(step) for step in values.split(",")]) for c_type, name, values in found
    }


def compile_all(headers: list[Path]) -> None:
    for compiler, standard, language in COMPILERS:
        subprocess.run([compiler, standard, *STRICT, "-x", language, *headers], check=True)


# ---- C --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (1, ["luma", "chroma"]),
        (2, ["luma", "chroma"]),
        (3, ["luma", "cb", "cr"]),
        (4, ["component0", "component1", "component2", "component3"]),
    ],
)
@pytest.mark.parametrize("order", ["zigzag", "natural"])
@pytest.mark.parametrize(("least", "c_type"), [(0, "uint8_t"), (200, "uint16_t")])
def test_a_c_program_sees_the_steps_that_pillow_reads(
    run, tmp_path, count, names, order, least, c_type
):
    """The program prints the arrays; Pillow reads the tables of a file that has them."""
    item = QTables(np.arange(1, 64 * count + 1).reshape(count, 8, 8) % 255 + least + 1)
    assert convert(run, item, tmp_path / "t.h", "--order", order) == (0, "", "")
    prints = "\n".join(
        f'for (i = 0; i < 64; i++) printf("%d ", pyfd_qtable_{name}_{order}[i]);\n'
        f'printf("%d\\n", (int)sizeof(pyfd_qtable_{name}_{order}[0]));'
        for name in names
    )
    (tmp_path / "p.c").write_text(
        f'#include <stdio.h>\n#include "t.h"\n#include "t.h"\n'
        f"int main(void)\n{{\nint i;\n{prints}\nreturn 0;\n}}\n"
    )
    subprocess.run(["cc", "-std=c99", *STRICT[:-1], "p.c", "-o", "p"], cwd=tmp_path, check=True)
    out = subprocess.run([tmp_path / "p"], capture_output=True, text=True, check=True).stdout
    shown = [[int(word) for word in line.split()] for line in out.splitlines()]
    coefficients = pyfd.Coefficients(
        [np.zeros((1, 1, 8, 8), np.int16)] * 4, item, [(1, 1)] * 4, 8, 8, "CMYK"
    )
    found = Image.open(io.BytesIO(pyfd.write_coefficients(coefficients))).quantization
    for i, (*steps, size) in enumerate(shown):
        by_pillow = found[min(i, count - 1)]
        assert steps == (by_pillow if order == "natural" else [by_pillow[k] for k in ZIGZAG])
        assert size == (1 if c_type == "uint8_t" else 2)
    text = (tmp_path / "t.h").read_text()
    assert f" order   {order}" in text
    assert "T.81" in text
    assert ("16 bits" in text) == (c_type == "uint16_t")
    assert {kind for kind, _ in arrays_of(text).values()} == {c_type}


@given(up_to_four(65535), st.sampled_from(["zigzag", "natural"]))
def test_the_arrays_are_the_tables(item, order):
    text = encoder_tables.to_c(item.array, item.name, None, order)
    found = arrays_of(text)
    assert len(found) == max(2, len(item))
    for i, (c_type, steps) in enumerate(found.values()):
        natural = np.array(steps)
        if order == "zigzag":
            natural[ZIGZAG] = steps
        assert np.array_equal(natural.reshape(8, 8), item[i])
        assert c_type == ("uint8_t" if item.array.max() <= 255 else "uint16_t")


def test_names_and_origins_stay_inside_the_comment(tmp_path):
    headers = []
    for n, name in enumerate(NAMES):
        item = QTables(np.full((8, 8), 7), name, origin={"method": name, name: [name]})
        path = tmp_path / f"{n}.h"
        path.write_text(encoder_tables.to_c(item.array, name, item._origin, "zigzag"))
        assert len(path.read_bytes()) < 6000
        headers.append(path)
    compile_all(headers)


@given(st.text(), st.text())
@example("*/", "??/")
@example("*" * 200 + "/" * 200, "/*/" * 100)
def test_no_name_ends_the_comment(name, method):
    item = QTables(np.full((8, 8), 7), name, origin={"method": method})
    plain = encoder_tables.to_c(item.array, None, None, "zigzag")
    for text in (
        encoder_tables.to_c(item.array, name, item._origin, "zigzag"),
        encoder_tables.to_vaapi(item.array, name, item._origin),
    ):
        comment = text[2 : text.index("*/")]
        assert text[: text.index("*/") + 3].endswith("\n */\n")
        assert "/*" not in comment
        assert "??" not in comment
        assert all(" " <= letter <= "~" or letter == "\n" for letter in text)
        assert all(line.startswith(" *") for line in comment.splitlines()[1:-1])
        assert max(map(len, text.splitlines())) < 100
    assert without_comments(plain) == without_comments(
        encoder_tables.to_c(item.array, name, item._origin, "zigzag")
    )


def test_two_headers_in_one_program_are_an_error(run, tmp_path):
    """The arrays have the same names, so the second ones must not be left out in silence."""
    for name, preset in (("a.h", "fd-2018"), ("b.h", "fd-cvpr2019")):
        assert run("tables", "convert", preset, tmp_path / name)[0] == 0
    (tmp_path / "both.c").write_text('#include "a.h"\n#include "b.h"\n')
    done = subprocess.run(["cc", "-fsyntax-only", tmp_path / "both.c"], capture_output=True)
    assert done.returncode != 0
    assert b"redefinition" in done.stderr


# ---- VA-API ---------------------------------------------------------------


@given(up_to_four(255))
def test_the_struct_is_the_tables(item):
    if any((item[i] != item[1]).any() for i in range(2, 4)):
        with pytest.raises(ValueError, match=r"a table for luma and one for chroma, not [34]"):
            encoder_tables.to_vaapi(item.array, item.name, None)
        return
    text = without_comments(encoder_tables.to_vaapi(item.array, item.name, None))
    values = text[text.index("pyfd_qmatrix = {") :]
    numbers = [int(number) for number in re.findall(r"\d+", values)]
    assert numbers[:2] == [1, 1]
    assert numbers[-1] == 0
    for i in range(2):
        assert numbers[2 + 64 * i : 66 + 64 * i] == item[i].ravel()[ZIGZAG].tolist()


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (QTables.uniform(256), "8 bits: at most 255, not 256"),
        (written(3), "a table for luma and one for chroma, not 3"),
    ],
)
def test_vaapi_refuses_what_its_struct_cannot_hold(run, tmp_path, item, reason):
    code, out, err = convert(run, item, tmp_path / "t.h", "--form", "vaapi")
    assert (code, out) == (1, "")
    assert reason in err
    assert not (tmp_path / "t.h").exists()


# ---- DQT and JPEG ---------------------------------------------------------


@given(up_to_four(65535))
def test_pillow_reads_the_segment(item):
    """It takes the place of the segments of a file by Pillow's encoder."""
    data = encode_with_pillow(picture(16, 16))
    start = data.index(b"\xff\xdb")
    end = data.index(b"\xff\xc0")
    assert data[start:end].count(b"\xff\xdb") == 2
    changed = data[:start] + encoder_tables.to_dqt(item.array) + data[end:]
    found = Image.open(io.BytesIO(changed)).quantization
    assert found == {i: table.ravel().tolist() for i, table in enumerate(item)}
    assert len(encoder_tables.to_dqt(item.array)) == 4 + sum(
        65 if table.max() <= 255 else 129 for table in item
    )


def test_the_segment_as_a_file(run, tmp_path):
    assert run("tables", "convert", "annex-k:50", tmp_path / "t.dqt") == (0, "", "")
    data = (tmp_path / "t.dqt").read_bytes()
    assert data in encode_with_pillow(picture(16, 16), quality=50).replace(
        b"\xff\xdb\x00\x43\x01", b"\x01"
    ).replace(b"\xff\xdb\x00\x43\x00", b"\xff\xdb\x00\x84\x00")


@given(up_to_four(8191))
def test_a_picture_with_the_tables(item):
    if len(item) > 3:
        with pytest.raises(ValueError, match="at most 3 tables"):
            FORMS["jpeg"].content(item)
        return
    image = Image.open(io.BytesIO(FORMS["jpeg"].content(item)))
    assert (image.mode, image.size) == ("RGB", (16, 16))
    by_component = [image.quantization[layer[3]] for layer in image.layer]
    assert by_component == [item[i].ravel().tolist() for i in range(3)]
    assert image.convert("L").getextrema() == (128, 128)


# ---- the choice of a form ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("t.json", "json"),
        ("t.TXT", "text"),
        ("t.h", "c"),
        ("t.dqt", "dqt"),
        ("t.jpg", "jpeg"),
        ("t.JPEG", "jpeg"),
    ],
)
def test_the_suffix_chooses(run, tmp_path, name, form):
    assert run("tables", "convert", "fd-2018", tmp_path / name) == (0, "", "")
    assert (tmp_path / name).read_bytes() == FORMS[form].content(QTables.preset("fd-2018"))


@pytest.mark.parametrize("form", FORMS)
def test_the_option_chooses(run, tmp_path, form):
    assert run("tables", "convert", "fd-2018", tmp_path / "t.odd", "--form", form)[0] == 0
    content = FORMS[form].content(QTables.preset("fd-2018"))
    assert (tmp_path / "t.odd").read_bytes() == content
    if form not in ("dqt", "jpeg"):
        assert run("tables", "convert", "fd-2018", "-", "--form", form)[1] == content.decode()


def test_the_help_describes_every_form(run):
    text = run("tables", "convert", "--help")[1]
    for name, form in FORMS.items():
        (line,) = re.findall(rf"^  {name} +(\.\w+)? .*$", text, re.MULTILINE)
        assert not form.suffixes if not line else line in form.suffixes


@pytest.mark.parametrize("name", ["t", "t.v4l2", "t.hpp", "t.png", "", "t.h\x1b", ".h"])
def test_other_suffixes_are_refused_with_a_list(run, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("tables", "convert", "fd-2018", name)
    assert (code, out) == (2, "")
    assert all(form in err for form in FORMS)
    assert ".h," in err
    assert "\x1b" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [(), ("--form", "vaapi"), ("--form", "text")])
def test_only_c_has_a_choice_of_orders(run, tmp_path, options):
    code, _, err = run(
        "tables", "convert", "fd-2018", tmp_path / "t.json", *options, "--order", "natural"
    )
    assert code == 2
    assert "--order is for the form c" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["dqt", "jpeg"])
def test_no_bytes_on_a_terminal(run_binary, monkeypatch, form):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    outcome = run_binary("tables", "convert", "fd-2018", "-", "--form", form)
    assert (outcome.code, outcome.out) == (2, b"")
    assert f"{form} is not for a terminal" in outcome.err


def test_make_names_the_command_for_other_forms(run, tmp_path):
    code, _, err = run("tables", "make", "--step", 9, "-o", tmp_path / "t.h")
    assert code == 2
    assert "pyfd tables convert writes other forms" in " ".join(err.split())


def test_no_input_is_overwritten(run, tmp_path):
    path = tmp_path / "t.h"
    shutil.copy(Path(__file__), path)
    code, _, err = run("tables", "convert", path, path)
    assert code == 2
    assert "would overwrite the input" in err
