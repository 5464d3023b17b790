"""From counts to a report: cells, costs, and warnings of an unsound evaluation."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import nn

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.evaluation import attacks
from pyfd.evaluation.defences import Defence, Distillation
from pyfd.evaluation.plan import DRAWS, Attacked, Bench, chain
from pyfd.torch import device_of

_FEWEST = 100
_UNEQUAL = 0.02
_TIMED = 8


def cells(bench: Bench, lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The report's cells, from the journal's lines: one per attack, ε and defence."""
    by_place: dict[int, list[dict[str, Any]]] = {}
    for line in lines:
        by_place.setdefault(line["place"], []).append(line)
    n = len(bench.images)
    for place, parts in by_place.items():
        item = bench.plan[place]
        for defence in item.judged:
            correct = sum(part["right"][defence.name] for part in parts)
            yield {
                "defence": defence.name,
                "kind": defence.kind,
                "step": _mean_step(defence),
                "attack": item.attack,
                "threat": item.threat,
                "epsilon": item.epsilon,
                "parameters": _parameters(item, bench),
                "correct": correct,
                "n": n,
                "accuracy": correct / n,
                "interval": interval(correct, n),
                "l2": None if item.attack == "benign" else sum(part["l2"] for part in parts) / n,
                "seconds": sum(part["seconds"] for part in parts),
            }


def _parameters(item: Attacked, bench: Bench) -> dict[str, Any]:
    if item.attack == "benign":
        return {}
    if item.attack == "grid":
        found: dict[str, Any] = {"steps": attacks.STEPS}
    else:
        name = item.attack if item.attack in attacks.ATTACKS else "pgd"
        found = dict(attacks.ATTACKS[name].parameters)
    if item.through is not None and item.through.random:
        found["draws"] = DRAWS
    if bench.attacker_quality is not None:
        found["attacker_quality"] = bench.attacker_quality
    return found


def _mean_step(defence: Defence) -> float | None:
    """The geometric mean of the tables' steps."""
    if defence.qtables is None:
        return None
    return float(np.exp(np.log(defence.qtables.array.astype(float)).mean()))


def interval(correct: int, n: int) -> list[float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    z = 1.959964
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return [max(0.0, centre - half), min(1.0, centre + half)]


def costs(defences: Sequence[Defence], images: Sequence[Pixels]) -> dict[str, float]:
    """Seconds per image at run time: of table defences the decoding of a file, else the call."""
    return {d.name: _cost(d, images[:_TIMED]) for d in defences if d.kind != "none"}


def _cost(defence: Defence, images: Sequence[Pixels]) -> float:
    times = []
    for image in (images[0], *images):
        if isinstance(defence, Distillation):
            tables = defence.qtables
            file = pyfd.encode(image, tables, baseline=False)
            work: Callable[[], object] = functools.partial(pyfd.decode, file, tables)
        else:
            work = functools.partial(defence, [image])
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))  # the first one warms up


def versions() -> dict[str, str]:
    """Of pyfd and of the libraries that decide the results."""
    packages = {"art": "adversarial-robustness-toolbox"}
    names = ("torch", "art", "foolbox", "numpy", "pillow")
    return {"pyfd": pyfd.__version__, **{name: version(packages.get(name, name)) for name in names}}


# ---- is it sound? -------------------------------------------------------------


def warnings(bench: Bench, found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What makes the cells unsound, or easy to misread."""
    n = len(bench.images)
    if n < _FEWEST:
        yield f"The base set has {n} images: below {_FEWEST} the intervals are wide."
    yield from _powerless(found)
    yield from _flat(bench)
    yield from _unequal(found)


def _powerless(cells: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Attacks that never succeed without a defence."""
    for cell in cells:
        if cell["kind"] == "none" and cell["threat"] != "benign" and cell["correct"] == cell["n"]:
            strength = "" if cell["epsilon"] is None else f", ε = {cell['epsilon']}"
            yield (
                f"{cell['attack']}{strength} never succeeds on the undefended model: "
                "what it does to defences says nothing."
            )


def _flat(bench: Bench) -> Iterator[str]:
    """Chains of defence and model that give an attacker no gradient."""
    chosen = bench.chunks[0]
    labels = torch.from_numpy(bench.labels[chosen])
    chains = {"the undefended model": bench.model}
    for item in bench.plan:
        if item.through is not None and item.attack != "grid":
            chains[item.through.name] = chain(item.through, bench.model, bench.seed)
    for name, model in chains.items():
        device = device_of(model)
        batch = attacks.to_batch([bench.images[i] for i in chosen]).to(device).requires_grad_()
        loss = nn.functional.cross_entropy(model(batch), labels.to(device))
        (gradient,) = torch.autograd.grad(loss, batch, allow_unused=True)
        if gradient is None or not gradient.abs().max() > 0:
            yield f"Gradients through {name} are zero: attacks that follow them are blind."


def _unequal(cells: Sequence[dict[str, Any]]) -> Iterator[str]:
    benign = {
        cell["defence"]: cell["accuracy"]
        for cell in cells
        if cell["threat"] == "benign" and cell["kind"] in ("one-pass", "two-pass")
    }
    if benign and max(benign.values()) - min(benign.values()) > _UNEQUAL:
        low, high = min(benign, key=lambda d: benign[d]), max(benign, key=lambda d: benign[d])
        yield (
            f"Tables are compared at unequal benign accuracy: {low} keeps "
            f"{benign[low]:.1%}, {high} {benign[high]:.1%}."
        )
