"""The attack on the grid finds the best of all coefficients that can be reached.

One block, and tables that are huge except at three frequencies of luma: all coefficients that
the bounds allow are counted out. For each, linear programming says whether some perturbation
within ±ε leads there, or that none does, with allowance for the rounding. What it finds is
encoded with the codec before it counts. The picture is gray, and so are the perturbations of
the program: as whatever moves the channels moves Y by whole levels within ±ε, too, gray ones
reach all that others do.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

import pyfd
from pyfd import QTables
from pyfd._core.arithmetic import DCT
from pyfd.evaluation.attacks import Target, to_batch
from pyfd.evaluation.attacks.grid import Grid
from pyfd.evaluation.defences import Distillation

EPSILON, HUGE = 4, 8191
#: What the integer DCT rounds, at most.
ALLOWANCE = 3 / 8


class Waves(nn.Module):
    """A model by a weighted sum of DCT coefficients of green; the class is always 0.

    So no attack is done before it has found the least margin.
    """

    def __init__(self, places: list[tuple[int, int]], weights: list[float]) -> None:
        super().__init__()
        found = sum(w * np.outer(DCT[v], DCT[u]) for w, (v, u) in zip(weights, places, strict=True))
        self.pattern = nn.Parameter(torch.tensor(found, dtype=torch.float32))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        score = (batch[:, 1] * self.pattern).sum((1, 2))
        return torch.stack([score + 100, -score], 1)


def margin(model: nn.Module, file: bytes, tables: QTables) -> float:
    """Return the margin of class 0 on a file."""
    with torch.no_grad():
        logits = model(to_batch([pyfd.decode(file, tables)]))[0]
    return float(logits[0] - logits[1])


def levels_within(
    start: np.ndarray, rows: np.ndarray, middle: np.ndarray, room: np.ndarray
) -> np.ndarray | None:
    """Return levels within ±ε whose sums are at most `room` away from `middle`, or None."""
    gray = start[..., 0].ravel().astype(float)
    found = linprog(
        np.zeros(gray.size),
        A_ub=np.concatenate([rows, -rows]),
        b_ub=np.concatenate([room + middle, room - middle]),
        bounds=np.stack([gray - EPSILON, gray + EPSILON], 1),
    )
    if found.status:
        return None
    return np.rint(found.x).reshape(8, 8, 1).repeat(3, 2).astype(np.uint8)


def best_of_all(
    model: nn.Module, start: np.ndarray, places: list[tuple[int, int]], tables: QTables
) -> tuple[float, float]:
    """Return the least margin that was reached, and the least that is not shown impossible."""
    before = pyfd.read_coefficients(pyfd.encode(start, tables, baseline=False))
    steps = np.array([tables[0][place] for place in places], float)
    waves = np.stack([np.outer(DCT[v], DCT[u]).ravel() for v, u in places])
    reached, possible = [], []
    for flips in itertools.product((-1, 0, 1), repeat=len(places)):
        components = [c.copy() for c in before.components]
        for (v, u), flip in zip(places, flips, strict=True):
            components[0][0, 0, v, u] += flip
        wanted = dataclasses.replace(before, components=tuple(components))
        middle = steps * [components[0][0, 0, v, u] for v, u in places]
        if levels_within(start, waves, middle, steps / 2 + ALLOWANCE) is None:
            continue
        possible.append(margin(model, pyfd.write_coefficients(wanted), tables))
        for slack in range(4):
            moved = levels_within(start, waves, middle, steps / 2 - slack)
            if moved is None:
                continue
            file = pyfd.encode(moved, tables, baseline=False)
            found = pyfd.read_coefficients(file).components
            if all(map(np.array_equal, found, components)):
                reached.append(margin(model, file, tables))
                break
    return min(reached), min(possible)


CASES = [
    ([(0, 1), (1, 0), (1, 1)], (23, 23, 23)),
    ([(0, 1), (2, 3), (5, 4)], (30, 24, 26)),
    ([(7, 7), (0, 2), (3, 0)], (22, 28, 25)),
    ([(1, 6), (6, 1)], (40, 30)),
]


@pytest.mark.parametrize(("places", "steps"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_can_be_reached_is_better(places, steps, seed):
    rng = np.random.default_rng(seed)
    model = Waves(places, list(rng.uniform(0.4, 1, len(places)) * rng.choice([-1, 1], len(places))))
    table = np.full((8, 8), HUGE)
    for place, step in zip(places, steps, strict=True):
        table[place] = step
    tables = QTables([table, np.full((8, 8), HUGE)])
    start = np.clip(128 + rng.integers(-3, 4, (8, 8, 1)), 0, 255).repeat(3, 2).astype(np.uint8)
    best, bound = best_of_all(model, start, places, tables)
    target = Target(model.eval(), defence=Distillation(tables))
    (moved,) = Grid(steps=2, targets=0, trials=0).perturb(
        target, [start], np.array([0]), EPSILON, 0
    )
    assert np.abs(moved.astype(int) - start).max() <= EPSILON
    found = margin(model, pyfd.encode(moved, tables, baseline=False), tables)
    assert bound - 1e-4 <= found <= best + 1e-4
    assert bound == pytest.approx(best)
