"""Two passes: pixels through the encoder and the decoder, both with the same tables."""

from __future__ import annotations

from pyfd import codec
from pyfd._core.pixels import Pixels
from pyfd.codec import Mode, Subsampling
from pyfd.limits import Limits
from pyfd.qtables import QTablesLike


def through_codec(
    image: Pixels, qtables: QTablesLike, subsampling: Subsampling, radius: int | None = None
) -> Pixels:
    """Encode H×W×3, H×W×1 or H×W pixels with tables, and decode them onto the tables.

    With a `radius`, the file is certified, as by `pyfd.encode`.

    Returns:
        Pixels of the same shape.

    Raises:
        CertificateError: As in `pyfd.encode`, with subsampled chroma.
        ValueError: The shape, a step, the subsampling or the radius is not supported.
    """
    gray = image.shape[2:] in ((), (1,))
    pixels = image[:, :, 0] if image.shape[2:] == (1,) else image
    data = codec.encode(pixels, qtables, subsampling=subsampling, baseline=False, radius=radius)
    mode: Mode = "L" if gray else "RGB"
    return codec.decode(data, qtables, mode=mode, limits=Limits.unlimited()).reshape(image.shape)
