"""The options for reading a file, which all entry points that read share.

A new option is a field of `Reading` and a key of `ReadingOptions`, here, and a
keyword of `pyfd.decode`. `pyfd.decode_many`, the torch, Ray and Pillow entry
points and the command line take it from here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np

from pyfd.limits import Limits

Mode: TypeAlias = Literal["RGB", "BGR", "L", "YCbCr", "CMYK"]
Scale: TypeAlias = Literal[1, 2, 4, 8]
Size: TypeAlias = tuple[int, int]
"""A width and a height in pixels."""
Region: TypeAlias = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

MODES = ("RGB", "BGR", "L", "YCbCr", "CMYK")
SCALES = (1, 2, 4, 8)

DEFAULT_LIMITS = Limits()


class SafetyOptions(TypedDict, total=False):
    """The keywords of `Reading` that do not affect the shape of the pixels.

    The entry points whose shape other libraries decide, Pillow's and OpenCV's,
    take these and no others.
    """

    strict: bool
    limits: Limits


class ReadingOptions(SafetyOptions, total=False):
    """The keywords of `Reading`, for the signatures of functions that pass them on."""

    mode: Mode | None
    scale: Scale
    fit: Size | None
    orient: bool
    region: Region | None


def _parsed(separator: str, form: str) -> Callable[[str], tuple[int, ...]]:
    """Return a function that reads whole numbers from a text of this form, such as 224x224."""
    count = form.count(separator) + 1

    def parse(text: str) -> tuple[int, ...]:
        parts = text.lower().split(separator)
        if len(parts) != count or not all(part.strip().isdecimal() for part in parts):
            raise ValueError(f"{text!r} is not {form} in whole numbers")
        return tuple(map(int, parts))

    return parse


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The checked options of a read.

    A field's metadata define its option on the command line: "help" is the
    option's help (a field without it has no option), "choices" are the values
    that it offers, "off" is the name of a flag that sets the field to False. In
    all other fields "parse" converts the option's text, whose form is "metavar";
    without it, the type of the default decides.

    Raises:
        TypeError: An option has a wrong type.
        ValueError: An option has a wrong value.
    """

    mode: Mode | None = field(
        default="RGB",
        metadata={"help": "Color, or the luma alone.", "choices": ("RGB", "L")},
    )
    scale: Scale = field(
        default=1,
        metadata={"help": "Divide the size, in the DCT domain.", "choices": SCALES},
    )
    fit: Size | None = field(
        default=None,
        metadata={
            "help": "Divide the size by 8, 4 or 2 if the result is still at least so wide and "
            "high: for thumbnails. It excludes --scale and --region.",
            "metavar": "WIDTHxHEIGHT",
            "parse": _parsed("x", "WIDTHxHEIGHT"),
        },
    )
    orient: bool = field(
        default=False,
        metadata={"help": "Turn and mirror the pixels as EXIF's orientation says."},
    )
    region: Region | None = field(
        default=None,
        metadata={
            "help": "Decode only this part of the result, in pixels.",
            "metavar": "LEFT,TOP,WIDTH,HEIGHT",
            "parse": _parsed(",", "LEFT,TOP,WIDTH,HEIGHT"),
        },
    )
    strict: bool = field(
        default=True,
        metadata={"help": "Make the best of damaged files.", "off": "--lenient"},
    )
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        try:
            scale = operator.index(self.scale)
        except TypeError:
            raise TypeError(f"scale must be an int, not {type(self.scale).__name__}") from None
        if scale not in SCALES:
            raise ValueError(f"scale must be 1, 2, 4 or 8, not {scale}")
        object.__setattr__(self, "scale", scale)  # numpy's integers are the same option
        known = isinstance(self.mode, str) and self.mode in MODES
        if self.mode is not None and not known:
            raise ValueError(f"mode must be one of {', '.join(MODES)} or None, not {self.mode!r}")
        if not isinstance(self.limits, Limits):
            raise TypeError(f"limits must be pyfd.Limits, not {type(self.limits).__name__}")
        if not isinstance(self.orient, bool | np.bool_):
            raise TypeError(f"orient must be True or False, not {self.orient!r}")
        object.__setattr__(self, "orient", bool(self.orient))
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Check `fit` and `region`, and make them tuples of int."""
        if self.fit is not None:
            fit = _numbers("fit", ("width", "height"), self.fit)
            if min(fit) < 1:
                raise ValueError(f"fit must be at least 1 pixel wide and high, not {fit}")
            if self.scale != 1 or self.region is not None:
                other = "scale" if self.scale != 1 else "region"
                raise ValueError(f"fit and {other} exclude each other")
            object.__setattr__(self, "fit", fit)
        if self.region is not None:
            region = _numbers("region", ("left", "top", "width", "height"), self.region)
            if min(region) < 0 or min(region[2:]) < 1:
                raise ValueError(
                    "region must be at least 1 pixel wide and high, from 0, 0 or further right "
                    f"and down, not {region}"
                )
            object.__setattr__(self, "region", region)


def _numbers(option: str, names: tuple[str, ...], value: object) -> tuple[int, ...]:
    """Return an option's numbers, one for each name, as a tuple of int."""
    form = f"({', '.join(names)})"
    if not isinstance(value, tuple | list | np.ndarray):
        raise TypeError(f"{option} must be {form}, not {type(value).__name__}")
    try:
        numbers = tuple(map(operator.index, value))
    except TypeError:
        raise TypeError(f"{option} must be {form} in whole numbers, not {value!r}") from None
    if len(numbers) != len(names):
        raise ValueError(f"{option} must be {form}, not {len(numbers)} numbers")
    return numbers


_latest: tuple[object, object, object, object, object, Reading | None]
_latest = None, None, None, None, None, None


def reading_with(
    mode: Mode | None = "RGB",
    scale: Scale = 1,
    orient: bool = False,
    strict: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Reading:
    """Return the `Reading` of these options.

    A call with the very same objects as the latest one returns the same `Reading`,
    because making one takes as many instructions as a tenth of a small image's decode.
    Numbers of other types than int may change, and are never shared.
    """
    global _latest
    known = _latest
    if (
        mode is known[0]
        and scale is known[1]
        and orient is known[2]
        and strict is known[3]
        and limits is known[4]
        and known[5] is not None
    ):
        return known[5]
    reading = Reading(mode=mode, scale=scale, orient=orient, strict=strict, limits=limits)
    if type(scale) is int and type(orient) is bool and type(strict) is bool:
        _latest = mode, scale, orient, strict, limits, reading  # at once, for other threads
    return reading


def reading_of(
    caller: str, options: Mapping[str, Any], known: type[Any] = ReadingOptions
) -> Reading:
    """Return the `Reading` of a function's keyword arguments.

    Args:
        caller: The function's name, for the error.
        options: Its keyword arguments.
        known: The typed dictionary of the keywords that it takes.

    Raises:
        TypeError: An option is not known, or has a wrong type.
        ValueError: An option has a wrong value.
    """
    check_known(caller, options, known)
    return Reading(**options)


def check_known(caller: str, options: Mapping[str, Any], known: type[Any]) -> None:
    """Refuse a keyword argument that is not a key of the typed dictionary `known`."""
    if not options.keys() <= known.__optional_keys__:
        unknown = min(options.keys() - known.__optional_keys__)
        raise TypeError(f"{caller}() takes no option {unknown!r}")
