"""Certified files with subsampled chroma, whose blocks depend on each other when decoded."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyfd
from pyfd import QTables
from pyfd._core import subsampled
from tests import intervals
from tests.codec.test_radius import coefficients, drawn, perturbations, same
from tests.jpegs import picture

SUBSAMPLED = ("4:2:0", "4:2:2", "4:4:0")


@given(
    kind=st.sampled_from(["photo", "text", "noise", "gradient", "saturated", "0", "77", "255"]),
    subsampling=st.sampled_from(SUBSAMPLED),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    epsilon=st.sampled_from([0, 1, 2, 4]),
    slack=st.sampled_from([0, 8, 16]),
    options=st.sampled_from([{}, {"progressive": True}, {"optimize": True}]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_nothing_within_the_radius_moves_the_picture(
    kind, subsampling, height, width, epsilon, slack, options, seed
):
    image = drawn(kind, height, width, seed)
    tables = QTables.certified(epsilon, slack=slack)
    data = pyfd.encode(
        image, tables, radius=epsilon, subsampling=subsampling, max_loss=math.inf, **options
    )
    assert pyfd.probe(data).subsampling == subsampling
    assert pyfd.probe(data).progressive == ("progressive" in options)
    decoded = pyfd.decode(data)
    radii = intervals.radii(decoded, tables, subsampling)
    assert min(component.min() for component in radii) > epsilon
    for e in (0, *perturbations(decoded, epsilon, seed)):
        moved = (decoded + e).clip(0, 255).astype(np.uint8)
        again = pyfd.encode(moved, tables, subsampling=subsampling)
        assert same(coefficients(again), coefficients(data))
        assert np.array_equal(pyfd.decode(again, tables), decoded)


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
def test_a_picture_that_holds_anyway_gives_the_very_file_of_a_plain_encoding(subsampling):
    gray = np.full((40, 56, 3), 128, np.uint8)
    tables = [QTables.certified(2).array[0], QTables.certified(2, slack=9).array[0]]
    metadata = {"comment": "flat", "exif": b"MM\0*\0\0\0\x08\0\0\0\0\0\0"}
    for options in ({}, {"progressive": True}, {"optimize": True}):
        plain = pyfd.encode(gray, tables, subsampling=subsampling, **metadata, **options)
        certified = pyfd.encode(
            gray, tables, subsampling=subsampling, radius=2, **metadata, **options
        )
        assert certified == plain


def test_a_photograph_costs_less_than_a_decibel():
    image = picture(96, 64, 7)
    tables = QTables.certified(1, slack=24)
    data = pyfd.encode(image, tables, subsampling="4:2:0", radius=1)
    plain = pyfd.decode(pyfd.encode(image, tables, subsampling="4:2:0"))
    errors = [((pixels.astype(float) - image) ** 2).mean() for pixels in (plain, pyfd.decode(data))]
    assert 10 * math.log10(errors[1] / errors[0]) <= 1


def test_what_costs_too_much_is_an_error_unless_it_is_allowed():
    image = drawn("saturated", 48, 48, 1)
    tables = QTables.certified(2, slack=1)
    with pytest.raises(pyfd.CertificateError, match=r"dB.*max_loss=0\.5") as caught:
        pyfd.encode(image, tables, subsampling="4:2:0", radius=2, max_loss=0.5)
    assert isinstance(caught.value, ValueError)
    data = pyfd.encode(image, tables, subsampling="4:2:0", radius=2, max_loss=math.inf)
    assert pyfd.holds(pyfd.decode(data), tables, 2, subsampling="4:2:0").all()


def test_a_search_that_does_not_converge_is_an_error(monkeypatch):
    monkeypatch.setattr(subsampled, "_ROUNDS", 1)
    image = drawn("noise", 48, 48, 1)
    with pytest.raises(pyfd.CertificateError, match=r"\d+ blocks still do not hold radius 2"):
        pyfd.encode(image, QTables.certified(2), subsampling="4:2:0", radius=2, max_loss=100)


@pytest.mark.parametrize("max_loss", [-0.1, math.nan])
def test_losses_out_of_range(max_loss):
    with pytest.raises(ValueError, match="max_loss must be 0 dB or more"):
        pyfd.encode(picture(8, 8), QTables.certified(1), radius=1, max_loss=max_loss)


@pytest.mark.parametrize("subsampling", SUBSAMPLED)
def test_gray_has_no_chroma_to_subsample(subsampling):
    gray = picture(30, 20, channels=1)
    tables = QTables.certified(2)
    expected = pyfd.encode(gray, tables, radius=2)
    assert pyfd.encode(gray, tables, radius=2, subsampling=subsampling) == expected
