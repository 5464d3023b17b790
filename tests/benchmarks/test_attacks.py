"""The tables of attacks: each number must be the one that was measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import attack_costs, autoattack
from benchmarks.attack_costs import LABEL, SIDE, Cost, Counted, Pass, cost
from pyfd.evaluation import attacks
from pyfd.evaluation.attacks import Grid, HopSkipJump, Queries
from tests.benchmarks.reports import content, shown
from tests.evaluation.report.reports import make


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(96, 160, (SIDE, SIDE, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "forwards", "backwards"), [("bim", 13, 10), ("noise", 10, 0), ("pgd-t", 70, 60)]
)
def test_passes_are_counted(image, name, forwards, backwards):
    found = cost(attacks.find(name), image, Pass(10, 1000))
    assert (found.name, found.forwards, found.backwards) == (name, forwards, backwards)
    assert 0 < found.seconds - (10 * forwards + 1000 * backwards) < 60


def test_trials_are_not_given_up(image):
    """The network is a little less sure each time, so that the search goes on to its end."""
    found = cost(Grid(steps=1, targets=0, trials=130), image, Pass(0, 0))
    assert (found.forwards, found.backwards) == (1 + 2 + 130 + 13, 2 + 13)


def test_queries_are_all_spent(image):
    found = cost(Queries(HopSkipJump(queries=130), "hopskipjump"), image, Pass(0, 0))
    assert (found.forwards, found.backwards) == (130, 0)


@pytest.mark.parametrize("steadfast", [True, False])
def test_the_network_is_right_about_its_image(steadfast):
    around = torch.full((1, 3, SIDE, SIDE), 0.5)
    model = Counted(around, steadfast=steadfast)
    images = torch.cat([around, around + 0.02, torch.rand(1, 3, SIDE, SIDE)])
    right = model(images).argmax(1) == LABEL
    assert right.tolist() == [True, True, steadfast]


def test_table_of_costs():
    text = attack_costs.table([Cost("pgd", 1300, 10, 0.07), Cost("autoattack", 2, 1, 12.0)])
    assert text.splitlines()[2:] == [
        "| `pgd` | max_iter 10, eps_step 2.5 ε / max_iter, num_random_init 1 | 1,300 | 10 | 0.1 |",
        "| `autoattack` | apgd-ce, apgd-t, fab-t, square | 2 | 1 | 12.0 |",
    ]


def test_the_page_shows_what_was_measured(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(autoattack, "draw", lambda *given: drawn.append(given))
    contents = {part.folder: content(part) for part in autoattack.parts()}
    text = autoattack.page(contents, tmp_path)
    for epsilon in autoattack.EPSILONS:
        # 8 attacks on 3 defences: the cells have 3 * 36 seconds and more, without the benign ones
        assert f"### ε = {epsilon}\n\n25 photographs, 3.5 hours of one process." in text
    assert text.count("![Accuracy against ε](images/curves.png)\n\n| ε | defence |") == 1
    assert drawn == [(contents[autoattack.CURVES.folder], tmp_path / "curves.png")]
    part = autoattack.strong(1)
    rows = autoattack.table(part, contents[part.folder]).splitlines()
    assert rows[0].startswith("| ε | defence | benign | noise | pgd | autoattack |")
    assert rows[0].endswith("| grid | all together |")
    assert rows[2].startswith(f"| 1 | none | {shown(1)} | {shown(4)} | {shown(7)} | {shown(10)} |")
    assert rows[2].endswith(f"| {shown(25)} | {shown(150)} |")
    curve = contents[autoattack.CURVES.folder]
    rows = autoattack.table(autoattack.CURVES, curve).splitlines()[2:]
    assert len(rows) == len(autoattack.CURVE) * len(autoattack.CURVES.defences)
    assert rows[-1].startswith("| 64 | certified:4 | ")
    rows = autoattack.table(autoattack.TRANSFER, contents[autoattack.TRANSFER.folder])
    assert "together" not in rows


def test_curves_are_drawn(tmp_path):
    autoattack.draw(make(), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert min(picture.size) > 400
