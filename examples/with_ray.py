"""Make defended files, pixels and statistics of a folder with Ray.

Without a folder, it draws pictures. Install Ray with pip install '.[ray]' in a checkout.

Run it: python examples/with_ray.py [FOLDER]
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import ray
import ray.data

import pyfd
import pyfd.ray


def make_pictures(folder: Path) -> None:
    """Write five good files, and one that is cut off."""
    y, x = np.mgrid[0:240, 0:320]
    for n in range(6):
        pixels = np.stack([x * (n + 1), y * (n + 2), x * y // 9], axis=2).astype(np.uint8)
        jpeg = pyfd.encode(pixels, pyfd.QTables.annex_k(90))
        (folder / f"{n}.jpg").write_bytes(jpeg[:5000] if n == 5 else jpeg)


def show(folder: str) -> None:
    files = ray.data.read_binary_files(folder, include_paths=True, file_extensions=["jpg", "jpeg"])

    defended = files.map_batches(pyfd.ray.Requantize("fd-cvpr2019"), batch_size=32)
    for row in sorted(defended.take_all(), key=lambda row: str(row["path"])):
        result = row["error"] or f"{len(row['bytes'])} bytes, defended"
        print(f"{Path(row['path']).name}: {result}")

    decoded = files.map_batches(pyfd.ray.Decode("fd-cvpr2019", scale=2), batch_size=32)
    print("shapes:", {row["image"].shape for row in decoded.iter_rows() if not row["error"]})

    found = pyfd.ray.calibrate(files)
    blocks = sum(found.blocks)
    print(f"{found.images} images, {blocks} blocks, {len(found.failures)} left out")


def main() -> None:
    os.environ.setdefault(
        "RAY_worker_niceness", "0"
    )  # otherwise, its workers get little time on a busy machine
    ray.init(  # with a cluster, ray.init() is enough
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        if sys.argv[1:]:
            show(sys.argv[1])
        else:
            with tempfile.TemporaryDirectory() as folder:
                make_pictures(Path(folder))
                show(folder)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
