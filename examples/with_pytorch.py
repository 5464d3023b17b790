"""Load a folder of JPEG files onto defensive tables, with a DataLoader and two workers.

A camera has written the files with the tables. An attacker has changed their samples by
two levels and written them again. The program measures how much of that change reaches
a model.

Run it: python examples/with_pytorch.py
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

import pyfd
from pyfd.torch import JPEGFolder

TABLES = pyfd.QTables.uniform(40)
FINE = pyfd.QTables.uniform(1)  # the attacker's tables, which keep the perturbation


def draw(seed: int) -> np.ndarray:
    """Draw a picture of colored waves."""
    y, x = np.mgrid[0:96, 0:128] / 30
    a, b, c = np.random.default_rng(seed).uniform(-2, 2, (3, 3))
    waves = np.sin(x[..., None] * a + y[..., None] * b + c)
    return (128 + 90 * waves).astype(np.uint8)


def write(folder: Path, image: np.ndarray, tables: pyfd.QTables) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{len(list(folder.iterdir()))}.jpg"
    (folder / name).write_bytes(pyfd.encode(image, tables))


def read(folder: Path, tables: pyfd.QTables | None) -> torch.Tensor:
    """Read all images as a model would get them: N×3×H×W in [0, 1]."""
    loader = DataLoader(JPEGFolder(folder, tables), batch_size=4, num_workers=2)
    return torch.cat([images.float() / 255 for images, labels in loader])


def main() -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        taken, attacked = Path(temporary, "taken"), Path(temporary, "attacked")
        for seed in range(8):
            folder = ("cats", "dogs")[seed % 2]
            photo = pyfd.encode(draw(seed), TABLES)
            write(taken / folder, draw(seed), TABLES)
            pixels = pyfd.decode(photo).astype(int)
            pixels += rng.choice([-2, 2], pixels.shape)
            write(attacked / folder, pixels.clip(0, 255).astype(np.uint8), FINE)
        print(JPEGFolder(attacked, TABLES))
        for name, tables in (("plain", None), ("onto the tables", TABLES)):
            change = (read(attacked, tables) - read(taken, tables)).abs().mean() * 255
            print(f"decoded {name}: the attack moves a pixel by {change:.2f} levels on average")


if __name__ == "__main__":
    main()
