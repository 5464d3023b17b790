"""Tune tables under the certificate by a network's answers: a table in docs/adaptation.md.

    python -m benchmarks.tuned_tables PHOTOS LABELS --output DIR [--write docs/adaptation.md]

PHOTOS is a folder of photographs, LABELS a CSV file with the columns file and label
(ImageNet's 0 to 999). Tables are tuned on one half of the photographs, and scored on the
other half, which no search sees. All photographs are encoded with a radius, so every row is
certified. Three searches compete with `QTables.certified(ε)`:

- `pyfd.refine` with these tables as the smallest, and no budget: the largest steps at which
  the mean probability of the right class does not fall;
- a search by gradients from steps 8 above them, which no step leaves downwards
  (`pyfd.torch.SoftQuantizer`), for the least divergence from the answers on plain photographs;
- a search for the slack of each band of frequencies, by the mean probability.

DIR gets a log of all trials for each strength, from which an interrupted run is resumed.
Needs 'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import kl_div

import pyfd
from benchmarks import pages, paired
from benchmarks.adaptation import halves, share
from benchmarks.deblocking import Answers, answers
from benchmarks.studies import Photos, read_arguments
from pyfd import QTables
from pyfd._core.log import Log
from pyfd._core.pixels import Pixels
from pyfd._core.progress import bar
from pyfd.evaluation import dataset
from pyfd.evaluation.fingerprint import Fingerprints
from pyfd.torch import SoftQuantizer

MAKER = "benchmarks/tuned_tables.py"
MODEL = "efficientnet-lite0"
EPSILONS = (1, 2, 4)
DEFAULT, MOST = 8, 24  # slack
STEPS, BATCH, RATE = 100, 8, 0.5  # of the search by gradients

_ROWS, _COLUMNS = np.indices((8, 8))
#: Bands of frequencies: constant in both directions, in one, and in none.
BANDS = (
    _ROWS + _COLUMNS == 0,
    (_ROWS + _COLUMNS > 0) & (_ROWS * _COLUMNS == 0),
    _ROWS * _COLUMNS > 0,
)
#: The slack of luma's bands and then of chroma's.
Slack = tuple[int, ...]


class Half(NamedTuple):
    """One half of the photographs."""

    photos: list[Pixels]
    labels: np.ndarray


class Seen(NamedTuple):
    """What a network makes of certified files, and their size."""

    answers: Answers
    bits: float
    """Bits per pixel, with Huffman tables made for each file."""


def seen(model: nn.Module, half: Half, epsilon: int, tables: QTables) -> Seen:
    """Certify photographs with tables, and ask a network about them."""
    files = [
        pyfd.encode(photo, tables, radius=epsilon, optimize=True, baseline=False)
        for photo in half.photos
    ]
    found = answers(model, [pyfd.decode(file) for file in files], half.labels)
    bits = [8 * len(f) / x[..., 0].size for f, x in zip(files, half.photos, strict=True)]
    return Seen(found, float(np.mean(bits)))


class Trials:
    """The mean probability of the right class on certified photographs, by tables.

    Each trial is written to a log, and one that the log has is not run again.
    """

    def __init__(self, model: nn.Module, half: Half, epsilon: int, path: Path) -> None:
        self.of = lambda tables: seen(model, half, epsilon, tables)
        key = Fingerprints().of((model, half.photos, half.labels, seen, answers))
        header = {"format": "pyfd-tuned-tables", "version": 1, "key": key, "epsilon": epsilon}
        self.log = Log(path, header)
        entries = self.log.entries()
        self.known = {QTables(entry["tables"]): float(entry["score"]) for entry in entries}

    def __call__(self, tables: QTables) -> float:
        """Return the score of tables."""
        if tables not in self.known:
            self.known[tables] = float(self.of(tables).answers.certainty.mean())
            entry = {"tables": tables.array.tolist(), "score": self.known[tables]}
            self.log.append(entry)
        return self.known[tables]

    def close(self) -> None:
        """Close the log."""
        self.log.close()


# ---- the searches --------------------------------------------------------------


def by_slack(score: Callable[[QTables], float], epsilon: int) -> QTables:
    """Return the tables whose slack scores best, changing one band's by 2 at a time."""
    best: Slack = (DEFAULT,) * (2 * len(BANDS))
    moved = True
    while moved:
        moved = False
        for place in reversed(range(len(best))):
            for move in (-2, 2):
                while True:
                    slack = best[place] + move
                    other = (*best[:place], slack, *best[place + 1 :])
                    if not 0 <= slack <= MOST:
                        break
                    if score(with_slack(epsilon, other)) <= score(with_slack(epsilon, best)):
                        break
                    best, moved = other, True
    return with_slack(epsilon, best)


def with_slack(epsilon: int, slack: Slack) -> QTables:
    """Return the tables of `QTables.certified`, with a slack of its own for each band."""
    count = len(BANDS)

    def table(part: Slack) -> np.ndarray:
        each = (QTables.certified(epsilon, slack=s)[0] for s in part)
        return np.select(BANDS, list(each))

    return QTables(
        [table(slack[:count]), table(slack[count:])],
        name=f"slack {', '.join(map(str, slack[:count]))}; {', '.join(map(str, slack[count:]))}",
    )


def by_gradient(model: nn.Module, photos: list[Pixels], floor: QTables, start: QTables) -> QTables:
    """Return the tables above a floor whose answers diverge least from those on plain photographs.

    Luma and chroma have a table each. The steps move by Adam; its rate falls to 0.
    """
    quantizer = SoftQuantizer([start[0], start[1]], smallest=floor)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=RATE)
    steps = bar(range(STEPS), unit="step", desc="gradients")
    for step in steps:
        rng = np.random.default_rng(step)
        chosen = rng.choice(len(photos), min(BATCH, len(photos)), replace=False)
        plain = torch.from_numpy(np.stack([photos[i] for i in chosen]))
        images = plain.permute(0, 3, 1, 2).float() / 255
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        optimizer.zero_grad()
        with torch.no_grad():
            taught = model(images).log_softmax(1)
        learned = model(quantizer(images)).log_softmax(1)
        loss = kl_div(learned, taught, reduction="batchmean", log_target=True)
        loss.backward()
        optimizer.step()
        steps.set_postfix_str(f"loss {float(loss.detach()):.3f}", refresh=False)
    return QTables(quantizer.qtables.array, name="gradients")


def tuned(model: nn.Module, half: Half, epsilon: int, output: Path) -> dict[str, QTables]:
    """Return the certified tables, and what the searches find on one half of the photographs."""
    floor = QTables.certified(epsilon)
    with closing(Trials(model, half, epsilon, output / f"epsilon-{epsilon}.jsonl")) as score:
        slack = by_slack(score, epsilon)
        refined = pyfd.refine(score, budget=0, smallest=floor, progress=True)
    start = QTables.certified(epsilon, slack=2 * DEFAULT)
    return {
        "certified": floor,
        "refine": refined.qtables,
        "gradients": by_gradient(model, half.photos, floor, start),
        f"{slack.name}": slack,
    }


# ---- the page ------------------------------------------------------------------


def rows(found: Mapping[str, Seen], tables: Mapping[str, QTables], epsilon: int) -> list[list[str]]:
    """Return a row for each of the tables at a strength; the first ones are the comparison's."""
    first = next(iter(found.values()))
    result = []
    for name, each in found.items():
        steps = (f"{table.min()}–{table.max()}" for table in tables[name])
        row = [str(epsilon), name, ", ".join(steps), f"{each.bits:.2f}", share(each.answers.right)]
        if each is first:
            row += ["", ""]
        else:
            ours, theirs = each.answers, first.answers
            row.append(str(paired.of_answers(theirs.right, ours.right)))
            row.append(str(paired.of_values(theirs.certainty, ours.certainty)))
        result.append(row)
    return result


HEADS = (
    "ε",
    "tables",
    "steps of luma, chroma",
    "bits per pixel",
    "right and certified",
    "gain",
    "gain in probability of the right class",
)


def main() -> None:
    arguments = read_arguments(__doc__)
    arguments.output.mkdir(parents=True, exist_ok=True)
    photos = Photos(arguments.photos, arguments.labels)
    model = photos.model(MODEL)
    pixels = [dataset.at_input_size(x, model.input_size) for x in photos.all.pixels]
    tuning, scoring = (
        Half([pixels[i] for i in chosen], photos.all.labels[chosen])
        for chosen in halves(len(pixels))
    )
    lines: list[list[str]] = []
    for epsilon in EPSILONS:
        tables = tuned(model, tuning, epsilon, arguments.output)
        found = {name: seen(model, scoring, epsilon, t) for name, t in tables.items()}
        lines += rows(found, tables, epsilon)
        print(pages.table(HEADS, lines), flush=True)
        for name, each in tables.items():
            each.save(arguments.output / f"epsilon-{epsilon}-{name.partition(' ')[0]}.json")
    text = (
        f"{MODEL} at its input size: {len(tuning.photos)} photographs to tune the tables, the "
        f"{len(scoring.photos)} others to score them, all as certified files. Right in %, with "
        f"95 % intervals; gains over `QTables.certified(ε)` with those of the pairs.\n\n"
        f"{pages.table(HEADS, lines)}"
    )
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
