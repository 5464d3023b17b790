"""What a file says before its first scan."""

from __future__ import annotations

from dataclasses import dataclass

from pyfd.qtables import QTables

# Subsampling's names, by how often the first component is sampled per chroma
# sample, horizontally and vertically.
SUBSAMPLING = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2), "4:4:0": (1, 2)}
_NAMES = {**{ratio: name for name, ratio in SUBSAMPLING.items()}, (4, 1): "4:1:1", (4, 2): "4:1:0"}


@dataclass(frozen=True)
class Header:
    """What `pyfd.probe` reads: the frame header and the metadata."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    color_space: str
    """"L", "YCbCr", "RGB", "CMYK" or "YCCK", by libjpeg's rules."""
    sampling: tuple[tuple[int, int], ...]
    """Per component the horizontal and the vertical sampling factor, 1 to 4
    (ITU-T T.81, A.1.1)."""
    progressive: bool
    """Is it a progressive file (SOF2)?"""
    qtables: QTables
    """The quantization tables, one per component. A file whose later scans
    bring tables of their own shows those known at its first scan."""
    orientation: int
    """EXIF's orientation, 1 to 8, which no decoder here applies; 1 when absent."""
    exif: bytes | None
    """The EXIF block, with its leading ``Exif\\0\\0``."""
    icc_profile: bytes | None
    """The ICC profile, joined; None when a chunk is missing or amiss."""
    comment: bytes | None
    """The last comment."""

    @property
    def subsampling(self) -> str | None:
        """The name: 4:4:4, 4:2:2, 4:2:0, 4:4:0, 4:1:1 or 4:1:0; None when there is none."""
        if len(self.sampling) != 3 or self.sampling[1] != self.sampling[2]:
            return None
        (luma_h, luma_v), (chroma_h, chroma_v) = self.sampling[:2]
        if luma_h % chroma_h or luma_v % chroma_v:
            return None
        return _NAMES.get((luma_h // chroma_h, luma_v // chroma_v))
