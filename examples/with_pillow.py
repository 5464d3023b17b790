"""Defend both passes with Pillow: save with the tables, and open onto the tables.

Run it: python examples/with_pillow.py
"""

import io

import numpy as np
from PIL import Image

import pyfd.pillow

TABLES = "fd-cvpr2019"


def scene(width: int, height: int) -> Image.Image:
    """Draw soft shapes, similar to a photograph."""
    y, x = np.mgrid[0:height, 0:width] / 60
    planes = [128 + 60 * np.sin(a * x + b * y) for a, b in ((1, 2), (2, 1), (1, -1))]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def as_jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", subsampling="4:4:4", **options)
    return buffer.getvalue()


def opened(data: bytes) -> np.ndarray:
    """Return the pixels that a classifier would see; this function does not use pyfd."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


# The camera saves with the tables; importing pyfd.pillow has made their name known to Pillow
photo = as_jpeg(scene(320, 240), qtables=TABLES)

# An attacker moves every sample by 2 levels, up or down
signs = np.random.default_rng(0).choice((-2, 2), (240, 320, 3))
moved = Image.fromarray((opened(photo) + signs).clip(0, 255).astype(np.uint8))
attacked = as_jpeg(moved, quality=100)

plain = opened(attacked) - opened(photo)
with pyfd.pillow.defended(TABLES):
    defended = opened(attacked) - opened(photo)

for name, left in (("Pillow", plain), ("Pillow with pyfd", defended)):
    print(f"{name}: {(left != 0).mean():.1%} of the samples differ from the photograph's")
