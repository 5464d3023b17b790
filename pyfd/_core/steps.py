"""Quantization steps: their bounds, and the check of tables that a caller passes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pyfd._core import bands, binding

#: The largest step of a file: a quantization table's entries have 16 bits.
MAX_STEP = 65535
#: The largest step of a baseline file: its entries have 8 bits.
BASELINE_STEP = 255
# The largest steps to encode and to decode with: csrc/pyfd.h says why
ENCODER_STEP = binding.ENCODER_STEP
DECODER_STEP = binding.DECODER_STEP
#: The most tables of a file: JPEG has four slots for them (ITU-T T.81, B.2.4.1).
MAX_TABLES = 4


def steps_of(arrays: npt.ArrayLike | Sequence[npt.ArrayLike]) -> npt.NDArray[np.uint16]:
    """Return a caller's tables as one read-only array, n×8×8.

    Raises:
        TypeError: The value is not an array.
        ValueError: The shape or the number of tables is wrong, or a step is not an
            integer or is out of range.
    """
    try:
        array = np.array(arrays)  # a copy, so that the caller cannot change it after the check
    except ValueError as error:  # rows of unequal length
        raise ValueError(f"tables must be 8×8 arrays: {error}") from error
    if not array.ndim and array.dtype.kind in "OSU":  # None, a mapping, a text, any other object
        raise TypeError(f"tables must be arrays of integers, not {type(arrays).__name__}")
    if array.shape == (8, 8):
        array = array[np.newaxis]
    if array.ndim != 3 or array.shape[1:] != (8, 8) or not 1 <= len(array) <= MAX_TABLES:
        raise ValueError(
            f"tables must be one 8×8 array or 1 to 4 of them, not {bands.shape_of(array)}"
        )
    if array.dtype.kind not in "iu":
        raise ValueError(f"steps must be integers, not {array.dtype}")
    low, high = array.min(), array.max()
    if low < 1 or high > MAX_STEP:
        raise ValueError(f"steps must be in 1...{MAX_STEP}, not {low if low < 1 else high}")
    packed = np.ascontiguousarray(array, dtype=np.uint16)
    # A view of bytes can never be made writable again, so the hash stays valid
    return np.frombuffer(packed.tobytes(), dtype=np.uint16).reshape(packed.shape)


def check_baseline(epsilon: float, step: int) -> None:
    """Refuse a step, of tables for a strength, that a baseline file cannot have.

    Raises:
        ValueError: The step is larger than `BASELINE_STEP`.
    """
    if step > BASELINE_STEP:
        raise ValueError(
            f"the tables for epsilon {epsilon:g} have a step of {step}, beyond {BASELINE_STEP}; "
            "baseline=False allows it"
        )
