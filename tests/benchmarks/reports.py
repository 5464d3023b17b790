"""Reports of a study's parts, with a different number in every place."""

from __future__ import annotations

from itertools import product
from typing import Any

from benchmarks.studies import Part
from pyfd.evaluation.attacks import Attack, find
from pyfd.evaluation.defences import Defence, parse


def defences(part: Part) -> list[Defence]:
    return [d if isinstance(d, Defence) else parse(d) for d in part.defences]


def share(correct: int, n: int = 200) -> dict[str, Any]:
    """Return a share whose interval is one image wide to the left, and two to the right."""
    interval = [max(correct - 1, 0) / n, (correct + 2) / n]
    return {"correct": correct, "n": n, "accuracy": correct / n, "interval": interval}


def content(part: Part) -> dict[str, Any]:
    """Return a report that has the fields of a report.json which studies read."""
    attacks = [a if isinstance(a, Attack) else find(a) for a in part.attacks]
    columns: list[tuple[str, int | None]] = [("benign", None)]
    for attack in attacks:
        columns += [(attack.name, e) for e in (part.epsilons if attack.bounded else [None])]
    names = [defence.name for defence in defences(part)]
    cells = [
        {"defence": name, "attack": attack, "epsilon": epsilon, "seconds": 36.0 * n, **share(n + 1)}
        for n, ((attack, epsilon), name) in enumerate(product(columns, names))
    ]
    strengths = product(names, part.epsilons if part.attacks else ())
    promising = [defence for defence in defences(part) if defence.epsilon is not None]
    return {
        "setting": {"n": part.count},
        "cells": cells,
        "certified": {
            defence.name: {"epsilon": defence.epsilon, **share(100 + n)}
            for n, defence in enumerate(promising)
        },
        "together": [
            {"defence": name, "epsilon": epsilon, **share(150 + n)}
            for n, (name, epsilon) in enumerate(strengths)
        ],
        "rates": {name: 1 + n / 100 for n, name in enumerate(names) if name != "none"},
        "costs": {name: 0.0004 if name.startswith("two-pass:fd-cvpr") else 0.2 for name in names},
    }


def shown(correct: int, n: int = 200) -> str:
    """Return a share as the tables show it."""
    low, high = (100 * end for end in share(correct, n)["interval"])
    return f"{100 * correct / n:.1f} ({low:.0f}–{high:.0f})"
