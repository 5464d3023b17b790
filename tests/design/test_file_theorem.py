"""The theorem for files: its lemmas, attempts to break it, and what a looser wording misses.

docs/files-theorem.md has the statement and the proof. Each lemma that a machine can check
is checked here for all values, in integers or fractions.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyfd
from pyfd import Coefficients, QTables
from pyfd._core.arithmetic import BASIS
from tests import file_radius
from tests.file_radius import LENGTHS, ROUNDED, UNIT, A, blocks_of
from tests.jpegs import encode_with_pillow, picture, tables

ROOT = Path(__file__).parents[2]
ONE = QTables.uniform(1)
STEPS = QTables.uniform(33)
LEVELS = np.arange(256)


def samples_of(coefficients: np.ndarray) -> np.ndarray:
    """Return the inverse DCT of dequantized coefficients, less 128 and not cut, in integers."""
    half = (BASIS.T @ coefficients.astype(np.int64) + (1 << 10)) >> 11
    return (half @ BASIS + (1 << 17)) >> 18


def file_of(components: list[np.ndarray], steps: list[np.ndarray] | QTables, **changes) -> bytes:
    """Return a file with these quantized blocks, each (high, wide, 8, 8), without subsampling."""
    high, wide = components[0].shape[:2]
    coefficients = Coefficients(
        components=tuple(component.astype(np.int16) for component in components),
        qtables=steps if isinstance(steps, QTables) else QTables(steps),
        sampling=((1, 1),) * len(components),
        width=8 * wide,
        height=8 * high,
        color_space="L" if len(components) == 1 else "YCbCr",
    )
    return pyfd.write_coefficients(dataclasses.replace(coefficients, **changes))


# ---- lemma 1: from pixels to samples ---------------------------------------

CB, CR = np.meshgrid(LEVELS - 128, LEVELS - 128, indexing="ij")
#: What the decoder adds to Y: libjpeg's fixed-point tables (jdcolor.c), for every Cb and Cr.
TO_RGB = np.stack(
    [
        (91881 * CR + 32768) >> 16,
        (-22554 * CB - 46802 * CR + 32768) >> 16,
        (116130 * CB + 32768) >> 16,
    ]
)
#: JFIF's weights of R, G and B (ITU-T T.871, 7), in fractions: numerators and denominator.
WEIGHTS = (((299, 587, 114), 1000), ((-299, -587, 886), 1772), ((701, -587, -114), 1402))


@pytest.mark.parametrize("component", range(3))
def test_pixels_determine_samples_up_to_less_than_half_a_level(component):
    """|η| < 1/2 for all 65536 pairs of Cb and Cr, and the sizes of the weights add up to 1."""
    weights, denominator = WEIGHTS[component]
    assert sum(map(abs, weights)) == denominator
    assert sum(weights) == (denominator if component == 0 else 0)
    sample = (0, CB, CR)[component]
    eta = np.tensordot(weights, TO_RGB, 1) - denominator * sample
    assert 2 * abs(eta).max() < denominator


def test_pixels_within_1_to_254_have_samples_within_1_to_254():
    """If Y, Cb or Cr is 0 or 255, some channel is 0 or 255 or would be cut."""
    for cut in (0, 255):
        assert ((cut + TO_RGB <= 0) | (cut + TO_RGB >= 255)).any(axis=0).all()
        for channels in (TO_RGB[:, cut, :], TO_RGB[:, :, cut]):  # of Cb, of Cr
            pixels = LEVELS[:, np.newaxis] + channels[:, np.newaxis]
            assert ((pixels <= 0) | (pixels >= 255)).any(axis=0).all()


def test_the_decoder_converts_colors_with_these_integers():
    """All pairs of Cb and Cr, each with six values of Y, as flat blocks of one file."""
    steps = QTables.uniform(8)
    for luma in range(0, 256, 51):
        planes = [np.full((256, 256), luma - 128), CB, CR]
        blocks = []
        for plane in planes:
            component = np.zeros((256, 256, 8, 8))
            component[:, :, 0, 0] = plane
            blocks.append(component)
        found = pyfd.decode(file_of(blocks, steps))[::8, ::8]
        assert np.array_equal(found, (luma + TO_RGB).clip(0, 255).transpose(1, 2, 0))


# ---- lemma 2: from samples to coefficients ---------------------------------


def test_the_inverse_is_exact_and_its_rows_are_short():
    """A is 2¹⁵ times the inverse; its rows add up to 4 at most, and are known to ±2⁻²¹."""
    product = [[sum(a * int(b) for a, b in zip(row, column, strict=True)) for column in BASIS]
               for row in A]  # fmt: skip
    assert product == [[2**15 * (i == j) for j in range(8)] for i in range(8)]
    for row, rounded, length in zip(A, ROUNDED, LENGTHS, strict=True):
        assert sum(map(abs, row)) <= Fraction(int(length), 2**20) <= 4
        pairs = zip(row, rounded, strict=True)
        assert all(abs(a - Fraction(int(r), 2**20)) <= Fraction(1, 2**21) for a, r in pairs)


def coefficient_blocks() -> st.SearchStrategy[np.ndarray]:
    """Return dequantized blocks of natural and of unnatural sizes."""
    return st.builds(
        lambda seed, size, share: np.random.default_rng(seed).integers(
            -size, size + 1, (9, 9, 8, 8)
        )
        * (np.random.default_rng(seed).random((9, 9, 8, 8)) < share),
        st.integers(0, 9999),
        st.sampled_from([1, 4, 20, 60, 100, 200, 500, 1023]),
        st.sampled_from([0.02, 0.1, 0.5, 1]),
    )


@given(coefficient_blocks())
def test_the_inverse_dct_determines_its_coefficients(coefficients):
    """C is A S Aᵀ / 2 up to l(u) l(v) / 4 + 1/8, in integers: for whole samples S."""
    samples = samples_of(coefficients)
    distance = abs(ROUNDED @ samples @ ROUNDED.T - coefficients * UNIT)
    inexact = abs(samples).max() * (4 * np.add.outer(LENGTHS, LENGTHS) + 16)
    assert (distance <= np.multiply.outer(LENGTHS, LENGTHS) // 2 + UNIT // 8 + inexact).all()


@given(coefficient_blocks())
def test_covered_files_decode_to_these_samples(coefficients):
    file = file_of([coefficients], ONE)
    expected = (samples_of(coefficients) + 128).clip(0, 255)
    found = blocks_of(pyfd.decode(file, mode=None))
    if pyfd.why_uncovered(file) is None:
        assert np.array_equal(found, expected)
        assert abs(samples_of(coefficients) + 0.5).max() <= 512


@pytest.mark.parametrize("variable", ["JSIMD_FORCENONE", "JSIMD_FORCESSE2"])
def test_lemmas_and_radii_without_simd(variable):
    names = ["test_covered_files", "test_the_decoder_converts", "test_radii_are_the_references"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-k", " or ".join(names)]
    environment = {**os.environ, variable: "1"}
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout.decode()
    assert b"3 passed" in result.stdout


# ---- the radius ------------------------------------------------------------


def on_grid(image: np.ndarray, qtables: QTables) -> np.ndarray:
    return pyfd.decode(pyfd.encode(image, qtables, baseline=False), qtables, mode=None)


def subdued(width: int, height: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Return a picture without black and white."""
    return picture(width, height, seed, channels) // 2 + 64


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(0, 99),
    st.sampled_from([1, 3]),
    tables(8191, least=8) | st.integers(20, 70).map(QTables.uniform),
    st.booleans(),
    st.booleans(),
)
def test_radii_are_the_references(width, height, seed, channels, qtables, calm, snapped):
    image = (subdued if calm else picture)(width, height, seed, channels)
    image = on_grid(image, qtables) if snapped else image
    found = pyfd.certify(image, qtables)
    assert np.array_equal(found.file_radii, file_radius.file_radii(image, qtables))
    assert found.file_radius == found.file_radii.min()
    assert found.file_radii.dtype == np.uint16
    assert not found.file_radii.flags.writeable


@pytest.mark.parametrize("epsilon", [0, 1, 2, 4, 8, 31])
def test_a_flat_gray_tells_what_a_step_can_hold(epsilon):
    """DC's gain is 8: the least step that can hold ε is 16ε + 9."""
    gray = np.full((8, 8, 3), 128, np.uint8)
    radii = [pyfd.certify(gray, QTables.uniform(16 * epsilon + n)).file_radius for n in (8, 9)]
    assert radii == [epsilon, epsilon + 1]


def test_steps_that_hold_every_block_that_is_not_cut():
    """From 16(ε + 1) + 1 on, no rounding of ours can use up the margin."""
    for seed in range(10):
        found = pyfd.certify(on_grid(subdued(80, 80, seed), STEPS), STEPS)
        assert found.file_radii.min() == 2


def test_the_fixed_point_radius_is_not_beyond_the_exact_one():
    """In fractions, a block may hold one level more, but not less."""
    step = 28
    image = on_grid(subdued(32, 32, channels=1), QTables.uniform(step))
    blocks = pyfd.read_coefficients(pyfd.encode(image, QTables.uniform(step))).components[0]
    for samples, quantized in zip(
        blocks_of(image).reshape(-1, 8, 8), blocks.reshape(-1, 8, 8), strict=True
    ):
        exact = min(
            _exact_room(samples.astype(int) - 128, int(quantized[u, v]) * step, step, u, v)
            for u in range(0, 8, 3)
            for v in range(0, 8, 3)
        )
        assert file_radius.strength(quantized, np.full((8, 8), step), samples) <= exact


def _exact_room(samples: np.ndarray, coefficient: int, step: int, u: int, v: int) -> int:
    own = sum(A[u][x] * A[v][y] * int(samples[x, y]) for x in range(8) for y in range(8)) / 2
    gain = sum(map(abs, A[u])) * sum(map(abs, A[v])) / 2
    left = (step + 1) // 2 - abs(own - coefficient) - Fraction(1, 8) - gain / 2
    return -int(-left // gain) - 1  # the largest e with gain·e < left


# ---- attempts to break it --------------------------------------------------


def per_block(pixels: np.ndarray) -> np.ndarray:
    """Return the largest value of every 8×8 pixels."""
    pixels = np.atleast_3d(pixels)
    high, wide = pixels.shape[0] // 8, pixels.shape[1] // 8
    return pixels.reshape(high, 8, wide, 8, -1).max(axis=(1, 3, 4))


def check_attack(file: bytes, image: np.ndarray, qtables: QTables) -> int:
    """Check a stranger's file against an image; return how many blocks it attacks in vain."""
    radii = pyfd.certify(image, qtables).file_radii
    assert pyfd.why_uncovered(file) is None
    distance = per_block(abs(pyfd.decode(file, mode=None).astype(int) - image))
    changed = per_block(pyfd.decode(file, qtables, mode=None) != image)
    assert not (changed & (distance < radii)).any()
    return int(((distance > 0) & (distance < radii)).sum())


ATTACKED = QTables([np.full((8, 8), 57), np.arange(45, 109).reshape(8, 8)])


@given(
    st.integers(0, 99),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 2, 3, 5]),
    st.floats(0.2, 6),
    st.sampled_from(["all", "few", "one"]),
    st.booleans(),
)
def test_random_coefficients(seed, channels, step, size, where, progressive):
    """Real numbers are added to the coefficients, then rounded to the stranger's steps."""
    rng = np.random.default_rng(seed)
    image = on_grid(subdued(64, 64, seed, channels), ATTACKED)
    found = pyfd.read_coefficients(pyfd.encode(image, ATTACKED))
    components = []
    for i in range(channels):
        c = found.dequantized(i) + rng.normal(0, size, found.components[i].shape) * (
            rng.random(found.components[i].shape) < {"all": 1, "few": 0.1, "one": 1 / 64}[where]
        )
        components.append(np.rint(c / step).clip(-1023, 1023))
    coefficients = pyfd.read_coefficients(file_of(components, QTables.uniform(step)))
    check_attack(pyfd.write_coefficients(coefficients, progressive=progressive), image, ATTACKED)


@given(st.integers(0, 99), st.sampled_from([1, 3]), st.integers(1, 3), st.integers(90, 100))
def test_perturbed_pixels_in_files_of_other_encoders(seed, channels, epsilon, quality):
    rng = np.random.default_rng(seed)
    image = on_grid(subdued(64, 64, seed, channels), ATTACKED)
    noise = rng.choice([-epsilon, epsilon], image.shape)
    file = encode_with_pillow((image + noise).astype(np.uint8), quality=quality, subsampling=0)
    check_attack(file, image, ATTACKED)


def pushed(samples: np.ndarray, epsilon: int, u: int, v: int, sign: int, rounds: int) -> np.ndarray:
    """Return integer coefficients whose samples stay within ε, and whose (u, v) is far out.

    The samples' real values are pushed by ε and a bit with the signs of the basis function;
    the coefficients are rounded; the samples that are too far are pushed back; again.
    """
    signs = np.sign(np.outer(ROUNDED[u], ROUNDED[v])) * sign
    real = ROUNDED / 2**20
    best = np.rint(real @ (samples - 128.0) @ real.T / 2).astype(np.int64)
    reach = np.full(len(samples), -1)
    own = best[:, u, v].copy()
    for push in (0.5, 0.3, 0.1):
        target = samples - 128 + signs * (epsilon + push)
        for _ in range(rounds):
            trial = np.rint(real @ target @ real.T / 2).astype(np.int64)
            difference = samples_of(trial) + 128 - samples
            beyond = difference - difference.clip(-epsilon, epsilon)
            good = ~beyond.any(axis=(1, 2)) & (sign * (trial[:, u, v] - own) > reach)
            best[good], reach[good] = trial[good], (sign * (trial[:, u, v] - own))[good]
            target = target - 0.35 * beyond
    return best


@pytest.mark.parametrize(("u", "v"), [(0, 0), (0, 4), (1, 1), (3, 6), (7, 7)])
def test_pushed_coefficients(u, v):
    """The strongest attack that we have gets most of the way, and not beyond."""
    epsilon, steps = 1, QTables.uniform(28)
    image = on_grid(subdued(128, 128, 5, 1), steps)
    samples = blocks_of(image).reshape(-1, 8, 8).astype(np.int64)
    grid = pyfd.read_coefficients(pyfd.encode(image, steps)).dequantized(0).reshape(-1, 8, 8)
    for sign in (1, -1):
        found = pushed(samples, epsilon, u, v, sign, 25)
        moved = sign * (found - grid)[:, u, v]
        gain = LENGTHS[u] * LENGTHS[v] / UNIT
        assert moved.max() > 0.65 * gain * (epsilon + 0.5)
        attacked = check_attack(file_of([found.reshape(16, 16, 8, 8)], ONE), image, steps)
        assert attacked > 100


def test_at_the_radius_an_attack_succeeds():
    """The step 24 holds no ε of 1: a flat gray block falls with a coefficient of −12."""
    table = QTables.uniform(24)
    image = np.full((8, 8), 128, np.uint8)
    assert pyfd.certify(image, table).file_radius == 1
    component = np.zeros((1, 1, 8, 8))
    component[..., 0, 0] = -12
    file = file_of([component], ONE)
    assert pyfd.why_uncovered(file) is None
    assert np.array_equal(pyfd.decode(file, mode=None), image - 1)
    assert not np.array_equal(pyfd.decode(file, table, mode=None), image)
