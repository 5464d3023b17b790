"""The `Header` of a file: everything before its first scan."""

from __future__ import annotations

from dataclasses import dataclass

from pyfd._core.encoding import SUBSAMPLING
from pyfd.qtables import QTables

_NAMES = {**{ratio: name for name, ratio in SUBSAMPLING.items()}, (4, 1): "4:1:1", (4, 2): "4:1:0"}


@dataclass(frozen=True)
class Header:
    """The frame header and the metadata, as `pyfd.probe` reads them."""

    width: int
    """The width in pixels."""
    height: int
    """The height in pixels."""
    color_space: str
    """"L", "YCbCr", "RGB", "CMYK" or "YCCK", by libjpeg's rules."""
    sampling: tuple[tuple[int, int], ...]
    """The horizontal and the vertical sampling factor of each component, 1 to 4
    (ITU-T T.81, A.1.1)."""
    progressive: bool
    """Whether the file is progressive (SOF2)."""
    qtables: QTables
    """The quantization tables in force at the first scan, one per component. Later
    scans may bring other tables."""
    orientation: int
    """EXIF's orientation, 1 to 8; 1 when it is absent. `pyfd.decode` does not apply it."""
    exif: bytes | None
    """The EXIF block, with its leading ``Exif\\0\\0``."""
    icc_profile: bytes | None
    """The ICC profile, joined from its chunks; None when one is missing or wrong."""
    comment: bytes | None
    """The last comment."""

    @property
    def subsampling(self) -> str | None:
        """Its usual name, "4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1" or "4:1:0", or None."""
        if len(self.sampling) != 3 or self.sampling[1] != self.sampling[2]:
            return None
        (luma_h, luma_v), (chroma_h, chroma_v) = self.sampling[:2]
        if luma_h % chroma_h or luma_v % chroma_v:
            return None
        return _NAMES.get((luma_h // chroma_h, luma_v // chroma_v))
