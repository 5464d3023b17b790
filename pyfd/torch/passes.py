"""Two passes: pixels through the encoder and the decoder, both with the same tables."""

from __future__ import annotations

from pyfd import codec
from pyfd._core.pixels import Pixels
from pyfd.codec import Mode, Subsampling
from pyfd.limits import Limits
from pyfd.qtables import QTablesLike


def through_codec(image: Pixels, qtables: QTablesLike, subsampling: Subsampling) -> Pixels:
    """Encode H×W×3, H×W×1 or H×W pixels with tables, and decode them onto the tables.

    Returns:
        Pixels of the same shape.

    Raises:
        ValueError: The shape, a step or the subsampling is not supported.
    """
    gray = image.shape[2:] in ((), (1,))
    pixels = image[:, :, 0] if image.shape[2:] == (1,) else image
    data = codec.encode(pixels, qtables, subsampling=subsampling, baseline=False)
    mode: Mode = "L" if gray else "RGB"
    return codec.decode(data, qtables, mode=mode, limits=Limits.unlimited()).reshape(image.shape)
