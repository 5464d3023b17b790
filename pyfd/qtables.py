"""Quantization tables: the `QTables` type and the presets.

Tables are in natural order throughout: the row is the vertical frequency, the
column the horizontal one, and ``[0, 0]`` is DC.
"""

from __future__ import annotations

import functools
import json
import operator
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd import analysis
from pyfd._core.files import write_atomically

MAX_TABLES = 4

# The largest step, by what it is for. csrc/pyfd.h has the same bounds.
MAX_STEP = 65535  # of a file: a quantization table's entries have 16 bits
BASELINE_STEP = 255  # of a baseline file: its entries have 8 bits
ENCODER_STEP = 8191  # beyond it, libjpeg's quantizer overflows: it multiplies steps by 8
DECODER_STEP = 32767  # beyond it, the inverse DCT's input does not fit 16 bits

#: What a caller may pass for tables: `QTables`, a preset's name, one 8×8
#: array-like or a sequence of one to four of them.
QTablesLike: TypeAlias = "QTables | str | npt.ArrayLike | Sequence[npt.ArrayLike]"

_FORMAT = "pyfd-qtables"

# ITU-T T.81, Annex K: tables K.1 (luminance) and K.2 (chrominance)
_ANNEX_K = (
    (
        (16, 11, 10, 16, 24, 40, 51, 61),
        (12, 12, 14, 19, 26, 58, 60, 55),
        (14, 13, 16, 24, 40, 57, 69, 56),
        (14, 17, 22, 29, 51, 87, 80, 62),
        (18, 22, 37, 56, 68, 109, 103, 77),
        (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101),
        (72, 92, 95, 98, 112, 100, 103, 99),
    ),
    (
        (17, 18, 24, 47, 99, 99, 99, 99),
        (18, 21, 26, 66, 99, 99, 99, 99),
        (24, 26, 56, 99, 99, 99, 99, 99),
        (47, 66, 99, 99, 99, 99, 99, 99),
        *(((99,) * 8,) * 4),
    ),
)


class Statistics(Protocol):
    """What `QTables.for_threat` needs of a `pyfd.FrequencyStatistics`."""

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """Standard deviations of the DCT coefficients, 3×8×8."""

    @property
    def digest(self) -> str:
        """What tells these statistics from others."""


class QTables:
    """One to four 8×8 quantization tables; immutable, hashable, comparable.

    Table *i* serves component *i*, and the last one serves the components left
    over: one table serves all, two are luma and chroma, three Y, Cb and Cr.

    Args:
        arrays: One 8×8 array-like of integers in 1...65535, in natural order,
            or a sequence of one to four of them.
        name: A label; it plays no part in comparisons.
        origin: How the tables came about: a dictionary that JSON can hold, with
            a "method" and its parameters. It plays no part in comparisons.

    Raises:
        TypeError: `arrays` is no array at all, or `origin` is what JSON cannot hold.
        ValueError: Wrong shape, wrong number of tables, steps that are no
            integers or out of range.
    """

    __slots__ = {
        "_name": None,
        "_origin": None,
        "array": "All tables as one read-only ``uint16`` array (tables, 8, 8).",
        "largest": "The largest step of all tables.",
    }
    array: npt.NDArray[np.uint16]
    largest: int
    _name: str | None
    _origin: str | None  # as JSON, which nobody can change

    def __init__(
        self,
        arrays: npt.ArrayLike | Sequence[npt.ArrayLike],
        name: str | None = None,
        *,
        origin: dict[str, Any] | None = None,
    ):
        object.__setattr__(self, "array", _pack(arrays))
        object.__setattr__(self, "largest", int(self.array.max()))
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_origin", None if origin is None else _pack_origin(origin))

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError("QTables cannot be changed")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError("QTables cannot be changed")

    def __reduce__(self) -> tuple[Any, ...]:
        make = functools.partial(QTables, origin=self.origin)
        return make, (self.array.tolist(), self._name)

    @property
    def name(self) -> str | None:
        """The label: a preset's or the caller's."""
        return self._name

    @property
    def origin(self) -> dict[str, Any] | None:
        """How the tables came about; a copy. None if nobody knows."""
        if self._origin is None:
            return None
        origin: dict[str, Any] = json.loads(self._origin)
        return origin

    def __len__(self) -> int:
        """The number of tables, 1 to 4."""
        return len(self.array)

    def __getitem__(self, component: int) -> npt.NDArray[np.uint16]:
        """The table that serves component 0 to 3: read-only, 8×8, ``uint16``."""
        if not -len(self) <= component < MAX_TABLES:
            raise IndexError(f"component {component} is not in 0...{MAX_TABLES - 1}")
        table: npt.NDArray[np.uint16] = self.array[min(component, len(self) - 1)]
        return table

    def __iter__(self) -> Iterator[npt.NDArray[np.uint16]]:
        return iter(self.array)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QTables):
            return NotImplemented
        return np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    def __repr__(self) -> str:
        label = f" {self._name!r}" if self._name else ""
        low, high = self.array.min(), self.array.max()
        plural = "s" if len(self) > 1 else ""
        return f"<QTables{label}: {len(self)} table{plural}, steps {low}...{high}>"

    # ---- constructors ----

    @classmethod
    def uniform(cls, step: int) -> QTables:
        """One step for all frequencies and components."""
        origin = {"method": "uniform", "step": step}
        return cls(np.full((8, 8), step), name=f"uniform-{step}", origin=origin)

    @classmethod
    def annex_k(cls, quality: int) -> QTables:
        """The standard's example tables at an IJG quality of 1...100.

        ITU-T T.81, Annex K.1, scaled by the IJG rule: what Pillow and cjpeg
        write for that quality.
        """
        if not 1 <= quality <= 100:
            raise ValueError(f"quality must be in 1...100, not {quality}")
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        tables = (np.array(_ANNEX_K) * scale + 50) // 100
        origin = {"method": "annex_k", "quality": quality}
        return cls(tables.clip(1, 255), name=f"annex-k-{quality}", origin=origin)

    @classmethod
    def two_band(
        cls, importance: npt.ArrayLike, *, step: int, protected_step: int, protected: int
    ) -> QTables:
        """A fine step for the most important frequencies, a coarse one for the rest.

        Liu et al., CVPR 2019, Eq. 11: the `protected` frequencies with the
        largest importance form the accuracy-sensitive band and get
        `protected_step`; the others form the malicious-defence band and get
        `step`. Ties go to the lower frequency, in zigzag order.

        Args:
            importance: 8×8 numbers, natural order, such as the standard
                deviations of the DCT coefficients over a data set; or n×8×8
                for n = 1...4 tables.
            step: The malicious-defence band's step.
            protected_step: The accuracy-sensitive band's step.
            protected: How many frequencies of each table are protected, 0...64.
        """
        weights = np.asarray(importance, dtype=np.float64)
        if weights.ndim == 2:
            weights = weights[np.newaxis]
        if weights.shape[1:] != (8, 8):
            raise ValueError(f"importance must be 8×8 or n×8×8, not {_shape(weights)}")
        if np.isnan(weights).any():
            raise ValueError("importance must not contain NaN")
        if not 0 <= protected <= 64:
            raise ValueError(f"protected must be in 0...64, not {protected}")
        step, protected_step = operator.index(step), operator.index(protected_step)
        tables = np.full(weights.shape, step, dtype=np.int64)
        order = _zigzag_order()
        for table, weight in zip(tables, weights, strict=True):
            ranked = order[np.argsort(-weight.ravel()[order], kind="stable")]
            table.ravel()[ranked[:protected]] = protected_step
        origin = {
            "method": "two_band",
            "step": step,
            "protected_step": protected_step,
            "protected": protected,
        }
        return cls(tables, origin=origin)

    @classmethod
    def for_threat(
        cls,
        epsilon: float,
        statistics: Statistics | None = None,
        *,
        protected: int = 0,
        protected_step: int = 1,
        baseline: bool = True,
    ) -> QTables:
        """Tables for the strength of perturbation that you fear: start here.

        The step is `pyfd.analysis.step_for`'s: about 8·epsilon, at which a
        sign-like perturbation of that strength still moves 1 coefficient in
        10,000. By default it serves all frequencies. Frequencies that are
        protected keep their detail and lose their defence: what an attacker
        puts there stays (Liu et al., CVPR 2019, Eq. 11).

        Args:
            epsilon: The strength, in 8-bit levels, above 0 and at most 255.
            statistics: What `pyfd.calibrate` found: the frequencies with the
                largest standard deviation are the ones to protect, for Y, Cb
                and Cr each (one table for each that was counted). Without, the
                lowest, in zigzag order, in one table.
            protected: How many frequencies are protected, 0...64.
            protected_step: The step of the protected ones.
            baseline: Refuse steps beyond 255, which a baseline decoder need not
                take.

        Raises:
            ValueError: An argument out of range, a step beyond 255 with
                `baseline`, or statistics of another shape than 3×8×8.
        """
        step = analysis.step_for(epsilon)
        origin = {
            "method": "for_threat",
            "epsilon": epsilon,
            "survival": analysis.SURVIVAL,
            "step": step,
            "protected": protected,
            "protected_step": protected_step,
        }
        importance = np.zeros((8, 8))  # all equal: zigzag order decides
        if statistics is not None:
            importance = _checked_std(statistics) if protected else importance
            origin["statistics"] = statistics.digest
        _check_baseline(epsilon, step, baseline)
        _check_baseline(epsilon, protected_step if protected else 1, baseline)
        tables = cls.two_band(
            importance, step=step, protected_step=protected_step, protected=protected
        )
        name = f"threat-{epsilon:g}" + (f"-protected-{protected}" if protected else "")
        return cls(tables.array, name=name, origin=origin)

    @classmethod
    def preset(cls, name: str) -> QTables:
        """A table by its name in `PRESETS`."""
        try:
            return _PRESETS[name]
        except KeyError:
            known = ", ".join(repr(preset) for preset in PRESETS)
            raise ValueError(f"no preset named {name!r}; there are {known}") from None

    # ---- files ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tables, the name and the origin as JSON."""
        write_atomically(path, self.to_json().encode())

    def to_json(self) -> str:
        """What `save` writes."""
        rows = [
            ",\n".join(f"   {json.dumps(row)}" for row in table) for table in self.array.tolist()
        ]
        tables = ",\n".join(f"  [\n{table}\n  ]" for table in rows)
        origin = "" if self._origin is None else f' "origin": {self._origin},\n'
        return (
            f'{{\n "format": "{_FORMAT}",\n "version": 1,\n "name": {json.dumps(self._name)},\n'
            f'{origin} "tables": [\n{tables}\n ]\n}}\n'
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> QTables:
        """Read what `save` wrote; a file may lack the origin."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not a table file: {error}") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f'{path} is not a table file: no "format": "{_FORMAT}"')
        if content.get("version") != 1:
            raise ValueError(f"{path} has version {content.get('version')!r}, not 1")
        name = content.get("name")
        if name is not None and not isinstance(name, str):
            raise ValueError(f"{path} has a name that is not a string")
        origin = content.get("origin")
        if origin is not None and not isinstance(origin, dict):
            raise ValueError(f"{path} has an origin that is not an object")
        return cls(content.get("tables", ()), name=name, origin=origin)

    def to_text(self) -> str:
        """The text form of ``cjpeg -qtables``: natural order, one table after another.

        cjpeg gives the first table to luma and the second to chroma; where there
        is one alone, ``-qslots 0`` gives it to all.
        """
        width = len(str(self.array.max()))
        blocks = []
        for number, table in enumerate(self.array):
            rows = (" ".join(f"{step:{width}d}" for step in row) for row in table)
            blocks.append("\n".join([f"# table {number}", *rows, ""]))
        title = f"# {' '.join(self._name.split())}\n" if self._name else ""
        return title + "\n".join(blocks)

    @classmethod
    def from_text(cls, text: str, name: str | None = None) -> QTables:
        """Read the text form of ``cjpeg -qtables``; ``#`` starts a comment."""
        words = re.sub(r"#.*", "", text).split()
        if not words or len(words) % 64 or len(words) > 64 * MAX_TABLES:
            raise ValueError(
                f"the text must hold 1 to 4 tables of 64 steps, not {len(words)} words"
            )
        wrong = next((word for word in words if not re.fullmatch(r"[0-9]{1,5}", word)), None)
        if wrong is not None:
            raise ValueError(
                f"the text holds {wrong[:20]!r}, which is not a step in 1...{MAX_STEP}"
            )
        return cls(np.array([int(word) for word in words]).reshape(-1, 8, 8), name=name)


def as_qtables(value: QTablesLike) -> QTables:
    """Whatever a caller may pass for tables, as `QTables`."""
    if isinstance(value, QTables):
        return value
    if isinstance(value, str):
        return QTables.preset(value)
    return QTables(value)


def steps_within(qtables: QTablesLike, most: int) -> npt.NDArray[np.uint16]:
    """Return the tables as one array (tables, 8, 8).

    Raises:
        ValueError: A step is larger than `most`.
    """
    tables = as_qtables(qtables)
    if tables.largest > most:
        hint = "; baseline=False allows more" if most == BASELINE_STEP else ""
        raise ValueError(f"steps must be in 1...{most} here, not {tables.largest}{hint}")
    return tables.array


def parse_tables(text: str) -> QTables:
    """A preset's name, a step ("16"), "annex-k:QUALITY" or a table file, as tables.

    Raises:
        ValueError: None of these, or tables that make no sense.
        OSError: The file cannot be read.
    """
    if text in PRESETS:
        return QTables.preset(text)
    if re.fullmatch(r"[0-9]+", text):
        return QTables.uniform(int(text))
    if match := re.fullmatch(r"annex-k:([0-9]+)", text):
        return QTables.annex_k(int(match[1]))
    path = Path(text)
    if not path.exists():
        raise ValueError(
            f"{text!r} is neither a preset ({', '.join(PRESETS)}) nor a step (16) "
            "nor annex-k:QUALITY nor a file"
        )
    content = path.read_text(encoding="utf-8", errors="replace")
    is_json = content.lstrip().startswith("{")
    return QTables.load(path) if is_json else QTables.from_text(content, path.name)


def served(count: int) -> tuple[str, ...]:
    """Which components each of `count` tables serves, in words."""
    return {
        1: ("all components",),
        2: ("Y", "Cb and Cr"),
        3: ("Y", "Cb", "Cr"),
    }.get(count, tuple(f"component {i}" for i in range(count)))


def _check_baseline(epsilon: float, step: int, baseline: bool) -> None:
    if baseline and step > BASELINE_STEP:
        raise ValueError(
            f"the tables for epsilon {epsilon:g} have a step of {step}, beyond {BASELINE_STEP}; "
            "baseline=False allows it"
        )


def _checked_std(statistics: Statistics) -> npt.NDArray[np.float64]:
    """The deviations of the components that were counted: gray images have Y alone."""
    std = np.asarray(statistics.std, dtype=np.float64)
    if std.shape != (3, 8, 8):
        raise ValueError(f"the statistics must be 3×8×8, not {_shape(std)}")
    counted = std[~np.isnan(std).all(axis=(1, 2))]
    if not len(counted):
        raise ValueError("the statistics hold no blocks")
    return counted


def _shape(array: npt.NDArray[Any]) -> str:
    return "×".join(map(str, array.shape)) or "a single number"


def _pack(arrays: npt.ArrayLike | Sequence[npt.ArrayLike]) -> npt.NDArray[np.uint16]:
    if isinstance(arrays, str | bytes | dict | set):
        raise TypeError(f"tables must be arrays of integers, not {type(arrays).__name__}")
    try:
        array = np.array(arrays)  # what is checked is what is kept
    except ValueError as error:  # ragged
        raise ValueError(f"tables must be 8×8 arrays: {error}") from error
    if array.shape == (8, 8):
        array = array[np.newaxis]
    if array.ndim != 3 or array.shape[1:] != (8, 8) or not 1 <= len(array) <= MAX_TABLES:
        raise ValueError(f"tables must be one 8×8 array or 1 to 4 of them, not {_shape(array)}")
    if array.dtype.kind not in "iu":
        raise ValueError(f"steps must be integers, not {array.dtype}")
    low, high = array.min(), array.max()
    if low < 1 or high > MAX_STEP:
        raise ValueError(f"steps must be in 1...{MAX_STEP}, not {low if low < 1 else high}")
    packed = np.ascontiguousarray(array, dtype=np.uint16)
    # a view on bytes can never be made writable again, so the hash stands
    return np.frombuffer(packed.tobytes(), dtype=np.uint16).reshape(packed.shape)


def _pack_origin(origin: dict[str, Any]) -> str:
    """The origin as JSON."""
    if not isinstance(origin, dict):
        raise TypeError(f"origin must be a dictionary, not {type(origin).__name__}")

    def plain(value: object) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{type(value).__name__} is not for JSON")

    try:
        return json.dumps(origin, default=plain, allow_nan=False)
    except TypeError as error:
        raise TypeError(f"origin must be what JSON can hold: {error}") from error
    except (ValueError, RecursionError) as error:  # NaN, infinity, circles
        raise ValueError(f"origin must be what JSON can hold: {error}") from error


def _zigzag_order() -> npt.NDArray[np.intp]:
    """Natural-order indices in the zigzag order of ITU-T T.81, figure A.6."""

    def key(index: int) -> tuple[int, int]:
        row, column = divmod(index, 8)
        diagonal = row + column
        return diagonal, row if diagonal % 2 else column

    return np.array(sorted(range(64), key=key))


def _fd_2018() -> QTables:
    """Version 1 of the paper: step 40, and 1 for the 15 lowest frequencies."""
    importance = np.zeros((8, 8))  # all equal: zigzag order decides
    tables = QTables.two_band(importance, step=40, protected_step=1, protected=15)
    return QTables(tables.array, name="fd-2018", origin=_preset_origin("fd-2018"))


def _fd_cvpr2019() -> QTables:
    """The reference code: step 30, and 25 in the corner of lowest frequencies."""
    table = np.full((8, 8), 30)
    table[:4, :4] = 25
    return QTables(table, name="fd-cvpr2019", origin=_preset_origin("fd-cvpr2019"))


def _preset_origin(name: str) -> dict[str, Any]:
    return {"method": "preset", "preset": name}


_PRESETS = {"fd-2018": _fd_2018(), "fd-cvpr2019": _fd_cvpr2019()}

#: The names that `QTables.preset` knows.
PRESETS: tuple[str, ...] = tuple(_PRESETS)
