"""Write seed files for the fuzz targets: option bytes, followed by a small JPEG or by pixels.

python fuzz/seeds.py FOLDER

Those for `fuzz/metadata.py`, marker segments, go into FOLDER-metadata.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from tests import jpegs, metadata

OPTIONS = 8  # bytes, as in fuzz.h
VARIANTS = 4  # of the options, for each JPEG and each picture


def files() -> dict[str, bytes]:
    """Return small JPEGs by name: some of Pillow's encoder, some made by hand."""
    color = jpegs.picture(21, 13)
    cmyk = jpegs.encode_with_pillow(jpegs.picture(9, 9, channels=4))
    return {
        "gray": jpegs.gray(),
        "gray-scans": jpegs.gray(scans=2),
        "photo-gray": jpegs.encode_with_pillow(jpegs.picture(17, 17, channels=1)),
        "444": jpegs.encode_with_pillow(color, subsampling=0, quality=95),
        "422": jpegs.encode_with_pillow(color, subsampling=1),
        "420": jpegs.encode_with_pillow(color, subsampling=2, optimize=True),
        "rgb": jpegs.encode_with_pillow(color, keep_rgb=True),
        "progressive": jpegs.encode_with_pillow(color, progressive=True),
        "progressive-444": jpegs.encode_with_pillow(color, progressive=True, subsampling=0),
        "restarts": jpegs.encode_with_pillow(color, restart_marker_blocks=1),
        "metadata": jpegs.encode_with_pillow(color, comment=b"c", icc_profile=b"i" * 40),
        "cmyk": cmyk,
        "ycck": jpegs.as_ycck(cmyk),
        "cmyk-progressive": jpegs.encode_with_pillow(
            jpegs.picture(9, 9, channels=4), progressive=True
        ),
        "4x2": subsampled((0x42, 0x11, 0x11)),
        "3x1": subsampled((0x31, 0x11, 0x21)),
        "1x4": subsampled((0x14, 0x11, 0x11)),
        "empty-scans": jpegs.progressive_gray(24, 24, 4),
    }


def strips() -> dict[str, bytes]:
    """Return JPEGs with restart markers after rows of MCUs, which several threads can read."""
    color, cmyk = jpegs.picture(29, 90), jpegs.picture(17, 41, channels=4)
    return {
        "rows-420": jpegs.encode_with_pillow(color, subsampling=2, restart_marker_rows=1),
        "rows-444": jpegs.encode_with_pillow(color, subsampling=0, restart_marker_rows=2),
        "rows-gray": jpegs.encode_with_pillow(color[:, :, 0], restart_marker_rows=3),
        "rows-cmyk": jpegs.encode_with_pillow(cmyk, restart_marker_rows=1),
        "part-of-rows": jpegs.encode_with_pillow(color, restart_marker_blocks=7),
    }


def subsampled(sampling: tuple[int, ...], blocks: int = 40) -> bytes:
    """Return noise with these sampling factors, which Pillow's encoder does not have."""
    noise = random.Random(0).randbytes(blocks * 12).replace(b"\xff", b"")
    head = jpegs.SOI + jpegs.dqt(9) + jpegs.sof(70, 40, sampling)
    return head + jpegs.sos(tuple(range(1, len(sampling) + 1))) + noise + jpegs.EOI


def pixels() -> dict[str, bytes]:
    """Return the samples of small pictures by name, for `certified`, which encodes them."""
    return {
        "photo": jpegs.picture(24, 24).tobytes(),
        "text": b"".join(bytes([255] * 29 + [0] * (number % 7)) for number in range(80)),
        "checkerboard": b"\x00\x00\x00\xff\xff\xff",
        "saturated": b"\xff\x00\x00" * 8 + b"\x00\x00\xff" * 8,
        "gradient": bytes(range(256)),
        "black": b"\x00",
        "white": b"\xff",
    }


def segments() -> dict[str, bytes]:
    """Return metadata of all kinds by name."""
    short = (0x0112, 3, b"\6\0")
    camera = [(0x010F, 2, b"Maker\0"), short, (0x9C9B, 1, "title\0".encode("utf-16-le"))]
    exif = [
        (0x9003, 2, b"2026:01:02 03:04:05\0"),
        (0x9286, 7, b"UNICODE\0w\0"),
        (0x829A, 5, b"12345678"),
    ]
    gps = [(0x0001, 2, b"N\0"), (0x0002, 5, bytes(range(24)))]
    iptc = metadata.dataset(1, 90, b"\x1b%G") + metadata.dataset(2, 120, b"caption")
    title = "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>title</rdf:li></rdf:Alt></dc:title>"
    payloads = {
        "exif": (0xE1, metadata.block(camera, exif, gps, [(1, 2, b"R98\0")])),
        "exif-big-endian": (0xE1, metadata.block([], [], gps, order=">")),
        "xmp": (0xE1, metadata.packet(title + "<xmp:Rating>5</xmp:Rating>", " dc:source='a'")),
        "xmp-16": (0xE1, metadata.packet("")[:29] + metadata.rdf(title).encode("utf-16")),
        "icc": (0xE2, b"ICC_PROFILE\0\1\1" + metadata.SRGB),
        "iptc": (0xED, b"Photoshop 3.0\0" + metadata.resource(0x0404, iptc, b"name")),
        "comment": (0xFE, b"words <a@example.org>"),
    }
    found = {name: metadata.as_segments([payload]) for name, payload in payloads.items()}
    return {**found, "all": b"".join(found.values())}


def main() -> None:
    folder = Path(sys.argv[1])
    others = Path(f"{folder}-metadata")
    others.mkdir(parents=True, exist_ok=True)
    for name, data in segments().items():
        (others / name).write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, data) in enumerate({**files(), **strips(), **pixels()}.items()):
        for variant in range(VARIANTS):
            options = random.Random(number * VARIANTS + variant).randbytes(OPTIONS)
            (folder / f"{name}-{variant}").write_bytes(options + data)


if __name__ == "__main__":
    main()
