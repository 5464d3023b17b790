"""The equations behind the tables: how quantization steps and perturbations relate.

Epsilon is the strength of a perturbation: the largest change of a sample, in 8-bit
levels (4 means 4/255). Steps are in the same units, for JPEG's orthonormal 8×8 DCT. The
equations are those of Liu et al., "Feature Distillation: DNN-Oriented JPEG Compression
Against Adversarial Examples" (CVPR 2019, arXiv 1803.05787), and consequences of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from pyfd._core.arithmetic import DCT

#: The share of coefficients that may still move, by default, in `step_for`.
SURVIVAL = 1e-4

_SMALLEST = math.ulp(0.0)


def step_bound(epsilon: float) -> int:
    """Return the smallest step that erases every perturbation of strength `epsilon`.

    A perturbation E is erased where round(C_E / Q) = 0 (Liu et al., Eq. 7). With the
    orthonormal DCT |C_E| ≤ 8ε at every frequency (`gains`), so any step Q > 16ε erases
    it. libjpeg's integer DCT is off by up to 3/8, which requires Q/2 > 8ε + 3/8. So the
    result is the smallest integer greater than 16ε + 3/4.

    The bound holds for a coefficient that lies exactly on the table's grid. In a decoded
    image most coefficients lie slightly off the grid, because its pixels are rounded to
    8 bits.

    Args:
        epsilon: The perturbation's strength, above 0 and at most 255.

    Returns:
        An integer step, at least 1.

    Raises:
        ValueError: `epsilon` is out of range.
    """
    _check_epsilon(epsilon)
    return math.floor(16 * Fraction(epsilon) + Fraction(3, 4)) + 1


@overload
def survival(step: float, epsilon: float) -> float: ...
@overload
def survival(step: npt.NDArray[Any] | Sequence[Any], epsilon: float) -> npt.NDArray[np.float64]: ...
def survival(
    step: float | npt.NDArray[Any] | Sequence[Any], epsilon: float
) -> float | npt.NDArray[np.float64]:
    """Return the share of coefficients that a sign-like perturbation still moves.

    When every sample is moved by +ε or -ε (as by FGSM and its iterated variants), the
    perturbation's coefficients are close to normal: C_E ≈ N(0, ε²) at every frequency. A
    coefficient on the grid is moved where |C_E| ≥ Q/2, and the share of these is
    1 - erf(Q / (2√2·ε)) = erfc(Q / (2√2·ε)).

    Perturbations with random signs agree with this to a few percent up to Q = 4ε. Beyond
    that, the sum of 64 bounded samples has thinner tails than the normal distribution, so
    fewer coefficients move: at 8ε about 4 in 100,000 instead of 6.

    Args:
        step: The step Q, at least 1, or an array of steps, such as a table.
        epsilon: The perturbation's strength, above 0 and at most 255.

    Returns:
        The share, 0 to 1; for an array of steps, a ``float64`` array of the same shape.

    Raises:
        ValueError: `epsilon` is out of range, or a step is below 1.
    """
    _check_epsilon(epsilon)
    steps = np.asarray(step, dtype=np.float64)
    if not (steps >= 1).all():
        raise ValueError(f"steps must be at least 1, not {steps.min()}")
    # scipy.special.erfc would be faster, but nothing else here needs SciPy
    shares = np.vectorize(math.erfc, otypes=[np.float64])(steps / (math.sqrt(8) * epsilon))
    return np.asarray(shares) if steps.ndim else float(shares)


def step_for(epsilon: float, survival: float = SURVIVAL) -> int:
    """Return the smallest step at which at most a given share of coefficients moves.

    This is the inverse of `survival` in Q: erfc(Q / (2√2·ε)) ≤ s where
    Q ≥ -2ε·Φ⁻¹(s/2), Φ being the normal distribution. At the default of 1 in 10,000
    that is 7.78ε, about half of `step_bound`.

    Args:
        epsilon: The perturbation's strength, above 0 and at most 255.
        survival: The share of coefficients that may still move, between 0 and 1.

    Returns:
        An integer step, at least 1.

    Raises:
        ValueError: `epsilon` or `survival` is out of range.
    """
    _check_epsilon(epsilon)
    if not 0 < survival < 1:
        raise ValueError(f"survival must be between 0 and 1, both excluded, not {survival}")
    quantile = NormalDist().inv_cdf(max(survival / 2, _SMALLEST))
    step = max(1, math.ceil(-2 * epsilon * quantile))
    while _moved(step, epsilon) > survival:  # because the quantile is rounded
        step += 1
    while step > 1 and _moved(step - 1, epsilon) <= survival:
        step -= 1
    return step


def gains() -> npt.NDArray[np.float64]:
    """Return the largest factor by which the DCT enlarges a perturbation, per frequency.

    The factors are the L1 norms Σ|b(x, y)| of the basis functions of the orthonormal 8×8
    DCT (ITU-T T.81, A.3.3): |C_E| ≤ gain·ε, with equality where E is ε times the sign of
    the basis function. They are 8 for DC and 6.57 to 8 elsewhere.

    Returns:
        8×8 ``float64``, natural order (the row is the vertical frequency).
    """
    norms = np.abs(DCT).sum(axis=1)
    return np.asarray(np.outer(norms, norms), dtype=np.float64)


#: `survival` under another name, for `step_for`, whose argument hides it.
_moved = survival


def _check_epsilon(epsilon: float) -> None:
    if not 0 < epsilon <= 255:
        raise ValueError(
            f"epsilon must be above 0 and at most 255 (it is in 8-bit levels), not {epsilon}"
        )
