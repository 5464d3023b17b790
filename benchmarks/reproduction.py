"""Reproduce the paper's figures and headline numbers: the tables in docs/reproduction.md.

    python -m benchmarks.reproduction PHOTOS LABELS --output DIR [--write docs/reproduction.md]

PHOTOS is a folder of photographs, LABELS a CSV file with the columns file and label
(ImageNet's 0 to 999). Each part is an evaluation in its own folder below DIR, with a
report.html; an interrupted run is resumed from there. Needs 'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

import pyfd
from benchmarks import pages
from benchmarks.quilting import Quilting, patch_bank
from pyfd import QTables, plots
from pyfd.evaluation import dataset, evaluate, models
from pyfd.evaluation.defences import Defence, Distillation
from pyfd.torch import predict

MAKER = "benchmarks/reproduction.py"
MODELS = ("efficientnet-lite0", "efficientnet-lite2", "squeezenet1.1")
COUNT = 200  # photographs, of those that the model gets right
STEPS = (8, 16, 24, 32, 48)
PROTECTED = (0, 6, 15)
FEW = 20  # photographs for the slow baselines, total-variation minimization and quilting
KINDS, PRESETS = ("one-pass", "two-pass"), ("fd-2018", "fd-cvpr2019")
ONE_PASS, TWO_PASS = "one-pass:fd-cvpr2019", "two-pass:fd-cvpr2019"

Content = dict[str, Any]
#: The size of the photographs: the model's input size, or their own.
Scale: TypeAlias = Literal["model", "photo"]
SIZES: Mapping[Scale, str] = {"model": "its input size", "photo": "the photographs' own size"}
#: How many photographs the headlines are measured on. Larger pictures and networks are slower.
COUNTS: Mapping[Scale, Sequence[int]] = {"model": (COUNT, 60, COUNT), "photo": (60, 30, 60)}


class Part(NamedTuple):
    """An evaluation: a part of the reproduction."""

    name: str
    model: str
    defences: Sequence[str | Defence]
    attacks: Sequence[str]
    epsilons: Sequence[int]
    count: int = COUNT
    scale: Scale = "model"
    surrogates: Sequence[str] = ()

    @property
    def folder(self) -> str:
        """The name of the part's folder."""
        return "-".join([self.name, self.model, *(["own-size"] if self.scale == "photo" else [])])


def parts() -> list[Part]:
    """Return all parts except that of the slow baselines."""
    return [*adaptive_and_steps(), *headlines()]


def headlines() -> Iterator[Part]:
    """Yield the parts of both papers' tables: each model, at both sizes."""
    others = ("jpeg:90", "jpeg:75", "bits:4", "shield")
    certified = (f"certified:{PRESETS[1]}@1", "certified:1", "certified:4")
    tables = tuple(f"{kind}:{name}" for kind in KINDS for name in PRESETS)
    defences = ("none", *tables, *certified, *others)
    for scale, counts in COUNTS.items():
        for model, count in zip(MODELS, counts, strict=True):
            weak, strong = ("bim", "deepfool", "cw-l2"), ("pgd",)
            yield Part("headline", model, defences, weak, (1,), count, scale)
            yield Part("strong", model, defences, strong, (4,), count, scale)


def adaptive_and_steps() -> Iterator[Part]:
    """Yield the parts of adaptive attacks and of the step, for the first model only."""
    model = MODELS[0]
    adaptive = (ONE_PASS, TWO_PASS, "two-pass:16", "jpeg:75")
    yield Part("adaptive", model, adaptive, ("bpda", "grid"), (4,))
    by_step = {str(step): QTables.uniform(step) for step in STEPS}
    protected = {f"40, {count} protected": two_band(count) for count in PROTECTED}
    # One pass at the paper's strength, and at one that two passes need to show differences
    for name, tables in (("steps", by_step), ("protected", protected)):
        defences = [distillation("one-pass", *item) for item in tables.items()]
        yield Part(f"{name}-one-pass", model, defences, ("pgd",), (1, 4))
    defences = [distillation("two-pass", *item) for item in by_step.items()]
    yield Part("steps-two-pass", model, defences, ("pgd",), (4,))


def distillation(kind: str, label: str, tables: QTables) -> Distillation:
    """Return a table defence of one of `KINDS`, named after a label."""
    defence = Distillation(tables, two_pass=kind == "two-pass")
    defence.name = f"{kind}:{label}"
    return defence


def two_band(protected: int) -> QTables:
    """Return tables with a step of 40, but 1 for the first frequencies in zigzag order."""
    return QTables.two_band(np.zeros((8, 8)), step=40, protected_step=1, protected=protected)


# ---- running ------------------------------------------------------------------


class Photos:
    """Labelled photographs, and the models that they are shown to.

    Args:
        folder: The folder of the photographs.
        labels: The CSV file.
    """

    def __init__(self, folder: Path, labels: Path) -> None:
        self.all = dataset.load(folder, labels)
        self.right: dict[tuple[str, Scale], tuple[list[np.ndarray], np.ndarray]] = {}
        self.models: dict[str, Any] = {}

    def model(self, name: str) -> Any:
        """Return a model, which is loaded only once."""
        if name not in self.models:
            self.models[name] = models.load(name)
        return self.models[name]

    def of(self, model: str, scale: Scale = "model") -> tuple[list[np.ndarray], np.ndarray]:
        """Return the photographs that a model gets right at a size, and their labels."""
        if (model, scale) not in self.right:
            network, pixels = self.model(model), self.all.pixels
            if scale == "model":
                pixels = [dataset.at_input_size(x, network.input_size) for x in pixels]
            chosen = np.flatnonzero(predict(network, pixels) == self.all.labels)
            chosen = np.random.default_rng(0).permutation(chosen)  # they may be sorted by class
            self.right[model, scale] = [pixels[i] for i in chosen], self.all.labels[chosen]
        return self.right[model, scale]


def run(part: Part, photos: Photos, output: Path, name: str) -> Content:
    """Evaluate a part, and return its report."""
    pixels, labels = photos.of(part.model, part.scale)
    return evaluate(
        photos.model(part.model),
        pixels[: part.count],
        labels[: part.count],
        output=output / part.folder,
        defences=part.defences,
        attacks=part.attacks,
        epsilons=part.epsilons,
        surrogate=[photos.model(name) for name in part.surrogates],
        workers=len(os.sched_getaffinity(0)),
        progress=True,
        setting={"model": part.model, "images": name, "scale": part.scale},
    )


def slow(photos: Photos) -> Part:
    """Return the part of the slow baselines; the patches come from other photographs."""
    others, _ = photos.of(MODELS[0])
    quilting = Quilting(patch_bank(others[COUNT:], count=20_000))
    defences = ("none", "one-pass:fd-cvpr2019", TWO_PASS, "jpeg:75", "tvm", quilting)
    return Part("slow", MODELS[0], defences, ("pgd", "cw-l2"), (4,), FEW)


# ---- the page -----------------------------------------------------------------


def cell(content: Content, defence: str, attack: str, epsilon: int | None) -> float | None:
    """Return the accuracy in a report's cell, or None if there is no such cell."""
    found = _cell(content, defence, attack, epsilon)
    return None if found is None else float(found["accuracy"])


def _cell(content: Content, defence: str, attack: str, epsilon: int | None) -> Content | None:
    for found in content["cells"]:
        if (found["defence"], found["attack"], found["epsilon"]) == (defence, attack, epsilon):
            return dict(found)
    return None


def percent(cell: Content | None) -> str:
    """Return an accuracy in percent with its 95 % interval; a dash for what was not measured."""
    if cell is None:
        return "–"
    low, high = (f"{100 * end:.0f}" for end in cell["interval"])
    return f"{100 * cell['accuracy']:.1f} ({low}–{high})"


def table(contents: Iterable[Content], columns: Sequence[tuple[str, int | None]]) -> str:
    """Return a table of accuracies in percent, with a row for each defence.

    What is certified stands beside the attacks, if something is.
    """
    contents = list(contents)
    merged: Content = {"cells": [c for content in contents for c in content["cells"]]}
    certified = {
        name: found for content in contents for name, found in content["certified"].items()
    }
    heads = [a if epsilon is None else f"{a} ε = {epsilon}" for a, epsilon in columns]
    rows = []
    for defence in dict.fromkeys(found["defence"] for found in merged["cells"]):
        row = [defence, *(percent(_cell(merged, defence, *column)) for column in columns)]
        if certified:
            promised = certified.get(defence)
            at = "" if promised is None else f" at ε = {promised['epsilon']}"
            row.append(percent(promised) + at)
        rows.append(row)
    return pages.table(["defence", *heads, *(["certified"] if certified else [])], rows)


def draw(
    contents: dict[str, Content], name: str, x: Sequence[int], labels: Sequence[str], path: Path
) -> None:
    """Write a picture of accuracies against the step, or against the protected frequencies."""
    one = contents[f"{name}-one-pass-{MODELS[0]}"]
    two = contents.get(f"{name}-two-pass-{MODELS[0]}")
    series: dict[str, Sequence[Any]] = {
        name.removesuffix("s"): x,
        "benign": [cell(one, f"one-pass:{label}", "benign", None) for label in labels],
    }
    if two is not None:
        series["two passes, PGD ε = 4"] = [
            cell(two, f"two-pass:{label}", "pgd", 4) for label in labels
        ]
    for epsilon in (1, 4):
        series[f"one pass, PGD ε = {epsilon}"] = [
            cell(one, f"one-pass:{label}", "pgd", epsilon) for label in labels
        ]
    plots.save(plots.curves(series), path)


def page(contents: dict[str, Content], pictures: Path) -> str:
    """Return the generated part of docs/reproduction.md, and write its pictures.

    Args:
        contents: The parts' reports, by the parts' folders.
        pictures: The folder for the pictures.
    """
    model = MODELS[0]
    columns: list[tuple[str, int | None]]
    parts = []
    for part in headlines():
        if part.name == "headline":
            strong = part._replace(name="strong")
            found = [contents[part.folder], contents[strong.folder]]
            columns = [
                ("benign", None),
                ("bim", 1),
                ("deepfool", None),
                ("cw-l2", None),
                ("pgd", 4),
            ]
            title = heading(part.model, f"at {SIZES[part.scale]}", found[0])
            parts.append(title + table(found, columns))
    adaptive = contents[f"adaptive-{model}"]
    columns = [("benign", None), ("bpda", 4), ("grid", 4)]
    parts.append(heading(model, "adaptive attacks", adaptive) + table([adaptive], columns))
    slow = contents[f"slow-{model}"]
    columns = [("benign", None), ("pgd", 4), ("cw-l2", None)]
    parts.append(heading(model, "the slow baselines", slow) + table([slow], columns))
    parts.append(costs(slow))
    labels = [f"40, {count} protected" for count in PROTECTED]
    draw(contents, "steps", STEPS, [str(step) for step in STEPS], pictures / "steps.png")
    draw(contents, "protected", PROTECTED, labels, pictures / "protected.png")
    return "\n\n".join(parts)


def heading(model: str, what: str, content: Content) -> str:
    """Return the heading of a table."""
    return f"### {model}, {what}, {content['setting']['n']} photographs\n\n"


def costs(content: Content) -> str:
    """Return a table of the defences' times per image."""
    seconds = content["costs"]
    rows = [
        [name, f"{1000 * value:.2f}", f"{value / seconds[TWO_PASS]:,.1f}"]
        for name, value in sorted(seconds.items(), key=lambda item: item[1])
    ]
    return pages.table(["defence", "ms per image", "times a defended decode"], rows)


def read_arguments(description: str) -> argparse.Namespace:
    """Return the arguments of a study: photographs, labels, a folder, a page to write to."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--write", type=Path, help="the page to put the tables in")
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments(__doc__)
    photos = Photos(arguments.photos, arguments.labels)
    contents = {}
    for part in [slow(photos), *parts()]:
        print(part.folder, flush=True)
        contents[part.folder] = run(part, photos, arguments.output, arguments.photos.name)
    pictures = arguments.write.parent / "images" if arguments.write else arguments.output
    text = f"pyfd {pyfd.__version__}. Accuracy in %.\n\n{page(contents, pictures)}"
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
