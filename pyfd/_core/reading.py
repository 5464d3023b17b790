"""The options for reading a file, which all entry points that read share.

A new option is a field of `Reading` and a key of `ReadingOptions`, here, and a
keyword of `pyfd.decode`. `pyfd.decode_many`, the torch, Ray and Pillow entry
points and the command line take it from here.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from pyfd.limits import Limits

if TYPE_CHECKING:
    from typing_extensions import Unpack

Mode: TypeAlias = Literal["RGB", "BGR", "L", "YCbCr", "CMYK"]
Scale: TypeAlias = Literal[1, 2, 4, 8]

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


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The checked options of a read.

    A field's metadata define its option on the command line: "help" is the
    option's help (a field without it has no option), "choices" are the values
    that it offers, "off" is the name of a flag that sets the field to False. In
    all other fields "parse" converts the option's text; without it, the type of
    the default decides.

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


_latest: tuple[ReadingOptions, list[type], Reading] = {}, [], Reading()


def reading_with(**options: Unpack[ReadingOptions]) -> Reading:
    """Return the `Reading` of these options.

    A call with the options of the latest one returns the same object, because
    making one takes several percent of the time of a small image's decode. Options
    of other types are checked even if they are equal, as 2.0 is to 2.
    """
    global _latest
    known, known_types, reading = _latest
    types = [*map(type, options.values())]
    if types != known_types or options != known:
        reading = Reading(**options)
        _latest = options, types, reading  # one assignment, for other threads
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
    if not options.keys() <= known.__optional_keys__:
        unknown = min(options.keys() - known.__optional_keys__)
        raise TypeError(f"{caller}() takes no option {unknown!r}")
    return Reading(**options)
