"""The demo: its measurements, its output and the files that it leaves."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd.cli import cli
from pyfd.cli.demo import contact_sheet, measurement, summary

DEFAULT = pyfd.QTables.preset("fd-cvpr2019")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Two stand-ins for photographs: smooth areas with some texture, not near black or white."""
    made = []
    for seed, (name, height, width) in enumerate([("one.png", 96, 128), ("two.jpg", 120, 80)]):
        rows, columns = np.mgrid[:height, :width]
        waves = np.sin(rows / 7 + seed)[..., np.newaxis] * [40, 25, 30] + 128
        waves[..., 0] += 30 * np.cos(columns / 11)
        texture = np.random.default_rng(seed).normal(0, 6, waves.shape)
        Image.fromarray((waves + texture).astype(np.uint8)).save(tmp_path / name, quality=95)
        made.append(tmp_path / name)
    return made


def main(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main(["demo", *map(str, args)], prog_name="pyfd")
    return int(stop.value.code)


def test_measure(photos, tmp_path):
    result, views = measurement.measure(photos[0], DEFAULT, 4, tmp_path / "out")
    assert (result.name, result.width, result.height) == ("one", 128, 96)
    with Image.open(photos[0]) as image:
        original = np.asarray(image)
    defended = pyfd.encode(original, DEFAULT)
    assert (tmp_path / "out" / "defended" / "one.jpg").read_bytes() == defended
    assert result.defended_bytes == len(defended)
    assert result.ordinary_bytes == len(pyfd.encode(original, pyfd.QTables.annex_k(95)))
    error = original - pyfd.decode(defended).astype(float)
    assert result.psnr == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)))
    assert np.array_equal(views.original, original)
    assert np.array_equal(views.defended, pyfd.decode(defended))
    assert result.plain_ms > 0 < result.defended_ms


def test_attacks(photos, tmp_path):
    """Every sample moves by epsilon; two passes undo it, but one pass does not."""
    result, views = measurement.measure(photos[0], DEFAULT, 4, tmp_path)
    assert np.unique(np.abs(views.attacked.left)).tolist() == [4]
    attack = tmp_path / "attacked" / "one.jpg"
    assert pyfd.probe(attack).qtables == pyfd.QTables(
        [pyfd.QTables.annex_k(95)[i] for i in range(3)]
    )
    assert np.array_equal(views.one_pass.pixels, pyfd.decode(attack, DEFAULT))
    assert result.two_pass.coefficients > 0.999
    assert result.two_pass.pixels > 0.9 > result.one_pass.pixels
    assert np.mean((views.two_pass.left == 0).all(axis=2)) == result.two_pass.pixels
    moved = views.two_pass.pixels.astype(int) - views.defended
    assert np.array_equal(moved, views.two_pass.left)


def test_attacks_repeat(photos, tmp_path):
    first, again = (measurement.measure(photos[1], DEFAULT, 2, tmp_path)[0] for _ in range(2))
    assert (first.one_pass, first.two_pass) == (again.one_pass, again.two_pass)


def test_the_shares_are_those_of_the_coefficients(photos):
    original = pyfd.decode(photos[1])
    benign, attack = pyfd.encode(original, DEFAULT), pyfd.encode(original[::-1], DEFAULT)
    unmoved, view = measurement._outcome(benign, attack, DEFAULT)
    one, other = pyfd.read_coefficients(benign), pyfd.read_coefficients(attack)
    pairs = zip(one.components, other.components, strict=True)
    equal = np.concatenate([(x == y).ravel() for x, y in pairs])
    assert unmoved.coefficients == equal.mean()
    assert np.array_equal(view.left, pyfd.decode(attack).astype(int) - pyfd.decode(benign))
    assert measurement._outcome(benign, benign, DEFAULT)[0] == (1, 1)


def test_demo(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measurement, "photographs", lambda: photos)
    out = tmp_path / "out"
    assert main("-o", out) == 0
    printed, errors = capsys.readouterr()
    assert errors == ""
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[3:5]] == ["one", "two"]
    assert lines[6].startswith("sum or median ")
    assert len({len(line) for line in lines[2:7]}) == 1
    sizes = [int(line.split()[2].replace(",", "")) for line in lines[3:5]]
    assert int(lines[6].split()[3].replace(",", "")) == sum(sizes)
    assert str(out / "contact-sheet.png") in lines[-1]
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
        "attacked/one.jpg",
        "attacked/two.jpg",
        "contact-sheet.png",
        "defended/one.jpg",
        "defended/two.jpg",
    ]
    for path in out.rglob("*.jpg"):
        pyfd.decode(path)
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.size == (1568, 724)


def test_contact_sheet_keeps_to_its_margins(photos, tmp_path):
    """Nothing is drawn outside the columns, however long the name and the numbers are."""
    tables = pyfd.QTables(DEFAULT.array, name="a name that is much longer than a column is wide")
    measured = [measurement.measure(path, tables, 3, tmp_path) for path in photos]
    sheet = np.asarray(contact_sheet.draw(measured, tables, 3))
    margin = contact_sheet._MARGIN
    blank = (sheet == 255).all(axis=(2))
    assert blank[:margin].all()
    assert blank[-margin:].all()
    below = blank[margin + contact_sheet._TITLE_HEIGHT :]
    for column in range(6):
        left = contact_sheet._left(column)
        assert below[:, left - contact_sheet._GAP + 3 : left].all()
    assert not below[:, margin : margin + contact_sheet._CELL[0]].all(axis=0).any()


def test_percentages_are_rounded_down():
    assert summary.percent(1) == "100.00%"
    assert summary.percent(0.999999) == "99.99%"
    assert summary.percent(0) == "0.00%"


def test_psnr_of_equal_pictures():
    pixels = np.zeros((8, 8, 3), np.uint8)
    assert measurement._psnr(pixels, pixels) == float("inf")


@pytest.mark.parametrize("missing", ["skimage", "foolbox"])
def test_missing_packages(missing, tmp_path, monkeypatch, capsys):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("astronaut.png", "imagenet_00.jpg"):
        (data / name).touch()
    spec = importlib.machinery.ModuleSpec("x", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else spec)
    assert main("-o", tmp_path / "out") == 1
    _, errors = capsys.readouterr()
    assert errors.startswith(f"pyfd: {missing} is missing: pip install 'pyfd-jpeg[demo]'")
    assert not (tmp_path / "out").exists()


def test_photographs_come_from_packages_that_are_not_imported():
    found = measurement.photographs()
    assert [path.name for path in found[:4]] == [
        "astronaut.png",
        "chelsea.png",
        "coffee.png",
        "rocket.jpg",
    ]
    assert len(found) == 24
    program = "import sys; from pyfd.cli.demo.measurement import photographs; photographs();"
    program += "print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "pyfd.cli.demo.measurement" in loaded
    assert not {"skimage", "foolbox"} & set(loaded)


def test_output_that_cannot_be_written(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measurement, "photographs", lambda: photos)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "defended").touch()
    assert main("-o", tmp_path / "out") == 1
    _, errors = capsys.readouterr()
    assert errors.startswith(f"pyfd: {tmp_path / 'out'}: ")
    assert errors.count("\n") == 1
