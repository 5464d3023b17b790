"""The calls of C that read a file."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core._libpyfd import ffi, lib
from pyfd._core.binding.options import (
    BYTES,
    COLORS,
    STATUS,
    STEPS,
    Buffer,
    check,
    held,
    interrupts,
    limits_for,
    raise_interrupt,
    reading_how,
    tables_for,
)
from pyfd.limits import Limits

if TYPE_CHECKING:
    from pyfd._core.pixels import Pixels
    from pyfd._core.reading import Reading

_COLOR_NAMES = {number: name for name, number in COLORS.items()}

_open, _decode_opened = lib.pyfd_open, lib.pyfd_decode_opened
_NULL = ffi.NULL
_FOUND, _COUNTED = ffi.typeof("pyfd_found *"), ffi.typeof("pyfd_counted *")

#: An APPn or COM segment's payload: its offset and size in the file, and its marker.
Segment: TypeAlias = tuple[int, int, int]
_FIELDS = ffi.typeof("pyfd_segment").fields
_SEGMENT = Struct("".join({4: "I", 8: "Q"}[ffi.sizeof(field.type)] for _, field in _FIELDS))
_FEW = len(ffi.new(_FOUND).segments)


def _dtype(struct: str) -> np.dtype[Any]:
    """Return numpy's dtype of a C struct of integers and arrays of them."""
    names, formats, offsets = [], [], []
    for name, field in ffi.typeof(struct).fields:
        shape, item = [], field.type
        while item.kind == "array":
            shape.append(item.length)
            item = item.item
        names.append(name)
        formats.append((item.cname.removesuffix("_t"), tuple(shape)))
        offsets.append(field.offset)
    size = ffi.sizeof(struct)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


#: ``pyfd_statistics``: "sums", "squares" (3×64 each) and "blocks" (3). All are integers of
#: 64 bits, so that one addition of ``uint64`` adds up two of them.
STATISTICS = _dtype("pyfd_statistics")
#: The place of the number of Y's blocks in such an array.
Y_BLOCKS: int = ffi.offsetof("pyfd_statistics", "blocks") // 8
_WORDS = STATISTICS.itemsize // 8
_STATISTICS_AT = ffi.offsetof("pyfd_counted", "statistics")


class Frame:
    """The frame header, ``pyfd_header`` of csrc/pyfd.h.

    The attributes, which every decode needs, are set at once; the properties are
    converted when they are used.
    """

    __slots__ = ("_header", "color_space", "found", "height", "multiscan", "width")

    def __init__(self, found: Any) -> None:
        self.found = found  # which holds the header's memory, and the walk that goes on
        self._header = header = found.header[0]
        self.width: int = header.width
        self.height: int = header.height
        self.color_space = _COLOR_NAMES[header.color_space]
        self.multiscan: int = header.multiscan

    @property
    def sampling(self) -> tuple[tuple[int, int], ...]:
        """(horizontal, vertical) per component."""
        header = self._header
        return tuple((header.h_samp[i], header.v_samp[i]) for i in range(header.num_components))

    @property
    def progressive(self) -> bool:
        return bool(self._header.progressive)

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """(high, wide) per component."""
        header = self._header
        components = range(header.num_components)
        return tuple((header.blocks_high[i], header.blocks_wide[i]) for i in components)

    @property
    def coefficient_bytes(self) -> int:
        return int(self._header.coefficient_bytes)

    @property
    def qtables(self) -> npt.NDArray[np.uint16]:
        """The tables in force at the first scan, one per component: n×8×8."""
        tables = np.frombuffer(ffi.buffer(self._header.qtables), np.uint16).reshape(-1, 8, 8)
        return tables[: self._header.num_qtables].copy()


def _probe(data: Buffer, limits: Limits, segments: Any = _NULL, capacity: int = 0) -> Any:
    found = ffi.new(_FOUND)
    source = data if type(data) is bytes else ffi.from_buffer(BYTES, data)
    if capacity and not segments:
        segments = found.segments
    if _open(source, len(source), limits_for(limits), segments, capacity, found):
        check(found.status[0], 0)
    return found


def probe(data: Buffer, limits: Limits) -> Frame:
    """Read the markers up to the first SOS."""
    return Frame(_probe(data, limits))


def probe_segments(data: Buffer, limits: Limits) -> tuple[Frame, list[Segment]]:
    """Read like `probe`, and return the places of the APPn and COM segments too."""
    found = _probe(data, limits, capacity=_FEW)
    segments, count = found.segments, found.header[0].num_segments
    if count > _FEW:
        segments = ffi.new("pyfd_segment[]", count)
        found = _probe(data, limits, segments, count)
        count = min(count, found.header[0].num_segments)  # if the data have changed
    places = ffi.buffer(segments)[: _SEGMENT.size * count]
    return Frame(found), list(_SEGMENT.iter_unpack(places))


def decode(
    data: Buffer,
    reading: Reading,
    tables: npt.NDArray[np.uint16] | None,
    out: Pixels,
    *,
    frame: Frame,
    how: Any,
    stacklevel: int,
) -> None:
    """Decode into `out`, which has the result's shape.

    `frame` is what `probe` has found with the same limits, `how` what `reading_how` returns.
    """
    found = frame.found
    source = data if type(data) is bytes else ffi.from_buffer(BYTES, data)
    pixels = ffi.from_buffer(BYTES, out, True)  # True: it must be writable
    steps, count = tables_for(tables)
    code = _decode_opened(
        found, source, len(source), limits_for(reading.limits), how,
        steps, count, pixels, len(pixels),
    )  # fmt: skip
    if interrupts:
        raise_interrupt()
    if code or not reading.strict:  # a strict call never has warnings
        check(found.status[0], stacklevel + 1)


def snap(
    data: Buffer,
    reading: Reading,
    tables: npt.NDArray[np.uint16],
    out: Pixels,
    *,
    stacklevel: int,
) -> None:
    """Decode into `out`, H×W×3, through the encoder with these tables and back."""
    status = ffi.new(STATUS)
    source = held(data)
    pixels = ffi.from_buffer(BYTES, out, True)
    lib.pyfd_snap(
        source, len(source), limits_for(reading.limits), reading_how(bool(reading.strict)),
        *tables_for(tables), pixels, len(pixels), status,
    )  # fmt: skip
    check(status, stacklevel + 1)


def read_coefficients(
    data: Buffer, reading: Reading, out: npt.NDArray[np.int16], components: int
) -> npt.NDArray[np.uint16]:
    """Fill `out` with all components' coefficients, and return their tables."""
    status = ffi.new(STATUS)
    source = held(data)
    coefficients = ffi.from_buffer("int16_t[]", out, require_writable=True)
    tables = np.zeros((lib.PYFD_MAX_COMPONENTS, 8, 8), np.uint16)
    lib.pyfd_read_coefficients(
        source, len(source), limits_for(reading.limits), reading_how(bool(reading.strict)),
        coefficients, len(coefficients),
        ffi.from_buffer(STEPS, tables, require_writable=True), status,
    )  # fmt: skip
    check(status, 2)
    return tables[:components]


def gather_statistics(data: Buffer, reading: Reading) -> npt.NDArray[np.uint64]:
    """Return a file's `STATISTICS` as ``uint64``, so that one addition adds all of them up.

    ``.view(STATISTICS)`` has the parts by name; the sums are in two's complement.
    """
    counted = ffi.new(_COUNTED)
    source = held(data)
    strict = bool(reading.strict)
    code = lib.pyfd_gather_statistics(
        source, len(source), limits_for(reading.limits), reading_how(strict),
        counted.statistics, counted.status,
    )  # fmt: skip
    if code or not strict:
        check(counted.status[0], 2)
    return np.frombuffer(ffi.buffer(counted), np.uint64, _WORDS, _STATISTICS_AT)
