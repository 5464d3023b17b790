"""Decoding and encoding many images at once, in threads."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pyfd._core import decoding, encoding
from pyfd._core.cores import worker_count
from pyfd._core.encoding import EncodingOptions
from pyfd._core.files import Source
from pyfd._core.memory import Budget
from pyfd._core.pixels import Layout, Pixels, check_layout
from pyfd._core.places import Places
from pyfd._core.reading import DEFAULT_LIMITS, ReadingOptions, reading_of
from pyfd._core.yuv import Planes
from pyfd.limits import Limits
from pyfd.qtables import (
    BASELINE_STEP,
    ENCODER_STEP,
    QTablesLike,
    decoder_steps,
    steps_within,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from typing_extensions import Unpack

__all__ = ["decode_many", "encode_many"]

# What a thread takes at once: so many small files or images
_MOST = 16
_MOST_BYTES = 1 << 18

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@overload
def decode_many(
    sources: Iterable[Source],
    qtables: QTablesLike | None = None,
    *,
    workers: int | None = None,
    errors: Literal["raise"] = "raise",
    out: Pixels | None = None,
    layout: Layout = "HWC",
    **decode_options: Unpack[ReadingOptions],
) -> list[Pixels]: ...
@overload
def decode_many(
    sources: Iterable[Source],
    qtables: QTablesLike | None = None,
    *,
    workers: int | None = None,
    errors: Literal["return"],
    out: Pixels | None = None,
    layout: Layout = "HWC",
    **decode_options: Unpack[ReadingOptions],
) -> list[Pixels | Exception]: ...
def decode_many(
    sources: Iterable[Source],
    qtables: QTablesLike | None = None,
    *,
    workers: int | None = None,
    errors: Literal["raise", "return"] = "raise",
    out: Pixels | None = None,
    layout: Layout = "HWC",
    **decode_options: Unpack[ReadingOptions],
) -> list[Any]:
    """Decode many files in threads, with the GIL released.

    Args:
        sources: Files as `pyfd.decode` takes them.
        qtables: As in `pyfd.decode`.
        workers: The number of threads; by default the number of usable cores.
            They share one `Limits.max_memory`.
        errors: "raise" raises the first failing file's exception; "return" puts
            the exception in that file's place.
        out: One ``uint8`` array for all images, N×H×W×3, N×H×W for "L" or N×H×W×4 for
            "CMYK": image i is decoded into ``out[i]``. A file of another size fails with
            a `ValueError`. There may be fewer files than places; the places left over
            keep what they hold. Each image lies in memory in C's order, and the array
            shares no memory with the sources.
        layout: The order of the axes of `out`, which is never guessed: "HWC", or "CHW"
            for N×3×H×W, N×1×H×W for "L" or N×4×H×W. Channels first take a scratch image
            for each thread, which counts for `Limits.max_memory`. If they are a view of
            channels last (N×H×W×3, transposed), the images are decoded in place.
        **decode_options: The other options of `pyfd.decode`.

    Returns:
        The arrays, in the order of the sources; with `out`, views of it. After a failure,
        the place of the file in `out` holds zeros, and nothing of the file.

    Raises:
        JPEGError: A file is corrupt, unsupported or beyond a limit.
        TypeError: `pyfd.decode` has no such option, or it has a wrong type.
        ValueError: An option has a wrong value; `out` does not fit; or there are more files
            than places, which is an error before the first file is read if `sources` has a
            length, and else once all places are filled.
    """
    reading = reading_of("decode_many", decode_options)
    tables = decoder_steps(qtables)
    budget = Budget(reading.limits.max_memory)
    files = _items(sources, "sources must be an iterable of files, not one file")
    together = decoding.in_batches(reading)

    def batches(call: Callable[[list[Any], int], list[Any]]) -> _Batches | None:
        return _Batches(call, files, _size_of_file) if together else None

    if out is None:
        check_layout(layout)
        if layout != "HWC":
            raise ValueError("layout is that of out: without out, images are H×W×C")
        return _in_threads(
            lambda source, _: decoding.decode(source, tables, reading, budget=budget),
            files,
            workers,
            errors,
            batches(lambda several, _: decoding.decode_batch(several, tables, reading, budget)),
        )
    places = Places(out, layout, reading.mode)

    def fill(source: Source, index: int) -> Pixels:
        place = places.place(index)
        try:
            decoding.decode(source, tables, reading, place=place, budget=budget)
        except BaseException:
            place.clear()
            raise
        return places[index]

    def fill_batch(several: list[bytes], index: int) -> list[Pixels | Exception]:
        own = [places.place(index + i) for i in range(len(several))]
        try:
            found = decoding.decode_batch(several, tables, reading, budget, own)
        except BaseException:
            for place in own:
                place.clear()
            raise
        for i, image in enumerate(found):
            if isinstance(image, Exception):
                own[i].clear()
            else:
                found[i] = places[index + i]
        return found

    return _in_threads(fill, places.at_most(files), workers, errors, batches(fill_batch))


@overload
def encode_many(
    images: Iterable[npt.ArrayLike | Image | Planes],
    qtables: QTablesLike,
    *,
    workers: int | None = None,
    errors: Literal["raise"] = "raise",
    limits: Limits = DEFAULT_LIMITS,
    **encode_options: Unpack[EncodingOptions],
) -> list[bytes]: ...
@overload
def encode_many(
    images: Iterable[npt.ArrayLike | Image | Planes],
    qtables: QTablesLike,
    *,
    workers: int | None = None,
    errors: Literal["return"],
    limits: Limits = DEFAULT_LIMITS,
    **encode_options: Unpack[EncodingOptions],
) -> list[bytes | Exception]: ...
def encode_many(
    images: Iterable[npt.ArrayLike | Image | Planes],
    qtables: QTablesLike,
    *,
    workers: int | None = None,
    errors: Literal["raise", "return"] = "raise",
    limits: Limits = DEFAULT_LIMITS,
    **encode_options: Unpack[EncodingOptions],
) -> list[Any]:
    """Encode many images with exactly the given tables, in threads, with the GIL released.

    Args:
        images: Images as `pyfd.encode` takes them. A generator's are taken when a thread is
            ready for them. One array of four axes is a batch of images; one of three axes is
            a batch of gray ones if ``mode="L"`` says so.
        qtables: As in `pyfd.encode`.
        workers: The number of threads; by default the number of usable cores.
        errors: "raise" raises the first failing image's exception; "return" puts the
            exception in that image's place.
        limits: Only its `max_memory` counts. The threads share it: an image waits until
            there is enough for what its encoding holds at most, beside the image itself: a
            copy in the order of the codec, if it needs one, all coefficients, if the file is
            progressive or optimized, the file, and what a radius with subsampled chroma
            takes. An image that needs more than all of it is refused.
        **encode_options: The other options of `pyfd.encode`. They are the same for all
            images, the metadata too.

    Returns:
        The files, in the order of the images.

    Raises:
        CertificateError: As in `pyfd.encode`.
        LimitExceededError: An image needs more memory than `limits` allows.
        TypeError: An image or an option has a wrong type, or `pyfd.encode` has no such
            option.
        ValueError: An image or an option is refused, as in `pyfd.encode`.
    """
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be pyfd.Limits, not {type(limits).__name__}")
    options, baseline = encoding.options_of("encode_many", encode_options)
    tables = steps_within(qtables, BASELINE_STEP if baseline else ENCODER_STEP)
    budget = Budget(limits.max_memory)
    axes = getattr(images, "ndim", None)
    if axes is not None and axes != 4 and not (axes == 3 and options.mode == "L"):
        raise ValueError(
            'one array is a batch of images if it has four axes, or three and mode="L", not '
            f"{axes}: put a single image into a list"
        )
    items = _items(images, "images must be an iterable of images, not one file")

    def size(image: object) -> int | None:
        return image.nbytes + len(options.segments) if type(image) is np.ndarray else None

    def encode_several(several: list[Pixels], _: int) -> list[bytes | Exception]:
        return encoding.encode_batch(several, tables, options, limits, budget)

    return _in_threads(
        lambda image, _: encoding.encode_within(image, tables, options, limits, budget),
        items,
        workers,
        errors,
        _Batches(encode_several, items, size) if encoding.in_batches(options) else None,
    )


# ---- threads --------------------------------------------------------------


def _items(items: Iterable[_Item], message: str) -> Iterable[_Item]:
    """Refuse a single file, which is an iterable of characters or numbers.

    Return a list as it is now: another thread may change it.
    """
    if isinstance(items, str | bytes | bytearray | memoryview | os.PathLike):
        raise TypeError(message)
    return tuple(items) if type(items) is list else items


def _size_of_file(source: object) -> int | None:
    return len(source) if type(source) is bytes else None


def _in_threads(
    call: Callable[[_Item, int], _Result],
    items: Iterable[_Item],
    workers: int | None,
    errors: str,
    batches: _Batches | None = None,
) -> list[_Result | Exception]:
    """Return what a function makes of each item and its index, in the items' order."""
    if not (isinstance(errors, str) and errors in ("raise", "return")):
        raise ValueError(f'errors must be "raise" or "return", not {errors!r}')
    workers = worker_count(workers)
    iterator = iter(items)
    first = list(itertools.islice(iterator, workers))  # no more threads than items
    threads = max(1, len(first))
    if batches:
        batches.share(threads)
    return _Work(call, itertools.chain(first, iterator), errors, batches).run(threads)


class _Batches:
    """The small items of a tuple or an array, of which a thread takes several at once.

    So there is no Python between them, and the GIL, which threads wait for, is released
    once. An item that another object gives is taken when a thread is ready for it.

    Args:
        call: A function of several items and the first one's index. It returns each
            item's result or error.
        items: The items.
        size: A function that returns an item's bytes, or None if the call does not take it.
    """

    def __init__(
        self,
        call: Callable[[list[Any], int], list[Any]],
        items: object,
        size: Callable[[object], int | None],
    ) -> None:
        self.call = call
        self._items: Any = items if type(items) in (tuple, np.ndarray) else ()
        self._size = size
        self._parts = 1

    def share(self, threads: int) -> None:
        """Leave each of several threads work until the end."""
        self._parts = 2 * threads if threads > 1 else 1

    def count(self, start: int) -> int:
        """Return how many items from `start` on to take at once: 0 for one on its own."""
        most = min(_MOST, (len(self._items) - start) // self._parts)
        left, taken = _MOST_BYTES, 0
        while taken < most:
            size = self._size(self._items[start + taken])
            if size is None or size > left:
                break
            left -= size
            taken += 1
        return taken if taken > 1 else 0


# concurrent.futures would need as much code: `Executor.map` takes all items before the first
# is done, although a generator may make them one by one. With `submit` and a bounded number
# of futures, a slow item would hold up those behind it, and a future for each takes a
# noticeable part of a thumbnail's time.
class _Work(Generic[_Item, _Result]):
    """Items for threads: each thread takes the next one when it is done with one."""

    def __init__(
        self,
        call: Callable[[_Item, int], _Result],
        items: Iterator[_Item],
        errors: str,
        batches: _Batches | None,
    ) -> None:
        self._call = call
        self._items = items
        self._batches = batches
        self._return_errors = errors == "return"
        self._lock = threading.Lock()
        self._taken = 0
        self._done: dict[int, _Result | Exception] = {}
        self._failed: dict[int, BaseException] = {}

    def run(self, workers: int) -> list[_Result | Exception]:
        """Process the items in this thread and ``workers - 1`` others.

        Return the results, or raise the first item's error.
        """
        threads = [threading.Thread(target=self._work) for _ in range(workers - 1)]
        started = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
            self._work()
            for thread in started:
                thread.join()
        except BaseException as error:  # Ctrl-C, or a thread that cannot start
            self._failed[-1] = error  # the others stop after their current item
            for thread in started:
                thread.join()
        if self._failed:
            raise self._failed[min(self._failed)]
        return [self._done[index] for index in range(self._taken)]

    def _work(self) -> None:
        while not self._failed and self._one():
            pass

    def _one(self) -> bool:
        """Process the next item, or the next small ones; return False if there is none."""
        with self._lock:  # items may come from a generator
            index = self._taken
            try:
                count = self._batches.count(index) if self._batches else 0
                item = next(self._items)
                several = [item, *itertools.islice(self._items, count - 1)] if count else []
            except StopIteration:
                return False
            except BaseException as error:
                self._failed[index] = error
                return False
            self._taken += max(1, len(several))
        results: list[_Result | Exception]
        try:
            if several and self._batches:
                results = self._batches.call(several, index)
            else:
                results = [self._call(item, index)]
        except Exception as error:
            results = [error] * max(1, len(several))
        except BaseException as error:  # KeyboardInterrupt and SystemExit are not the item's
            self._failed[index] = error
            return True
        for at, result in enumerate(results, index):
            if isinstance(result, Exception) and not self._return_errors:
                self._failed[at] = result
            else:
                self._done[at] = result
        return True
