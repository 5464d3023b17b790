"""Files with the standard's Huffman tables, with their own, and with both in one slot."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

import pyfd
from tests.jpegs import picture

SIDE = 40


def gray(seed: int, optimize: bool) -> bytes:
    """A gray file of Pillow's, whose Huffman tables are the standard's or its own."""
    image = Image.fromarray(picture(SIDE, SIDE, seed=seed)[:, :, seed % 3])
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80, optimize=optimize)
    return buffer.getvalue()


def segments(data: bytes) -> tuple[dict[int, bytes], bytes]:
    """The segments up to the scan by marker, those of a marker joined, and the scan's data."""
    found: dict[int, bytes] = {}
    at = 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found[data[at + 1]] = found.get(data[at + 1], b"") + data[at:end]
        at = end
    return found, data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") : -2]


def joined(files: list[bytes]) -> bytes:
    """One sequential file of three scans: each defines slot 0 anew, as its gray file does."""
    head, _ = segments(files[0])
    size = SIDE.to_bytes(2, "big")
    frame = b"\xff\xc0\x00\x11\x08" + size + size + b"\x03"
    frame += b"".join(bytes([component, 0x11, 0]) for component in (1, 2, 3))
    parts = [b"\xff\xd8", head[0xDB], frame]
    for component, file in enumerate(files, 1):
        own, scan = segments(file)
        parts += [own[0xC4], b"\xff\xda\x00\x08\x01", bytes([component, 0, 0, 63, 0]), scan]
    return b"".join([*parts, b"\xff\xd9"])


@pytest.mark.parametrize("own", list(itertools.product([False, True], repeat=3)))
def test_scans_may_define_them_anew(own):
    files = [gray(seed, optimize) for seed, optimize in enumerate(own)]
    file = joined(files)
    pixels = pyfd.decode(file, mode="YCbCr")
    for i, one in enumerate(files):
        assert np.array_equal(pixels[:, :, i], np.asarray(Image.open(io.BytesIO(one))))
    again = pyfd.requantize(file, "fd-cvpr2019", optimize=own[0])
    assert np.array_equal(pyfd.decode(again), pyfd.decode(file, "fd-cvpr2019"))
