"""The equations behind the tables, compared with scipy, simulations and the codec."""

import math

import numpy as np
import pytest
import scipy.fft
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import pyfd
from pyfd import QTables, analysis

EPSILONS = st.floats(0.01, 255)


def basis(row: int, column: int) -> np.ndarray:
    """Return a basis function of the orthonormal 8×8 DCT, from scipy's inverse."""
    one = np.zeros((8, 8))
    one[row, column] = 1
    return scipy.fft.idctn(one, norm="ortho")


ALL_BASES = [basis(row, column) for row in range(8) for column in range(8)]


# ---- the bound ------------------------------------------------------------


@pytest.mark.parametrize(
    ("epsilon", "bound"),
    [(1, 17), (2, 33), (4, 65), (8, 129), (0.5, 9), (1 / 64, 2), (1 / 65, 1), (255, 4081)],
)
def test_step_bound(epsilon, bound):
    assert analysis.step_bound(epsilon) == bound


@given(EPSILONS)
def test_step_bound_is_the_smallest_integer_greater(epsilon):
    bound = analysis.step_bound(epsilon)
    assert isinstance(bound, int)
    assert bound - 1 <= 16 * epsilon + 0.75 < bound


def on_grid(step: int) -> np.ndarray:
    """Return blocks of integer pixels whose coefficients are exact multiples of `step`.

    They are sums of ±1 patterns at the frequencies 0 and 4, which the integer DCT keeps
    exact: an amplitude of `step` in the pixels is 8 steps of the coefficient.
    """
    patterns = [np.sign(basis(row, column)) for row in (0, 4) for column in (0, 4)]
    flat = [np.zeros((8, 8)), *patterns, *(-pattern for pattern in patterns)]
    return np.hstack([128 + step * block for block in flat]).astype(np.uint8)


@pytest.mark.parametrize("epsilon", [1, 2, 4])
def test_no_sign_pattern_moves_a_step_of_the_bound(epsilon):
    tables = QTables.uniform(analysis.step_bound(epsilon))
    clean = on_grid(analysis.step_bound(epsilon))
    assert clean.min() >= epsilon
    assert clean.max() <= 255 - epsilon
    data = pyfd.encode(clean, tables)
    expected = pyfd.read_coefficients(data).components[0]
    assert (pyfd.decode(data, tables, mode="L") == clean).all()
    for pattern in ALL_BASES:
        for sign in (1, -1):
            attacked = clean + np.tile(sign * epsilon * np.sign(pattern), 9)
            again = pyfd.encode(attacked.astype(np.uint8), tables)
            assert (pyfd.read_coefficients(again).components[0] == expected).all()
            assert (pyfd.decode(again, tables, mode="L") == clean).all()


@pytest.mark.parametrize("epsilon", [1, 2, 4])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_the_bound_holds_for_colors(epsilon, signs):
    """The signs are those that move Y, Cb or Cr the most."""
    tables = QTables.uniform(analysis.step_bound(epsilon))
    clean = np.repeat(on_grid(analysis.step_bound(epsilon))[:, :, np.newaxis], 3, axis=2)
    data = pyfd.encode(clean, tables)
    for pattern in ALL_BASES:
        change = np.tile(np.sign(pattern), 9)[:, :, np.newaxis] * np.array(signs) * epsilon
        attacked = pyfd.encode((clean + change).astype(np.uint8), tables)
        assert (pyfd.decode(attacked, tables) == pyfd.decode(data)).all()


@pytest.mark.parametrize("epsilon", [1, 2, 4])
def test_a_step_of_16_epsilon_is_moved(epsilon):
    tables = QTables.uniform(16 * epsilon)
    clean, attacked = (
        pyfd.encode(np.full((8, 8), level, np.uint8), tables) for level in (128, 128 + epsilon)
    )
    assert not pyfd.read_coefficients(clean).components[0].any()
    assert pyfd.read_coefficients(attacked).components[0][0, 0, 0, 0] == 1


# ---- the share that survives ----------------------------------------------


@given(st.floats(1, 4000), EPSILONS)
def test_survival_is_scipys(step, epsilon):
    share = analysis.survival(step, epsilon)
    assert isinstance(share, float)
    expected = scipy.special.erfc(step / (2 * math.sqrt(2) * epsilon))
    assert share == pytest.approx(expected, rel=1e-12, abs=1e-300)
    assert share == pytest.approx(2 * scipy.stats.norm.sf(step / 2, scale=epsilon), rel=1e-9)


def test_survival_is_accurate_in_the_tail():
    assert 0 < analysis.survival(70, 1) < 1e-260
    assert analysis.survival(8, 1) == pytest.approx(6.334e-5, rel=1e-3)  # erfc(2√2)


def test_survival_of_tables():
    tables = QTables.preset("fd-cvpr2019")
    shares = analysis.survival(tables[0], 4)
    assert (shares.shape, shares.dtype) == ((8, 8), np.float64)
    assert shares[0, 0] == analysis.survival(25, 4)
    assert shares[7, 7] == analysis.survival(30, 4)
    assert analysis.survival([1, 2], 4).shape == (2,)
    assert analysis.survival(np.empty((0, 8, 8)), 4).shape == (0, 8, 8)


@pytest.mark.parametrize("epsilon", [1, 4])
def test_survival_is_what_simulated_perturbations_show(epsilon):
    """Random signs: to the DCT, those of FGSM look random."""
    signs = np.random.default_rng(epsilon).integers(0, 2, (40_000, 8, 8)) * 2.0 - 1
    coefficients = scipy.fft.dctn(epsilon * signs, axes=(1, 2), norm="ortho")
    assert coefficients.std() == pytest.approx(epsilon, rel=0.01)
    for step in (epsilon, 1.5 * epsilon, 2.2 * epsilon, 4.2 * epsilon):
        found = np.mean(np.abs(coefficients) >= step / 2)
        assert found == pytest.approx(analysis.survival(step, epsilon), rel=0.05)
    for step in (6.2 * epsilon, analysis.step_for(epsilon)):  # a sum of 64 signs has thinner tails
        found, share = np.mean(np.abs(coefficients) >= step / 2), analysis.survival(step, epsilon)
        assert 0.2 * share < found < share


def test_survival_of_dc_is_nearly_the_binomial_distributions():
    """DC is the sum of 64 signs divided by 8."""
    exact = 2 * scipy.stats.binom.sf(47, 64, 0.5)  # |C| ≥ 4: at least 48 signs are alike
    assert exact == pytest.approx(analysis.survival(8, 1), rel=0.3)


# ---- the step for a threat ------------------------------------------------


@pytest.mark.parametrize(("epsilon", "step"), [(1, 8), (2, 16), (4, 32), (8, 63), (0.1, 1)])
def test_step_for(epsilon, step):
    assert analysis.step_for(epsilon) == step


@given(EPSILONS, st.floats(1e-12, 0.999))
def test_step_for_is_the_smallest(epsilon, share):
    step = analysis.step_for(epsilon, share)
    assert isinstance(step, int)
    assert step >= 1
    assert analysis.survival(step, epsilon) <= share
    assert step == 1 or analysis.survival(step - 1, epsilon) > share
    exact = 2 * epsilon * scipy.stats.norm.isf(share / 2)
    assert step == pytest.approx(max(1, math.ceil(exact)), abs=1)


@pytest.mark.parametrize("share", [5e-324, 1e-300, 1 - 1e-16])
def test_step_for_extreme_shares(share):
    assert analysis.survival(analysis.step_for(255, share), 255) <= share


# ---- gains ----------------------------------------------------------------


def test_gains_are_the_norms_of_scipys_basis():
    gains = analysis.gains()
    assert (gains.shape, gains.dtype) == ((8, 8), np.float64)
    expected = np.array([np.abs(pattern).sum() for pattern in ALL_BASES]).reshape(8, 8)
    np.testing.assert_allclose(gains, expected, rtol=1e-12)
    assert gains[0, 0] == pytest.approx(8, rel=1e-12)
    assert gains.min() == pytest.approx(6.57, abs=0.005)
    assert gains.max() <= 8 + 1e-12


def test_gains_are_reached_by_the_worst_pattern():
    worst = [scipy.fft.dctn(np.sign(pattern), norm="ortho").ravel() for pattern in ALL_BASES]
    np.testing.assert_allclose(np.diagonal(worst), analysis.gains().ravel(), rtol=1e-12)
    assert (np.abs(worst) <= analysis.gains().ravel() + 1e-12).all()


# ---- bad input ------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0, -1, math.nan, math.inf, 256])
def test_epsilon_out_of_range(epsilon):
    for call in (
        analysis.step_bound,
        analysis.step_for,
        lambda value: analysis.survival(8, value),
    ):
        with pytest.raises(ValueError, match=r"epsilon must be above 0 and at most 255"):
            call(epsilon)


@pytest.mark.parametrize("share", [0, 1, -1, 2, math.nan])
def test_survival_out_of_range(share):
    with pytest.raises(ValueError, match="survival must be between 0 and 1"):
        analysis.step_for(1, share)


@pytest.mark.parametrize("step", [0, 0.5, -8, math.nan, [8, 0], [math.nan, 8]])
def test_steps_out_of_range(step):
    with pytest.raises(ValueError, match="steps must be at least 1"):
        analysis.survival(step, 1)
