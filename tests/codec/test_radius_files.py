"""Files certified against other files: what an attacker's file within ε decodes to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyfd
from pyfd import QTables
from tests.codec.test_radius import KINDS, drawn
from tests.file_radius import file_radii
from tests.jpegs import picture

TABLES = QTables.certified(2, files=True)


@given(
    kind=st.sampled_from(KINDS),
    gray=st.booleans(),
    high=st.integers(1, 5),
    wide=st.integers(1, 5),
    epsilon=st.sampled_from([0, 1, 2, 3, 4, 16, 100, 126]),
    slack=st.sampled_from([0, 1, 8, 40]),
    pixels_too=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_files_within_the_radius_decode_to_the_same_picture(
    kind, gray, high, wide, epsilon, slack, pixels_too, seed
):
    image = drawn(kind, 8 * high, 8 * wide, seed)
    image = image[:, :, 0] if gray else image
    tables = QTables.certified(epsilon, slack=slack, files=True, baseline=False)
    both = {"radius": epsilon} if pixels_too else {}
    data = pyfd.encode(image, tables, radius_files=epsilon, baseline=False, **both)
    decoded = pyfd.decode(data, mode=None)
    assert file_radii(decoded, tables).min() > epsilon
    found = pyfd.certify(decoded, tables)
    assert found.file_radius > epsilon
    assert found.radius > epsilon or not pixels_too
    rng = np.random.default_rng(seed)
    attacks = rng.integers(-epsilon, epsilon + 1, (2, *image.shape))
    attacks[1] = (epsilon - 1) * np.sign(attacks[1])  # less what another encoder rounds
    for e in attacks:
        moved = (decoded + e).clip(0, 255).astype(np.uint8)
        theirs = pyfd.encode(moved, QTables.uniform(1), progressive=bool(seed % 2))
        distance = np.abs(pyfd.decode(theirs, mode=None).astype(int) - decoded).max()
        if distance <= epsilon:
            assert pyfd.why_uncovered(theirs) is None
            assert np.array_equal(pyfd.decode(theirs, tables, mode=None), decoded)


def test_a_radius_for_pixels_promises_nothing_for_files():
    decoded = pyfd.decode(pyfd.encode(picture(64, 64), QTables.certified(2), radius=2))
    found = pyfd.certify(decoded, QTables.certified(2))
    assert found.radius > 2
    assert found.file_radius == 0


def test_the_pixels_stay_away_from_black_and_white():
    decoded = pyfd.decode(pyfd.encode(drawn("text", 40, 40, 1), TABLES, radius_files=2))
    assert decoded.min() >= 3
    assert decoded.max() <= 252


@pytest.mark.parametrize(("width", "height"), [(8, 7), (7, 8), (1, 1), (20, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_sides_that_are_no_multiples_of_8_are_refused(width, height, channels):
    image = picture(width, height, channels=channels)
    with pytest.raises(ValueError, match=f"multiples of 8, not {width}×{height}"):
        pyfd.encode(image, TABLES, radius_files=2)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:0"])
def test_subsampled_chroma_is_refused(subsampling):
    with pytest.raises(ValueError, match="not subsampled"):
        pyfd.encode(picture(16, 16), TABLES, radius_files=2, subsampling=subsampling)
    gray = picture(16, 16, channels=1)  # which has no chroma
    data = pyfd.encode(gray, TABLES, radius_files=2, subsampling=subsampling)
    assert pyfd.certify(pyfd.decode(data, mode=None), TABLES).file_radius > 2


def test_tables_for_pixels_are_too_fine():
    with pytest.raises(ValueError, match=r"radius_files 2: it needs \d+ or more"):
        pyfd.encode(picture(16, 16), QTables.certified(2, slack=0), radius_files=2)
    with pytest.raises(ValueError, match="126"):
        pyfd.encode(picture(16, 16), QTables.uniform(8191), radius_files=127, baseline=False)
