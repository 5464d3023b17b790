"""Decoding of JPEG files to tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, overload

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


@overload
def decode_many(
    sources: Iterable[Source],
    qtables: QTablesLike | None = None,
    *,
    workers: int | None = None,
    errors: Literal["raise"] = "raise",
    out: Tensor | None = None,
    **options: Unpack[ReadingOptions],
) -> list[Tensor]: ...
@overload
def decode_many(
    sources: Iterable[Source],
    qtables: QTablesLike | None = None,
    *,
    workers: int | None = None,
    errors: Literal["return"],
    out: Tensor | None = None,
    **options: Unpack[ReadingOptions],
) -> list[Tensor | Exception]: ...
def decode_many(
    sources: Iterable[Source],
    qtables: QTablesLike | None = None,
    *,
    workers: int | None = None,
    errors: Literal["raise", "return"] = "raise",
    out: Tensor | None = None,
    **options: Unpack[ReadingOptions],
) -> list[Any]:
    """Decode many JPEG files to tensors, in threads.

    Args:
        sources: Files, each as `decode` takes it.
        qtables: Tables, or None for a plain decode.
        workers: As for `pyfd.decode_many`.
        errors: As for `pyfd.decode_many`.
        out: One ``uint8`` tensor N×3×H×W in the CPU's memory (N×1×H×W for "L", N×4×H×W for
            "CMYK"): image i is decoded into ``out[i]``, as `pyfd.decode_many` does it. In
            torch's channels_last memory format nothing is copied; in the contiguous one,
            each image is copied once.
        options: The other options of `decode`.

    Returns:
        The ``uint8`` tensors C×H×W, in the order of the sources; with `out`, views of it.
        With ``errors="return"``, the exception in the place of an item that fails.

    Raises:
        ValueError: `out` does not fit, or has fewer places than there are files; and what
            `pyfd.decode_many` raises.
    """
    many: Callable[..., list[Any]] = codec.decode_many
    options_of_out = {} if out is None else {"out": _array_of(out), "layout": "CHW"}
    items = many(sources, qtables, workers=workers, errors=errors, **options_of_out, **options)
    if out is None:
        return [_chw(item) if isinstance(item, np.ndarray) else item for item in items]
    return [
        place if isinstance(item, np.ndarray) else item
        for item, place in zip(items, out, strict=False)  # there may be more places
    ]


def _array_of(out: Tensor) -> Pixels:
    """Return the array that is a tensor's memory."""
    if not isinstance(out, Tensor) or out.dtype != torch.uint8:
        raise ValueError("out must be a tensor of uint8")
    if out.device.type != "cpu":
        raise ValueError(f"out must be in the CPU's memory, not on {out.device}")
    array: Pixels = out.numpy()
    return array


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
