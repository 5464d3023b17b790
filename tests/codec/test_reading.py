"""The options for reading: stated alike everywhere, checked, and passed to every decode."""

import inspect
import io
import warnings
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

import pyfd
import pyfd.opencv
import pyfd.pillow
import pyfd.ray
import pyfd.torch
from pyfd import Limits
from pyfd._core import decoding
from pyfd._core.reading import Reading, ReadingOptions, SafetyOptions, reading_with
from tests.jpegs import encode_with_pillow, picture

FILE = encode_with_pillow(picture(40, 24))
TABLES = "fd-cvpr2019"

#: For each option a value that is not the default
OTHER = {
    "mode": "L",
    "scale": 2,
    "fit": (20, 12),
    "orient": True,
    "region": (1, 2, 10, 8),
    "strict": False,
    "limits": Limits(max_scans=7),
}
SAFE = SafetyOptions.__optional_keys__


def with_pillow(switch_on):
    with switch_on:
        Image.open(io.BytesIO(FILE)).load()


def with_registered(**options):
    pyfd.pillow.register(TABLES, **options)
    try:
        Image.open(io.BytesIO(FILE)).load()
    finally:
        pyfd.pillow.unregister()


def with_ray(**options):
    batch = {"bytes": np.array([FILE], object)}
    ((row,),) = (piece["error"] for piece in pyfd.ray.Decode(TABLES, **options)(batch))
    assert row == ""


#: The functions whose shape of pixels the caller chooses
FREE = {
    "decode": lambda **options: pyfd.decode(FILE, **options),
    "decode_many": lambda **options: pyfd.decode_many([FILE], **options),
    "torch.decode": lambda **options: pyfd.torch.decode(FILE, **options),
    "torch.decode_many": lambda **options: pyfd.torch.decode_many([FILE], **options),
    "torch.Decode": lambda **options: pyfd.torch.Decode(TABLES, **options)(FILE),
    "ray.Decode": with_ray,
}
#: The functions whose shape of pixels another library decides
BOUND = {
    "pillow.register": with_registered,
    "pillow.defended": lambda **options: with_pillow(pyfd.pillow.defended(TABLES, **options)),
    "opencv.imdecode": lambda **options: pyfd.opencv.imdecode(FILE, 1, TABLES, **options),
}


@pytest.fixture
def readings(monkeypatch) -> list[Reading]:
    """The options of the decodes that have run."""
    seen = []
    real = decoding.decode

    def decode(source, tables, reading, *args, **kwargs):
        seen.append(reading)
        return real(source, tables, reading, *args, **kwargs)

    monkeypatch.setattr(decoding, "decode", decode)
    return seen


# ---- one statement -----------------------------------------------------------


def test_they_are_stated_alike():
    defaults = {field.name: field.default for field in fields(Reading)}
    keywords = dict(inspect.signature(pyfd.decode).parameters)
    for argument in ("source", "qtables", "out", "workers"):
        del keywords[argument]
    assert {name: keyword.default for name, keyword in keywords.items()} == defaults
    assert ReadingOptions.__optional_keys__ == defaults.keys() == OTHER.keys()


def test_the_same_options_share_one():
    assert reading_with(scale=2) is reading_with(scale=2)
    assert reading_with(scale=2) == Reading(scale=2)
    assert reading_with(mode="L") == Reading(mode="L") != reading_with()
    limits = Limits(max_scans=3)
    assert reading_with(limits=limits) is reading_with(limits=limits)
    assert reading_with(limits=Limits(max_scans=4)).limits == Limits(max_scans=4)


def test_options_that_may_change_share_none():
    scale = np.array(2)
    assert reading_with(scale=scale).scale == 2
    scale[...] = 4
    assert reading_with(scale=scale).scale == 4


@pytest.mark.parametrize("option", OTHER)
@pytest.mark.parametrize("entry", FREE)
def test_each_reaches_every_decode(entry, option, readings):
    FREE[entry](**{option: OTHER[option]})
    (reading,) = readings
    assert reading == Reading(**{option: OTHER[option]}) or isinstance(reading, pyfd.torch.Decode)
    assert getattr(reading, option) == OTHER[option]


@pytest.mark.parametrize("option", sorted(SAFE))
@pytest.mark.parametrize("entry", BOUND)
def test_each_reaches_pillows_and_opencvs(entry, option, readings):
    BOUND[entry](**{option: OTHER[option]})
    (reading,) = readings
    assert getattr(reading, option) == OTHER[option]


@pytest.mark.parametrize("option", sorted(OTHER.keys() - SAFE))
@pytest.mark.parametrize("entry", BOUND)
def test_pillow_and_opencv_decide_the_shape(entry, option):
    name = entry.partition(".")[2]
    with pytest.raises(TypeError, match=rf"^{name}\(\) takes no option '{option}'"):
        BOUND[entry](**{option: OTHER[option]})


@pytest.mark.parametrize("option", sorted(SAFE))
@pytest.mark.parametrize("function", [pyfd.pillow.register, pyfd.opencv.imdecode])
def test_the_help_names_those_that_are_left(function, option):
    assert f"`{option}`" in inspect.getdoc(function)


def test_folders_pass_them_on(tmp_path, readings):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(FILE)
    options = {name: value for name, value in OTHER.items() if name != "fit"}  # it excludes others
    folder = pyfd.torch.JPEGFolder(tmp_path, TABLES, **options)
    assert folder[0][0].shape == (1, 8, 10)
    (reading,) = readings
    assert {name: getattr(reading, name) for name in options} == options


def test_requantize_and_coefficients_take_the_safe_ones():
    damaged = FILE[:-60]
    calls = (lambda **o: pyfd.requantize(damaged, TABLES, **o),)
    calls += (lambda **o: pyfd.read_coefficients(damaged, **o),)
    for call in calls:
        with pytest.raises(pyfd.CorruptJPEGError):
            call()
        with pytest.warns(pyfd.JPEGWarning):
            call(strict=False)
        with pytest.raises(pyfd.LimitExceededError, match="max_pixels"):
            call(limits=Limits(max_pixels=1))


# ---- checks ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"mode": "RGBA"}, ValueError),
        ({"mode": ["L"]}, ValueError),
        ({"mode": np.array(["RGB"])}, ValueError),
        ({"mode": np.array(["RGB", "L"])}, ValueError),
        ({"scale": 3}, ValueError),
        ({"scale": 1.0}, TypeError),
        ({"scale": "1"}, TypeError),
        ({"scale": [1]}, TypeError),
        ({"scale": np.array([1, 2])}, TypeError),
        ({"limits": None}, TypeError),
        ({"limits": {}}, TypeError),
        ({"orient": 1}, TypeError),
        ({"orient": "trim"}, TypeError),
        ({"orient": None}, TypeError),
        ({"fit": 224}, TypeError),
        ({"fit": "224x224"}, TypeError),
        ({"fit": (2.0, 2)}, TypeError),
        ({"fit": np.array([2.0, 2.0])}, TypeError),
        ({"fit": {2, 3}}, TypeError),
        ({"fit": (2,)}, ValueError),
        ({"fit": (0, 2)}, ValueError),
        ({"region": b"\0\0\1\1"}, TypeError),
        ({"region": (0, 0, 1, 1.0)}, TypeError),
        ({"region": np.zeros((4, 1), int)}, TypeError),
        ({"region": (0, 0, 1)}, ValueError),
        ({"region": (0, 0, 1, 0)}, ValueError),
        ({"region": (0, -1, 1, 1)}, ValueError),
    ],
)
@pytest.mark.parametrize("entry", FREE)
def test_wrong_ones_are_refused_every_time(entry, options, error):
    """A call that could share the options of an earlier one is refused too."""
    message = f"^{next(iter(options))} must be"
    for _ in range(2):
        with pytest.raises(error, match=message):
            FREE[entry](**options)
    FREE[entry]()
    with pytest.raises(error, match=message):
        FREE[entry](**options)


@pytest.mark.parametrize(
    ("option", "right", "wrong"),
    [("fit", (20, 12), (20.0, 12.0)), ("region", (1, 2, 3, 4), (1, 2.0, 3, 4))],
)
def test_numbers_are_never_those_of_an_earlier_call(option, right, wrong):
    """Tuples may be equal and of other types, and a list may have changed since."""
    expected = pyfd.decode(FILE, **{option: right})
    for kind in (list, np.array, lambda numbers: tuple(map(np.int16, numbers))):
        numbers = kind(right)
        assert np.array_equal(pyfd.decode(FILE, **{option: numbers}), expected)
        with pytest.raises(TypeError):
            pyfd.decode(FILE, **{option: wrong})
    changing = list(right)
    pyfd.decode(FILE, **{option: changing})
    changing[-1] = 1
    assert np.array_equal(
        pyfd.decode(FILE, **{option: changing}), pyfd.decode(FILE, **{option: tuple(changing)})
    )


@pytest.mark.parametrize("entry", FREE)
@pytest.mark.parametrize("other", [{"scale": 2}, {"region": (0, 0, 1, 1)}])
def test_fit_excludes_others(entry, other):
    with pytest.raises(ValueError, match=f"^fit and {next(iter(other))} exclude each other"):
        FREE[entry](fit=(1, 1), **other)


@pytest.mark.parametrize("scale", [np.int64(2), np.uint8(2), np.array(2)])
def test_all_integers_are_scales(scale):
    """In whatever order they come: calls with equal options share one object."""
    expected = pyfd.decode(FILE)
    halved = pyfd.decode(FILE, scale=scale)
    assert np.array_equal(pyfd.decode(FILE, scale=2), halved)
    assert np.array_equal(pyfd.decode(FILE, scale=scale), halved)
    assert np.array_equal(pyfd.decode(FILE, scale=True), expected)


def test_strict_is_any_truth():
    for falsy in (0, [], None, ""):
        with pytest.warns(pyfd.JPEGWarning):
            pyfd.decode(FILE[:-60], strict=falsy)
    for truthy in (1, [0], "no"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(pyfd.CorruptJPEGError):
                pyfd.decode(FILE[:-60], strict=truthy)
