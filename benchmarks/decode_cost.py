"""What does the defence cost?  Defended decode and calibration over a plain decode.

    python benchmarks/decode_cost.py [FOLDER]

Each file is decoded plain and defended in turn in this one process, and the
ratio is taken pair by pair: the machine's moods cancel out. The photographs are
those of FOLDER, of the shared folder beside the repository, or of scikit-image.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import pyfd

QUALITIES = (75, 90, 95)
SUBSAMPLINGS = ("4:4:4", "4:2:0")
PHOTOS, ROUNDS = 8, 40
SHARED = Path(__file__).parents[2] / "shared" / "data" / "photos"


def photographs(folder: str | None) -> list[Image.Image]:
    """Some photographs, spread over what there is."""
    if folder is None and not SHARED.is_dir():
        import skimage.data

        return [Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "coffee")]
    files = sorted(p for p in Path(folder or SHARED).iterdir() if p.suffix.lower() in IMAGES)
    step = max(1, len(files) // PHOTOS)
    return [Image.open(file).convert("RGB") for file in files[::step][:PHOTOS]]


IMAGES = {".jpg", ".jpeg", ".png"}


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    photos = photographs(sys.argv[1] if len(sys.argv) > 1 else None)
    sizes = ", ".join(sorted({f"{image.width}×{image.height}" for image in photos}))
    print(f"libjpeg-turbo {pyfd.libjpeg_turbo_version()}; {len(photos)} photographs ({sizes})\n")
    print(
        f"{'quality':>7} {'sampling':>8} {'plain':>9} {'defended':>9} {'ratio':>6} {'spread':>13}"
    )
    for subsampling in SUBSAMPLINGS:
        for quality in QUALITIES:
            report(photos, quality, subsampling)


def report(photos: list[Image.Image], quality: int, subsampling: str) -> None:
    """One row: medians over all pairs; the spread is the quartiles of the ratios.

    Calibration is timed per round of all files: threads are started once per call.
    """
    files = []
    for image in photos:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
        files.append(buffer.getvalue())
    qtables = pyfd.QTables.preset("fd-cvpr2019")
    plain, defended, calibration = [], [], []
    for _ in range(ROUNDS):
        for data in files:
            plain.append(seconds(lambda data=data: pyfd.decode(data)))
            defended.append(seconds(lambda data=data: pyfd.decode(data, qtables)))
        calibrate = seconds(lambda: pyfd.calibrate(files, workers=1))
        calibration.append(calibrate / sum(plain[-len(files) :]))
    ratios = np.array(defended) / np.array(plain)
    low, high = np.quantile(ratios, (0.25, 0.75))
    print(
        f"{quality:>7} {subsampling:>8} {statistics.median(plain) * 1e3:>6.2f} ms "
        f"{statistics.median(defended) * 1e3:>6.2f} ms {statistics.median(ratios):>6.3f} "
        f"{low:>6.3f}…{high:.3f} {statistics.median(calibration):>18.3f}"
    )


if __name__ == "__main__":
    main()
