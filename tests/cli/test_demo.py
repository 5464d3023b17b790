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
from pyfd.cli.demo import certified, contact_sheet, measurement, summary
from pyfd.cli.demo.aimed import aim

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


@pytest.fixture
def harsh(tmp_path: Path) -> Path:
    """A stand-in that is calm at the left, and clipped at the right, where few blocks hold."""
    rows, columns = np.mgrid[:96, :128, :1][:2]
    waves = 128 + (40 + columns) * np.sin(rows / [17, 21, 33] + columns / 19)
    Image.fromarray(waves.clip(0, 255).astype(np.uint8)).save(tmp_path / "harsh.png")
    return tmp_path / "harsh.png"


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


def moved_blocks(pixels: np.ndarray, e: np.ndarray, tables: pyfd.QTables) -> np.ndarray:
    """Return the blocks whose coefficients a perturbation changes."""
    attacked = (pixels + e).clip(0, 255).astype(np.uint8)
    files = (pyfd.encode(image, tables, baseline=False) for image in (pixels, attacked))
    pairs = zip(*(pyfd.read_coefficients(file).components for file in files), strict=True)
    return np.any([(a != b).any(axis=(2, 3)) for a, b in pairs], axis=0)


@pytest.mark.parametrize("epsilon", [1, 4, 16])
def test_aim_moves_the_blocks_that_do_not_hold(harsh, epsilon):
    tables = pyfd.QTables.certified(epsilon, baseline=False)
    pixels = pyfd.decode(pyfd.encode(measurement.load(harsh), tables, baseline=False))
    signs = aim(pixels, tables, epsilon)
    assert signs.shape == pixels.shape
    assert np.unique(signs).tolist() == [-1, 1]
    holds = pyfd.holds(pixels, tables, epsilon)
    assert 0.2 < holds.mean() < 0.95
    moved = moved_blocks(pixels, epsilon * signs, tables)
    assert not moved[holds].any()
    assert moved[~holds].mean() > 0.98


def test_aim_reaches_the_boundary_at_the_radius(photos):
    """A level less moves no block, so that the demo's attack is as weak as one can be."""
    tables = pyfd.QTables.certified(2)
    pixels = pyfd.decode(pyfd.encode(measurement.load(photos[0]), tables, radius=2))
    radii = pyfd.certify(pixels, tables).blocks
    strength = radii.repeat(8, 0).repeat(8, 1)[..., np.newaxis].astype(int)
    signs = aim(pixels, tables, int(radii.min()))
    assert not moved_blocks(pixels, (strength - 1) * signs, tables).any()
    assert moved_blocks(pixels, strength * signs, tables).mean() > 0.9


def test_aim_where_the_edge_cuts_blocks(harsh):
    tables = pyfd.QTables.certified(4)
    pixels = pyfd.decode(pyfd.encode(measurement.load(harsh)[:83, :117], tables))
    signs = aim(pixels, tables, 4)
    assert signs.shape == (83, 117, 3)
    assert np.array_equal(signs[:80, :112], aim(pixels[:80, :112], tables, 4))


def test_a_certified_photograph_beside_a_plain_one(harsh, tmp_path):
    original = measurement.load(harsh)
    tables = pyfd.QTables.certified(4)
    pair = certified.compare(harsh, 4, tmp_path / "out")
    file = pyfd.encode(original, tables, radius=4)
    assert (tmp_path / "out" / "certified" / "harsh.jpg").read_bytes() == file
    files = pyfd.encode(original, tables), file
    for (trial, attack), data in zip(pair, files, strict=True):
        assert (trial.name, trial.bytes) == ("harsh", len(data))
        assert np.array_equal(attack.pixels, pyfd.decode(data))
        assert trial.psnr == measurement.psnr(original, attack.pixels)
        assert trial.holding == pyfd.certify(attack.pixels, tables).share(4)
        assert np.unique(np.abs(attack.moves)).tolist() == [4]
        attacked = (attack.pixels + attack.moves).clip(0, 255).astype(np.uint8)
        again = pyfd.decode(pyfd.encode(attacked, tables), tables)
        assert np.array_equal((again == attack.pixels).all(axis=2), attack.unchanged)
        assert trial.aimed == attack.unchanged.mean()
    plain, proved = pair.plain[0], pair.certified[0]
    assert (proved.holding, proved.noise, proved.aimed) == (1, 1, 1)
    assert plain.holding < 0.9 > plain.aimed
    assert plain.noise < 1
    assert plain.psnr > proved.psnr


@pytest.mark.parametrize("active", [False, True])
def test_the_last_command_can_be_pasted(photos, active, tmp_path, monkeypatch, capsys):
    """After `make demo`, no environment is active."""
    program = tmp_path / "some env" / "bin" / "pyfd"
    program.parent.mkdir(parents=True)
    program.touch(0o755)
    monkeypatch.setattr(measurement, "photographs", lambda: photos[:1])
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(program.parent) if active else "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert main("-o", "out") == 0
    start = "pyfd" if active else "'some env/bin/pyfd'"
    line = f"This certifies them again: {start} certify out/certified -q certified:4 --epsilon 4"
    assert line in capsys.readouterr().out.splitlines()


def test_demo(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measurement, "photographs", lambda: photos)
    out = tmp_path / "out"
    assert main("-o", out) == 0
    printed, errors = capsys.readouterr()
    stage = "Defending and certifying 2 photographs, and measuring what attacks change"
    assert errors.splitlines() == [stage]
    title, _, *lines = printed.splitlines()
    assert title.endswith("random noise of 4, tables fd-cvpr2019")
    assert [line.split()[0] for line in lines[3:5]] == ["one", "two"]
    assert lines[6].startswith("sum or median ")
    assert len({len(line) for line in lines[2:7]}) == 1
    sizes = [int(line.split()[2].replace(",", "")) for line in lines[3:5]]
    assert int(lines[6].split()[3].replace(",", "")) == sum(sizes)
    assert str(out / "contact-sheet.png") in lines[-1]
    assert f"pyfd certify {out / 'certified'} -q certified:4 --epsilon 4" in lines[-2]
    title = lines.index("Certified files: perturbations within 4, tables certified:4")
    rows = [line.split() for line in lines[title + 5 : title + 9]]
    assert [row[0] for row in rows] == ["one", "two", "-" * len(lines[title + 4]), "sum"]
    for row in (rows[0], rows[1], rows[3]):
        assert row[-5] == row[-3] == row[-1] == "100.00%"
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
        "attacked/one.jpg",
        "attacked/two.jpg",
        "certified/one.jpg",
        "certified/two.jpg",
        "contact-sheet.png",
        "defended/one.jpg",
        "defended/two.jpg",
    ]
    for path in out.rglob("*.jpg"):
        pyfd.decode(path)
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.size == (1568, 1416)


def test_contact_sheet_keeps_to_its_margins(photos, tmp_path):
    """Nothing is drawn outside the columns, however long the name and the numbers are."""
    tables = pyfd.QTables(DEFAULT.array, name="a name that is much longer than a column is wide")
    measured = [measurement.measure(path, tables, 64, tmp_path) for path in photos]
    pairs = [certified.compare(path, 64, tmp_path) for path in photos]
    sections = (
        contact_sheet.defended_section(measured, tables, 64),
        contact_sheet.certified_section(pairs, 64),
    )
    sheet = np.asarray(contact_sheet.draw(sections))
    margin = contact_sheet._MARGIN
    blank = (sheet == 255).all(axis=(2))
    assert blank[:margin].all()
    assert blank[-margin:].all()
    top = margin
    for section in sections:
        bottom = top + section.height
        assert blank[bottom : bottom + margin].all()
        below = blank[top + contact_sheet._TITLE_HEIGHT : bottom]
        for column in range(6):
            left = contact_sheet._left(column)
            assert below[:, left - contact_sheet._GAP + 3 : left].all()
        assert not below[:, margin : margin + contact_sheet._CELL[0]].all(axis=0).any()
        top = bottom + margin
    assert top == len(sheet)


def test_changes_are_marked_where_they_are(harsh, tmp_path):
    for trial, attack in certified.compare(harsh, 4, tmp_path):
        picture = np.asarray(contact_sheet._marked(attack))
        red = (picture == (0xE0, 0, 0x20)).all(axis=2)
        assert red.shape == contact_sheet._CELL[::-1]
        assert red.mean() == pytest.approx(1 - trial.aimed, abs=0.02)  # nothing is cut off
        assert red.any() == (not attack.unchanged.all())


def test_percentages_are_rounded_down():
    assert summary.percent(1) == "100.00%"
    assert summary.percent(0.999999) == "99.99%"
    assert summary.percent(0) == "0.00%"


def test_psnr_of_equal_pictures():
    pixels = np.zeros((8, 8, 3), np.uint8)
    assert measurement.psnr(pixels, pixels) == float("inf")


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
    _, line = errors.splitlines()  # the first one says what is going on
    assert line.startswith(f"pyfd: {tmp_path / 'out'}: ")
