"""FeatureDistillation on a GPU, and the codec on the CPU, in milliseconds a batch.

    python -m benchmarks.gpu [--device cuda]

"make test-gpu" runs it. Each time is the median of several. Both directions are a forward pass
with a straight-through gradient, and the backward pass.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from benchmarks import pages
from benchmarks.timing import seconds
from benchmarks.twin import both_ways, forward
from pyfd.codec import Subsampling
from pyfd.torch import FeatureDistillation

SIZES = ((32, 3, 224, 224), (8, 3, 1080, 1920))
SUBSAMPLINGS: tuple[Subsampling, ...] = ("4:4:4", "4:2:0")
ROUNDS = 7


def milliseconds(call: Callable[..., object], images: Tensor, rounds: int) -> float:
    """Return the median time of a call, until the device is done, after one for warming up."""

    def finished() -> None:
        call(images)
        wait_for(images.device)

    finished()
    return median(seconds(finished) for _ in range(rounds)) * 1000


def wait_for(device: torch.device) -> None:
    """Wait until a device has done what it was told; a CPU has."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def row(
    size: Sequence[int], subsampling: Subsampling, device: torch.device, rounds: int
) -> list[str]:
    """Return a row of the table: a batch, and its times."""
    images = torch.rand(*size, generator=torch.Generator().manual_seed(0))
    defence = FeatureDistillation("fd-cvpr2019", subsampling=subsampling)
    times = []
    for where in (device, torch.device("cpu")):
        there, module = images.to(where), defence.to(where)
        for step in (forward, both_ways):
            times.append(milliseconds(lambda batch, f=step, m=module: f(m, batch), there, rounds))
    return ["×".join(map(str, size)), subsampling, *(f"{time:.1f}" for time in times)]


def table(device: torch.device, sizes: Sequence[Sequence[int]], rounds: int) -> str:
    """Return the table of all batches."""
    name = device.type.upper()
    heads = ["batch", "chroma", f"{name}, forward", "and backward", "CPU, forward", "and backward"]
    rows = (row(size, chroma, device, rounds) for size in sizes for chroma in SUBSAMPLINGS)
    return pages.table(heads, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or why there is none."""
    parser = argparse.ArgumentParser(description="Measure FeatureDistillation on a GPU.")
    parser.add_argument("--device", default="cuda", help='such as "cuda:1" or "mps"')
    device = torch.device(parser.parse_args(arguments).device)
    if device.type != "cpu" and not getattr(torch, device.type).is_available():
        print(f"torch finds no {device.type.upper()} device here", file=sys.stderr)
        return 1
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"Milliseconds a batch: {name}, and the codec in {torch.get_num_threads()} threads")
    print(table(device, SIZES, ROUNDS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
