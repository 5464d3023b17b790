"""Certified files with subsampled chroma, whose blocks depend on each other."""

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyfd
from pyfd import CertificateError, QTables
from pyfd._core import luma, subsampled
from pyfd._core.encoding import SUBSAMPLING
from tests import intervals
from tests.codec.test_radius import KINDS, PUSHES, SIGNS, coefficients, drawn, same, tables_for

SUBSAMPLED = [name for name in SUBSAMPLING if name != "4:4:4"]


def perturbations(
    shape: tuple[int, ...], factors: tuple[int, int], epsilon: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return random perturbations of strength epsilon, and the worst of some frequencies.

    The worst for a frequency of chroma, in every block, has its signs in every pixel of a sample.
    """
    found = [rng.integers(-epsilon, epsilon + 1, shape), rng.choice([-epsilon, epsilon], shape)]
    for component, push in enumerate(PUSHES * 2):
        across, down = factors if component % 3 else (1, 1)
        u, v = rng.integers(0, 8, 2)
        signs = np.outer(SIGNS[u], SIGNS[v]).repeat(down, 0).repeat(across, 1)
        repeats = -(-shape[0] // signs.shape[0]), -(-shape[1] // signs.shape[1])
        flips = rng.choice([-1, 1], repeats).repeat(8 * down, 0).repeat(8 * across, 1)
        worst = epsilon * (np.tile(signs, repeats) * flips)[: shape[0], : shape[1]]
        found.append(worst[..., np.newaxis] * push)
    return found


@given(
    kind=st.sampled_from(KINDS),
    subsampling=st.sampled_from(SUBSAMPLED),
    height=st.integers(1, 33),  # three blocks of chroma in 4:2:0: one has neighbors all around
    width=st.integers(1, 33),
    epsilon=st.sampled_from([0, 1, 2, 4, 9, 60, 128, 255]),
    slack=st.sampled_from([0, 8, 24]),
    options=st.sampled_from([{}, {"progressive": True}, {"optimize": True}]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=25)  # a third of a second each
def test_nothing_within_the_radius_moves_the_picture(
    kind, subsampling, height, width, epsilon, slack, options, seed
):
    image = drawn(kind, height, width, seed)
    tables = tables_for(epsilon, slack, seed)
    how = {"subsampling": subsampling, "baseline": False}
    data = pyfd.encode(image, tables, radius=epsilon, max_loss=math.inf, **how, **options)
    decoded = pyfd.decode(data)
    assert pyfd.probe(data).subsampling == subsampling
    assert decoded.shape == image.shape
    assert pyfd.certify(decoded, tables, subsampling=subsampling).radius > epsilon
    assert min(radii.min() for radii in intervals.radii(decoded, tables, subsampling)) > epsilon
    rng = np.random.default_rng(seed)
    for e in (0, *perturbations(image.shape, SUBSAMPLING[subsampling], epsilon, rng)):
        moved = (decoded + e).clip(0, 255).astype(np.uint8)
        again = pyfd.encode(moved, tables, **how)
        assert same(coefficients(again), coefficients(data))
        assert np.array_equal(pyfd.decode(again, tables), decoded)


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 40), (40, 1), (2, 3), (3, 2), (4, 5), (5, 4), (8, 8), (17, 33)]
)
def test_small_pictures(subsampling, size):
    """Narrow chroma is not interpolated, and short one is interpolated with itself."""
    image = drawn("photo", *size, seed=5)
    for epsilon in (1, 4):
        tables = QTables.certified(epsilon, slack=16)
        data = pyfd.encode(
            image, tables, subsampling=subsampling, radius=epsilon, max_loss=math.inf
        )
        decoded = pyfd.decode(data)
        assert pyfd.holds(decoded, tables, epsilon, subsampling=subsampling).all()
        again = pyfd.encode(decoded, tables, subsampling=subsampling)
        assert same(coefficients(again), coefficients(data))


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("tables", [1, 2, 3])
def test_a_picture_that_holds_anyway_has_the_bytes_of_a_plain_encoding(
    subsampling, options, tables
):
    """And so the markers and the metadata are those of a plain encoding."""
    y, x = np.mgrid[0:43, 0:51]
    image = np.stack([90 + x, 100 + y, 150 - x // 2], axis=2).astype(np.uint8)
    given = QTables([np.full((8, 8), 60 + 10 * i) for i in range(tables)])
    options = {**options, "comment": "calm", "icc_profile": b"profile", "exif": b"MM\0*\0\0\0\x08"}
    plain = pyfd.encode(image, given, subsampling=subsampling, **options)
    decoded = pyfd.decode(plain)
    again = pyfd.encode(decoded, given, subsampling=subsampling)
    assert pyfd.holds(decoded, given, 1, subsampling=subsampling).all()
    assert same(coefficients(again), coefficients(plain))
    assert pyfd.encode(image, given, subsampling=subsampling, radius=1, **options) == plain


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
def test_blocks_far_from_those_that_do_not_hold_keep_their_coefficients(subsampling):
    image = np.full((128, 128, 3), (120, 130, 110), np.uint8)
    image[:40, :40] = drawn("saturated", 40, 40, 1)
    tables = QTables.certified(1, slack=24)
    plain = coefficients(pyfd.encode(image, tables, subsampling=subsampling))
    ours = coefficients(
        pyfd.encode(image, tables, subsampling=subsampling, radius=1, max_loss=math.inf)
    )
    for a, b in zip(ours, plain, strict=True):
        assert not np.array_equal(a, b)
        assert np.array_equal(a[-2:], b[-2:])
        assert np.array_equal(a[:, -2:], b[:, -2:])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
def test_the_loss_is_limited(subsampling):
    image = drawn("photo", 96, 96, 3)
    tables = QTables.certified(1, slack=24)
    plain = psnr(pyfd.decode(pyfd.encode(image, tables, subsampling=subsampling)), image)
    ours = pyfd.encode(image, tables, subsampling=subsampling, radius=1, max_loss=math.inf)
    loss = plain - psnr(pyfd.decode(ours), image)
    assert loss > 0.01
    assert (
        pyfd.encode(image, tables, subsampling=subsampling, radius=1, max_loss=loss + 0.01) == ours
    )
    with pytest.raises(CertificateError, match=r"costs .* dB.*more than max_loss=.*may be raised"):
        pyfd.encode(image, tables, subsampling=subsampling, radius=1, max_loss=loss - 0.01)


def test_what_is_not_found_is_an_error_that_says_how_much_is_left():
    image = drawn("photo", 96, 96, 3)
    tables = QTables.certified(1, slack=8)
    with (
        mock.patch.object(subsampled, "_ROUNDS", 1),
        pytest.raises(CertificateError, match=r"after 1 rounds, \d+ blocks do not hold"),
    ):
        pyfd.encode(image, tables, subsampling="4:2:0", radius=1, max_loss=99)


def test_without_a_limit_the_last_resort_is_flat():
    image = drawn("photo", 96, 96, 3)
    tables = QTables.certified(1, slack=8)
    with mock.patch.object(subsampled, "_ROUNDS", 1):
        data = pyfd.encode(image, tables, subsampling="4:2:0", radius=1, max_loss=math.inf)
    assert (pyfd.decode(data) == 128).all()


@pytest.mark.parametrize("max_loss", [-0.1, math.nan])
def test_a_loss_that_is_none_is_refused(max_loss):
    with pytest.raises(ValueError, match="max_loss"):
        pyfd.encode(
            drawn("photo", 9, 9, 0), [[40] * 8] * 8, subsampling="4:2:0", radius=1,
            max_loss=max_loss,
        )  # fmt: skip


# ---- the models that lead the search ---------------------------------------


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (9, 40), (33, 21), (34, 18), (130, 150)])
def test_the_response_is_the_codecs(subsampling, size):
    """A step of one coefficient of chroma moves the errors around it as foreseen."""
    factors = SUBSAMPLING[subsampling]
    tables = np.full((1, 8, 8), 200, np.uint16)
    image = subsampled._Image(np.full((*size, 3), 128, np.uint8), factors, tables, 1)
    chroma = image.chroma
    everywhere = np.ones(chroma.shape, bool)
    rng = np.random.default_rng(1)
    for _ in range(20):
        place = tuple(rng.integers(0, chroma.shape))
        which = rng.integers(64)
        chroma.coefficients[:] = 0
        chroma.coefficients[(*place, which)] = 1
        errors = chroma.errors(image.decode(), everywhere)
        _, table = next(image.response.groups(tuple(np.array([i]) for i in place)))
        _, row, column = place
        padded = np.pad(errors[place[0]], ((1, 1), (1, 1), (0, 0)))
        near = padded[row : row + 3, column : column + 3]
        foreseen = 200 * table[which].reshape(3, 3, 64)
        inside = np.pad(everywhere[0], 1)[row : row + 3, column : column + 3]
        assert (
            np.abs(foreseen - near)[inside].max() < 8
        )  # the rounding of pixels, up to 64 of which are equal


@pytest.mark.parametrize("kind", KINDS)
def test_the_errors_of_luma_are_foreseen(kind):
    """Luma that `judge` finds within its margins holds, unless the chroma changes."""
    pixels = drawn(kind, 45, 61, 4)
    image = subsampled._Image(pixels, (2, 2), QTables.certified(2).array, 2)
    image.check()
    places = np.nonzero(np.ones(image.luma.shape[1:], bool))
    blocks = image._luma_blocks(image.decode("YCbCr"), places)
    candidates = image.luma.coefficients[0][places][:, np.newaxis]
    beyond, _ = luma.judge(blocks, candidates)
    assert not (image.luma.failing[0].ravel() & (beyond[:, 0] == 0)).any()
    everywhere = np.ones(image.luma.shape, bool)
    errors = image.luma.errors(image.decoded, everywhere)[0]
    excess = (np.abs(errors) - image.luma.margins).clip(min=0)
    assert np.allclose(np.sqrt((excess**2).sum(2).ravel()), np.sqrt(beyond[:, 0]), atol=2)
