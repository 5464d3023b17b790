"""Run two programs that do not know pyfd, with the defence in both of them.

A camera writes a JPEG file, an attacker changes every sample of it, and a classifier's
front end reads the attacker's file. The camera and the front end are each one line of
Python with Pillow: `pyfd exec` puts our libjpeg in front of the one that Pillow
contains.

Run it: python examples/drop_in.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

CAMERA = "import sys, PIL.Image as i; i.open(sys.argv[1]).save(sys.argv[2], subsampling=0)"
FRONT_END = "import sys, PIL.Image as i; i.open(sys.argv[1]).save(sys.argv[2])"
STEP = "40"
EPSILON = 2  # of 255


def run(program: str, source: Path, target: Path, *options: str) -> None:
    """Run a program; if there are options, through `pyfd exec`."""
    command = [sys.executable, "-c", program, str(source), str(target)]
    if options:
        command = [sys.executable, "-m", "pyfd", "exec", *options, "--", *command]
    subprocess.run(command, check=True)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def main() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:240, 0:320] / 40
    scene = 128 + 60 * np.stack([np.sin(x + y), np.cos(2 * x - y), np.sin(x * y / 4)], axis=-1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(scene.astype(np.uint8)).save(folder / "scene.png")
        run(CAMERA, folder / "scene.png", folder / "photo.jpg", "--encode-qtables", STEP)
        photo = pixels(folder / "photo.jpg")

        attacked = photo + EPSILON * rng.choice([-1, 1], photo.shape)
        attacked = Image.fromarray(attacked.clip(0, 255).astype(np.uint8))
        attacked.save(folder / "upload.jpg", quality=100, subsampling=0)

        run(FRONT_END, folder / "upload.jpg", folder / "plain.png")
        run(FRONT_END, folder / "upload.jpg", folder / "defended.png", "--qtables", STEP)
        for title in ("plain", "defended"):
            difference = np.abs(pixels(folder / f"{title}.png") - photo)
            changed = (difference > 0).mean()
            print(f"{title:8}: {changed:6.1%} of the samples differ from the camera's photo")


if __name__ == "__main__":
    main()
