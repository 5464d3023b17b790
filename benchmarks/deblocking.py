"""Measure what a filter after decoding buys: a table in docs/adaptation.md.

    python -m benchmarks.deblocking PHOTOS LABELS --output DIR [--write docs/adaptation.md]

PHOTOS is a folder of photographs, LABELS a CSV file with the columns file and label
(ImageNet's 0 to 999). Every photograph is encoded with a radius, at the network's size or at
its own; the network answers on the decoded pixels, and on the same pixels behind each
filter. The certificate holds for all of them, because a filter sees only pixels that no
perturbation within ε changes. DIR gets deblocking.json with every photograph's answers.
Takes about half an hour on one core. Needs 'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import torch
from torch import nn

import pyfd
from benchmarks import pages, paired
from benchmarks.equal_accuracy import BATCH, probabilities
from benchmarks.studies import MODELS, SIZES, Photos, Scale, read_arguments
from pyfd import QTables
from pyfd._core.pixels import Pixels
from pyfd._core.writing import write_file
from pyfd.evaluation import dataset
from pyfd.torch import batches

MAKER = "benchmarks/deblocking.py"
#: The networks, and the sizes at which the codec and the filters work.
PLACES: Sequence[tuple[str, Scale]] = (
    (MODELS[0], "model"),
    (MODELS[-1], "model"),
    (MODELS[0], "photo"),
)
EPSILONS = (1, 2, 4)

#: A function of decoded pixels, H×W×3 ``uint8``, and of the tables.
Filter: TypeAlias = Callable[[Pixels, QTables], Pixels]


# ---- filters -------------------------------------------------------------------


def ramp(image: Pixels, tables: QTables, *, share: float) -> Pixels:
    """Smooth the edges of blocks as ITU-T H.263, Annex J does.

    Of the samples A, B | C, D across an edge, d = (A - 4B + 4C - D)/8 is the step. B and C move
    towards each other by d if it is small, by less if it is larger than the strength, and not
    at all from twice the strength on, because it is then an edge of the picture. A and D
    move by up to half of that.

    Args:
        image: Decoded pixels.
        tables: The tables; the strength is `share` of their largest step / 8.
        share: The strength.
    """
    strength = share * tables.largest / 8

    def across(planes: np.ndarray) -> None:
        """Filter the edges between columns, in place."""
        b, c = planes[:, 7:-1:8], planes[:, 8::8]
        a, d = planes[:, 6:-2:8], planes[:, 9::8]
        step = (a - 4 * b + 4 * c - d) / 8
        size = np.maximum(0, np.abs(step) - np.maximum(0, 2 * (np.abs(step) - strength)))
        move = np.sign(step) * size
        outer = ((a - d) / 4).clip(-np.abs(move) / 2, np.abs(move) / 2)
        for plane, change in ((a, -outer), (b, move), (c, -move), (d, outer)):
            plane += change

    return _both_ways(image, across)


def normal(image: Pixels, tables: QTables, *, share: float) -> Pixels:
    """Smooth the edges of blocks as the normal filter of ITU-T H.264, 8.7.2.3, does.

    An edge is filtered where the step across it is below a threshold α and the
    steps beside it are below β; the samples move by at most a clip.

    Args:
        image: Decoded pixels.
        tables: The tables; α is `share` of their largest step, β and the clip a quarter of α.
        share: The strength.
    """
    alpha = share * tables.largest

    def across(planes: np.ndarray) -> None:
        p0, q0 = planes[:, 7:-1:8], planes[:, 8::8]
        p1, q1 = planes[:, 6:-2:8], planes[:, 9::8]
        flat = np.abs(p0 - q0) < alpha
        flat &= (np.abs(p1 - p0) < alpha / 4) & (np.abs(q1 - q0) < alpha / 4)
        move = flat * ((4 * (q0 - p0) + p1 - q1) / 8).clip(-alpha / 4, alpha / 4)
        p0 += move
        q0 -= move

    return _both_ways(image, across)


def _both_ways(image: Pixels, across: Callable[[np.ndarray], None]) -> Pixels:
    """Filter the edges between columns, and then those between rows.

    Only whole blocks are filtered. The filters are of differences, so that they may work on
    R, G and B, which are linear in the Y, Cb and Cr that the codec quantizes.
    """
    planes = image.astype(np.float64)
    high, wide = (side - side % 8 for side in image.shape[:2])
    across(planes[:, :wide])
    across(planes[:high].swapaxes(0, 1))
    found: Pixels = planes.round().clip(0, 255).astype(np.uint8)
    return found


def bilateral(image: Pixels, tables: QTables) -> Pixels:
    """Apply OpenCV's bilateral filter, with the tables' largest step / 4 as the color's sigma."""
    found = cv2.bilateralFilter(image, 5, tables.largest / 4, 1.5)
    return np.asarray(found, np.uint8)


def median(image: Pixels, tables: QTables) -> Pixels:  # noqa: ARG001
    """Apply OpenCV's median filter of 3×3."""
    return np.asarray(cv2.medianBlur(image, 3), np.uint8)


SHARES = (0.5, 1.0, 2.0)
FILTERS: Mapping[str, Filter] = {
    **{f"H.263, strength {share:g}": partial(ramp, share=share) for share in SHARES},
    **{f"H.264, strength {share:g}": partial(normal, share=share) for share in SHARES},
    "bilateral (OpenCV)": bilateral,
    "median 3×3 (OpenCV)": median,
}


# ---- measuring -----------------------------------------------------------------


class Answers(NamedTuple):
    """A network's answers on all photographs."""

    right: np.ndarray
    """Whether the class is right, ``bool``."""
    certainty: np.ndarray
    """The probability of the right class."""


def answers(model: nn.Module, images: list[Pixels], labels: np.ndarray) -> Answers:
    """Ask a network about images, whose sizes may differ."""
    right, certainty = np.zeros(len(labels), bool), np.zeros(len(labels))
    for chosen in batches([image.shape for image in images], BATCH):
        shares, truth = probabilities(model, [images[i] for i in chosen]), labels[chosen]
        right[chosen] = shares.argmax(1) == truth
        certainty[chosen] = shares[np.arange(len(chosen)), truth]
    return Answers(right, certainty)


def study(
    model: nn.Module, photos: list[Pixels], labels: np.ndarray
) -> dict[int, dict[str, Answers]]:
    """Return the answers without a filter ("none") and behind each, for each ε."""
    found = {}
    for epsilon in EPSILONS:
        tables = QTables.certified(epsilon)
        files = [pyfd.encode(photo, tables, radius=epsilon) for photo in photos]
        decoded = [pyfd.decode(file) for file in files]
        found[epsilon] = {"none": answers(model, decoded, labels)}
        for name, smooth in FILTERS.items():
            smoothed = [smooth(image, tables) for image in decoded]
            found[epsilon][name] = answers(model, smoothed, labels)
    return found


# ---- the page ------------------------------------------------------------------


def table(found: Mapping[int, Mapping[str, Answers]]) -> str:
    """Return a table with a row for each filter at each strength."""
    heads = ["ε", "filter", "right", "gain", "gain in probability of the right class"]
    rows = []
    for epsilon, ways in found.items():
        plain = ways["none"]
        for name, way in ways.items():
            right = f"{100 * way.right.mean():.1f} %"
            gains = ["", ""]
            if way is not plain:
                gains[0] = str(paired.of_answers(plain.right, way.right))
                gains[1] = str(paired.of_values(plain.certainty, way.certainty))
            rows.append([str(epsilon), name, right, *gains])
    return pages.table(heads, rows)


def record(found: Mapping[int, Mapping[str, Answers]]) -> dict[str, Any]:
    """Return every photograph's answers as JSON can hold them."""
    return {
        str(epsilon): {
            name: [way.right.tolist(), way.certainty.tolist()] for name, way in ways.items()
        }
        for epsilon, ways in found.items()
    }


def main() -> None:
    arguments = read_arguments(__doc__)
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    photos = Photos(arguments.photos, arguments.labels)
    sections, answered = [], {}
    for name, scale in PLACES:
        model, pixels = photos.model(name), photos.all.pixels
        if scale == "model":
            pixels = [dataset.at_input_size(x, model.input_size) for x in pixels]
        found = study(model, pixels, photos.all.labels)
        title = f"{name}, at {SIZES[scale]}, {len(pixels)} photographs"
        sections += [f"### {title}", table(found)]
        print("\n\n".join(sections[-2:]), flush=True)
        answered[title] = record(found)
    content = {"photographs": photos.all.names, "answers": answered}
    write_file(arguments.output / "deblocking.json", json.dumps(content).encode())
    if arguments.write:
        pages.publish(arguments.write, MAKER, "\n\n".join(sections))


if __name__ == "__main__":
    main()
