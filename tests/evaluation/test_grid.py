"""The attack on the grid: it is stronger than others, and certificates hold against it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import pyfd
from pyfd import QTables
from pyfd.evaluation.attacks import ATTACKS, Target, to_batch
from pyfd.evaluation.defences import Distillation
from pyfd.torch import FeatureDistillation
from tests.evaluation.toys import case

GRID, PGD = ATTACKS["grid"], ATTACKS["pgd"]


def loss(model: nn.Module, images: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = model(to_batch(images))
    return nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none").numpy()


@pytest.mark.parametrize(("step", "epsilon"), [(16, 2), (16, 4), (30, 4)])
def test_grid_beats_what_ignores_the_grid(step, epsilon):
    """Against two passes, it raises the loss more than PGD with or without the defence."""
    model, images, labels = case()
    tables = QTables.uniform(step)

    def defended(pictures: list[np.ndarray]) -> list[np.ndarray]:
        return [pyfd.decode(pyfd.encode(p, tables), tables) for p in pictures]

    start = defended(images)
    through = FeatureDistillation(tables)
    aimed = GRID.perturb(Target(model, defence=Distillation(tables)), start, labels, epsilon, 0)
    for before, after in zip(start, aimed, strict=True):
        assert np.abs(after.astype(int) - before).max() <= epsilon
    behind = nn.Sequential(through, model).eval()
    blind = PGD.perturb(Target(model), start, labels, epsilon, 0)
    bpda = PGD.perturb(Target(behind), start, labels, epsilon, 0)
    reached = loss(model, defended(aimed), labels).mean()
    assert reached > loss(model, defended(blind), labels).mean()
    assert reached > loss(model, defended(bpda), labels).mean()


def test_grid_cannot_do_what_is_certified():
    """Inside the certified radius no coefficient moves, wherever the attack aims."""
    model, images, labels = case()
    tables = QTables.uniform(40)
    flat = [np.full_like(image, 128) for image in images]
    certified = pyfd.certify(flat[0], tables)
    assert certified.radius > 1
    target = Target(model, defence=Distillation(tables))
    aimed = GRID.perturb(target, flat[:1], labels[:1], 1, 0)
    kept = [pyfd.read_coefficients(pyfd.encode(image, tables)) for image in (flat[0], aimed[0])]
    for before, after in zip(kept[0].components, kept[1].components, strict=True):
        assert np.array_equal(before, after)
