"""The places of a batch: one array that many files are decoded into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

import numpy as np

from pyfd._core.files import Buffer
from pyfd._core.pixels import Layout, Pixels, check_layout
from pyfd._core.reading import Mode

_Source = TypeVar("_Source")

_CHANNELS: dict[Mode | None, tuple[int, ...]] = {"L": (1,), "CMYK": (4,), None: (1, 3, 4)}


class Place:
    """A place of a batch, while a file is decoded into it."""

    def __init__(self, view: Pixels, whole: Pixels) -> None:
        self._view = view  # H×W×C or, for grayscale, H×W, with any strides
        self._whole = whole
        self._direct = view.flags.c_contiguous

    @property
    def scratch(self) -> int:
        """The bytes of the image that C decodes into, if that cannot be the place itself."""
        return 0 if self._direct else self._view.size

    def pixels(self, shape: tuple[int, ...], data: Buffer) -> Pixels:
        """Return the memory for an image of this shape.

        Raises:
            ValueError: The place has another shape, or the file's bytes lie in the batch.
        """
        if shape != self._view.shape:
            raise ValueError(
                f"the image has the shape {shape}, and the places of out have {self._view.shape}"
            )
        if np.may_share_memory(self._whole, np.frombuffer(data, np.uint8)):
            raise ValueError("out must not share memory with the source")
        return self._view if self._direct else np.empty(shape, np.uint8)

    def keep(self, pixels: Pixels) -> None:
        """Copy the decoded pixels to the place, if they are not there."""
        if not self._direct:
            for channel in range(pixels.shape[2]):  # faster than all of them at once
                self._view[:, :, channel] = pixels[:, :, channel]

    def clear(self) -> None:
        """Leave nothing of an image that failed."""
        self._view[...] = 0


class Places:
    """The places of a batch.

    Args:
        out: The array, N×H×W×C or, for grayscale, N×H×W; with the layout "CHW" N×C×H×W.
        layout: The order of an image's axes.
        mode: The color of the images, or None if each has its own.

    Raises:
        ValueError: The array has another shape or dtype, or its images do not lie in memory
            as the codec or the layout has them.
    """

    def __init__(self, out: Pixels, layout: Layout, mode: Mode | None) -> None:
        check_layout(layout)
        if not isinstance(out, np.ndarray) or out.dtype != np.uint8:
            raise ValueError("out must be an array of uint8")
        if not out.flags.writeable:
            raise ValueError("out must be writable")
        _check_shape(out.shape, layout, mode)
        self._out = out
        self._layout = layout
        if len(out) and not _is_whole(out[0], layout):
            other = ", or in that of H×W×C" if layout == "CHW" else ""
            raise ValueError(f"each image of out must lie in memory in C's order{other}")
        if len(out) > 1 and abs(out.strides[0]) < out[0].nbytes:
            raise ValueError("the images of out must not overlap")

    def __getitem__(self, index: int) -> Pixels:
        """Return an image of the array, in its layout."""
        image: Pixels = self._out[index]
        return image

    def place(self, index: int) -> Place:
        """Return the place of a file."""
        return Place(_as_decoded(self[index], self._layout), self._out)

    def at_most(self, sources: Iterable[_Source]) -> Iterator[_Source]:
        """Return the sources, of which no more may come than there are places.

        Raises:
            ValueError: There are more. If the sources have a length, it is raised at once.
        """
        count = len(self._out)
        if isinstance(sources, Sized) and len(sources) > count:
            raise ValueError(f"out has {count} places, and there are {len(sources)} files")
        return self._counted(sources)

    def _counted(self, sources: Iterable[_Source]) -> Iterator[_Source]:
        for index, source in enumerate(sources):
            if index == len(self._out):
                raise ValueError(f"out has {index} places, and there are more files")
            yield source


def _check_shape(shape: tuple[int, ...], layout: Layout, mode: Mode | None) -> None:
    channels = _CHANNELS.get(mode, (3,))
    if layout == "CHW":
        fits = len(shape) == 4 and shape[1] in channels
        forms = [f"N×{count}×H×W" for count in channels]
    else:
        fits = (len(shape) == 3 and 1 in channels) or (
            len(shape) == 4 and shape[3] in channels and shape[3] > 1
        )
        forms = ["N×H×W" if count == 1 else f"N×H×W×{count}" for count in channels]
    if fits:
        return
    other = 3 if layout == "CHW" else 1
    hint = ""
    if len(shape) == 4 and shape[other] in channels:
        hint = f': did you mean layout="{"HWC" if layout == "CHW" else "CHW"}"?'
    raise ValueError(
        f'with mode={mode!r} and layout="{layout}", out must be {" or ".join(forms)}, '
        f"not {shape}{hint}"
    )


def _is_whole(image: Pixels, layout: Layout) -> bool:
    return image.flags.c_contiguous or _as_decoded(image, layout).flags.c_contiguous


def _as_decoded(image: Pixels, layout: Layout) -> Pixels:
    """Return a view of an image as `pyfd.decode` gives images."""
    if layout == "HWC":
        return image
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)
