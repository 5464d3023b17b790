"""Load training crops with a DataLoader once, and print what it took: loaders.py starts this.

    loading.py DECODER SOURCE FOLDER WORKERS BATCH

SOURCE is "folder", with files below FOLDER, or "shards", with WebDataset's shards in it. It
runs in any Python that has torch and the decoder's library, and needs nothing else of
this repository. The second epoch counts, in which workers and caches are warm. Prints JSON.
"""

from __future__ import annotations

import gc
import io
import json
import math
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

SIDE = 224
Box = tuple[int, int, int, int]
#: A function from a file's bytes and its number to the pixels of its crop, H×W×3.
Decoder = Callable[[bytes, int], Any]


# ---- crops --------------------------------------------------------------------


def crop(number: int, width: int, height: int) -> Box:
    """Return a random part of an image, as of torchvision's `RandomResizedCrop`.

    It has 8 to 100 % of the area, and an aspect of 3:4 to 4:3; all decoders get the same ones,
    in every version of Python. numpy's generators would take as long as a tenth of a decode.

    Args:
        number: The file's number, from which the part is drawn.
        width: The image's width in pixels.
        height: Its height.

    Returns:
        Left, top, width and height.
    """
    draw = random.Random(number).random
    for _ in range(10):
        area = width * height * (0.08 + 0.92 * draw())
        aspect = (4 / 3) ** (2 * draw() - 1)
        wide, high = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            return int(draw() * (width - wide + 1)), int(draw() * (height - high + 1)), wide, high
    return 0, 0, width, height


def scale_for(box: Box) -> int:
    """Return by how much a decoder may divide the size, so that the crop still has every pixel."""
    return max(n for n in (1, 2, 4, 8) if n == 1 or min(box[2:]) >= n * SIDE)


def scaled(box: Box, scale: int) -> Box:
    """Return a part in the pixels of an image of a divided size."""
    left, top, width, height = (length // scale for length in box)
    return left, top, width, height


def part(pixels: Any, box: Box) -> Any:
    """Return a part of an array H×W×3, without a copy."""
    left, top, width, height = box
    return pixels[top : top + height, left : left + width]


# ---- decoders: each is imported where it is used --------------------------------


def pyfd_crop() -> Decoder:
    """Return our decode: onto tables, and only of the part."""
    import pyfd

    tables = pyfd.QTables.preset("fd-cvpr2019")

    def decode(data: bytes, number: int) -> Any:
        header = pyfd.probe(data)
        box = crop(number, header.width, header.height)
        scale = scale_for(box)
        return pyfd.decode(data, tables, scale=scale, region=scaled(box, scale))

    return decode


def pillow_crop() -> Decoder:
    from PIL import Image

    def decode(data: bytes, number: int) -> Any:
        image = Image.open(io.BytesIO(data), formats=("JPEG",))
        width, height = image.size
        box = crop(number, width, height)
        scale = scale_for(box)
        if scale > 1:
            image.draft("RGB", (width // scale, height // scale))
        left, top, wide, high = scaled(box, scale)
        return np.array(image.crop((left, top, left + wide, top + high)))

    return decode


def simplejpeg_crop() -> Decoder:
    import simplejpeg

    def decode(data: bytes, number: int) -> Any:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        box = crop(number, width, height)
        scale = scale_for(box)
        least = {"min_height": height // scale, "min_width": width // scale, "min_factor": 2}
        pixels = simplejpeg.decode_jpeg(data, **(least if scale > 1 else {}))
        return part(pixels, scaled(box, scale))

    return decode


def opencv_crop() -> Decoder:
    """Return OpenCV's decode; it cannot read a size alone, so that simplejpeg does.

    It can decode to RGB only at the whole size.
    """
    import cv2
    import simplejpeg

    cv2.setNumThreads(1)

    def decode(data: bytes, number: int) -> Any:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        box = crop(number, width, height)
        scale = scale_for(box)
        way = "IMREAD_COLOR_RGB" if scale == 1 else f"IMREAD_REDUCED_COLOR_{scale}"
        whole = cv2.imdecode(np.frombuffer(data, np.uint8), getattr(cv2, way))
        pixels = part(whole, scaled(box, scale))
        return pixels if scale == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

    return decode


def torchvision_crop() -> Decoder:
    from torchvision.io import ImageReadMode, decode_jpeg

    def decode(data: bytes, number: int) -> Any:
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        pixels = decode_jpeg(encoded, ImageReadMode.RGB).permute(1, 2, 0)
        return part(pixels, crop(number, pixels.shape[1], pixels.shape[0]))

    return decode


DECODERS: dict[str, Callable[[], Decoder]] = {
    "pyfd": pyfd_crop,
    "Pillow": pillow_crop,
    "simplejpeg": simplejpeg_crop,
    "OpenCV": opencv_crop,
    "torchvision": torchvision_crop,
}


# ---- samples ------------------------------------------------------------------


def sample(decode: Decoder, data: bytes, number: int) -> tuple[Tensor, float]:
    """Return a crop of 3×224×224 ``uint8``, and the CPU seconds of its decode."""
    start = time.thread_time()
    pixels = torch.as_tensor(decode(data, number))
    seconds = time.thread_time() - start
    return resized(pixels), seconds


def resized(pixels: Tensor) -> Tensor:
    """Return pixels H×W×3 as 3×224×224, by torch's own resize, which is the same for all."""
    batch = pixels.permute(2, 0, 1)[None]
    way = {"mode": "bilinear", "antialias": True}
    return torch.nn.functional.interpolate(batch, (SIDE, SIDE), **way)[0]


class Folder(Dataset[tuple[Tensor, float]]):
    """Crops of the files below a folder."""

    def __init__(self, folder: Path, decode: Decoder) -> None:
        self.paths = sorted(map(str, folder.rglob("*.jpg")))
        self.decode = decode

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        return sample(self.decode, Path(self.paths[index]).read_bytes(), index)


def shards(folder: Path, decode: Decoder) -> Any:
    """Return the same of WebDataset's shards, whose keys are the numbers."""
    import webdataset as wds

    def of(item: dict[str, Any]) -> tuple[Tensor, float]:
        return sample(decode, item["jpg"], int(item["__key__"]))

    return wds.WebDataset(sorted(map(str, folder.glob("*.tar"))), shardshuffle=False).map(of)


SOURCES = {"folder": Folder, "shards": shards}


# ---- measurement --------------------------------------------------------------


def epoch(loader: Iterable[tuple[Tensor, Tensor]]) -> tuple[int, float]:
    """Return the number of images, and the CPU seconds of their decodes."""
    images, seconds = 0, 0.0
    for batch, taken in loader:
        assert batch.shape[1:] == (3, SIDE, SIDE)
        images += len(batch)
        seconds += float(taken.sum())
    return images, seconds


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def mebibytes(process: int) -> float:
    """Return the peak of the memory of a process.

    Pages that it shares now count in proportion (PSS). What the peak lies above the present
    are pages that were its own: those of pixels.
    """
    files = [Path(f"/proc/{process}/{name}").read_text() for name in ("smaps_rollup", "status")]
    numbers = dict(re.findall(r"^(\w+):\s+(\d+) kB", "\n".join(files), re.MULTILINE))
    return (int(numbers["Pss"]) + int(numbers["VmHWM"]) - int(numbers["VmRSS"])) / 1024


def measure(decoder: str, source: str, folder: Path, workers: int, batch: int) -> dict[str, float]:
    """Return images, seconds, CPU seconds, those of the decodes, and the workers' memory."""
    data = SOURCES[source](folder, DECODERS[decoder]())
    gc.collect()
    gc.freeze()  # else workers copy 20 MiB to look for garbage, in one decoder's epoch of several
    loader: Any = DataLoader(
        data,
        batch_size=batch,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="fork",  # so that the decoders need not be pickled
    )
    epoch(loader)
    processes = [os.getpid(), *(worker.pid for worker in loader._iterator._workers)]
    before, start = sum(map(cpu_seconds, processes)), time.perf_counter()
    images, decoding = epoch(loader)
    return {
        "images": images,
        "seconds": time.perf_counter() - start,
        "cpu": sum(map(cpu_seconds, processes)) - before,
        "decoding": decoding,
        "memory": sum(map(mebibytes, processes[1:])),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    decoder, source, folder, workers, batch = sys.argv[1:]
    print(json.dumps(measure(decoder, source, Path(folder), int(workers), int(batch))))
