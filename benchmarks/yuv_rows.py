"""The row of the target table that is about frames of cameras: planes of YCbCr in 4:2:0."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

import pyfd
from benchmarks.cases import Case, Row
from benchmarks.files import Files, tiled
from benchmarks.timing import Bounds, Effort, Measurement, interleaved
from pyfd import QTables
from pyfd._core.pixels import Pixels

SIZES = {"12 MP": (4000, 3000), "1080p": (1920, 1080)}
PRESET = QTables.preset("fd-cvpr2019")
QUALITY = 96


class Frame(NamedTuple):
    """A frame as planes of its own (I420), and as a camera's one buffer (NV12)."""

    planes: tuple[Pixels, Pixels, Pixels]
    nv12: Pixels  # 3H/2 × W


def frame(files: Files, size: str) -> Frame:
    """Return the typical photograph, repeated, as a frame of one of `SIZES`."""
    width, height = SIZES[size]
    pixels = np.asarray(tiled(files.typical, SIZES[size]))
    i420 = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420)
    y = np.ascontiguousarray(i420[:height])
    cb, cr = i420[height:].reshape(2, height // 2, width // 2)
    rows = np.stack([cb, cr], axis=-1).reshape(height // 2, width)
    return Frame((y, cb, cr), np.vstack([y, rows]))


def encode_nv12(frame: Frame) -> bytes:
    height = len(frame.nv12) * 2 // 3
    planes = frame.nv12[:height], frame.nv12[height:]
    return pyfd.encode(planes, PRESET, mode="YCbCr", subsampling="4:2:0")


def encode_planes(frame: Frame) -> bytes:
    tables = QTables.annex_k(QUALITY)
    return pyfd.encode(frame.planes, tables, mode="YCbCr", subsampling="4:2:0")


def through_rgb(frame: Frame) -> bytes:
    pixels = cv2.cvtColor(frame.nv12, cv2.COLOR_YUV2RGB_NV12)
    return pyfd.encode(pixels, PRESET, subsampling="4:2:0")


def with_simplejpeg(frame: Frame) -> object:
    return simplejpeg.encode_jpeg_yuv_planes(*frame.planes, quality=QUALITY)


def yuv(files: Files) -> Row:
    def case(
        size: str,
        name: str,
        ours: Callable[[Frame], object],
        theirs: Callable[[Frame], object],
        bounds: Bounds,
    ) -> Case:
        def measure(effort: Effort) -> Measurement:
            return interleaved(ours, theirs, [frame(files, size)], effort)

        return Case(f"{size}, {name}", bounds, measure)

    cases = []
    for size in SIZES:
        cases.append(case(size, "NV12 / RGB", encode_nv12, through_rgb, Bounds(0.75)))
        name = f"I420 / simplejpeg, q{QUALITY}"
        cases.append(case(size, name, encode_planes, with_simplejpeg, Bounds(1.05)))
    return Row("yuv", "`encode` of planes / through RGB, or simplejpeg's planes", cases)
