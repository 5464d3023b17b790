"""Plain files between what is certified and what the attack leaves: bounds, resuming, the table."""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import pyfd
from benchmarks import bracket
from benchmarks.bracket import Place
from pyfd._core.log import OtherRunError
from pyfd.evaluation.attacks import ATTACKS, to_batch
from pyfd.evaluation.attacks.grid import Grid
from pyfd.evaluation.attacks.reach import Codec, room
from tests.benchmarks.toys import Brightest, photographs


@pytest.fixture
def photos(monkeypatch):
    """Few photographs, of a model and tables that take no time."""
    monkeypatch.setitem(ATTACKS, "grid", Grid(steps=2, targets=0, trials=0))
    monkeypatch.setattr(bracket, "COUNTS", {("toy", "model"): 3})
    monkeypatch.setattr(bracket, "TABLES", ("16", "certified:2"))
    monkeypatch.setattr(bracket, "EPSILONS", (1,))
    pixels, labels = photographs(3)
    everything = SimpleNamespace(pixels=pixels, labels=labels)
    return SimpleNamespace(
        all=everything, of=lambda *_: (pixels, labels), model=lambda _: Brightest().eval()
    )


def test_the_bounds_are_in_order(photos, tmp_path):
    entries = bracket.measure(photos, tmp_path)
    assert len(entries) == 2 * 3
    for entry in entries:
        assert entry["certified"] + entry["proved"] <= entry["left"] <= entry["right"]
        assert (entry["blocks"] == 0) == (entry["coefficients"] == 0)
        if entry["blocks"] == 0 and entry["right"]:
            assert entry["certified"]
    moved = [entry["blocks"] / entry["of"] for entry in entries if entry["tables"] == "16"]
    assert all(share > 0.9 for share in moved)


def test_a_run_that_was_killed_goes_on(photos, tmp_path, monkeypatch):
    whole = bracket.measure(photos, tmp_path)
    path = tmp_path / "bracket.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:4]) + '\n{"model": "toy"')
    asked = []
    measured = bracket.bracket

    def counting(*arguments):
        asked.append(arguments)
        return measured(*arguments)

    monkeypatch.setattr(bracket, "bracket", counting)
    assert bracket.measure(photos, tmp_path) == whole
    assert len(asked) == len(whole) - 3
    assert [json.loads(line)["image"] for line in lines[1:4]] == [0, 1, 2]


def test_other_photographs_are_refused(photos, tmp_path):
    bracket.measure(photos, tmp_path)
    photos.all.pixels[0] = photos.all.pixels[0] + 1
    with pytest.raises(OtherRunError):
        bracket.measure(photos, tmp_path)


class Dark(torch.nn.Module):
    """A model whose class is 1 if the mean of the picture is above a level."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(level / 255))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = images.mean((1, 2, 3)) - self.level
        return torch.stack([-score, score], 1)


@cache
def edge() -> tuple[np.ndarray, str, int]:
    """Return a picture with one block of which a coefficient can move, the tables, and ε."""
    tables, epsilon = pyfd.QTables.certified(1), 1
    image = np.full((16, 16, 3), 128, np.uint8)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        image[:8, :8] = rng.choice([0, 90, 255], 3) + rng.choice([-4, 0, 4], 3).clip(0)
        start = pyfd.decode(pyfd.encode(image, tables), tables)
        down, up = room(Codec(tables), to_batch([start]) * 255, epsilon)
        if 1 < (up - down + 1).prod() <= bracket.MOST:
            image.setflags(write=False)
            return image, "certified:1", epsilon
    raise AssertionError("no picture has a block that can move a little")


@pytest.mark.parametrize("level", [20, 100])
def test_an_image_that_stays_right_whatever_moves_is_proved(level, monkeypatch):
    """A tenth of the usual search finds nothing either."""
    monkeypatch.setitem(ATTACKS, "grid", Grid(targets=1, trials=15))
    image, tables, epsilon = edge()
    found = bracket.bracket(Dark(level).eval(), image, 1, Place("toy", "model", tables, epsilon))
    assert found["right"]
    assert not found["certified"]
    assert found["blocks"] == 1
    assert found["proved"]
    assert found["left"]


def test_an_image_that_can_be_moved_is_not_proved(monkeypatch):
    """The mean of the start is the level: what is darker at all is another class."""
    image, tables, epsilon = edge()
    parsed = pyfd.QTables.certified(1)
    start = pyfd.decode(pyfd.encode(image, parsed), parsed)
    model = Dark(float(start.mean()) - 0.01).eval()
    monkeypatch.setattr(ATTACKS["grid"], "perturb", lambda _t, images, *_: list(images))
    found = bracket.bracket(model, image, 1, Place("toy", "model", tables, epsilon))
    assert found["left"]
    assert not found["proved"]


@pytest.mark.usefixtures("photos")
def test_the_table_counts_what_was_measured():
    places = [Place("toy", "model", "16", 1)] * 4
    kinds = [
        {"right": True, "certified": True, "left": True, "proved": False, "blocks": 0},
        {"right": True, "certified": False, "left": True, "proved": True, "blocks": 1},
        {"right": True, "certified": False, "left": True, "proved": False, "blocks": 5},
        {"right": False, "certified": False, "left": False, "proved": False, "blocks": 9},
    ]
    entries = [
        {**place._asdict(), "image": i, "of": 50, "coefficients": 2 * kind["blocks"], **kind}
        for i, (place, kind) in enumerate(zip(places, kinds, strict=True))
    ]
    rows = bracket.table(entries, "toy", "model").splitlines()[2:]
    assert len(rows) == 2
    most, least = "75.0 (30–95)", "25.0 (5–70)"  # Wilson's intervals of 3 and of 1 of 4
    shares = " | ".join([most, least, least, most, least])
    assert rows[0] == f"| 16 | 1 | {shares} | 10.0 % | 10 |"
    assert rows[1] == "| certified:2 | 1 | – | – | – | – | – | – | – |"
