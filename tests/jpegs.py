"""JPEG files for tests: real ones by other encoders, and crafted ones."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from hypothesis import strategies as st
from PIL import Image, ImageFile

from pyfd import Coefficients, QTables

# Pillow's encoder cannot grow its buffer, so large files of small images need this.
ImageFile.MAXBLOCK = 1 << 20

ZIGZAG = sorted(
    range(64),
    key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8),
)


# ---- real files ----------------------------------------------------------


def picture(width: int, height: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Return an image like a photograph, with smooth areas, edges and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 40.0
    planes = []
    for _ in range(channels):
        a, b, c, d = rng.uniform(-2, 2, 4)
        plane = 128 + 70 * np.sin(a * x + b * y + c) + 50 * np.sign(np.sin(d * x - a * y))
        planes.append(plane + rng.normal(0, rng.uniform(0, 12), plane.shape))
    pixels = np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def encode_with_pillow(pixels: np.ndarray, **options: Any) -> bytes:
    """Grayscale, RGB or, with four channels, CMYK."""
    mode = {2: "L", 3: "RGB"}[pixels.ndim] if pixels.shape[2:] != (4,) else "CMYK"
    image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def as_ycck(cmyk: bytes) -> bytes:
    """Return a CMYK file relabelled as YCCK: Adobe's transform code is 2 instead of 0."""
    place = cmyk.index(b"Adobe") + 11
    assert cmyk[place] == 0
    return cmyk[:place] + b"\x02" + cmyk[place + 1 :]


def decode_with_pillow(data: bytes, mode: str | None = None, scale: int = 1) -> np.ndarray:
    """Return Pillow's pixels; with `mode` or `scale`, those of its libjpeg after `draft`."""
    image = Image.open(io.BytesIO(data))
    if mode is not None or scale != 1:
        size = (max(1, image.width // scale), max(1, image.height // scale))
        image.draft(mode, size)
        assert image.decoderconfig[0] in (0, scale), "too small for Pillow to scale so"
    return np.asarray(image)


@st.composite
def real_jpegs(draw: st.DrawFn, spaces: str = "L YCbCr RGB CMYK YCCK") -> bytes:
    """Return files of all kinds, by Pillow's and simplejpeg's encoders."""
    width, height = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    space = draw(st.sampled_from(spaces.split()))
    quality = draw(st.integers(1, 100))
    channels = {"L": 1, "CMYK": 4, "YCCK": 4}.get(space, 3)
    pixels = picture(width, height, draw(st.integers(0, 99)), channels)
    if space == "YCbCr" and draw(st.booleans()):
        subsampling = draw(st.sampled_from(["444", "422", "420", "440", "411"]))
        return simplejpeg.encode_jpeg(pixels, quality, colorsubsampling=subsampling)
    options: dict[str, Any] = {
        "quality": quality,
        "progressive": draw(st.booleans()),
        "optimize": draw(st.booleans()),
        "restart_marker_blocks": draw(st.sampled_from([0, 0, 1, 3])),
    }
    if space == "YCbCr":
        options["subsampling"] = draw(st.integers(0, 2))
    options["keep_rgb"] = space == "RGB"
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        count = draw(st.integers(1, 3)) if channels > 1 else 1
        options["qtables"] = [list(map(int, rng.integers(1, 256, 64))) for _ in range(count)]
        del options["quality"]
    data = encode_with_pillow(pixels, **options)
    return as_ycck(data) if space == "YCCK" else data


def tables(most: int = 255, least: int = 1) -> st.SearchStrategy[QTables]:
    """Return one to three tables with steps of all sizes."""
    uniform = st.integers(least, most).map(lambda step: np.full((8, 8), step))
    random = st.builds(
        lambda seed, high: np.random.default_rng(seed).integers(least, high + 1, (8, 8)),
        st.integers(0, 999),
        st.integers(least, most),
    )
    return st.lists(uniform | random, min_size=1, max_size=3).map(QTables)


# ---- oracles -------------------------------------------------------------


def with_factors(
    sampling: Sequence[tuple[int, int]], size: tuple[int, int], space: str = "YCbCr", seed: int = 1
) -> Coefficients:
    """Return noise whose components have any sampling factors, (horizontal, vertical)."""
    rng, (width, height) = np.random.default_rng(seed), size
    most_h, most_v = np.max(sampling, axis=0)
    blocks = []
    for h, v in sampling:
        shape = (-(-height * v // (8 * most_v)), -(-width * h // (8 * most_h)), 8, 8)
        values = np.zeros(shape, np.int16)
        values[..., :2, :3] = rng.integers(-9, 10, (*shape[:2], 2, 3))
        blocks.append(values)
    return Coefficients(tuple(blocks), QTables.uniform(9), sampling, width, height, space)


def requantized(k: np.ndarray, q: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Return coefficients k of step q on the grid of step d: blocks (…, 8, 8), tables (8, 8).

    sign(k) · floor((2·|k·q| + d) / (2·d)) in 64-bit integers, saturated to what
    Huffman coding holds and to products with d of 16 bits.
    """
    k, q, d = (np.asarray(a, dtype=np.int64) for a in (k, q, d))
    size = (2 * np.abs(k * q) + d) // (2 * d)
    limit = np.broadcast_to(np.minimum(1023, 32767 // d), k.shape).copy()
    limit[..., 0, 0] = np.where(
        k[..., 0, 0] < 0, np.minimum(1024, 32767 // d[0, 0]), np.minimum(1023, 32767 // d[0, 0])
    )
    return np.sign(k) * np.minimum(size, limit)


def read_with_jpeglib(path: Any, data: bytes) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return coefficients and tables per component (without K of CMYK), by jpeglib.

    The folder that PYFD_JPEGLIB names keeps them for machines for which jpeglib has no wheel
    (see tests/arm64.sh).
    """
    folder = os.environ.get("PYFD_JPEGLIB")
    kept = Path(folder, f"{hashlib.sha256(data).hexdigest()}.npz") if folder else None
    if kept and kept.is_file():
        with np.load(kept) as arrays:
            found = list(arrays.values())
        return found[: len(found) // 2], found[len(found) // 2 :]

    import jpeglib

    path.write_bytes(data)
    dct = jpeglib.read_dct(str(path))
    planes = [plane for plane in (dct.Y, dct.Cb, dct.Cr) if plane is not None]
    slots = list(dct.quant_tbl_no)[: len(planes)]
    steps = [dct.qt[slot] for slot in slots]
    if kept:
        np.savez(kept, *planes, *steps)
    return planes, steps


# ---- crafted files -------------------------------------------------------

SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def dqt(step: int = 1, slot: int = 0, wide: bool = False) -> bytes:
    steps = struct.pack(">64H", *[step] * 64) if wide else bytes([step]) * 64
    return segment(0xDB, bytes([wide << 4 | slot]) + steps)


def sof(
    width: int,
    height: int,
    sampling: tuple[int, ...] = (0x11,),
    marker: int = 0xC0,
    precision: int = 8,
) -> bytes:
    components = b"".join(bytes([i + 1, s, 0]) for i, s in enumerate(sampling))
    head = struct.pack(">BHHB", precision, height, width, len(sampling))
    return segment(marker, head + components)


def sos(
    components: tuple[int, ...] = (1,), start: int = 0, end: int = 63, approximation: int = 0
) -> bytes:
    pairs = b"".join(bytes([c, 0x00]) for c in components)
    return segment(0xDA, bytes([len(components)]) + pairs + bytes([start, end, approximation]))


def dht(counts: dict[int, list[int]], slot: int = 0, ac: bool = False) -> bytes:
    """Return a DHT segment from the symbols of each code length."""
    lengths = bytes(len(counts.get(n, [])) for n in range(1, 17))
    symbols = b"".join(bytes(counts[n]) for n in sorted(counts))
    return segment(0xC4, bytes([ac << 4 | slot]) + lengths + symbols)


def gray(width: int = 8, height: int = 8, scans: int = 1, before: bytes = b"") -> bytes:
    """Return a baseline grayscale file of a few bytes: mid-gray, standard Huffman tables.

    One block is two codes of the standard's: DC category 0 (00) and end of
    block (1010).
    """
    blocks = -(-width // 8) * -(-height // 8)
    bits = "001010" * blocks
    bits += "1" * (-len(bits) % 8)
    entropy = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    return SOI + before + dqt() + sof(width, height) + (sos() + entropy) * scans + EOI


def progressive_gray(width: int, height: int, scans: int, extra: bytes = b"") -> bytes:
    """Return a progressive grayscale file that consists of empty DC scans."""
    table = dht({1: [0]})
    return (
        SOI
        + dqt()
        + sof(width, height, marker=0xC2)
        + table
        + (sos(end=0) + extra + b"\x00" * (-(-width // 8) * -(-height // 8) // 8 + 1)) * scans
        + EOI
    )
