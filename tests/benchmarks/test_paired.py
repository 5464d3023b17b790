"""Differences on the same photographs, against numbers by hand and by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from benchmarks import paired


def pairs(won: int, lost: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    before = np.zeros(n, bool)
    before[won : n // 2] = True
    after = before.copy()
    after[:won] = True
    after[won : won + lost] = False
    return before, after


def test_gain_of_answers_by_hand():
    """12 of 100 answers become right and 4 wrong: 8/102 ± 1.96·√(17 - 64/102)/102."""
    gain = paired.of_answers(*pairs(12, 4, 100))
    assert gain.value == pytest.approx(0.08)
    assert (gain.low, gain.high) == pytest.approx((0.000682, 0.156181), abs=2e-6)
    assert gain.is_beyond
    assert str(gain) == "+8.0 (+0.1 to +15.6)"


def test_gain_without_a_change_has_an_interval():
    gain = paired.of_answers(*pairs(0, 0, 100))
    assert gain.value == 0
    assert gain.low == -gain.high < 0
    assert not gain.is_beyond


def test_interval_covers_what_it_says():
    """In 95 % of samples with known probabilities."""
    rng = np.random.default_rng(0)
    covered = []
    for won, lost, *_ in rng.multinomial(200, [0.06, 0.03, 0.91], size=2000):
        gain = paired.of_answers(*pairs(won, lost, 200))
        covered.append(gain.low <= 0.03 <= gain.high)
    assert 0.93 < np.mean(covered) < 0.98


def test_gain_of_values_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(1)
    before, after = rng.random(50), rng.random(50)
    gain = paired.of_values(before, after)
    differences = after - before
    low, high = scipy.stats.norm.interval(0.95, differences.mean(), scipy.stats.sem(differences))
    assert gain == pytest.approx((differences.mean(), low, high), abs=1e-7)
