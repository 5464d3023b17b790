"""The results: intervals, and the warnings about unsound cells."""

from __future__ import annotations

import json
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import nn

from pyfd.evaluation.defences import Defence
from pyfd.evaluation.results import interval
from tests.evaluation.toys import cell, run


class Deaf(nn.Module):
    """A model that always predicts the same class, and has no gradient."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).repeat(len(batch), 1) + 0 * batch.mean()


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (7, 10), (150, 163)])
def test_interval_is_wilsons(correct, n):
    """Its ends are the shares p for which the observed one is 1.96 standard deviations away."""
    ends = interval(correct, n)
    z, share = NormalDist().inv_cdf(0.975), correct / n
    p = np.roots([1 + z * z / n, -2 * share - z * z / n, share * share])
    assert ends == pytest.approx(sorted(p), abs=1e-6)
    assert json.loads(json.dumps(ends)) == ends


@pytest.mark.parametrize(
    ("correct", "n", "published"),
    [
        (81, 263, [0.2553, 0.3662]),
        (15, 148, [0.0624, 0.1605]),
        (0, 20, [0, 0.1611]),
        (1, 29, [0.0061, 0.1718]),
    ],
)
def test_interval_is_the_published_one(correct, n, published):
    """Newcombe, Statistics in Medicine 17 (1998), method 3."""
    assert interval(correct, n) == pytest.approx(published, abs=5e-5)


# ---- warnings -----------------------------------------------------------------


def test_warns_of_what_is_unsound(tmp_path):
    warnings = run(tmp_path, model=Deaf(), truth=[0, 0])["warnings"]
    assert any("2 images: below 100" in w for w in warnings)
    assert any("pgd, ε = 4 never succeeds" in w for w in warnings)
    assert any("Gradients through the undefended model are zero" in w for w in warnings)


def test_warns_of_a_defence_without_gradient(tmp_path):
    class Shattered(Defence):
        name, kind = "shattered", "transformation"

        def module(self):
            return Rounded()

    class Rounded(nn.Module):
        def forward(self, batch):
            return (batch * 255).round() / 255

    warnings = run(tmp_path, defences=("none", Shattered()), attacks=("bpda",))["warnings"]
    assert any("Gradients through shattered are zero" in w for w in warnings)
    assert not any("through the undefended" in w for w in warnings)


def test_warns_of_tables_at_unequal_benign_accuracy(tmp_path):
    """A step of 1 keeps noise, and a step of 255 flattens it."""
    noise = np.random.default_rng(0).normal(128, 24, (4, 24, 24, 3))
    pictures = list(noise.clip(0, 255).astype(np.uint8))
    found = run(tmp_path, pictures=pictures, defences=("two-pass:1", "two-pass:255"))
    assert cell(found, "two-pass:1", "benign")["accuracy"] == 1
    assert cell(found, "two-pass:255", "benign")["accuracy"] == 0
    assert any("unequal benign accuracy" in w for w in found["warnings"])
