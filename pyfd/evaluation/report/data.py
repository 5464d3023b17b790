"""report.json, read and checked: the cells of an evaluation, and what its page shows beside them.

What stands in report.json may come from anybody. What is not an evaluation's is
refused, and its texts are made printable; whoever writes them to HTML escapes them.
"""

from __future__ import annotations

import json
import os
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

FORMAT = "pyfd-evaluation"
VERSION = 1

#: What an attacker knows, in the order of the table: the worst first, its neighbour beside it.
THREATS = ("benign", "adaptive", "gray-box", "black-box")

_NAMES = {name: name.upper() for name in ("apgd", "bim", "bpda", "fgsm", "pgd")} | {
    "cw-l2": "CW",
    "deepfool": "DeepFool",
    "grid": "grid-aimed",
}


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a report.json, for `pyfd.evaluation.report`.

    Raises:
        ValueError: There is no such file, or it is not an evaluation's.
        OSError: The file cannot be read.
    """
    try:
        content: dict[str, Any] = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: pyfd evaluate writes it") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    read(content)
    return content


class Column(NamedTuple):
    """What the defences are compared under."""

    threat: str
    attack: str
    epsilon: float | None

    @property
    def name(self) -> str:
        """The attack, as its authors write it."""
        return _NAMES.get(self.attack, self.attack)

    @property
    def strength(self) -> str:
        """Its ε; L2 where an attack has none; nothing where there is no attack."""
        if self.threat == "benign":
            return ""
        return "L2" if self.epsilon is None else f"ε = {self.epsilon:g}"

    @property
    def label(self) -> str:
        """Name and strength."""
        return f"{self.name}{' ' if self.epsilon is None else ', '}{self.strength}".strip()


BENIGN = Column("benign", "benign", None)


@dataclass(frozen=True)
class Cell:
    """One accuracy: how many of the base set a model gets right behind a defence."""

    defence: str
    column: Column
    parameters: str
    correct: int
    n: int
    interval: Sequence[float]
    l2: float | None
    seconds: float

    @property
    def accuracy(self) -> float:
        """As a share, 0 to 1."""
        return self.correct / self.n


class Example(TypedDict):
    """An image, attacked and defended; the pictures are PNG in base64."""

    title: str
    label: int
    predicted: dict[str, int]
    original: str
    adversarial: str
    perturbation: str
    amplified: int
    defended: str
    defence: str


@dataclass(frozen=True)
class Report:
    """report.json, checked. Defences and attacks keep the order of its cells."""

    setting: Mapping[str, str]
    cells: Mapping[tuple[str, Column], Cell]
    defences: Mapping[str, str]
    """Kinds by name."""
    columns: Sequence[Column]
    costs: Mapping[str, float]
    warnings: Sequence[str]
    examples: Sequence[Example]

    def cell(self, defence: str, column: Column) -> Cell | None:
        """What was measured there, if anything."""
        return self.cells.get((defence, column))

    def benign(self, defence: str) -> Cell:
        """What a defence keeps of images that nobody attacked; every defence has it."""
        return self.cells[defence, BENIGN]

    @property
    def attacks(self) -> Sequence[Column]:
        """The columns but the first, which is the benign one."""
        return self.columns[1:]

    def of(self, defence: str, threat: str) -> list[Cell]:
        """Everything measured of a defence under a threat."""
        found = (self.cell(defence, c) for c in self.columns if c.threat == threat)
        return [cell for cell in found if cell]

    def lowest(self, defence: str, threat: str, *epsilons: float | None) -> Cell | None:
        """The lowest accuracy that attacks left, of these strengths or of any."""
        found = self.of(defence, threat)
        cells = [cell for cell in found if not epsilons or cell.column.epsilon in epsilons]
        return min(cells, key=lambda cell: cell.accuracy, default=None)


def read(content: object) -> Report:
    """What report.json holds as a `Report`.

    Raises:
        ValueError: It is not an evaluation's; the message names the field.
    """
    found = _clean(content)
    _check(found, _REPORT, "report.json")
    for name, cost in found["costs"].items():
        _check(cost, _NUMBER, f"report.json/costs/{name}")
    cells: dict[tuple[str, Column], Cell] = {}
    defences: dict[str, str] = {}
    for number, item in enumerate(found["cells"]):
        cell, kind = _cell(item, f"report.json/cells/{number}"), item["kind"]
        if defences.setdefault(cell.defence, kind) != kind:
            raise ValueError(f"report.json: {cell.defence} has two kinds")
        if (cell.defence, cell.column) in cells:
            raise ValueError(f"report.json: two cells are {cell.defence} under {cell.column.label}")
        if cell.n != found["setting"]["n"]:
            raise ValueError(f"report.json: {cell.defence} is not measured on the setting's n")
        cells[cell.defence, cell.column] = cell
    for name in defences:
        if (name, BENIGN) not in cells:
            raise ValueError(f"report.json: {name} has no benign accuracy")
    if not cells:
        raise ValueError("report.json has no cells: nothing was measured")
    return Report(
        setting={key: _described(value) for key, value in found["setting"].items()},
        cells=cells,
        defences=defences,
        columns=_in_order([column for _, column in cells]),
        costs=found["costs"],
        warnings=found["warnings"],
        examples=found["examples"],
    )


def _cell(item: dict[str, Any], where: str) -> Cell:
    column = Column(item["threat"], item["attack"], item["epsilon"])
    if "benign" in column and column != BENIGN:
        raise ValueError(f"{where}: threat and attack are benign, both without epsilon, or neither")
    correct, n, interval = item["correct"], item["n"], item["interval"]
    if not 0 < n >= correct:
        raise ValueError(f"{where}: correct must be at most n, {n}, and n at least 1")
    accuracy, rounding = correct / n, 1e-3
    if abs(item["accuracy"] - accuracy) > rounding:
        raise ValueError(f"{where}/accuracy must be correct/n, {correct}/{n}")
    if len(interval) != 2 or not interval[0] - rounding <= accuracy <= interval[1] + rounding:
        raise ValueError(f"{where}/interval must be two numbers around the accuracy")
    same = {key: item[key] for key in ("defence", "correct", "n", "interval", "l2", "seconds")}
    return Cell(**same, column=column, parameters=_described(item["parameters"]))


def _in_order(columns: Sequence[Column]) -> list[Column]:
    """By threat, then by attack in the order they come, then by strength."""
    attacks = [column.attack for column in columns]

    def place(column: Column) -> tuple[int, int, float]:
        return THREATS.index(column.threat), attacks.index(column.attack), column.epsilon or 0

    return sorted(dict.fromkeys(columns), key=place)


# ---- checking --------------------------------------------------------------


class _Kind(NamedTuple):
    words: str
    accepts: Callable[[Any], object]


def _among(*names: str) -> _Kind:
    return _Kind(f"one of {', '.join(names)}", lambda v: v in names)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TEXT = _Kind("a text", lambda v: isinstance(v, str) and v)
_COUNT = _Kind("an integer from 0", lambda v: _is_number(v) and isinstance(v, int) and v >= 0)
_NUMBER = _Kind("a number from 0", lambda v: _is_number(v) and 0 <= v < 1e300)
_SHARE = _Kind("a number from 0 to 1", lambda v: _NUMBER.accepts(v) and v <= 1)
_OPTIONAL = _Kind("a number from 0, or null", lambda v: v is None or _NUMBER.accepts(v))
_PNG = _Kind(
    "a PNG in base64",
    lambda v: isinstance(v, str) and re.fullmatch("iVBORw0KGgo[A-Za-z0-9+/]+={0,2}", v),
)
_CELL = {
    "defence": _TEXT,
    "kind": _among("none", "one-pass", "two-pass", "transformation"),
    "attack": _TEXT,
    "threat": _among(*THREATS),
    "epsilon": _OPTIONAL,
    "parameters": {},
    "correct": _COUNT,
    "n": _COUNT,
    "accuracy": _SHARE,
    "interval": [_SHARE],
    "l2": _OPTIONAL,
    "seconds": _NUMBER,
}
_EXAMPLE = {
    "title": _TEXT,
    "label": _COUNT,
    "predicted": {"benign": _COUNT, "attacked": _COUNT, "defended": _COUNT},
    "original": _PNG,
    "adversarial": _PNG,
    "perturbation": _PNG,
    "amplified": _COUNT,
    "defended": _PNG,
    "defence": _TEXT,
}
_REPORT = {
    "format": _among(FORMAT),
    "version": _Kind(f"{VERSION}: another pyfd wrote it", lambda v: v == VERSION),
    "setting": {"model": _TEXT, "images": _TEXT, "loaded": _COUNT, "n": _COUNT},
    "cells": [_CELL],
    "costs": {},
    "warnings": [_TEXT],
    "examples": [_EXAMPLE],
}


def _check(value: Any, shape: Any, where: str) -> None:
    """Refuse what has not this shape: a `_Kind`, an object with shapes, or a list of one shape."""

    def expect(fits: object, words: str) -> None:
        if not fits:
            raise ValueError(f"{where} must be {words}, not {reprlib.repr(value)}")

    if isinstance(shape, _Kind):
        expect(shape.accepts(value), shape.words)
    elif isinstance(shape, list):
        expect(isinstance(value, list), "a list")
        for number, item in enumerate(value):
            _check(item, shape[0], f"{where}/{number}")
    else:
        expect(isinstance(value, dict), "an object")
        for key, inner in shape.items():
            if key not in value:
                raise ValueError(f"{where} has no {key!r}")
            _check(value[key], inner, f"{where}/{key}")


# ---- texts -----------------------------------------------------------------


def _clean(value: Any, depth: int = 6) -> Any:
    """Without what HTML and UTF-8 cannot hold, what turns the writing around, and the depths."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in value)
    if isinstance(value, Mapping | list) and not depth:
        return "…"
    if isinstance(value, Mapping):
        return {_clean(str(key)): _clean(item, depth - 1) for key, item in value.items()}
    return [_clean(item, depth - 1) for item in value] if isinstance(value, list) else value


def _described(value: object) -> str:
    """Any value in words: numbers, texts, and lists and objects of them."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_described(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_described, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
