"""The schema of report.json, and the questions that its page asks of it.

Anybody may have written a report.json. `read` refuses anything that is not the report of
an evaluation, and makes its texts printable; the page's template escapes them.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pyfd._core import text_files
from pyfd._core.extras import missing
from pyfd.evaluation.attacks import ATTACKS

try:
    from pydantic import (
        BaseModel,
        ConfigDict,
        Field,
        ValidationError,
        field_validator,
        model_validator,
    )
except ModuleNotFoundError as error:
    raise missing("pydantic", "evaluate", module=error.name) from error

FORMAT = "pyfd-evaluation"
VERSION = 1

#: The kinds of attackers' knowledge, in the order of the table: adaptive beside gray-box.
THREATS = ("benign", "adaptive", "gray-box", "black-box")

_MOST_BYTES = 64 << 20  # of a report.json, which holds pictures
_MOST_CELLS = 10_000  # of the table, measured or not: each is drawn
_MOST_ENTRIES = 1000  # of lists of texts and examples
_UNIFORM = re.compile("(one-pass|two-pass):([0-9]{1,5})")
_ROUNDING = 1e-3  # the rounding error of the numbers in a report.json

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(ge=0, lt=1e300)]
Share = Annotated[float, Field(ge=0, le=1)]
#: A picture in base64: a PNG, or a JPEG.
Picture = Annotated[str, Field(pattern="^(iVBORw0KGgo|/9j/)[A-Za-z0-9+/]+={0,2}$")]


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a report.json, for `page` and `text`.

    Raises:
        ValueError: There is no such file, or it is not the report of an evaluation.
        OSError: The file cannot be read.
    """
    try:
        content: dict[str, Any] = text_files.read_json(path, _MOST_BYTES, "JSON")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; pyfd evaluate writes it") from None
    read(content)
    return content


def read(content: object) -> Evaluation:
    """Return the content of a report.json, checked and with printable texts.

    Raises:
        ValueError: It is not the report of an evaluation; the message names the field.
    """
    try:
        return Evaluation.model_validate(_printable(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    kind, place = first["type"], "/".join(map(str, ("report.json", *first["loc"])))
    problem = _PROBLEMS.get(kind, first["msg"]).removeprefix("Value error, ")
    if kind not in ("missing", "value_error"):
        problem += f", not {reprlib.repr(first['input'])}"
    raise ValueError(f"{place}: {problem}")


#: pydantic's messages in the words of JSON, by pydantic's name for the error.
_PROBLEMS = {
    "missing": "this field is missing",
    "model_type": "Input should be an object",
    "dict_type": "Input should be an object",
    "string_pattern_mismatch": "Input should be a PNG or a JPEG in base64",
}


@dataclass(frozen=True)
class Column:
    """An attack at one strength, or no attack: one column of the table."""

    threat: str
    attack: str
    epsilon: float | None
    title: str | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The attack, as its authors write it."""
        known = ATTACKS.get(self.attack)  # the cells of older reports have no titles
        return self.title or (known and known.title) or self.attack

    @property
    def strength(self) -> str:
        """The attack's ε, or "L2" if it has none; empty if there is no attack."""
        if self.threat == "benign":
            return ""
        return "L2" if self.epsilon is None else f"ε = {self.epsilon:g}"

    @property
    def label(self) -> str:
        """The attack and its strength."""
        return f"{self.name}{' ' if self.epsilon is None else ', '}{self.strength}".strip()


#: The column of images that nobody attacked.
BENIGN = Column("benign", "benign", None)


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Setting(_Model, extra="allow"):
    """The model and the images; the page shows any other entry too."""

    model: Text
    images: Text
    loaded: Count
    n: Count
    classes: dict[str, Text] = Field(default_factory=dict)
    """The names of classes by number; older reports have none."""


class Accuracy(_Model):
    """A share of the base set."""

    correct: Count
    n: Count
    rounded: Share = Field(alias="accuracy")
    interval: list[Share]

    @property
    def accuracy(self) -> float:
        """The exact share, 0 to 1."""
        return self.correct / self.n

    @model_validator(mode="after")
    def _is_a_share(self) -> Accuracy:
        if not 0 < self.n >= self.correct:
            raise ValueError(f"correct must be at most n, {self.n}, and n at least 1")
        if abs(self.rounded - self.accuracy) > _ROUNDING:
            raise ValueError(f"accuracy must be correct/n, {self.correct}/{self.n}")
        low, high = self.interval if len(self.interval) == 2 else (1, 0)
        if not low - _ROUNDING <= self.accuracy <= high + _ROUNDING:
            raise ValueError("interval must be two numbers around the accuracy")
        return self


class Certified(Accuracy):
    """How many images a model gets right, and no perturbation within ε can change."""

    epsilon: Count


class Together(Accuracy):
    """How many images a model gets right under each of several attacks of one strength."""

    defence: Text
    epsilon: Count
    attacks: list[Text] = Field(max_length=_MOST_ENTRIES)


class Cell(Accuracy):
    """One accuracy: how many images of the base set a model gets right behind a defence."""

    defence: Text
    kind: Literal["none", "one-pass", "two-pass", "transformation"]
    attack: Text
    threat: Literal["benign", "adaptive", "gray-box", "black-box"]
    title: str | None = None
    uniform_step: Count | None = None
    epsilon: Number | None
    parameters: dict[str, Any]
    l2: Number | None
    seconds: Number

    @cached_property
    def column(self) -> Column:
        """The place of the cell in its row."""
        return Column(self.threat, self.attack, self.epsilon, self.title)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        """Take the step of uniform tables from the name in older reports, which say it there."""
        if isinstance(value, Mapping) and "uniform_step" not in value:
            found = _UNIFORM.fullmatch(str(value.get("defence")))
            if found and found[1] == value.get("kind"):
                return {**value, "uniform_step": int(found[2])}
        return value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Cell:
        if "benign" in (self.threat, self.attack) and self.column != BENIGN:
            raise ValueError("threat and attack must both be benign, without epsilon, or neither")
        return self


class Predicted(_Model):
    """The classes that the model gave to the pictures of an example."""

    benign: Count
    attacked: Count
    defended: Count


class Example(_Model):
    """An image, attacked and defended."""

    title: Text
    image: Count | None = None
    """Its number among all images that were given; older reports have none."""
    label: Count
    predicted: Predicted
    original: Picture
    adversarial: Picture
    perturbation: Picture
    amplified: Count
    defended: Picture
    defence: Text


class Finding(_Model):
    """What the evaluation found when it checked itself."""

    level: Literal["error", "warning"]
    check: Text
    text: Text


class Progress(_Model):
    """How much of an evaluation is done, in its own units of work."""

    done: Count
    total: Count
    seconds_left: Number | None = None


class Evaluation(_Model):
    """The content of a report.json. Defences and attacks keep the order of its cells.

    As long as the evaluation is not finished, its cells may count fewer images, and any of
    them may be missing.
    """

    format: Literal["pyfd-evaluation"]
    version: int
    finished: bool = True
    progress: Progress | None = None
    setting: Setting
    cells: list[Cell]
    certified: dict[str, Certified] = Field(default_factory=dict)
    """By defence; older reports have none."""
    together: list[Together] = Field(default_factory=list, max_length=_MOST_CELLS)
    """What all attacks of each strength leave of each defence; older reports have none."""
    rates: dict[str, Number] = Field(default_factory=dict)
    """The mean bits per pixel that the camera sends, by defence; older reports have none."""
    costs: dict[str, Number]
    warnings: list[Text] = Field(max_length=_MOST_ENTRIES)
    findings: list[Finding] = Field(default_factory=list, max_length=_MOST_ENTRIES)
    """Errors and warnings; older reports have only the texts of warnings."""
    examples: list[Example] = Field(max_length=_MOST_ENTRIES)

    @field_validator("version")
    @classmethod
    def _is_known(cls, version: int) -> int:
        if version != VERSION:
            raise ValueError(f"must be {VERSION}, not {version}: another pyfd wrote the report")
        return version

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Evaluation:
        if self.finished and not self.cells:
            raise ValueError("there are no cells: nothing was measured")
        if len(self.defences) * len({cell.column for cell in self.cells}) > _MOST_CELLS:
            raise ValueError(f"the table has more than {_MOST_CELLS} cells")
        seen = set()
        for cell in self.cells:
            if self.defences[cell.defence] != cell.kind:
                raise ValueError(f"{cell.defence} has two kinds")
            if (cell.defence, cell.column) in seen:
                raise ValueError(f"two cells are {cell.defence} under {cell.column.label}")
            if not self._counts(cell):
                raise ValueError(f"{cell.defence} is not measured on the setting's n")
            seen.add((cell.defence, cell.column))
        for name, certified in self.certified.items():
            if not self._counts(certified):
                raise ValueError(f"{name} is not certified on the setting's n")
        self._check_together()
        for name in self.defences:
            if self.finished and (name, BENIGN) not in seen:
                raise ValueError(f"{name} has no benign accuracy")
        return self

    def _check_together(self) -> None:
        attacked = {(cell.defence, cell.epsilon) for cell in self.cells}
        for found in self.together:
            place = (found.defence, found.epsilon)
            name = f"together: {found.defence} at ε = {found.epsilon}"
            if place not in attacked:
                raise ValueError(f"{name} has no cell, or two entries")
            if not self._counts(found):
                raise ValueError(f"{name} is not measured on the setting's n")
            attacked.remove(place)

    def _counts(self, found: Accuracy) -> bool:
        """Return whether an accuracy counts all images, or some if that is not finished."""
        return found.n == self.setting.n or (not self.finished and found.n < self.setting.n)

    @property
    def errors(self) -> list[str]:
        """The findings that make the evaluation unsound."""
        return [finding.text for finding in self.findings if finding.level == "error"]

    @property
    def doubts(self) -> list[str]:
        """The warnings, without the errors, each once."""
        found = [finding.text for finding in self.findings if finding.level == "warning"]
        return [text for text in dict.fromkeys([*self.warnings, *found]) if text not in self.errors]

    @cached_property
    def defences(self) -> Mapping[str, str]:
        """The kind of each defence, by name."""
        return {cell.defence: cell.kind for cell in self.cells}

    @cached_property
    def columns(self) -> Sequence[Column]:
        """The benign column, then the others by threat, by attack as in cells, and by strength."""
        attacks = list(dict.fromkeys(cell.attack for cell in self.cells))

        def place(column: Column) -> tuple[int, int, float]:
            threat = THREATS.index(column.threat)
            return threat, attacks.index(column.attack), column.epsilon or 0

        found = dict.fromkeys(cell.column for cell in self.cells if cell.column != BENIGN)
        return [BENIGN, *sorted(found, key=place)]

    @cached_property
    def uniform(self) -> Sequence[tuple[int, str]]:
        """The defences by uniform tables, as pairs of step and name, in the order of steps.

        Certified ones are not among them: their cameras write other images.
        """
        found = {(c.uniform_step, c.defence) for c in self.cells if c.uniform_step is not None}
        return sorted(pair for pair in found if pair[1] not in self.certified)

    @property
    def attacks(self) -> Sequence[Column]:
        """The columns after the first, which is the benign one."""
        return self.columns[1:]

    @cached_property
    def _places(self) -> Mapping[tuple[str, Column], Cell]:
        return {(cell.defence, cell.column): cell for cell in self.cells}

    def cell(self, defence: str, column: Column) -> Cell | None:
        """Return the accuracy of a defence under an attack, or None if it was not measured."""
        return self._places.get((defence, column))

    def benign(self, defence: str) -> Cell | None:
        """Return the accuracy of a defence on images that nobody attacked.

        It is None only if the evaluation is not finished.
        """
        return self._places.get((defence, BENIGN))

    def of(self, defence: str, threat: str) -> list[Cell]:
        """Return everything that was measured of a defence under a threat."""
        found = (self.cell(defence, column) for column in self.columns if column.threat == threat)
        return [cell for cell in found if cell]

    def lowest(self, defence: str, threat: str, *epsilons: float | None) -> Cell | None:
        """Return the cell of lowest accuracy under attacks of these strengths, or of any."""
        found = self.of(defence, threat)
        cells = [cell for cell in found if not epsilons or cell.epsilon in epsilons]
        return min(cells, key=lambda cell: cell.accuracy, default=None)

    def left(self, defence: str) -> Together | None:
        """Return the least that all attacks of one strength, taken together, leave of a defence."""
        found = (each for each in self.together if each.defence == defence)
        return min(found, key=lambda each: each.accuracy, default=None)


def _printable(value: Any, depth: int = 6) -> Any:
    """Return a JSON value with its texts made printable and anything nested too deep cut off.

    HTML and UTF-8 cannot hold some characters, and others reverse the direction of a line.
    """
    if isinstance(value, str):
        return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in value)
    if isinstance(value, Mapping | list) and not depth:
        return "…"
    if isinstance(value, Mapping):
        return {_printable(str(key)): _printable(item, depth - 1) for key, item in value.items()}
    return [_printable(item, depth - 1) for item in value] if isinstance(value, list) else value
