"""The errors of the codec as objects: attributes, copies, pickles."""

import copy
import pickle

import pytest

import pyfd
from tests.jpegs import gray, progressive_gray

LIMITS = pyfd.Limits(max_pixels=63)


def refused() -> pyfd.LimitExceededError:
    with pytest.raises(pyfd.LimitExceededError) as caught:
        pyfd.decode(gray(), limits=LIMITS)
    return caught.value


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_limits_survive(again):
    error = again(refused())
    assert type(error) is pyfd.LimitExceededError
    assert (error.limit, error.allowed, error.needed) == ("max_pixels", 63, 64)
    assert str(error) == "max_pixels is 63, but the file has 64"
    assert isinstance(error, pyfd.JPEGError)


def test_an_error_made_from_a_message_alone():
    error = pyfd.LimitExceededError("too much")
    assert (error.limit, error.allowed, error.needed) == ("", 0, None)
    assert str(error) == "too much"
    assert str(pickle.loads(pickle.dumps(error))) == "too much"


def test_decode_many_returns_it_whole():
    (error,) = pyfd.decode_many([gray()], limits=LIMITS, errors="return")
    assert (error.limit, error.allowed, error.needed) == ("max_pixels", 63, 64)


def test_the_least_that_is_needed():
    """Limits are checked before the rest of the file is read, so more may be needed."""
    data = progressive_gray(8, 8, scans=5)
    with pytest.raises(pyfd.LimitExceededError, match="has at least 3") as caught:
        pyfd.decode(data, limits=pyfd.Limits(max_scans=2))
    assert (caught.value.allowed, caught.value.needed) == (2, 3)
