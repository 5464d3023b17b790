"""Certified files: no perturbation within ε moves what they decode to."""

import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyfd
from pyfd import QTables
from tests import intervals
from tests.jpegs import picture

FD = QTables.preset("fd-cvpr2019")

ROOT = Path(__file__).parents[2]

SIGNS = np.sign(np.cos(np.outer(np.arange(8), 2 * np.arange(8) + 1) * np.pi / 16))
"""The signs of the one-dimensional DCT's basis functions: (frequency, sample)."""

PUSHES = ((1, 1, 1), (-1, -1, 1), (1, -1, -1))
"""The signs of R, G and B that raise Y, Cb and Cr."""


def text(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return black strokes on white."""
    strokes = rng.random((height, width)) < 0.2
    return np.where(strokes.repeat(3).reshape(height, width, 3), 0, 255)


def drawn(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    """Return H×W×3 pixels of a kind that photographs are made of, or that is harder."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    match kind:
        case "photo":
            pixels = picture(width, height, seed % 1000)
        case "text":
            pixels = text(rng, height, width)
        case "noise":
            pixels = rng.integers(0, 256, (height, width, 3))
        case "gradient":
            pixels = np.add.outer(y[:, 0], x[0])[..., None] * rng.uniform(0, 8, 3) % 256
        case "saturated":
            pixels = rng.choice([0, 255], (-(-height // 8), -(-width // 8), 3))
            pixels = pixels.repeat(8, 0).repeat(8, 1)[:height, :width]
        case "checkerboard":
            pixels = ((x + y) % 2 * 255)[..., None].repeat(3, 2)
        case level:
            pixels = np.full((height, width, 3), int(level))
    return np.asarray(pixels).astype(np.uint8)


KINDS = ("photo", "text", "noise", "gradient", "saturated", "checkerboard", "0", "77", "255")


def least_steps(epsilon: int) -> np.ndarray:
    """Return the steps at the bound: those with which level 128 has a radius beyond epsilon."""
    one = np.ones((8, 8), np.uint16)
    (gray,) = intervals.components(2, [one], (1, 1))
    flat = np.full((1, 8, 8, 1), 128, np.uint8)
    low, high = intervals.coefficient_bounds(
        flat, np.array([epsilon]), gray._replace(steps=one / 8)
    )
    return np.maximum(-low, high)[0].astype(int) // 4 + 1


def tables_for(epsilon: int, slack: int, seed: int) -> QTables:
    """Return a table for each component, with steps at the bound or up to `slack` beyond it."""
    more = np.random.default_rng(seed).integers(0, slack + 1, (3, 8, 8))
    return QTables(least_steps(epsilon) + more)


def perturbations(image: np.ndarray, epsilon: int, seed: int) -> list[np.ndarray]:
    """Return perturbations of strength epsilon: random ones, and the worst of some frequencies."""
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    found = [
        rng.integers(-epsilon, epsilon + 1, image.shape),
        rng.choice([-epsilon, epsilon], image.shape),
    ]
    repeats = -(-height // 8), -(-width // 8)
    for push in PUSHES:
        u, v = rng.integers(0, 8, 2)
        signs = np.tile(np.outer(SIGNS[u], SIGNS[v]), repeats)[:height, :width]
        flips = rng.choice([-1, 1], repeats).repeat(8, 0).repeat(8, 1)[:height, :width]
        worst = epsilon * signs * flips
        found.append(worst if image.ndim == 2 else worst[..., None] * push)
    return found


def coefficients(data: bytes) -> tuple[np.ndarray, ...]:
    return tuple(pyfd.read_coefficients(data).components)


def same(ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@given(
    kind=st.sampled_from(KINDS),
    gray=st.booleans(),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    epsilon=st.sampled_from([0, 1, 2, 3, 4, 8, 16, 60, 127, 128, 255]),
    slack=st.sampled_from([0, 1, 8, 40]),
    options=st.sampled_from([{}, {"progressive": True}, {"optimize": True}]),
    seed=st.integers(0, 2**32 - 1),
)
def test_nothing_within_the_radius_moves_the_picture(
    kind, gray, height, width, epsilon, slack, options, seed
):
    image = drawn(kind, height, width, seed)
    image = image[:, :, 0] if gray else image
    tables = tables_for(epsilon, slack, seed)
    data = pyfd.encode(image, tables, radius=epsilon, baseline=False, **options)
    decoded = pyfd.decode(data, mode=None)
    assert decoded.shape == image.shape
    assert min(radii.min() for radii in intervals.radii(decoded, tables, "4:4:4")) > epsilon
    for e in (0, *perturbations(decoded, epsilon, seed)):
        moved = (decoded + e).clip(0, 255).astype(np.uint8)
        again = pyfd.encode(moved, tables, baseline=False)
        assert same(coefficients(again), coefficients(data))
        assert np.array_equal(pyfd.decode(again, tables, mode=None), decoded)


@given(
    kind=st.sampled_from(KINDS),
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    epsilon=st.sampled_from([0, 1, 4, 40]),
    spread=st.sampled_from([1, 2, 8]),
    seed=st.integers(0, 2**32 - 1),
)
def test_steps_of_any_size_hold(kind, height, width, epsilon, spread, seed):
    """Blocks with such steps may decode far beyond 0 and 255, and beyond 16 bits."""
    steps = 8191 * np.random.default_rng(seed).random((3, 8, 8)) ** spread
    tables = QTables(np.maximum(steps.astype(int), least_steps(epsilon)))
    image = drawn(kind, height, width, seed)
    data = pyfd.encode(image, tables, radius=epsilon, baseline=False)
    decoded = pyfd.decode(data)
    assert pyfd.holds(decoded, tables, epsilon).all()
    for e in (0, *perturbations(decoded, epsilon, seed)):
        moved = (decoded + e).clip(0, 255).astype(np.uint8)
        assert same(coefficients(pyfd.encode(moved, tables, baseline=False)), coefficients(data))


@given(
    kind=st.sampled_from(KINDS),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    epsilon=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_blocks_that_hold_anyway_keep_their_coefficients(kind, height, width, epsilon, seed):
    image = drawn(kind, height, width, seed)
    tables = tables_for(epsilon, 12, seed)
    plain = coefficients(pyfd.encode(image, tables))
    decoded = pyfd.decode(pyfd.encode(image, tables))
    back = coefficients(pyfd.encode(decoded, tables))
    returned = np.all([(a == b).all(axis=(2, 3)) for a, b in zip(plain, back, strict=True)], axis=0)
    holds = pyfd.holds(decoded, tables, epsilon) & returned
    certified = coefficients(pyfd.encode(image, tables, radius=epsilon))
    for ours, theirs in zip(certified, plain, strict=True):
        assert np.array_equal(ours[holds], theirs[holds])


def certified_digest() -> str:
    """Return a digest of certified files, their pixels, and what perturbed pixels return to."""
    digest = hashlib.sha256()
    for seed, kind in enumerate(KINDS):
        for epsilon in (0, 1, 4, 16):
            image, tables = drawn(kind, 19, 37, seed), tables_for(epsilon, 8, seed)
            data = pyfd.encode(image, tables, radius=epsilon, baseline=False)
            decoded = pyfd.decode(data)
            digest.update(data + decoded.tobytes())
            for e in perturbations(decoded, epsilon, seed):
                moved = (decoded + e).clip(0, 255).astype(np.uint8)
                digest.update(pyfd.encode(moved, tables, baseline=False))
    return digest.hexdigest()


@pytest.mark.parametrize("variable", ["JSIMD_FORCENONE", "JSIMD_FORCESSE2"])
def test_the_instructions_do_not_matter(variable):
    """The variable is read once, so this takes another process."""
    code = "from tests.codec.test_radius import certified_digest; print(certified_digest())"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, variable: "1"},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == certified_digest()


@pytest.mark.parametrize("epsilon", [1, 2, 4, 9, 127, 128, 200, 255])
def test_tables_at_the_bound_hold_and_finer_ones_are_refused(epsilon):
    image = drawn("photo", 20, 20, epsilon)
    steps = least_steps(epsilon)
    data = pyfd.encode(image, steps, radius=epsilon, baseline=False)
    assert pyfd.holds(pyfd.decode(data), steps, epsilon).all()
    rng = np.random.default_rng(epsilon)
    for component in range(3):
        for u, v in [(0, 0), *rng.integers(0, 8, (3, 2))]:
            tables = np.stack([steps] * 3)
            tables[component, u, v] -= 1
            with pytest.raises(ValueError, match="radius"):
                pyfd.encode(image, tables, radius=epsilon, baseline=False)
            if component > 0:  # which a gray image does not have
                pyfd.encode(image[:, :, 0], tables, radius=epsilon, baseline=False)


def test_the_check_can_fail():
    """At ε = radius, the worst perturbation does change a coefficient of every whole block."""
    tables = QTables.uniform(40)
    decoded = pyfd.decode(pyfd.encode(drawn("photo", 48, 64, 3), tables, radius=2))
    found = pyfd.certify(decoded, tables)
    assert found.radius > 2
    own = coefficients(pyfd.encode(decoded, tables))
    moved = np.zeros(found.blocks.shape, bool)
    strength = found.blocks.repeat(8, 0).repeat(8, 1)[..., None]
    for u, v in np.ndindex(8, 8):
        signs = np.tile(np.outer(SIGNS[u], SIGNS[v]), found.blocks.shape)[..., None]
        for push in (*PUSHES, *(-np.array(PUSHES))):
            at = (decoded + strength * signs * push).clip(0, 255).astype(np.uint8)
            theirs = coefficients(pyfd.encode(at, tables))
            moved |= np.any(
                [(a != b).any(axis=(2, 3)) for a, b in zip(own, theirs, strict=True)], 0
            )
    assert moved.all()


@pytest.mark.parametrize("radius", [-1, 256, 10**30])
def test_radii_out_of_range(radius):
    with pytest.raises(ValueError, match=r"0\.\.\.255"):
        pyfd.encode(picture(8, 8), FD, radius=radius)


@pytest.mark.parametrize("radius", [1.0, "1", b"1"])
def test_radii_that_are_no_whole_numbers(radius):
    with pytest.raises(TypeError):
        pyfd.encode(picture(8, 8), FD, radius=radius)


def test_photographs_are_certified_as_a_whole(photos):
    for photo in photos[:3]:
        image = pyfd.decode(photo)
        data = pyfd.encode(image, FD, radius=1, optimize=True)
        assert pyfd.certify(pyfd.decode(data), FD).radius > 1


def test_no_memory_but_the_file():
    """Blocks are searched for while a baseline file is written: its coefficients take 12 MiB."""
    code = """
        import numpy as np, pyfd
        from benchmarks.memory import growth
        image = np.zeros((1024, 2048, 3), np.uint8)
        image[::2, ::3] = 255
        tables = pyfd.QTables.certified(1)
        data = pyfd.encode(image[:64], tables, radius=1)
        grown, data = growth(lambda: pyfd.encode(image, tables, radius=1))
        assert data != pyfd.encode(image, tables)
        assert grown < 4 * len(data) / 2**20 + 1, (grown, len(data))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=True)
