"""Decoding of JPEG files to tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from pyfd import codec
from pyfd._core import decoding
from pyfd._core.files import Source
from pyfd._core.pixels import Pixels
from pyfd._core.reading import Reading, ReadingOptions
from pyfd.qtables import QTablesLike, as_qtables, decoder_steps

if TYPE_CHECKING:
    from typing_extensions import Unpack


def decode(
    source: Source,
    qtables: QTablesLike | None = None,
    *,
    out: Pixels | None = None,
    **options: Unpack[ReadingOptions],
) -> Tensor:
    """Decode a JPEG file to a tensor.

    Args:
        source: Bytes-like, a path, or a binary file object.
        qtables: Tables, or None for a plain decode.
        out: As for `pyfd.decode`: the array that the tensor is a view of.
        options: The other options of `pyfd.decode`.

    Returns:
        A ``uint8`` tensor C×H×W. It is a view of the decoder's H×W×C pixels, so nothing
        is copied, and a batch of such tensors is in torch's channels_last format.

    Raises:
        JPEGError: The file is corrupt, unsupported or beyond a limit.
    """
    return _chw(codec.decode(source, qtables, out=out, **options))


def decode_many(
    sources: Iterable[Source],
    qtables: QTablesLike | None = None,
    *,
    workers: int | None = None,
    errors: Literal["raise", "return"] = "raise",
    **options: Unpack[ReadingOptions],
) -> list[Any]:
    """Decode many JPEG files to tensors, in threads.

    Args:
        sources: Files, each as `decode` takes it.
        qtables: Tables, or None for a plain decode.
        workers: As for `pyfd.decode_many`.
        errors: As for `pyfd.decode_many`.
        options: The other options of `decode`.

    Returns:
        The ``uint8`` tensors C×H×W, in the order of the sources. With
        ``errors="return"``, the exception in the place of an item that fails.
    """
    items = codec.decode_many(sources, qtables, workers=workers, errors=errors, **options)
    return [_chw(item) if isinstance(item, np.ndarray) else item for item in items]


def _chw(pixels: Pixels) -> Tensor:
    tensor = torch.from_numpy(pixels)
    return tensor.permute(2, 0, 1) if tensor.dim() == 3 else tensor[None]


@dataclass(frozen=True, repr=False)
class Decode(Reading):
    """A transform from a JPEG file to a tensor: `decode` with its options set.

    It can be pickled for the workers of a `DataLoader`. The options are checked once,
    when it is made, and not in a worker.

    Args:
        qtables: Tables, or None for a plain decode.
        options: The other options of `pyfd.decode`, except `out`.

    Raises:
        TypeError: An option has a wrong type.
        ValueError: An option has a wrong value.
    """

    qtables: QTablesLike | None = field(default=None, kw_only=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.qtables is not None:
            object.__setattr__(self, "qtables", as_qtables(self.qtables))
        decoder_steps(self.qtables)

    def __call__(self, source: Source) -> Tensor:
        """Decode bytes, a path or a binary file to a ``uint8`` tensor C×H×W.

        Raises:
            JPEGError: The file is corrupt, unsupported or beyond a limit.
        """
        return _chw(decoding.decode(source, decoder_steps(self.qtables), self))

    def __repr__(self) -> str:
        defaults = {field.name: field.default for field in fields(self)}
        values = {name: getattr(self, name) for name in ("qtables", *defaults)}
        shown = [f"{name}={value!r}" for name, value in values.items() if value != defaults[name]]
        return f"Decode({', '.join(shown)})"
