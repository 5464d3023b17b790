"""The results: intervals."""

from __future__ import annotations

import json
from statistics import NormalDist

import numpy as np
import pytest

from pyfd.evaluation.results import interval


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
