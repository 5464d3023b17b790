"""Decoding of JPEG files to tensors."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pyfd import codec
from pyfd._core.files import Source
from pyfd._core.pixels import Pixels
from pyfd.codec import Mode
from pyfd.errors import CorruptJPEGError
from pyfd.limits import Limits
from pyfd.qtables import QTablesLike, as_qtables

_DEFAULT_LIMITS = Limits()


def decode(source: Source, qtables: QTablesLike | None = None, **options: Any) -> Tensor:
    """Decode a JPEG file to a tensor.

    Args:
        source: Bytes-like, a path, or a binary file object.
        qtables: Tables, or None for a plain decode.
        options: The other options of `pyfd.decode`.

    Returns:
        A ``uint8`` tensor C×H×W. It is a view of the decoder's H×W×C pixels, so nothing
        is copied, and a batch of such tensors is in torch's channels_last format.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
    """
    return _chw(codec.decode(source, qtables, **options))


def decode_many(
    sources: Iterable[Source], qtables: QTablesLike | None = None, **options: Any
) -> list[Any]:
    """Decode many JPEG files to tensors, in threads.

    Args:
        sources: Files, each as `decode` takes it.
        qtables: Tables, or None for a plain decode.
        options: The other options of `pyfd.decode_many`.

    Returns:
        The ``uint8`` tensors C×H×W, in the order of the sources. With
        ``errors="return"``, the exception in the place of an item that fails.
    """
    items = codec.decode_many(sources, qtables, **options)
    return [_chw(item) if isinstance(item, np.ndarray) else item for item in items]


def _chw(pixels: Pixels) -> Tensor:
    tensor = torch.from_numpy(pixels)
    return tensor.permute(2, 0, 1) if tensor.dim() == 3 else tensor[None]


@dataclass(frozen=True)
class Decode:
    """A transform from a JPEG file to a tensor: `decode` with its options set.

    It can be pickled, so that the workers of a `DataLoader` can have it. The options are
    checked here, once, and not in a worker.

    Args:
        qtables: Tables, or None for a plain decode.
        mode: As in `pyfd.decode`.
        scale: 1, 2, 4 or 8 divides the size.
        strict: Refuse a file that makes the decoder warn.
        limits: The limits on each file.

    Raises:
        TypeError: An option has a wrong type.
        ValueError: An option has a wrong value.
    """

    qtables: QTablesLike | None = None
    _: KW_ONLY
    mode: Mode | None = "RGB"
    scale: Literal[1, 2, 4, 8] = 1
    strict: bool = True
    limits: Limits = _DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if self.qtables is not None:
            object.__setattr__(self, "qtables", as_qtables(self.qtables))
        with suppress(CorruptJPEGError):
            self(b"")  # the decoder checks its options first, and then the file

    def __call__(self, source: Source) -> Tensor:
        """Decode bytes, a path or a binary file to a ``uint8`` tensor C×H×W.

        Raises:
            JPEGError: The file is corrupt, unsupported or beyond a limit.
        """
        return decode(
            source,
            self.qtables,
            mode=self.mode,
            scale=self.scale,
            strict=self.strict,
            limits=self.limits,
        )

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        defaults = {field.name: field.default for field in fields(self)}
        shown = [f"{name}={value!r}" for name, value in values.items() if value != defaults[name]]
        return f"Decode({', '.join(shown)})"
