"""The attacks that pyfd is made to withstand, each with its own generator.

An `Attack` is a file and its expected outcome. `benchmarks/hostile.py` shows how other
decoders treat the same files.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import pyfd
from pyfd import CorruptJPEGError, LimitExceededError, UnsupportedJPEGError
from tests.jpegs import EOI, SOI, dht, dqt, encode_with_pillow, gray, picture, segment, sof, sos


class Attack(NamedTuple):
    """A hostile file."""

    name: str
    make: Callable[[], bytes]
    error: type[pyfd.JPEGError] | None
    """The error that a strict reader raises; None if it must accept the file."""
    says: str = ""
    """A part of the message; for a limit, its name."""
    header: bool = True
    """Whether `probe`, which reads only up to the first scan, raises it too."""


def bits(text: str) -> bytes:
    """Return entropy-coded data from a string of 0 and 1, padded and stuffed."""
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")


def blocks(width: int, height: int) -> int:
    return -(-width // 8) * -(-height // 8)


# ---- size ------------------------------------------------------------------


def giant(width: int, height: int, components: int, marker: int) -> bytes:
    scan = sos(tuple(range(1, components + 1)), end=0 if marker == 0xC2 else 63)
    return SOI + dqt() + sof(width, height, (0x11,) * components, marker) + scan + b"\0" + EOI


# ---- scans -----------------------------------------------------------------


def eob_runs(side: int, scans: int, components: int = 1) -> bytes:
    """Return empty scans: each 15 bits skip 32,767 blocks (T.81 G.1.2.2)."""
    n = blocks(side, side)
    empty = bits(("0" + "1" * 14) * -(-n // 32767))
    data = SOI + dqt() + sof(side, side, (0x11,) * components, 0xC2)
    data += dht({1: [0]}) + dht({1: [0xE0]}, ac=True)
    data += sos(tuple(range(1, components + 1)), end=0) + bits("0" * n * components)
    for i in range(scans - 1):
        band = 1 + i // components % 63
        data += sos((1 + i % components,), start=band, end=band) + empty
    return data + EOI


def scans_without_data(side: int, scans: int) -> bytes:
    """Return SOS segments that follow each other directly."""
    head = SOI + dqt() + sof(side, side, (0x11,), 0xC2) + dht({1: [0]})
    return head + sos(end=0) * scans + EOI


def refinements(side: int, scans: int) -> bytes:
    """Return many refinement scans: each visits all coefficients, with 15 bits for a run."""
    n = blocks(side, side)
    empty = bits(("0" + "1" * 14) * -(-n // 32767))
    data = SOI + dqt() + sof(side, side, (0x11,), 0xC2)
    data += dht({1: [0]}) + dht({1: [0xE0]}, ac=True)
    data += sos(end=0) + bits("0" * n)
    data += sos(start=1, end=63, approximation=0x0D) + empty
    for i in range(scans - 2):
        low = max(0, 12 - i)
        data += sos(start=1, end=63, approximation=low + 1 << 4 | low) + empty
    return data + EOI


def color_refinements(side: int) -> bytes:
    """Return three components refined 13 times each, in order: the most that is allowed."""
    n = blocks(side, side)
    empty = bits(("0" + "1" * 14) * -(-n // 32767))
    data = SOI + dqt() + sof(side, side, (0x11,) * 3, 0xC2)
    data += dht({1: [0]}) + dht({1: [0xE0]}, ac=True)
    data += sos((1, 2, 3), end=0) + bits("0" * n * 3)
    for low in range(13, -1, -1):
        high = 0 if low == 13 else low + 1
        for component in (1, 2, 3):
            data += sos((component,), start=1, end=63, approximation=high << 4 | low) + empty
    return data + EOI


def band_refinements(side: int, bands: int) -> bytes:
    """Return bands of one coefficient, each refined 13 times: a valid file in 14 scans each."""
    n = blocks(side, side)
    empty = bits(("0" + "1" * 14) * -(-n // 32767))
    data = SOI + dqt() + sof(side, side, (0x11,), 0xC2)
    data += dht({1: [0]}) + dht({1: [0xE0]}, ac=True)
    data += sos(end=0) + bits("0" * n)
    for band in range(1, bands + 1):
        for low in range(13, -1, -1):
            high = 0 if low == 13 else low + 1
            data += sos(start=band, end=band, approximation=high << 4 | low) + empty
    return data + EOI


def repeated_baseline_scans(side: int, scans: int) -> bytes:
    """Return a baseline component that is sent again and again, with two bits per block."""
    table = dht({1: [0]}) + dht({1: [0]}, ac=True)
    data = SOI + dqt() + sof(side, side, (0x11,) * 3) + table
    return data + (sos() + bits("00" * blocks(side, side))) * scans + EOI


# ---- arithmetic coding -----------------------------------------------------


def arithmetic(marker: int) -> bytes:
    """Return a kilobyte that keeps a stock decoder busy for seconds."""
    scans = b"".join(sos(start=0, end=0) + b"\xff\x00" * 4 for _ in range(40))
    return SOI + dqt() + sof(8000, 8000, (0x11,), marker) + scans + EOI


# ---- markers ---------------------------------------------------------------


def icc_chunks() -> bytes:
    chunks = (segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 3]) + bytes(2000)) for n in range(255))
    return gray(before=b"".join(chunks))


def flood_between_scans(count: int) -> bytes:
    return gray()[:-2] + segment(0xE5, b"") * count + EOI


def jpeg_without(marker: int, data: bytes) -> bytes:
    """Return the file without its segments of one kind."""
    place = 2
    while data[place + 1] != 0xDA:
        length = 2 + struct.unpack_from(">H", data, place + 2)[0]
        if data[place + 1] == marker:
            data = data[:place] + data[place + length :]
        else:
            place += length
    return data


# ---- values ----------------------------------------------------------------


def extreme_values() -> bytes:
    """Return coefficients of ±1023 with steps of 65535, which any encoder could write."""
    rng = np.random.default_rng(0)
    planes = [rng.integers(-1023, 1024, (8, 8, 8, 8)).astype(np.int16) for _ in range(3)]
    coefficients = pyfd.Coefficients(
        planes, pyfd.QTables.uniform(65535), ((1, 1),) * 3, 64, 64, "YCbCr"
    )
    return pyfd.write_coefficients(coefficients)


def coefficients_of_32767() -> bytes:
    """Return coefficients of AC category 15, which no 8-bit image has."""
    table = dht({1: [0]}) + dht({1: [0x0F]}, ac=True)
    one = "0" + "".join("0" + sign * 15 for _ in range(32) for sign in "10")[: 63 * 16]
    return SOI + dqt(255, wide=True) + sof(64, 64) + table + sos() + bits(one * 64) + EOI


def dc_differences(side: int) -> bytes:
    """Return DC differences of 32767 whose sum exceeds 32 bits."""
    table = dht({1: [15]}) + dht({1: [0]}, ac=True)
    data = bits(("0" + "1" * 15 + "0") * blocks(side, side))
    return SOI + dqt() + sof(side, side) + table + sos() + data + EOI


# ---- restart markers -------------------------------------------------------


def restarts(side: int) -> bytes:
    """Return a restart marker after each block, all of them out of order."""
    n = blocks(side, side)
    table = dht({1: [0]}) + dht({1: [0]}, ac=True)
    head = SOI + dqt() + sof(side, side) + table + segment(0xDD, b"\0\1") + sos()
    return head + b"\x3f\xff\xd3" * n + EOI


def orderly_restarts(side: int) -> bytes:
    """Return a restart marker after each block, in order: a valid file."""
    n = blocks(side, side)
    table = dht({1: [0]}) + dht({1: [0]}, ac=True)
    head = SOI + dqt() + sof(side, side) + table + segment(0xDD, b"\0\1") + sos()
    data = b"".join(b"\x3f\xff" + bytes([0xD0 + i % 8]) for i in range(8)) * (n // 8)
    return head + data[:-2] + EOI


_PIXELS, _SCANS, _SEGMENTS, _WORK = "max_pixels", "max_scans", "max_segments", "max_work"
_FRAME = dqt() + sof(8, 8)
_SCAN = sos() + b"\x28"

ATTACKS: tuple[Attack, ...] = (
    Attack("gray 65500²", lambda: giant(65500, 65500, 1, 0xC0), LimitExceededError, _PIXELS),
    Attack("color 65500²", lambda: giant(65500, 65500, 3, 0xC0), LimitExceededError, _PIXELS),
    Attack(
        "gray 65500² progressive", lambda: giant(65500, 65500, 1, 0xC2), LimitExceededError, _PIXELS
    ),
    Attack(
        "color 65500² progressive",
        lambda: giant(65500, 65500, 3, 0xC2),
        LimitExceededError,
        _PIXELS,
    ),
    Attack("65535×1", lambda: giant(65535, 1, 1, 0xC0), UnsupportedJPEGError, "65500"),
    Attack("1×65500", lambda: gray(1, 65500), None),
    Attack("height 0", lambda: giant(8, 0, 1, 0xC0), UnsupportedJPEGError, "DNL"),
    Attack("width 0", lambda: giant(0, 8, 1, 0xC0), CorruptJPEGError, "empty"),
    Attack(
        "1000 empty scans at 2048²", lambda: eob_runs(2048, 1000), LimitExceededError, _SCANS, False
    ),
    Attack(
        "2000 empty scans at 8192²", lambda: eob_runs(8192, 2000), LimitExceededError, _WORK, False
    ),
    Attack("100 empty scans at 2048²", lambda: eob_runs(2048, 100), None),
    Attack("100 empty color scans at 1182²", lambda: eob_runs(1182, 100, 3), None),
    Attack(
        "100 empty scans at 8192²", lambda: eob_runs(8192, 100), LimitExceededError, _WORK, False
    ),
    Attack("80 empty scans at 8192²", lambda: eob_runs(8192, 80), None),
    Attack(
        "100 scans without data at 8192²",
        lambda: scans_without_data(8192, 100),
        LimitExceededError,
        _WORK,
        False,
    ),
    Attack(
        "80 scans without data at 8192²",
        lambda: scans_without_data(8192, 80),
        CorruptJPEGError,
        "premature end",
        False,
    ),
    Attack(
        "100 refinements at 8192²",
        lambda: refinements(8192, 100),
        CorruptJPEGError,
        "progression",
        False,
    ),
    Attack(
        "7 bands refined 13 times at 8192²",
        lambda: band_refinements(8192, 7),
        LimitExceededError,
        _WORK,
        False,
    ),
    Attack("5 bands refined 13 times at 8192²", lambda: band_refinements(8192, 5), None),
    Attack("14 refinements at 8192²", lambda: refinements(8192, 14), None),
    Attack(
        "100 baseline scans at 2000²",
        lambda: repeated_baseline_scans(2000, 100),
        CorruptJPEGError,
        "sent twice",
        False,
    ),
    Attack(
        "39 color refinements at 8000²",
        lambda: color_refinements(8000),
        None,
    ),
    Attack("arithmetic SOF9", lambda: arithmetic(0xC9), UnsupportedJPEGError, "arithmetic"),
    Attack("arithmetic SOF10", lambda: arithmetic(0xCA), UnsupportedJPEGError, "arithmetic"),
    Attack("lossless SOF11", lambda: arithmetic(0xCB), UnsupportedJPEGError, "SOF11"),
    Attack(
        "DAC",
        lambda: SOI + segment(0xCC, b"\0\1") + _FRAME + _SCAN + EOI,
        UnsupportedJPEGError,
        "arithmetic",
    ),
    Attack(
        "100,000 empty APP5",
        lambda: gray(before=segment(0xE5, b"") * 100_000),
        LimitExceededError,
        _SEGMENTS,
    ),
    Attack(
        "20,000 DHT",
        lambda: gray(before=dht({1: [0]}) * 20_000),
        LimitExceededError,
        _SEGMENTS,
    ),
    Attack("20,000 DQT", lambda: gray(before=dqt() * 20_000), LimitExceededError, _SEGMENTS),
    Attack(
        "500 COM of 64 KB",
        lambda: gray(before=segment(0xFE, bytes(65533)) * 500),
        LimitExceededError,
        "max_metadata",
    ),
    Attack("255 ICC chunks with wrong counts", icc_chunks, None),
    Attack("5 MB of fill bytes", lambda: gray(before=b"\xff" * 5_000_000 + dqt()), None),
    Attack(
        "a segment past the end",
        lambda: SOI + _FRAME + b"\xff\xe5\xff\xff" + bytes(99),
        CorruptJPEGError,
        "past the end",
    ),
    Attack(
        "100,000 APP5 between scans",
        lambda: flood_between_scans(100_000),
        LimitExceededError,
        _SEGMENTS,
        False,
    ),
    Attack(
        "two SOF", lambda: SOI + _FRAME + sof(8, 8) + _SCAN + EOI, CorruptJPEGError, "two frame"
    ),
    Attack("SOS before SOF", lambda: SOI + dqt() + _SCAN + EOI, CorruptJPEGError, "before the"),
    Attack(
        "DNL",
        lambda: SOI + _FRAME + _SCAN + segment(0xDC, b"\0\x09") + EOI,
        UnsupportedJPEGError,
        "DNL",
        False,
    ),
    Attack(
        "DNL with the same height",
        lambda: SOI + _FRAME + _SCAN + segment(0xDC, b"\0\x08") + EOI,
        None,
    ),
    Attack("JPEG-LS", lambda: SOI + segment(0xF7, bytes(9)) + EOI, UnsupportedJPEGError, "JPEG-LS"),
    Attack(
        "a comment of length 0",
        lambda: SOI + b"\xff\xfe\0\0" + _FRAME + _SCAN + EOI,
        CorruptJPEGError,
        "impossible length",
        False,
    ),
    Attack(
        "FF FF 00 in a scan",
        lambda: SOI + _FRAME + _SCAN[:-1] + b"\xff\xff\0" * 9 + _SCAN[-1:] + EOI,
        CorruptJPEGError,
        "fill bytes",
        False,
    ),
    Attack("tables only", lambda: SOI + dqt() + dht({1: [0]}) + EOI, CorruptJPEGError, "no image"),
    *[
        Attack(
            f"SOF{n}",
            lambda n=n: SOI + dqt() + sof(8, 8, marker=0xC0 + n) + _SCAN + EOI,  # type: ignore[misc]
            UnsupportedJPEGError,
            f"SOF{n}",
        )
        for n in (3, 5, 6, 7, 13, 14, 15)
    ],
    *[
        Attack(
            f"{n}-bit samples",
            lambda n=n: SOI + dqt() + sof(8, 8, precision=n) + _SCAN + EOI,  # type: ignore[misc]
            UnsupportedJPEGError,
            f"{n}-bit",
        )
        for n in (12, 16)
    ],
    *[
        Attack(
            f"{n} components",
            lambda n=n: SOI + dqt() + sof(8, 8, (0x11,) * n) + _SCAN + EOI,  # type: ignore[misc]
            UnsupportedJPEGError,
            f"{n} components",
        )
        for n in (2, 5, 10)
    ],
    *[
        Attack(
            f"sampling factor {n}",
            lambda n=n: SOI + dqt() + sof(8, 8, (n << 4 | 1,)) + _SCAN + EOI,  # type: ignore[misc]
            CorruptJPEGError,
            "sampling",
        )
        for n in (0, 5)
    ],
    Attack(
        "a scan of an unknown component",
        lambda: SOI + _FRAME + sos((9,)) + b"\x28" + EOI,
        CorruptJPEGError,
        "does not exist",
    ),
    Attack(
        "Se = 64",
        lambda: SOI + dqt() + sof(8, 8, marker=0xC2) + dht({1: [0]}) + sos(end=64) + EOI,
        CorruptJPEGError,
        "progression",
    ),
    Attack("a step of 0", lambda: SOI + dqt(0) + sof(8, 8) + _SCAN + EOI, CorruptJPEGError, "of 0"),
    Attack(
        "no table", lambda: SOI + sof(8, 8) + _SCAN + EOI, CorruptJPEGError, "no quantization table"
    ),
    Attack("steps of 65535", extreme_values, None),
    Attack(
        "257 codes",
        lambda: gray(before=dht({8: [0] * 200, 9: [0] * 57})),
        CorruptJPEGError,
        "Huffman",
        False,
    ),
    Attack(
        "oversubscribed codes",
        lambda: gray(before=dht({1: [0, 1, 2]})),
        CorruptJPEGError,
        "Huffman",
        False,
    ),
    Attack(
        "an all-ones code",
        lambda: gray(before=dht({1: [0, 1]})),
        CorruptJPEGError,
        "Huffman",
        False,
    ),
    Attack(
        "DC category 16", lambda: gray(before=dht({1: [16]})), CorruptJPEGError, "Huffman", False
    ),
    Attack(
        "no DHT, sequential", lambda: jpeg_without(0xC4, encode_with_pillow(picture(9, 9))), None
    ),
    Attack(
        "no DHT, progressive",
        lambda: SOI + dqt() + sof(8, 8, marker=0xC2) + sos(end=0) + b"\0" + EOI,
        CorruptJPEGError,
        "Huffman table",
        False,
    ),
    Attack("coefficients of ±32767", coefficients_of_32767, None),
    Attack("DC differences past 32 bits", lambda: dc_differences(4096), None),
    Attack("a million restart markers", lambda: orderly_restarts(8192), None),
    Attack(
        "a million wrong restart markers",
        lambda: restarts(8192),
        CorruptJPEGError,
        "RST",
        False,
    ),
)
