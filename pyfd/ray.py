"""Decoding, re-quantizing and calibrating as `ray.data` operations.

The callables are for ``map_batches`` over a data set with a column "bytes", as
``ray.data.read_binary_files`` returns it. If a file is refused, only its own row lacks a
result, and the column "error" gives the reason. In all other rows "error" is "" instead
of None, because Arrow gives a column that holds only None another type.

Needs ray: the extra ``ray``.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd import calibration, codec
from pyfd._core import decoding
from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd._core.reading import DEFAULT_LIMITS, ReadingOptions, reading_of
from pyfd.calibration import FrequencyStatistics
from pyfd.errors import JPEGError, JPEGWarning
from pyfd.limits import Limits
from pyfd.qtables import QTables, QTablesLike, as_qtables, decoder_steps

try:
    import ray.data  # noqa: F401 (nothing here works without it)
except ModuleNotFoundError as error:
    raise missing("ray", "ray", module=error.name) from error

if TYPE_CHECKING:
    from ray.data import Dataset
    from typing_extensions import Unpack

#: A batch in the numpy format of ``map_batches``: each column's values by its name.
Batch: TypeAlias = dict[str, npt.NDArray[Any]]

_BLOCK = 64 << 20  # bytes of pixels that are returned together


class Decode:
    """A callable that decodes a batch's files onto defensive tables.

    It adds the columns "image" and "error"::

        dataset.map_batches(pyfd.ray.Decode("fd-cvpr2019"), batch_size=32)

    An image is ``uint8``, H×W×3, or H×W for "L"; it has no pixels (0×0×3) if the file was
    refused. Images are returned in blocks of 64 MiB, so that a batch of decompression
    bombs takes no more memory than one of them.

    Args:
        qtables: As in `pyfd.decode`; None is a plain decode.
        **options: The other options of `pyfd.decode`, except `out`. Only those modes
            are allowed to which all gray and color files can be decoded, so that the
            column has images of one kind. Damaged files cause no `JPEGWarning`.

    Raises:
        TypeError: An option has a wrong type.
        ValueError: An option has a wrong value.
    """

    def __init__(
        self,
        qtables: QTablesLike | None = None,
        **options: Unpack[ReadingOptions],
    ) -> None:
        self._reading = reading_of("Decode", options)
        mode = self._reading.mode
        if mode not in decoding.COMMON_MODES:
            allowed = ", ".join(decoding.COMMON_MODES)
            raise ValueError(f"mode must be one of {allowed} here, not {mode!r}")
        self._qtables = None if qtables is None else as_qtables(qtables)
        decoder_steps(self._qtables)
        self._refused = np.empty((0, 0) if mode == "L" else (0, 0, 3), np.uint8)

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch in one piece or more, with the images and the errors."""
        images: list[Pixels] = []
        errors: list[str] = []
        done = size = 0
        for image, error in _each(batch, self._decode, self._refused):
            images.append(image)
            errors.append(error)
            size += image.nbytes
            if size >= _BLOCK:
                yield _with(batch, done, image=images, error=errors)
                done += len(images)
                images, errors, size = [], [], 0
        if images or not done:
            yield _with(batch, done, image=images, error=errors)

    def _decode(self, data: bytes) -> Pixels:
        return decoding.decode(data, decoder_steps(self._qtables), self._reading)


class Requantize:
    """A callable that re-quantizes a batch's files into defended JPEGs.

    It replaces the column "bytes" and adds the column "error"::

        dataset.map_batches(pyfd.ray.Requantize("fd-cvpr2019"), batch_size=32)

    If a file was refused, its "bytes" are empty, so that nothing undefended passes.

    Args:
        qtables: As in `pyfd.requantize`.
        **options: The other options of `pyfd.requantize`.

    Raises:
        TypeError: `pyfd.requantize` has no such option.
        ValueError: An option has a wrong value.
    """

    def __init__(self, qtables: QTablesLike, **options: Any) -> None:
        self._qtables: QTables = as_qtables(qtables)
        self._options = options
        with suppress(JPEGError):  # a tight limit refuses the sample, but is a valid option
            self._requantize(_SAMPLE)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the re-quantized files and the errors."""
        results = list(_each(batch, self._requantize, b""))
        return _with(
            batch, 0, bytes=[data for data, _ in results], error=[error for _, error in results]
        )

    def _requantize(self, data: bytes) -> bytes:
        return codec.requantize(data, self._qtables, **self._options)


def calibrate(dataset: Dataset, *, limits: Limits = DEFAULT_LIMITS) -> FrequencyStatistics:
    """Measure the statistics of `pyfd.calibrate` over a data set with a column "bytes".

    The numbers do not depend on how the work is split.

    Args:
        dataset: The files' bytes in the column "bytes", and optionally their names in a
            column "path".
        limits: The limits on each file.

    Returns:
        The statistics. `FrequencyStatistics.failures` names the files that were left
        out by their path, or else by the SHA-256 of their bytes.

    Raises:
        ValueError: No file could be read.
    """
    total = FrequencyStatistics()
    for row in dataset.map_batches(_Gather(limits)).iter_rows():
        total = total.merge(pickle.loads(row["statistics"]))
    return calibration.with_images(total)


class _Gather:
    """A callable that returns a batch's statistics as one row."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __call__(self, batch: Batch) -> Batch:
        files = [_checked(data) for data in _files(batch)]
        paths = batch.get("path", [None] * len(files))
        names = (path or _digest(data) for path, data in zip(paths, files, strict=True))
        found = calibration.gather(zip(files, map(str, names), strict=True), 1, self._limits)
        return {"statistics": _objects([pickle.dumps(found)])}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


# ---- batches ---------------------------------------------------------------


def _files(batch: Batch) -> Iterable[object]:
    if not isinstance(batch, Mapping):
        raise TypeError(f"a batch must be in numpy's format, not {type(batch).__name__}")
    if "bytes" not in batch:
        raise ValueError(f'there is no column "bytes", only {", ".join(batch) or "none"}')
    return batch["bytes"]


def _checked(data: object) -> bytes:
    """Return a file's bytes, or b"" for none; refuse a name, which the codec would open."""
    if data is None or data != data:  # numpy may have NaN for Arrow's null
        return b""
    if not isinstance(data, bytes):
        raise TypeError(f'the column "bytes" must hold bytes, not {type(data).__name__}')
    return data


def _each(batch: Batch, work: Callable[[bytes], Any], refused: Any) -> Iterator[tuple[Any, str]]:
    """Yield each file's result and "", or `refused` and an error of this or an earlier step."""
    files = list(_files(batch))
    earlier = batch.get("error", [""] * len(files))
    for file, error in zip(files, earlier, strict=True):
        data = _checked(file)
        if isinstance(error, str) and error:
            yield refused, error
        else:
            yield _result(data, work, refused) if data else (refused, "no bytes")


def _result(data: bytes, work: Callable[[bytes], Any], refused: Any) -> tuple[Any, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JPEGWarning)
            return work(data), ""
    except (ValueError, MemoryError) as error:
        return refused, str(error) or type(error).__name__


def _with(batch: Batch, start: int, **columns: list[Any]) -> Batch:
    """Return the batch's rows from `start`, as many as `columns` have, with these columns."""
    end = start + len(columns["error"])
    rows = {name: values[start:end] for name, values in batch.items()}
    return {**rows, **{name: _objects(values) for name, values in columns.items()}}


def _objects(values: list[Any]) -> npt.NDArray[np.object_]:
    """Return a column of objects, because numpy would stack arrays and strip zeros from bytes."""
    column = np.empty(len(values), object)
    for place, value in enumerate(values):
        column[place] = value
    return column


#: A file for trying options: options that fail here would fail for every file.
_SAMPLE = codec.encode(np.zeros((8, 8, 3), np.uint8), "fd-cvpr2019")
