"""The defence for Pillow: `Image.open` decodes every JPEG onto the tables.

Needs Pillow: the extra ``pillow``. After this module is imported,
``Image.save(..., "JPEG", qtables=...)`` also takes pyfd's presets, `pyfd.QTables` and
arrays. Each refused file is a warning of the logger "pyfd".
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from pyfd._core import binding, decoding, pillow_header
from pyfd._core.extras import missing
from pyfd._core.reading import Reading, SafetyOptions, reading_of
from pyfd._core.refusals import log_refusal
from pyfd.errors import CorruptJPEGError, JPEGError, LimitExceededError
from pyfd.limits import Limits
from pyfd.qtables import (
    BASELINE_STEP,
    PRESETS,
    QTables,
    QTablesLike,
    as_qtables,
    decoder_steps,
    steps_within,
)

try:
    from PIL import Image, ImageFile, JpegImagePlugin, MpoImagePlugin, UnidentifiedImageError
except ModuleNotFoundError as error:
    raise missing("Pillow", "pillow", module=error.name) from error

if TYPE_CHECKING:
    from types import FrameType

    from typing_extensions import Unpack

    _Base = JpegImagePlugin.JpegImageFile
else:
    _Base = object

#: Bytes of a file that are read at first, to check its header.
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class _Defence:
    """The arguments of `register`, which an opened image keeps."""

    qtables: QTables
    reading: Reading


def _defence(caller: str, qtables: QTablesLike, options: SafetyOptions) -> _Defence:
    tables = as_qtables(qtables)
    decoder_steps(tables)
    return _Defence(tables, reading_of(caller, options, SafetyOptions))


# ---- reading ----------------------------------------------------------------


def _open(defence: _Defence, fp: IO[bytes], filename: str | bytes = "") -> ImageFile.ImageFile:
    """Open a file that starts like a JPEG; Pillow calls this."""
    try:
        _check_header(fp, defence.reading.limits)
    except JPEGError as error:
        # A SyntaxError would make Pillow try its other plugins
        text = f"cannot identify image file {filename or fp!r}: {error}"
        raise _refusal(error, UnidentifiedImageError(text), filename or fp) from error
    fp.seek(0)
    image = JpegImagePlugin.jpeg_factory(fp, filename)
    several = isinstance(image, MpoImagePlugin.MpoImageFile)
    image.__class__ = MpoImageFile if several else JpegImageFile
    cast(JpegImageFile, image)._defence = defence
    return image


def _refusal(error: ValueError, otherwise: OSError, file: object) -> Exception:
    """Log a refusal; return `otherwise`, or what Pillow's users expect for an exceeded limit."""
    exceeded = isinstance(error, LimitExceededError)
    if exceeded or not _in_parser():
        log_refusal("pillow", error, getattr(file, "name", file))
    return Image.DecompressionBombError(str(error)) if exceeded else otherwise


def _in_parser() -> bool:
    """Return whether `ImageFile.Parser.feed` has called.

    It opens what it has of a file anew with each piece, and takes `OSError` for "not enough yet".
    """
    frame: FrameType | None = sys._getframe()
    while frame and frame.f_code is not ImageFile.Parser.feed.__code__:
        frame = frame.f_back
    return frame is not None


def _check_header(fp: IO[bytes], limits: Limits) -> None:
    """Refuse a header that pyfd refuses, or that would keep Pillow busy; read little of it."""
    data = b""
    while True:
        chunk = fp.read(min(max(_CHUNK, len(data)), limits.max_bytes + 1 - len(data)))
        data += chunk
        try:
            binding.probe(data, limits)
            break
        except CorruptJPEGError:
            if not chunk:  # the file has ended, so more bytes cannot help
                raise
    pillow_header.check(data)


class _Decoder(ImageFile.PyDecoder):
    """A Pillow decoder that calls `pyfd.decode`."""

    _pulls_fd = True

    def decode(self, buffer: object) -> tuple[int, int]:  # noqa: ARG002
        defence, *config = self.args
        scale: Any = config[0] if config else 1  # set by `draft`
        assert self.fd is not None
        try:
            reading = replace(defence.reading, mode=cast(Any, self.mode), scale=scale)
            pixels = decoding.decode(cast(Any, self.fd), decoder_steps(defence.qtables), reading)
        except ValueError as error:  # a JPEGError, or a conversion that libjpeg lacks
            raise _refusal(error, OSError(str(error)), self.fd) from error
        if pixels.shape[1::-1] != (self.state.xsize, self.state.ysize):
            changed = ValueError("the image's size has changed since the file was opened")
            raise _refusal(changed, OSError(str(changed)), self.fd)
        self.set_as_raw(cast(bytes, pixels.data))
        return -1, 0


class _Defended(_Base):
    """A mixin for Pillow's classes: everything that they decode goes to our decoder."""

    _defence: _Defence

    def load(self) -> Any:
        """Decode the file onto the tables, at the first call.

        Raises:
            OSError: The file is corrupt or unsupported.
            PIL.Image.DecompressionBombError: The file exceeds a limit.
        """
        # Set here, so that neither draft() nor seek() can bypass it
        self.tile = [
            ("pyfd", extents, offset, (self._defence,))  # type: ignore[misc] # as in Pillow 10
            for _, extents, offset, _ in self.tile
        ]
        return super().load()


class JpegImageFile(_Defended, JpegImagePlugin.JpegImageFile):
    """A JPEG file that is decoded onto defensive tables; `register` makes Pillow use it."""


class MpoImageFile(_Defended, MpoImagePlugin.MpoImageFile):
    """A file of several JPEGs, each of which is decoded onto defensive tables."""

    def seek(self, frame: int) -> None:
        """Seek to a frame; the first is number 0.

        Raises:
            EOFError: There is no such frame.
            OSError: The frame is corrupt or unsupported.
            ValueError: The file ends before the frame.
            PIL.Image.DecompressionBombError: The frame exceeds a limit.
        """
        if not self._seek_check(frame):
            return
        file = cast("IO[bytes]", self._fp)
        file.seek(self._MpoImageFile__mpoffsets[frame])  # type: ignore[attr-defined] # Pillow's
        if file.read(1):  # at the end of the file, Pillow raises its own error
            file.seek(-1, os.SEEK_CUR)
            try:
                _check_header(file, self._defence.reading.limits)
            except JPEGError as error:
                raise _refusal(error, OSError(f"frame {frame}: {error}"), file) from error
        super().seek(frame)


# ---- on and off -------------------------------------------------------------

_lock = threading.Lock()
_before: Any = None  # Pillow's own functions for JPEGs, while ours are in their place
_registered: _Defence | None = None
_entered: list[_Defence] = []


def _install() -> None:
    """Register the defence that is in force with Pillow, or Pillow's own functions."""
    global _before
    defence = _entered[-1] if _entered else _registered
    if defence is not None:
        _before = _before or Image.OPEN["JPEG"]
        Image.register_open("JPEG", functools.partial(_open, defence), _before[1])
    elif _before is not None:
        Image.OPEN["JPEG"], _before = _before, None


def register(qtables: QTablesLike, **options: Unpack[SafetyOptions]) -> None:
    """Make `Image.open` decode every JPEG onto the tables, in all threads of the process.

    An image keeps the defence that was registered when it was opened. Registering again
    replaces tables, limits and strictness. A process that is started with "spawn" or
    "forkserver" has nothing registered.

    Args:
        qtables: Tables with steps of 1...32767.
        options: `limits` and `strict`, as in `pyfd.decode`. For a file that exceeds a
            limit, `Image.open` or `load` raises `PIL.Image.DecompressionBombError`; for a
            damaged one, unless ``strict=False``, `OSError`.
            ``ImageFile.LOAD_TRUNCATED_IMAGES`` has no effect.

    Raises:
        TypeError: The tables or an option have a wrong type, or there is no such option.
        ValueError: A step is out of range, or there is no such preset.
    """
    global _registered
    defence = _defence("register", qtables, options)
    with _lock:
        _registered = defence
        _install()


def unregister() -> None:
    """Undo `register`: Pillow's own decoder reads the JPEGs that are opened from now on.

    It has no effect if nothing is registered, nor on a `defended` block that is running.
    """
    global _registered
    with _lock:
        _registered = None
        _install()


@contextmanager
def defended(qtables: QTablesLike, **options: Unpack[SafetyOptions]) -> Iterator[None]:
    """Register a defence for a ``with`` block: images opened in it get the tables.

    It applies to all threads of the process. When several blocks are running, nested or
    in different threads, the last one entered is in force; when none is, the registered
    defence is.

    Args:
        qtables: As in `register`.
        options: As in `register`.

    Raises:
        TypeError: As in `register`.
        ValueError: As in `register`.
    """
    defence = _defence("defended", qtables, options)
    with _lock:
        _entered.append(defence)
        _install()
    try:
        yield
    finally:
        with _lock:
            _entered.remove(defence)
            _install()


# ---- writing ----------------------------------------------------------------

_Save: TypeAlias = "Callable[[Image.Image, IO[bytes], str | bytes], None]"


def _saving(pillows: _Save) -> _Save:
    """Wrap a Pillow writer, so that it gets the steps of tables that it does not know."""

    def save(image: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
        qtables: Any = image.encoderinfo.get("qtables")
        known = isinstance(qtables, str) and qtables in PRESETS
        if known or isinstance(qtables, QTables | np.ndarray):  # Pillow ignores these types
            image.encoderinfo = _with_steps(image.encoderinfo, as_qtables(qtables))
        pillows(image, fp, filename)

    return save


def _with_steps(options: dict[str, Any], qtables: QTables) -> dict[str, Any]:
    steps = steps_within(qtables, BASELINE_STEP)
    quality = options.get("quality", -1)
    if isinstance(quality, str):
        raise ValueError(
            f"quality={quality!r} has tables of its own: give either quality or qtables"
        )
    # Any quality that is given, even Pillow's default, would rescale the tables
    rest = {name: value for name, value in options.items() if name != "quality"}
    return {**rest, "qtables": steps.reshape(-1, 64).tolist()}


Image.register_decoder("pyfd", _Decoder)
Image.register_save("JPEG", _saving(Image.SAVE["JPEG"]))
Image.register_save("MPO", _saving(Image.SAVE["MPO"]))
Image.register_save_all("MPO", _saving(Image.SAVE_ALL["MPO"]))
