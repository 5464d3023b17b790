"""Steps that hold a strength: `QTables.certified`, and the check of a caller's tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyfd
from pyfd import QTables, analysis
from pyfd._core.arithmetic import DCT
from pyfd._core.least_steps import check_holds, least_steps
from pyfd._core.pixels import whole_levels
from pyfd.qtables import parse_tables

FLAT = np.full((8, 8, 3), 128, np.uint8)


PLACES = [(row, column) for row in range(8) for column in range(8)]


def lowered(table: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """Return a copy in which one step is smaller by 1."""
    copy = table.copy()
    copy[place] -= 1
    return copy


# ---- the least steps ------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [*range(1, 17), 40, 126, 127, 128, 255])
def test_a_flat_block_holds_with_the_least_steps_and_with_none_less(epsilon):
    least = least_steps(epsilon)
    assert pyfd.certify(FLAT, least).radius > epsilon
    for place in PLACES:
        finer = lowered(least, place)
        found = pyfd.certify(FLAT, [finer, least])
        assert [radii.min() <= epsilon for radii in found.radii] == [True, False, False]
        assert pyfd.certify(FLAT, [least, least, finer]).radii[2].min() <= epsilon


@given(
    epsilon=st.integers(1, 127),
    place=st.sampled_from(PLACES),
)
def test_the_signs_of_the_basis_function_move_a_coefficient_most(epsilon, place):
    """The codec itself, without a certificate: it needs every unit of the least step."""
    signs = np.sign(np.outer(DCT[place[0]], DCT[place[1]])).astype(int)
    for table, is_moved in (
        (least_steps(epsilon), False),
        (lowered(least_steps(epsilon), place), True),
    ):
        found = []
        for sign in (1, -1):
            data = pyfd.encode(
                (128 + sign * epsilon * signs).astype(np.uint8), table, baseline=False
            )
            found.append(pyfd.read_coefficients(data).components[0][0, 0][place])
        assert any(found) == is_moved


@pytest.mark.parametrize("epsilon", range(1, 17))
def test_an_encoded_flat_image_holds(epsilon):
    tables = QTables.certified(epsilon, slack=0, baseline=False)
    image = pyfd.decode(pyfd.encode(np.tile(FLAT, (3, 2, 1)), tables, baseline=False), tables)
    assert (image == 128).all()
    assert pyfd.certify(image, tables).radius > epsilon


@given(epsilon=st.integers(1, 127))
def test_least_steps_are_those_of_the_real_dct_to_within_its_rounding(epsilon):
    """The integer DCT is off by 3/8 at most; see `pyfd.analysis.step_bound`."""
    least = least_steps(epsilon)
    assert np.abs(least - 1 - 2 * analysis.gains() * epsilon).max() <= 1.75
    assert least[0, 0] == 16 * epsilon + 1 == analysis.step_bound(epsilon)


@pytest.mark.parametrize("epsilon", [0, 1, 2, 3, 4, 8, 15, 28, 103, 126])
def test_the_least_steps_for_files(epsilon):
    least = least_steps(epsilon, files=True)
    assert pyfd.certify(FLAT, least).file_radius > epsilon
    for place in PLACES:
        tables = [least, lowered(least, place)]
        assert pyfd.certify(FLAT, tables).file_radius <= epsilon
        assert pyfd.certify(FLAT[:, :, 0], tables).file_radius > epsilon


def test_steps_for_files_hold_pixels_too():
    assert all((least_steps(e, files=True) > least_steps(e)).all() for e in range(127))
    assert least_steps(1, files=True)[0, 0] == 25


def test_beyond_white_no_step_grows():
    assert (least_steps(0) == 1).all()
    assert np.array_equal(least_steps(128), least_steps(255))
    assert least_steps(255).max() == 2049  # the range of DC is 2048, from black to middle gray


# ---- certified ----------------------------------------------------------------


@given(epsilon=st.integers(0, 126), slack=st.integers(0, 40), files=st.booleans())
def test_the_slack_lies_above_what_the_strength_takes(epsilon, slack, files):
    (steps,) = QTables.certified(epsilon, slack=slack, files=files, baseline=False)
    least = least_steps(epsilon, files=files)
    assert set(np.unique(steps - least.astype(int))) <= {max(slack - 1, 0), slack}
    check_holds(steps[None], epsilon, 3, files=files)


def test_certified():
    tables = QTables.certified(1)
    assert tables.name == "certified:1"
    assert tables.origin == {"method": "certified", "epsilon": 1, "slack": 8, "files": False}
    assert tables.array[0, 0].tolist() == [24, 23, 23, 23, 24, 23, 23, 23]
    assert tables.array[0, 1, 1] == 22
    assert QTables.certified(np.int64(1)) == tables
    assert QTables.certified(1, slack=3).name == "certified:1-slack-3"
    assert QTables.certified(1, files=True).name == "certified-files:1"


def test_certified_comes_back_from_a_file(tmp_path):
    tables = QTables.certified(2, slack=5, files=True)
    tables.save(tmp_path / "t.json")
    read = QTables.load(tmp_path / "t.json")
    assert (read, read.name, read.origin) == (tables, tables.name, tables.origin)


def test_large_steps_need_leave():
    assert QTables.certified(15).largest == 248
    message = (
        "the tables for epsilon 20 have a step of 328, beyond 255, as all from epsilon 16 on "
        "with a slack of 8; baseline=False allows it"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        QTables.certified(20)
    assert QTables.certified(20, baseline=False).largest == 328
    assert QTables.certified(15, slack=15).largest == 255
    with pytest.raises(ValueError, match="from epsilon 15 on with a slack of 16"):
        QTables.certified(15, slack=16)
    with pytest.raises(ValueError, match="from epsilon 0 on with a slack of 300"):
        QTables.certified(0, slack=300)
    with pytest.raises(ValueError, match=r"must be in 1\.\.\.8191 here, not 8192"):
        QTables.certified(255, slack=8192 - 2048, baseline=False)


@pytest.mark.parametrize("epsilon", [-1, 256, 10**30])
def test_strengths_are_levels(epsilon):
    with pytest.raises(ValueError, match=rf"epsilon is in 8-bit levels, 0\.\.\.255, not {epsilon}"):
        QTables.certified(epsilon)


def test_files_hold_no_more_than_lets_pixels_move_both_ways():
    assert QTables.certified(126, files=True, baseline=False).largest == 16 * 126 + 16
    for call in (
        lambda: QTables.certified(127, files=True, baseline=False),
        lambda: check_holds(QTables.uniform(8191).array, 127, 3, files=True),
    ):
        with pytest.raises(ValueError, match="files can hold at most 126 levels, not 127"):
            call()


@pytest.mark.parametrize("epsilon", [1.0, 0.5, "1", None, [1], float("nan")])
def test_strengths_are_whole(epsilon):
    with pytest.raises(TypeError, match="epsilon must be a whole number of 8-bit levels, not "):
        QTables.certified(epsilon)


@pytest.mark.parametrize(
    ("slack", "error"), [(-1, ValueError), (10**30, ValueError), (1.5, TypeError), ("8", TypeError)]
)
def test_slack_is_checked(slack, error):
    with pytest.raises(error, match="slack"):
        QTables.certified(1, slack=slack)


def test_whole_levels_name_the_argument():
    assert whole_levels(np.uint8(3)) == 3
    with pytest.raises(TypeError, match=r"radius must be a whole number of 8-bit levels, not 2\.5"):
        whole_levels(2.5, "radius")


# ---- the check of a caller's tables ---------------------------------------------


def test_the_check_names_the_frequency_and_the_step():
    tables = QTables.uniform(30)
    message = (
        r"qtables\[0\] has step 30 at \(0, 0\), which cannot hold radius 2: it needs 33 or more\. "
        r"QTables\.certified\(2\) holds it"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_holds(tables.array, 2, 3)
    with pytest.raises(ValueError, match=f"^{message}$"):
        pyfd.encode(FLAT, tables, radius=2)
    check_holds(tables.array, 1, 3)
    assert pyfd.encode(FLAT, tables, radius=1) == pyfd.encode(FLAT, tables)


@given(
    epsilon=st.integers(0, 20),
    files=st.booleans(),
    count=st.integers(1, 4),
    components=st.sampled_from([1, 3]),
    data=st.data(),
)
def test_the_check_is_about_the_tables_that_serve(epsilon, files, count, components, data):
    least = least_steps(epsilon, files=files)
    tables = np.tile(least, (count, 1, 1))
    check_holds(tables, epsilon, components, files=files)
    tables[components:] = 0  # they serve no component of this image
    check_holds(tables, epsilon, components, files=files)
    index = data.draw(st.integers(0, min(count, components) - 1))
    row, column = data.draw(st.tuples(st.integers(0, 7), st.integers(0, 7)))
    tables[index, row, column] -= 1
    message = (
        rf"^qtables\[{index}\] has step {least[row, column] - 1} at \({row}, {column}\), "
        rf".*: it needs {least[row, column]} or more"
    )
    with pytest.raises(ValueError, match=message):
        check_holds(tables, epsilon, components, files=files)


# ---- as text --------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0, 2, 16, 255])
def test_tables_by_name(epsilon):
    tables = parse_tables(f"certified:{epsilon}")
    assert tables == QTables.certified(epsilon, baseline=False)
    assert tables.name == f"certified:{epsilon}"


@pytest.mark.parametrize("epsilon", [0, 2, 16, 126])
def test_tables_for_files_by_name(epsilon):
    tables = parse_tables(f"certified-files:{epsilon}")
    assert tables == QTables.certified(epsilon, files=True, baseline=False)
    assert tables.name == f"certified-files:{epsilon}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("certified:256", r"0\.\.\.255, not 256"),
        ("certified:", "neither"),
        ("certified:1.5", "nor"),
    ],
)
def test_names_that_make_no_sense(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_tables(text)
