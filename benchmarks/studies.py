"""Studies on labelled photographs: evaluations of several parts, resumed, and their page.

Each part is an evaluation in its own folder, with a report.html. The page is written after each
part, and says which parts have not been run, so that a study of many hours shows what it has.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

import pyfd
from benchmarks import pages
from pyfd.evaluation import dataset, evaluate, models
from pyfd.evaluation.attacks import Attack
from pyfd.evaluation.defences import Defence
from pyfd.torch import predict

MODELS = ("efficientnet-lite0", "efficientnet-lite2", "squeezenet1.1")

#: The content of a report.json.
Content: TypeAlias = dict[str, Any]
#: The size of the photographs: the model's input size, or their own.
Scale: TypeAlias = Literal["model", "photo"]
SIZES: Mapping[Scale, str] = {"model": "its input size", "photo": "the photographs' own size"}


class Part(NamedTuple):
    """An evaluation: a part of a study."""

    name: str
    model: str
    defences: Sequence[str | Defence]
    attacks: Sequence[str | Attack]
    epsilons: Sequence[int]
    count: int
    scale: Scale = "model"
    surrogates: Sequence[str] = ()

    @property
    def folder(self) -> str:
        """The name of the part's folder."""
        return "-".join([self.name, self.model, *(["own-size"] if self.scale == "photo" else [])])


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


def read_arguments(description: str) -> argparse.Namespace:
    """Return the arguments of a study: photographs, labels, a folder, a page to write to."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--write", type=Path, help="the page to put the tables in")
    return parser.parse_args()


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


def conduct(
    parts: Iterable[Part],
    photos: Photos,
    arguments: argparse.Namespace,
    maker: str,
    page: Callable[[Mapping[str, Content]], str],
) -> dict[str, Content]:
    """Run the parts in their order, and write the page after each.

    Args:
        parts: The parts, the most wanted first.
        photos: The photographs.
        arguments: Those of `read_arguments`.
        maker: The benchmark's file, for `publish`.
        page: Returns the page's sections for the reports so far, by the parts' folders.

    Returns:
        All reports, by the parts' folders.
    """
    parts, contents = list(parts), {}
    for part in parts:
        print(part.folder, flush=True)
        contents[part.folder] = run(part, photos, arguments.output, arguments.photos.name)
        left = [each.folder for each in parts if each.folder not in contents]
        publish(arguments, maker, page(contents), left)
    return contents


def publish(
    arguments: argparse.Namespace, maker: str, sections: str, left: Sequence[str] = ()
) -> None:
    """Write a study's sections to its page, if there is one, and print them if it is finished.

    Args:
        arguments: Those of `read_arguments`.
        maker: The benchmark's file.
        sections: The part of the page that the study makes.
        left: The names of what has not been run.
    """
    missing = f" Not run yet: {', '.join(left)}." if left else ""
    text = f"pyfd {pyfd.__version__}. Accuracy in %.{missing}\n\n{sections}"
    if arguments.write:
        pages.publish(arguments.write, maker, text)
    if not left:
        print(text)


# ---- tables -------------------------------------------------------------------


def find(content: Content, defence: str, attack: str, epsilon: int | None) -> Content | None:
    """Return a report's cell, or None if there is no such cell."""
    for found in content["cells"]:
        if (found["defence"], found["attack"], found["epsilon"]) == (defence, attack, epsilon):
            return dict(found)
    return None


def together(content: Content, defence: str, epsilon: int) -> Content | None:
    """Return what all attacks of a strength together leave of a defence, or None."""
    for found in content["together"]:
        if (found["defence"], found["epsilon"]) == (defence, epsilon):
            return dict(found)
    return None


def percent(cell: Content | None) -> str:
    """Return an accuracy in percent with its 95 % interval; a dash for what was not measured."""
    if cell is None:
        return "–"
    low, high = (f"{100 * end:.0f}" for end in cell["interval"])
    return f"{100 * cell['accuracy']:.1f} ({low}–{high})"


def promised(certified: Content | None) -> str:
    """Return a certified share with its interval and its ε; a dash if nothing is certified."""
    return percent(certified) + ("" if certified is None else f" at ε = {certified['epsilon']}")
