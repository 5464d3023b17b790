"""Decode with `pyfd.opencv.imdecode` in place of OpenCV's, and into a batch.

Run it: python examples/with_opencv.py
"""

import numpy as np

import pyfd
from pyfd.opencv import IMREAD_COLOR, IMREAD_REDUCED_GRAYSCALE_4, imdecode

TABLES = "fd-cvpr2019"
rng = np.random.default_rng(0)
uploads = []
for i in range(4):
    y, x = np.mgrid[0:240, 0:320] / 40
    planes = [128 + 60 * np.sin(i + a * x + y) + rng.normal(0, 4, y.shape) for a in (1, 2, 3)]
    uploads.append(
        pyfd.encode(np.stack(planes, axis=-1).astype(np.uint8), pyfd.QTables.annex_k(90))
    )

buffer = np.frombuffer(uploads[0], np.uint8)
frame = imdecode(buffer, IMREAD_COLOR, TABLES)  # B, G, R, as in OpenCV
small = imdecode(buffer, IMREAD_REDUCED_GRAYSCALE_4, TABLES)
print("frame", frame.shape, "reduced", small.shape)
print("a truncated file gives", imdecode(buffer[:500], IMREAD_COLOR, TABLES))

try:
    import cv2
except ModuleNotFoundError:
    print("OpenCV is not installed, and was not needed")
else:
    same = np.array_equal(imdecode(buffer, IMREAD_COLOR), cv2.imdecode(buffer, cv2.IMREAD_COLOR))
    print("without tables, the same pixels as cv2.imdecode:", same)

# A batch that is allocated once, for example in shared memory
batch = np.empty((len(uploads), 240, 320, 3), np.uint8)
for upload, place in zip(uploads, batch, strict=True):
    pyfd.decode(upload, TABLES, mode="BGR", out=place)
print("batch", batch.shape, "its first frame is the same:", np.array_equal(batch[0], frame))
