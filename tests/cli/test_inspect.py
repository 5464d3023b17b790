"""`pyfd inspect`: its report on files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from tests.cli.samples import DEFAULT, EVIL, ICC, exif, jpeg, picture


def test_inspect_text(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    data = jpeg(subsampling="4:2:0", exif=exif(6), icc_profile=ICC, comment="hello")
    path.write_bytes(data)
    text = run_binary("inspect", path).out.decode()
    assert text.splitlines()[:9] == [
        str(path),
        f"  size         56 x 40 pixels, {len(data):,} bytes",
        "  colors       YCbCr",
        "  sampling     4:2:0 (2x2 1x1 1x1)",
        "  coding       sequential",
        "  orientation  6 (EXIF's; not applied)",
        f"  metadata     EXIF 32 bytes, ICC profile {len(ICC)} bytes",
        '  comment      "hello"',
        "",
    ]
    assert text.splitlines()[9].split("     ")[0] == "  table of Y"[:12]
    assert "table of Cb, Cr" in text


def test_inspect_shows_equal_tables_once_and_others_aligned(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(pyfd.encode(picture(), DEFAULT))
    lines = run_binary("inspect", path).out.decode().splitlines()
    assert lines[8:10] == ["  table of Y, Cb, Cr", "   25  25  25  25  30  30  30  30"]
    assert len(lines) == 17
    tables = [np.full((8, 8), step) for step in (1, 20000, 300)]
    coefficients = pyfd.read_coefficients(jpeg())
    odd = pyfd.Coefficients(**{**vars(coefficients), "qtables": pyfd.QTables(tables)})
    path.write_bytes(pyfd.write_coefficients(odd, progressive=True))
    lines = run_binary("inspect", path).out.decode().splitlines()
    assert "  coding       progressive" in lines
    assert lines[8].split() == ["table", "of", "Y", "table", "of", "Cb"]
    assert len({len(line) for line in lines[9:17]}) == 1
    assert lines[18] == "  table of Cr"


def test_inspect_effect(run_binary, photo):
    found = json.loads(run_binary("inspect", photo, "-q", 16, "--json").out)
    result = pyfd.requantize(photo, pyfd.QTables.uniform(16))
    before, after = pyfd.read_coefficients(photo), pyfd.read_coefficients(result)
    assert found["effect"]["bytes"] == len(result)
    assert found["effect"]["qtables"] == "uniform-16"
    assert list(found["effect"]["components"]) == ["Y", "Cb", "Cr"]
    for i, shares in enumerate(found["effect"]["components"].values()):
        old, new = before.dequantized(i), after.dequantized(i)
        assert shares == {
            "table": "other",
            "coefficients": old.size,
            "on_grid": np.mean(old % 16 == 0),
            "changed": np.mean(old != new),
            "nonzero_before": np.mean(old != 0),
            "nonzero_after": np.mean(new != 0),
        }
    text = run_binary("inspect", photo, "-q", 16).out.decode()
    assert "re-quantized to uniform-16, share of the coefficients" in text
    size = photo.stat().st_size
    assert f"  file size {size:,} -> {len(result):,} bytes" in text


@pytest.mark.parametrize("step", [1, 16, 1000, 32767])
def test_inspect_effect_on_extreme_coefficients(run_binary, tmp_path, step):
    """Coefficients that saturate, DC coefficients of −1024 among them, are as the file has them."""
    rng = np.random.default_rng(step)
    blocks = rng.integers(-1023, 1024, (9, 9, 8, 8)).astype(np.int16)
    blocks[::2, :, 0, 0] = -1024
    tables = pyfd.QTables([[[16 if i == j == 0 else 300 for i in range(8)] for j in range(8)]])
    data = pyfd.write_coefficients(pyfd.Coefficients([blocks], tables, [(1, 1)], 72, 72, "L"))
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    found = json.loads(run_binary("inspect", path, "-q", step, "--json").out)
    result = pyfd.requantize(data, pyfd.QTables.uniform(step), baseline=False)
    old = pyfd.read_coefficients(data).dequantized(0)
    new = pyfd.read_coefficients(result).dequantized(0)
    kinds = {1: "multiple", 1000: "other", 16: "other", 32767: "other"}
    assert found["effect"]["components"]["Y"] == {
        "table": kinds[step],
        "coefficients": old.size,
        "on_grid": np.mean(old % step == 0),
        "changed": np.mean(old != new),
        "nonzero_before": np.mean(old != 0),
        "nonzero_after": np.mean(new != 0),
    }


def test_inspect_a_defended_file(run_binary, png, tmp_path):
    run_binary("encode", png, "-o", tmp_path / "x.jpg")
    found = json.loads(run_binary("inspect", tmp_path / "x.jpg", "-q", DEFAULT.name, "--json").out)
    for shares in found["effect"]["components"].values():
        assert (shares["on_grid"], shares["changed"]) == (1, 0)


def test_inspect_large_steps(run_binary, photo):
    assert run_binary("inspect", photo, "-q", 1000).code == 0


def test_inspect_json_is_a_line_per_file(run_binary, tree):
    outcome = run_binary("inspect", tree, "--json")
    assert outcome.code == 1
    found = [json.loads(line) for line in outcome.out.splitlines()]
    assert [Path(item["file"]).name for item in found] == ["a.jpg", "b.JPEG"]
    header = pyfd.probe(tree / "a.jpg")
    assert found[0]["width"] == header.width
    assert found[0]["qtables"] == [table.tolist() for table in header.qtables]
    assert found[0]["comment"] is None


@pytest.mark.parametrize(
    ("space", "names"), [("L", ["Y"]), ("CMYK", list("CMYK")), ("RGB", ["Y", "Cb", "Cr"])]
)
def test_inspect_names_components(run_binary, tmp_path, space, names):
    path = tmp_path / "x.jpg"
    Image.fromarray(picture()).convert(space).save(path)
    found = json.loads(run_binary("inspect", path, "-q", 16, "--json").out)
    assert found["components"] == names
    assert list(found["effect"]["components"]) == names


def test_inspect_refuses(run_binary, tree, tmp_path):
    outcome = run_binary("inspect", tree, tmp_path / "missing.jpg", "-q", 16)
    assert outcome.code == 1
    assert len(outcome.lines) == 2
    assert outcome.out.decode().count("re-quantized to") == 2


def test_nothing_in_a_file_reaches_the_terminal(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(comment=EVIL + "\u00e9" + "z" * 300))
    text = run_binary("inspect", path).out.decode()
    assert all(letter == "\n" or letter.isprintable() for letter in text)
    assert r'"\x1b]0;owned\x07\x1b[31m\u202e\x9b2J\x7f\n\x00' in text
    assert "\u00e9" in text
    assert "and 123 more characters" in text
    path.write_bytes(jpeg(comment=b"\xff\x1b"))
    assert r"\xff\x1b" in run_binary("inspect", path).out.decode()
