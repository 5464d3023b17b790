"""The results of an evaluation: cells, what is certified, rates and costs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.evaluation.defences import Defence
from pyfd.evaluation.libraries import ART
from pyfd.evaluation.plan import Trial
from pyfd.evaluation.report.data import Count, Example, Number
from pyfd.evaluation.work import Work

_TIMED = 8


#: One character for each image of a chunk.
Digits = Annotated[str, Field(pattern="^[01]*$")]
Proofs = Annotated[str, Field(pattern="^[01-]*$")]


class _Entry(BaseModel):
    """An entry of the log, as `Work.do` returns it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    place: Count
    chunk: Count
    right: dict[str, Digits]
    l2: Number
    seconds: Number
    """Of the attack."""
    whole_seconds: Number
    """Of the attack and the judgement."""
    certified: dict[str, Proofs]
    rates: dict[str, Number | None]
    examples: list[Example]


def finished(
    work: Work, entries: Iterable[Any]
) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """Yield the entries of a log by trial and chunk; skip those that are not of this work."""
    for entry in entries:
        with suppress(ValidationError):
            found = _Entry.model_validate(entry)
            if _belongs(work, found):
                yield (found.place, found.chunk), entry


def _belongs(work: Work, entry: _Entry) -> bool:
    if entry.place >= len(work.trials) or entry.chunk >= len(work.chunks[entry.place]):
        return False
    trial = work.trials[entry.place]
    names = {defence.name for defence in trial.judged}
    benign = names if trial.attack.threat == "benign" else set()
    promising = {d.name for d in trial.judged if d.epsilon is not None} & benign
    certified = promising if work.certifying else set()
    size = len(work.chunks[entry.place][entry.chunk])
    return (
        entry.right.keys() == names
        and entry.certified.keys() == certified
        and entry.rates.keys() == benign
        and all(len(v) == size for v in (*entry.right.values(), *entry.certified.values()))
    )


def cells(work: Work, entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the report's cells from the log's entries: one per attack, ε and defence.

    Each counts the images of the entries that there are.
    """
    by_place: dict[int, list[dict[str, Any]]] = {}
    for entry in entries:
        by_place.setdefault(entry["place"], []).append(entry)
    for place, parts in by_place.items():
        trial = work.trials[place]
        attack = trial.attack
        n = _count(work, parts)
        for defence in trial.judged:
            correct = sum(part["right"][defence.name].count("1") for part in parts)
            yield {
                "defence": defence.name,
                "kind": defence.kind,
                "step": _mean_step(defence),
                "uniform_step": _uniform_step(defence),
                "attack": attack.name,
                "title": attack.title or attack.name,
                "threat": attack.threat,
                "epsilon": trial.epsilon,
                "parameters": _parameters(trial, work.attacker_quality),
                **share(correct, n),
                "l2": None if attack.threat == "benign" else sum(part["l2"] for part in parts) / n,
                "seconds": sum(part["seconds"] for part in parts),
            }


def _count(work: Work, entries: Iterable[dict[str, Any]]) -> int:
    """Return how many images the entries of one trial count."""
    return sum(len(work.chunks[entry["place"]][entry["chunk"]]) for entry in entries)


def certified(
    work: Work, defences: Sequence[Defence], entries: Sequence[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return how many images are right and certified, for each defence that promises it.

    There is none where the attacker hands over files (`Work.certifying`).
    """
    found = {}
    for defence in defences:
        parts = [entry for entry in entries if defence.name in entry["certified"]]
        if parts:
            correct = sum(part["certified"][defence.name].count("1") for part in parts)
            found[defence.name] = {
                "epsilon": defence.epsilon,
                **share(correct, _count(work, parts)),
            }
    return found


def rates(
    work: Work, defences: Sequence[Defence], entries: Sequence[dict[str, Any]]
) -> dict[str, float]:
    """Return the mean bits per pixel of the files that the defences' cameras send."""
    found = {}
    for defence in defences:
        parts = [entry for entry in entries if defence.name in entry["rates"]]
        bits = [part["rates"][defence.name] for part in parts]
        if bits and None not in bits:
            found[defence.name] = sum(bits) / _count(work, parts)
    return found


def share(correct: int, n: int) -> dict[str, Any]:
    """Return a share of the base set as report.json has it, with its interval."""
    accuracy = {"correct": correct, "n": n, "accuracy": correct / n}
    return {**accuracy, "interval": interval(correct, n)}


def _parameters(trial: Trial, attacker_quality: int | None) -> dict[str, Any]:
    found = trial.attack.parameters_against(trial.through)
    if attacker_quality is not None and trial.attack.threat != "benign":
        found["attacker_quality"] = attacker_quality
    return found


def _mean_step(defence: Defence) -> float | None:
    """Return the geometric mean of the tables' steps."""
    if defence.qtables is None:
        return None
    return float(np.exp(np.log(defence.qtables.array.astype(float)).mean()))


def _uniform_step(defence: Defence) -> int | None:
    """Return the step that all frequencies of the tables have, if they have the same.

    Certified defences have none: their cameras write other images.
    """
    if defence.qtables is None or defence.epsilon is not None:
        return None
    steps = set(defence.qtables.array.flat)
    return int(steps.pop()) if len(steps) == 1 else None


def interval(correct: int, n: int) -> list[float]:
    """Return the 95 % interval of a share (Wilson, 1927)."""
    from scipy.stats import binomtest  # type: ignore[import-untyped]  # workers start without it

    return [float(end) for end in binomtest(correct, n).proportion_ci(method="wilson")]


def costs(defences: Sequence[Defence], images: Sequence[Pixels]) -> dict[str, float]:
    """Return the seconds per image at run time, by the defences' names.

    For a defence by tables, this is the decoding of a file; for others, the call.
    """
    return {d.name: _cost(d, images[:_TIMED]) for d in defences if d.kind != "none"}


def _cost(defence: Defence, images: Sequence[Pixels]) -> float:
    times = []
    for image in (images[0], *images):
        call = defence.service_call(image)
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))  # the first one warms up


def versions() -> dict[str, str]:
    """Return the versions of pyfd and of the libraries that decide the results."""
    found = {"pyfd": pyfd.__version__}
    for name in ("torch", "art", "foolbox", "pyautoattack", "numpy", "pillow"):
        with suppress(PackageNotFoundError):
            found[name] = version(ART.get(name, name))
    return found
