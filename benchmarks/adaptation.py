"""Measure what adapting a network buys: a table in docs/adaptation.md.

    python -m benchmarks.adaptation PHOTOS LABELS --output DIR [--write docs/adaptation.md]

PHOTOS is a folder of photographs, LABELS a CSV file with the columns file and label
(ImageNet's 0 to 999). The photographs are split into two halves. `pyfd.torch.adapt` sees
one half, without its labels, and the other half is scored; then the other way round, so that
each photograph is scored once, by a network that has not seen it. DIR gets the state of
each training, from which an interrupted run is resumed, and adaptation.json with every
photograph's answers. Needs 'pyfd-jpeg[evaluate]'; uses a CUDA device if there is one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import nn

import pyfd
from benchmarks import pages, paired
from benchmarks.deblocking import FILTERS, Answers, answers
from benchmarks.equal_accuracy import DEVICE
from benchmarks.studies import Photos, read_arguments
from pyfd import QTables
from pyfd._core.pixels import Pixels
from pyfd._core.writing import write_file
from pyfd.evaluation import dataset
from pyfd.evaluation.results import interval
from pyfd.torch import adapt

MAKER = "benchmarks/adaptation.py"
MODEL = "efficientnet-lite0"
EPSILONS = (1, 2, 4)
STEPS = 500
ROOM = 256 / 224  # the shorter side of what crops are taken from, for the network's size
FILTER = "H.264, strength 1"  # of benchmarks/deblocking.py: is its gain added to that of adapting?
KINDS = ("plain", "certified, filtered", "certified")


class Sets(NamedTuple):
    """The photographs at the network's size, as the camera leaves them and for training."""

    names: list[str]
    labels: np.ndarray
    plain: list[Pixels]
    """The central crops at the network's size, which are scored."""
    larger: list[Pixels]
    """The whole photographs at the same scale or a little larger, from which crops are taken."""


class Answered(NamedTuple):
    """The answers before and after the adaptation, on each of `KINDS` of photographs."""

    before: dict[str, Answers]
    after: dict[str, Answers]


def prepared(photos: Photos, size: int) -> Sets:
    """Return the photographs of a study at a network's input size."""
    names, pixels, labels = photos.all[:3]
    plain = [dataset.at_input_size(x, size) for x in pixels]
    return Sets(names, labels, plain, [resized(x, round(ROOM * size)) for x in pixels])


def resized(pixels: Pixels, shorter: int) -> Pixels:
    """Return a photograph whose shorter side has a number of pixels."""
    height, width = pixels.shape[:2]
    scale = shorter / min(height, width)
    size = max(shorter, round(scale * width)), max(shorter, round(scale * height))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def halves(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the photographs of both halves; they may be sorted by class."""
    order = np.random.default_rng(0).permutation(count)
    return np.sort(order[::2]), np.sort(order[1::2])


def study(model: nn.Module, sets: Sets, epsilon: int, output: Path) -> Answered:
    """Adapt a network to each half, and return all answers on the halves it has not seen."""
    tables = QTables.certified(epsilon)
    certified = [pyfd.decode(pyfd.encode(x, tables, radius=epsilon)) for x in sets.plain]
    filtered = [FILTERS[FILTER](image, tables) for image in certified]
    seen = dict(zip(KINDS, (sets.plain, filtered, certified), strict=True))
    found = Answered(
        {kind: answers(model, images, sets.labels) for kind, images in seen.items()}, {}
    )
    right = {kind: np.zeros(len(sets.labels), bool) for kind in KINDS}
    certainty = {kind: np.zeros(len(sets.labels)) for kind in KINDS}
    first, second = halves(len(sets.labels))
    for name, taught, scored in (("first", first, second), ("second", second, first)):
        adapted = adapt(
            model,
            [sets.larger[i] for i in taught],
            tables,
            radius=epsilon,
            steps=STEPS,
            checkpoint=output / f"epsilon-{epsilon}-{name}.state",
            progress=True,
        )
        for kind, images in seen.items():
            got = answers(adapted, [images[i] for i in scored], sets.labels[scored])
            right[kind][scored], certainty[kind][scored] = got
    found.after.update({kind: Answers(right[kind], certainty[kind]) for kind in KINDS})
    return found


# ---- the page ------------------------------------------------------------------


def table(found: Mapping[int, Answered]) -> str:
    """Return a table with a row for each of `KINDS` at each strength."""
    heads = ["ε", "photographs", "before", "after", "gain", "in probability of the right class"]
    rows = []
    for epsilon, each in found.items():
        for kind in reversed(KINDS):
            before, after = each.before[kind], each.after[kind]
            shares = [share(a.right) for a in (before, after)]
            gain = paired.of_answers(before.right, after.right)
            surer = paired.of_values(before.certainty, after.certainty)
            rows.append([str(epsilon), kind, *shares, str(gain), str(surer)])
    return pages.table(heads, rows)


def share(right: np.ndarray) -> str:
    """Return the share of right answers and its interval, in percent."""
    low, high = interval(int(right.sum()), len(right))
    return f"{100 * right.mean():.1f} ({100 * low:.0f}–{100 * high:.0f})"


def record(names: list[str], found: Mapping[int, Answered]) -> bytes:
    """Return every photograph's answers as JSON."""
    content = {
        str(epsilon): {
            when: {kind: [a.right.tolist(), a.certainty.tolist()] for kind, a in part.items()}
            for when, part in each._asdict().items()
        }
        for epsilon, each in found.items()
    }
    return json.dumps({"photographs": names, "answers": content}).encode()


def main() -> None:
    arguments = read_arguments(__doc__)
    arguments.output.mkdir(parents=True, exist_ok=True)
    photos = Photos(arguments.photos, arguments.labels)
    model = photos.model(MODEL).to(DEVICE)
    sets = prepared(photos, model.input_size)
    found: dict[int, Answered] = {}
    for epsilon in EPSILONS:
        began = time.process_time()
        found[epsilon] = study(model, sets, epsilon, arguments.output)
        minutes = (time.process_time() - began) / 60
        print(f"ε = {epsilon}: {minutes:.1f} minutes of CPU\n\n{table(found)}\n", flush=True)
        write_file(arguments.output / "adaptation.json", record(sets.names, found))
    text = (
        f"{MODEL}, {len(sets.names)} photographs at its input size, {STEPS} steps on each half "
        f"(filtered: {FILTER}, which the network was not taught); "
        "of all photographs the share in % that is right, with 95 % intervals, and the "
        f"difference of each photograph's answers, with theirs; {DEVICE}.\n\n{table(found)}"
    )
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
