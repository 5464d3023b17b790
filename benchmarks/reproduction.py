"""The paper's figures and headline numbers beside ours: docs/reproduction.md.

    python -m benchmarks.reproduction PHOTOS LABELS --output DIR [--write docs/reproduction.md]

PHOTOS is a folder of photographs, LABELS a CSV with the columns file and label
(ImageNet's 0 to 999). Every part is an evaluation of its own in a folder below
DIR, with a report.html, and goes on where it was when it is started again.
Needs 'pyfd[evaluate]'.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pyfd
from benchmarks.quilting import Quilting, patch_bank
from pyfd import QTables, plots
from pyfd.evaluation import evaluate, images, models
from pyfd.evaluation.defences import Defence, Distillation
from pyfd.torch import predict

MODELS = ("efficientnet-lite0", "squeezenet1.1")
COUNT = 200  # photographs that the model gets right
STEPS = (4, 8, 16, 24, 32, 40, 56)
PROTECTED = (0, 5, 10, 15, 20, 30)
SLOW = 20  # photographs for total-variation minimization and quilting
TWO_PASS = "two-pass:fd-cvpr2019"
BEGIN, END = "<!-- made by benchmarks/reproduction.py -->\n", "<!-- end -->"

Content = dict[str, Any]


class Part(NamedTuple):
    """One evaluation."""

    name: str
    model: str
    scale: str
    defences: Sequence[str | Defence]
    attacks: Sequence[str]
    epsilons: Sequence[int]
    count: int = COUNT


def parts() -> list[Part]:
    both = ("fd-2018", "fd-cvpr2019")
    tables = [f"{passes}:{name}" for passes in ("one-pass", "two-pass") for name in both]
    headline = ("none", *tables, "jpeg:90", "jpeg:75", "bits:4", "shield")
    found = []
    for model in MODELS:
        found += [
            Part("headline", model, "model", headline, ("bim", "deepfool", "cw-l2"), (1,)),
            Part("strong", model, "model", headline, ("pgd",), (4,)),
        ]
    adaptive = ("none", "one-pass:fd-cvpr2019", TWO_PASS, "two-pass:16", "jpeg:75")
    found.append(Part("adaptive", MODELS[0], "photo", adaptive, ("pgd", "bpda", "grid"), (2, 4)))
    found.append(Part("cw", MODELS[0], "photo", ("none", TWO_PASS), ("cw-l2",), ()))
    by_step = [f"{p}:{step}" for p in ("one-pass", "two-pass") for step in STEPS]
    found.append(Part("steps", MODELS[0], "model", ("none", *by_step), ("pgd",), (1, 4)))
    found.append(Part("protected", MODELS[0], "model", two_bands(), ("pgd",), (1, 4)))
    return found


def two_bands() -> list[Defence]:
    """Tables of step 40, but 1 for the first frequencies in zigzag order."""
    found: list[Defence] = []
    for two_pass in (False, True):
        for count in PROTECTED:
            tables = QTables.two_band(np.zeros((8, 8)), step=40, protected_step=1, protected=count)
            defence = Distillation(tables, two_pass=two_pass)
            defence.name = f"{defence.kind}:40, {count} protected"
            found.append(defence)
    return found


# ---- running ------------------------------------------------------------------


class Photos:
    """The photographs that a model gets right, at a scale."""

    def __init__(self, folder: Path, labels: Path) -> None:
        self.all = images.load(folder, labels)
        self.right: dict[tuple[str, str], tuple[list[np.ndarray], np.ndarray]] = {}
        self.models: dict[str, Any] = {}

    def model(self, name: str) -> Any:
        if name not in self.models:
            self.models[name] = models.load(name)
        return self.models[name]

    def of(self, model: str, scale: str) -> tuple[list[np.ndarray], np.ndarray]:
        if (model, scale) not in self.right:
            network = self.model(model)
            pixels = self.all.pixels
            if scale == "model":
                pixels = [images.at_input_size(x, network.input_size) for x in pixels]
            chosen = np.flatnonzero(predict(network, pixels) == self.all.labels)
            chosen = np.random.default_rng(0).permutation(chosen)  # not one class after another
            self.right[model, scale] = [pixels[i] for i in chosen], self.all.labels[chosen]
        return self.right[model, scale]


def run(part: Part, photos: Photos, output: Path, name: str) -> Content:
    pixels, labels = photos.of(part.model, part.scale)
    return evaluate(
        photos.model(part.model),
        pixels[: part.count],
        labels[: part.count],
        output=output / f"{part.name}-{part.model}",
        defences=part.defences,
        attacks=part.attacks,
        epsilons=part.epsilons,
        workers=len(os.sched_getaffinity(0)),
        progress=True,
        setting={"model": part.model, "images": name, "scale": part.scale},
    )


def slow(photos: Photos) -> Part:
    """What takes seconds per image, on few of them; the patches come from other photographs."""
    others, _ = photos.of(MODELS[0], "model")
    quilting = Quilting(patch_bank(others[COUNT:], count=20_000))
    defences = ("none", "one-pass:fd-cvpr2019", TWO_PASS, "jpeg:75", "tvm", quilting)
    return Part("slow", MODELS[0], "model", defences, ("pgd", "cw-l2"), (4,), SLOW)


# ---- the page -----------------------------------------------------------------


def cell(content: Content, defence: str, attack: str, epsilon: int | None) -> str:
    for found in content["cells"]:
        if (found["defence"], found["attack"], found["epsilon"]) == (defence, attack, epsilon):
            return f"{100 * found['accuracy']:.0f}"
    return "–"


def table(content: Content, columns: Sequence[tuple[str, int | None]]) -> str:
    heads = [
        attack if epsilon is None else f"{attack} ε = {epsilon}" for attack, epsilon in columns
    ]
    lines = [f"| defence | {' | '.join(heads)} |", "|" + "---|" * (len(heads) + 1)]
    for defence in dict.fromkeys(found["defence"] for found in content["cells"]):
        cells = [cell(content, defence, attack, epsilon) for attack, epsilon in columns]
        lines.append(f"| {defence} | {' | '.join(cells)} |")
    return "\n".join(lines)


def curves(
    content: Content, labels: Iterable[str], x_name: str, x: Sequence[int], path: Path
) -> None:
    """Accuracies of one- and two-pass defences against x, as a picture."""
    records: dict[str, Sequence[float]] = {x_name: x}
    by_cell = {(c["defence"], c["attack"], c["epsilon"]): c["accuracy"] for c in content["cells"]}
    names = list(labels)
    for attack, epsilon, title in (
        ("benign", None, "benign"),
        ("pgd", 1, "PGD ε = 1"),
        ("pgd", 4, "PGD ε = 4"),
    ):
        for kind in ("one-pass", "two-pass"):
            if attack == "benign" and kind == "two-pass":
                continue  # the same as one pass, or nearly so
            key = f"{title}, {kind}" if attack != "benign" else title
            records[key] = [by_cell[f"{kind}:{name}", attack, epsilon] for name in names]
    plots.save(plots.curves(records), path)


def page(contents: dict[str, Content], pictures: Path) -> str:
    headline = [("benign", None), ("bim", 1), ("deepfool", None), ("cw-l2", None)]
    parts = []
    for model in MODELS:
        content, strong = contents[f"headline-{model}"], contents[f"strong-{model}"]
        merged = {"cells": content["cells"] + [c for c in strong["cells"] if c["attack"] == "pgd"]}
        parts.append(
            f"### {model}, at its input size, {content['setting']['n']} photographs\n\n"
            + table(merged, [*headline, ("pgd", 4)])
        )
    adaptive, cw = contents[f"adaptive-{MODELS[0]}"], contents[f"cw-{MODELS[0]}"]
    merged = {"cells": adaptive["cells"] + [c for c in cw["cells"] if c["attack"] == "cw-l2"]}
    columns = [("benign", None), ("cw-l2", None)]
    columns += [(attack, e) for e in (2, 4) for attack in ("pgd", "bpda", "grid")]
    parts.append(
        f"### {MODELS[0]}, at the photographs' own size, {adaptive['setting']['n']} photographs\n\n"
        + table(merged, columns)
    )
    slow = contents[f"slow-{MODELS[0]}"]
    parts.append(
        f"### Slow baselines, {slow['setting']['n']} photographs at 224×224\n\n"
        + table(slow, [("benign", None), ("pgd", 4), ("cw-l2", None)])
        + "\n\n"
        + costs(slow)
    )
    curves(contents[f"steps-{MODELS[0]}"], map(str, STEPS), "step", STEPS, pictures / "steps.png")
    names = [f"40, {count} protected" for count in PROTECTED]
    protected = contents[f"protected-{MODELS[0]}"]
    curves(protected, names, "protected", PROTECTED, pictures / "protected.png")
    return "\n\n".join(parts)


def costs(content: Content) -> str:
    seconds = content["costs"]
    fastest = seconds[TWO_PASS]
    lines = ["| defence | ms per image | times our decode |", "|---|---|---|"]
    for name, value in sorted(seconds.items(), key=lambda item: item[1]):
        lines.append(f"| {name} | {1000 * value:.2f} | {value / fastest:,.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    photos = Photos(arguments.photos, arguments.labels)
    contents = {}
    for part in [*parts(), slow(photos)]:
        print(part.name, part.model, flush=True)
        content = run(part, photos, arguments.output, arguments.photos.name)
        contents[f"{part.name}-{part.model}"] = content
    pictures = arguments.write.parent / "images" if arguments.write else arguments.output
    made = (
        f"{BEGIN}\npyfd {pyfd.__version__}. Accuracy in %.\n\n{page(contents, pictures)}\n\n{END}"
    )
    print(made)
    if arguments.write:
        text = arguments.write.read_text() if arguments.write.exists() else ""
        arguments.write.write_text(text.partition(BEGIN)[0] + made + text.partition(END)[2])


if __name__ == "__main__":
    main()
