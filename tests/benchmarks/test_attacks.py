"""The tables of attacks: each number must be the one that was measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import attack_costs, autoattack
from benchmarks.attack_costs import LABEL, SIDE, Cost, Counted, Pass, cost
from pyfd.evaluation import attacks
from pyfd.evaluation.attacks import HopSkipJump, Queries
from tests.benchmarks.test_certified_attacks import content


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


def reports() -> dict[str, dict]:
    found = {}
    for part in autoattack.parts():
        found[part.name] = content(part)
        for n, cell in enumerate(found[part.name]["cells"]):
            cell["seconds"] = 36.0 * (1 + n // len(part.defences))
    return found


def test_every_part_has_a_folder_of_its_own():
    assert len({part.folder for part in autoattack.parts()}) == len(list(autoattack.parts())) == 7
    named = {attack for part in autoattack.parts() for attack in part.attacks}
    assert named <= set(attacks.ATTACKS)


def test_the_page_shows_what_was_measured():
    contents = reports()
    text = autoattack.page(contents)
    for epsilon in autoattack.EPSILONS:
        assert f"### ε = {epsilon}\n\n25 photographs, 0.6 hours of one process." in text
    rows = autoattack.table(autoattack.strong(1), contents["autoattack-1"]).splitlines()
    assert rows[0].startswith("| defence | benign | noise | pgd | autoattack |")
    assert rows[2].startswith("| none | 0 | 2 | 4 | 6 |")
    curve = autoattack.others()["Up to where everything falls"]
    heads = autoattack.table(curve, contents["curve"]).splitlines()[0]
    assert "| noise, ε = 64 | bpda-t, ε = 1 |" in heads
