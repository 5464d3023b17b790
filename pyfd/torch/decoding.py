"""JPEG files to tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyfd import codec
from pyfd._files import Source
from pyfd.qtables import QTablesLike


def decode(source: Source, qtables: QTablesLike | None = None, **options: Any) -> Tensor:
    """`pyfd.decode` to a tensor.

    Args:
        source: Bytes-like, a path, or a binary file object.
        qtables: Tables, or None for a plain decode.
        options: As for `pyfd.decode`.

    Returns:
        ``uint8``, C×H×W: a view of the decoder's H×W×C pixels, so nothing is
        copied, and a batch of them is in torch's channels_last format.

    Raises:
        JPEGError: As `pyfd.decode` does.
    """
    return _chw(codec.decode(source, qtables, **options))


def decode_many(
    sources: Iterable[Source], qtables: QTablesLike | None = None, **options: Any
) -> list[Any]:
    """`pyfd.decode_many` to tensors: in order, C×H×W ``uint8`` each.

    With ``errors="return"`` an exception stands in a failing item's place.
    """
    items = codec.decode_many(sources, qtables, **options)
    return [_chw(item) if isinstance(item, np.ndarray) else item for item in items]


def _chw(pixels: npt.NDArray[np.uint8]) -> Tensor:
    tensor = torch.from_numpy(pixels)
    return tensor.permute(2, 0, 1) if tensor.dim() == 3 else tensor[None]
