"""Statistics of DCT coefficients over a data set, from which tables are designed."""

from __future__ import annotations

import hashlib
import json
import math
import operator
import os
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._core import bands, binding, text_files
from pyfd._core.arithmetic import DCT, YCBCR
from pyfd._core.cores import worker_count
from pyfd._core.files import Source, read_source
from pyfd._core.memory import Budget, check_memory
from pyfd._core.pixels import Pixels, pixels_of
from pyfd._core.progress import bar
from pyfd._core.reading import Reading
from pyfd._core.writing import write_file
from pyfd.limits import Limits
from pyfd.qtables import QTables

if TYPE_CHECKING:
    from PIL.Image import Image

#: A source of `calibrate`: a JPEG file, or pixels as `pyfd.encode` takes them.
Sample: TypeAlias = "Source | Pixels | Image"

_COMPONENTS = 3
_FORMAT = "pyfd-statistics"
# Sums are integers, in units of 2**-40: they are exact for files, whose coefficients are
# integers, and do not depend on the order of addition.
_SCALE_BITS = 40
_UNIT = 1 << _SCALE_BITS
_MOST_COEFFICIENT = 32767
_MOST_BLOCKS = (1 << 63) - 1  # far beyond any data set
_MOST_BYTES = 64 << 20  # of a statistics file, which names every source that was left out
_QUEUED = 4  # sources per worker that are read ahead
_FLUSHED = 1 << 30  # blocks after which 64-bit sums are added to Python's integers

_Integers: TypeAlias = tuple[int, ...]
_Blocks: TypeAlias = tuple[int, int, int]
_ZEROS: _Integers = (0,) * (_COMPONENTS * 64)


@dataclass(frozen=True)
class FrequencyStatistics:
    """The mean and standard deviation of DCT coefficients per frequency, for Y, Cb and Cr.

    Coefficients are on the unquantized scale: those of a file are its quantized
    coefficients times its steps, clamped to ±32767. The sums are integers, so the result
    does not depend on the order in which files are counted or statistics are merged.
    """

    sums: _Integers = _ZEROS
    """The sums of coefficients in units of 2**-40: Y, Cb, Cr, each in natural order."""
    squares: _Integers = _ZEROS
    """The sums of their squares, in the same units and order."""
    blocks: _Blocks = (0, 0, 0)
    """The number of 8×8 blocks of Y, Cb and Cr."""
    images: int = 0
    """The number of images."""
    failures: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The reason for each source that was left out, by its name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "failures", MappingProxyType(dict(self.failures)))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy cannot be pickled
        fields = (self.sums, self.squares, self.blocks, self.images, dict(self.failures))
        return FrequencyStatistics, fields

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """The mean coefficients, 3×8×8; NaN for a component without blocks."""
        return self._per_frequency(lambda total, _, n: total / n)

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """The standard deviations δ of the population, 3×8×8; NaN without blocks.

        The larger δ is, the more a network relies on that frequency (Liu et al., CVPR 2019).
        """

        def deviation(total: int, square: int, n: int) -> float:
            # n·Σx² − (Σx)² in integers, so that nothing cancels
            spread = n * (square * _UNIT) - total * total
            return math.sqrt(max(spread, 0)) / n

        return self._per_frequency(deviation)

    def _per_frequency(self, formula: Any) -> npt.NDArray[np.float64]:
        unit = float(_UNIT)
        values = [
            formula(total, square, self.blocks[i // 64]) / unit if self.blocks[i // 64] else np.nan
            for i, (total, square) in enumerate(zip(self.sums, self.squares, strict=True))
        ]
        return np.array(values).reshape(_COMPONENTS, 8, 8)

    @property
    def digest(self) -> str:
        """A short name that identifies these numbers, for the origin in a table file."""
        text = repr((self.sums, self.squares, self.blocks, self.images))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def merge(self, other: FrequencyStatistics) -> FrequencyStatistics:
        """Return the exact statistics of both data sets together."""
        first, second, third = (a + b for a, b in zip(self.blocks, other.blocks, strict=True))
        return FrequencyStatistics(
            sums=tuple(map(operator.add, self.sums, other.sums)),
            squares=tuple(map(operator.add, self.squares, other.squares)),
            blocks=(first, second, third),
            images=self.images + other.images,
            failures={**self.failures, **other.failures},
        )

    def two_band(self, *, step: int, protected_step: int, protected: int) -> QTables:
        """Return tables with a fine step for the frequencies with the largest deviations.

        There is one table for each component that has blocks.

        Args:
            step: The step of the other frequencies.
            protected_step: The step of the protected frequencies.
            protected: The number of protected frequencies of each table, 0...64.

        Raises:
            ValueError: An argument is out of range, or there are no blocks.
        """
        importance = bands.counted(self.std)
        tables = QTables.two_band(
            importance, step=step, protected_step=protected_step, protected=protected
        )
        origin = {**(tables.origin or {}), "statistics": self.digest}
        return QTables(tables.array, name=tables.name, origin=origin)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the exact sums to a JSON file, so that they can be merged after `load`.

        Raises:
            OSError: The file cannot be written.
        """
        write_file(path, self.to_json().encode())

    def to_json(self) -> str:
        """Return the content of the file that `save` writes."""
        content = {
            "format": _FORMAT,
            "version": 1,
            "unit_bits": _SCALE_BITS,
            "images": self.images,
            "blocks": self.blocks,
            "sums": self.sums,
            "squares": self.squares,
            "failures": dict(self.failures),
            "mean": _without_nan(self.mean),
            "std": _without_nan(self.std),
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FrequencyStatistics:
        """Read a file that `save` wrote.

        Raises:
            ValueError: The file is not a statistics file, is not a regular file or larger
                than 64 MiB, or its numbers cannot be those of a data set.
            OSError: The file cannot be read.
        """
        content = text_files.read_json(path, _MOST_BYTES, "a statistics file")
        try:
            return cls(*_fields(content))
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)} is not a statistics file: {error}") from error


def _without_nan(values: npt.NDArray[np.float64]) -> list[Any]:
    """Return each component's 8×8 numbers, or None without blocks, because JSON has no NaN."""
    return [None if np.isnan(table).any() else table.tolist() for table in values]


def _fields(content: Any) -> tuple[_Integers, _Integers, _Blocks, int, dict[str, str]]:
    """Return the fields of a statistics file, checked, in the order of the class."""
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f'no "format": "{_FORMAT}"')
    for key, value in (("version", 1), ("unit_bits", _SCALE_BITS)):
        if content.get(key) != value:
            raise ValueError(f"{key} must be {value}, not {reprlib.repr(content.get(key))}")
    blocks = _integers("blocks", content.get("blocks"), _COMPONENTS, least=0, most=_MOST_BLOCKS)
    (images,) = _integers("images", [content.get("images")], 1, least=0, most=blocks[0])
    sums, squares = [], []
    for i, count in enumerate(blocks):  # each coefficient is clamped to ±32767
        place = slice(64 * i, 64 * i + 64)
        most = count * _MOST_COEFFICIENT * _UNIT
        sums += _integers("sums", _part(content, "sums", place), 64, least=-most, most=most)
        most *= _MOST_COEFFICIENT
        squares += _integers("squares", _part(content, "squares", place), 64, least=0, most=most)
    failures = content.get("failures", {})
    if not isinstance(failures, dict) or not all(type(why) is str for why in failures.values()):
        raise ValueError("failures must be an object of texts")
    first, second, third = blocks
    return tuple(sums), tuple(squares), (first, second, third), images, failures


def _part(content: Mapping[str, Any], key: str, place: slice) -> Any:
    values = content.get(key)
    if not isinstance(values, list) or len(values) != _COMPONENTS * 64:
        raise ValueError(f"{key} must be {_COMPONENTS * 64} integers")
    return values[place]


def _integers(key: str, values: Any, count: int, *, least: int, most: int) -> list[int]:
    right = isinstance(values, list) and len(values) == count
    if not right or any(type(value) is not int for value in values):
        raise ValueError(f"{key} must be {count} integers")
    wrong = next((value for value in values if not least <= value <= most), None)
    if wrong is not None:
        raise ValueError(f"{key} must be in {least}...{most}, not {wrong}")
    return list(values)


# ---- one source ------------------------------------------------------------


class _FileSums(NamedTuple):
    """The sums that C gathers over one or more files, exact up to 2**33 blocks."""

    counts: npt.NDArray[np.uint64]
    """The sums in the form that `binding.gather_statistics` returns."""
    images: int

    def plus(self, other: _FileSums) -> _FileSums:
        return _FileSums(self.counts + other.counts, self.images + other.images)

    def statistics(self) -> FrequencyStatistics:
        (counted,) = self.counts.view(binding.STATISTICS)
        first, second, third = counted["blocks"].tolist()
        return FrequencyStatistics(
            sums=tuple(map(_UNIT.__mul__, counted["sums"].ravel().tolist())),
            squares=tuple(map(_UNIT.__mul__, counted["squares"].ravel().tolist())),
            blocks=(first, second, third),
            images=self.images,
        )


_NO_FILES = _FileSums(np.zeros(1, binding.STATISTICS).view(np.uint64), 0)


def _of_file(source: Source, reading: Reading, budget: Budget) -> _FileSums:
    data = read_source(source, reading.limits)
    frame = binding.probe(data, reading.limits)
    held = frame.coefficient_bytes + len(data) if frame.multiscan else 0
    check_memory(reading.limits, held)
    with budget.lend(held):
        return _FileSums(binding.gather_statistics(data, reading), 1)


def _of_pixels(image: npt.ArrayLike | Image) -> FrequencyStatistics:
    pixels = pixels_of(image).astype(np.float64)
    planes = [pixels - 128] if pixels.ndim == 2 else list(np.moveaxis(pixels @ YCBCR.T, 2, 0))
    if len(planes) == _COMPONENTS:
        planes[0] -= 128
    sums, squares = [0] * len(_ZEROS), [0] * len(_ZEROS)
    blocks = [0] * _COMPONENTS
    for i, plane in enumerate(planes):
        coefficients = _dct(plane)
        blocks[i] = len(coefficients)
        place = slice(64 * i, 64 * i + 64)
        sums[place] = _to_units(coefficients.sum(axis=0))
        squares[place] = _to_units((coefficients**2).sum(axis=0))
    first, second, third = blocks
    return FrequencyStatistics(tuple(sums), tuple(squares), (first, second, third), 1)


def _dct(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the coefficients of a plane's blocks (blocks, 8, 8); edges are replicated."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % 8), (0, -width % 8)), mode="edge")
    high, wide = padded.shape[0] // 8, padded.shape[1] // 8
    blocks = padded.reshape(high, 8, wide, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    coefficients: npt.NDArray[np.float64] = DCT @ blocks @ DCT.T
    return coefficients


def _to_units(values: npt.NDArray[np.float64]) -> list[int]:
    return [round(value * _UNIT) for value in values.ravel().tolist()]


# ---- all sources -----------------------------------------------------------


def _is_pixels(source: object) -> bool:
    if isinstance(source, np.ndarray):
        return source.ndim > 1
    return hasattr(source, "__array_interface__")


def _name(source: object, number: int) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    return str(getattr(source, "name", None) or f"source {number}")


def calibrate(
    sources: Iterable[Sample],
    *,
    workers: int | None = None,
    progress: bool = False,
    limits: Limits | None = None,
) -> FrequencyStatistics:
    """Measure the mean and standard deviation of DCT coefficients over files and arrays.

    JPEG files are read in the coefficient domain, block by block, and never decoded to
    pixels; arrays and PIL images go through a forward DCT. One pass over the sources is
    enough, in constant memory.

    Args:
        sources: JPEG files (bytes-like, paths, binary files), ``uint8`` arrays
            H×W or H×W×3 (RGB), or PIL images of mode "L" or "RGB".
        workers: The number of threads; by default the number of usable cores. They share
            one `Limits.max_memory`.
        progress: Show a progress bar on stderr (needs tqdm).
        limits: The limits on each file.

    Returns:
        The statistics. Grayscale images count for Y only. Damaged files, and
        files that are neither grayscale nor YCbCr, are left out and named in
        `FrequencyStatistics.failures`.

    Raises:
        TypeError: `sources` is a single file, or `workers` is not a whole number.
        ValueError: No source could be read, or `workers` is less than 1.
        ImportError: `progress` is true, and tqdm is missing.
    """
    count = worker_count(workers)
    bounds = Limits() if limits is None else limits
    if isinstance(sources, str | bytes | os.PathLike):
        raise TypeError("sources must be an iterable of files or arrays, not one file")
    named = (
        (source, _name(source, number))
        for number, source in enumerate(_with_progress(sources, progress))
    )
    return with_images(gather(named, count, bounds))


def gather(
    named: Iterable[tuple[Sample, str]], workers: int, limits: Limits
) -> FrequencyStatistics:
    """Return the statistics of named sources, read in threads; they may be without images.

    Args:
        named: Sources and their names.
        workers: The number of threads.
        limits: The limits on each file.
    """
    reading = Reading(limits=limits)
    total, files = FrequencyStatistics(), _NO_FILES
    for part in _each(named, workers, reading):
        if isinstance(part, FrequencyStatistics):
            total = total.merge(part)
        else:
            files = files.plus(part)
            if files.counts[binding.Y_BLOCKS] > _FLUSHED:
                total, files = total.merge(files.statistics()), _NO_FILES
    return total.merge(files.statistics())


def with_images(total: FrequencyStatistics) -> FrequencyStatistics:
    """Return the statistics if they include an image.

    Raises:
        ValueError: They include none; the message gives the first failures.
    """
    if not total.images:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(total.failures.items())[:3])
        raise ValueError(f"no source could be read ({reasons or 'there are none'})")
    return total


def _one(
    source: Any, name: str, reading: Reading, budget: Budget
) -> FrequencyStatistics | _FileSums:
    try:
        return _of_pixels(source) if _is_pixels(source) else _of_file(source, reading, budget)
    except (ValueError, OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return FrequencyStatistics(failures={name: reason})


def _each(
    named: Iterable[tuple[Any, str]], workers: int, reading: Reading
) -> Iterator[FrequencyStatistics | _FileSums]:
    """Yield each source's statistics when they are ready, with few sources in memory."""
    budget = Budget(reading.limits.max_memory)
    if workers == 1:
        yield from (_one(source, name, reading, budget) for source, name in named)
        return
    pending: set[Future[FrequencyStatistics | _FileSums]] = set()
    with ThreadPoolExecutor(workers) as pool:
        for source, name in named:
            pending.add(pool.submit(_one, source, name, reading, budget))
            if len(pending) >= workers * _QUEUED:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in pending)


def _with_progress(sources: Iterable[Any], progress: bool) -> Iterable[Any]:
    if not progress:
        return sources
    return bar(sources, unit="file")
