"""Quantization tables: the `QTables` type and the presets.

Tables are in natural order throughout: the row is the vertical frequency, the
column the horizontal one, and ``[0, 0]`` is DC.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd._files import write_atomically

MAX_TABLES = 4
MAX_STEP = 65535

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


class QTables:
    """One to four 8×8 quantization tables; immutable, hashable, comparable.

    Table *i* serves component *i*, and the last one serves the components left
    over: one table serves all, two are luma and chroma, three Y, Cb and Cr.

    Args:
        arrays: One 8×8 array-like of integers in 1...65535, in natural order,
            or a sequence of one to four of them.
        name: A label; it plays no part in comparisons.

    Raises:
        TypeError: `arrays` does not hold integers.
        ValueError: Wrong shape, wrong number of tables, or a step out of range.
    """

    __slots__ = ("_array", "_name")
    _array: npt.NDArray[np.uint16]
    _name: str | None

    def __init__(self, arrays: npt.ArrayLike | Sequence[npt.ArrayLike], name: str | None = None):
        object.__setattr__(self, "_array", _pack(arrays))
        object.__setattr__(self, "_name", name)

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError("QTables cannot be changed")

    def __reduce__(self) -> tuple[Any, ...]:
        return QTables, (self._array.tolist(), self._name)

    @property
    def name(self) -> str | None:
        """The label: a preset's or the caller's."""
        return self._name

    @property
    def array(self) -> npt.NDArray[np.uint16]:
        """All tables as one read-only ``uint16`` array (tables, 8, 8)."""
        return self._array

    def __len__(self) -> int:
        """The number of tables, 1 to 4."""
        return len(self._array)

    def __getitem__(self, component: int) -> npt.NDArray[np.uint16]:
        """The table that serves component 0 to 3: read-only, 8×8, ``uint16``."""
        if not -len(self) <= component < MAX_TABLES:
            raise IndexError(f"component {component} is not in 0...{MAX_TABLES - 1}")
        table: npt.NDArray[np.uint16] = self._array[min(component, len(self) - 1)]
        return table

    def __iter__(self) -> Iterator[npt.NDArray[np.uint16]]:
        return iter(self._array)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QTables):
            return NotImplemented
        return np.array_equal(self._array, other._array)

    def __hash__(self) -> int:
        return hash(self._array.tobytes())

    def __repr__(self) -> str:
        label = f" {self._name!r}" if self._name else ""
        low, high = self._array.min(), self._array.max()
        plural = "s" if len(self) > 1 else ""
        return f"<QTables{label}: {len(self)} table{plural}, steps {low}...{high}>"

    # ---- constructors ----

    @classmethod
    def uniform(cls, step: int) -> QTables:
        """One step for all frequencies and components."""
        return cls(np.full((8, 8), step), name=f"uniform-{step}")

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
        return cls(tables.clip(1, 255), name=f"annex-k-{quality}")

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
        tables = np.full(weights.shape, step)
        order = _zigzag_order()
        for table, weight in zip(tables, weights, strict=True):
            ranked = order[np.argsort(-weight.ravel()[order], kind="stable")]
            table.ravel()[ranked[:protected]] = protected_step
        return cls(tables)

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
        """Write the tables and the name as JSON."""
        rows = [
            ",\n".join(f"   {json.dumps(row)}" for row in table) for table in self._array.tolist()
        ]
        tables = ",\n".join(f"  [\n{table}\n  ]" for table in rows)
        text = (
            f'{{\n "format": "{_FORMAT}",\n "version": 1,\n "name": {json.dumps(self._name)},\n'
            f' "tables": [\n{tables}\n ]\n}}\n'
        )
        write_atomically(path, text.encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> QTables:
        """Read what `save` wrote."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path} is not a table file: {error}") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f'{path} is not a table file: no "format": "{_FORMAT}"')
        if content.get("version") != 1:
            raise ValueError(f"{path} has version {content.get('version')!r}, not 1")
        name = content.get("name")
        if name is not None and not isinstance(name, str):
            raise ValueError(f"{path} has a name that is not a string")
        return cls(content.get("tables", ()), name=name)

    def to_text(self) -> str:
        """The text form of ``cjpeg -qtables``: natural order, one table after another.

        cjpeg gives the first table to luma and the second to chroma; where there
        is one alone, ``-qslots 0`` gives it to all.
        """
        width = len(str(self._array.max()))
        blocks = []
        for number, table in enumerate(self._array):
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


def _shape(array: npt.NDArray[Any]) -> str:
    return "×".join(map(str, array.shape)) or "a single number"


def _pack(arrays: npt.ArrayLike | Sequence[npt.ArrayLike]) -> npt.NDArray[np.uint16]:
    if isinstance(arrays, str | bytes | dict | set):
        raise TypeError(f"tables must be arrays of integers, not {type(arrays).__name__}")
    try:
        array = np.asarray(arrays)
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
    return QTables(tables.array, name="fd-2018")


def _fd_cvpr2019() -> QTables:
    """The reference code: step 30, and 25 in the corner of lowest frequencies."""
    table = np.full((8, 8), 30)
    table[:4, :4] = 25
    return QTables(table, name="fd-cvpr2019")


_PRESETS = {"fd-2018": _fd_2018(), "fd-cvpr2019": _fd_cvpr2019()}

#: The names that `QTables.preset` knows.
PRESETS: tuple[str, ...] = tuple(_PRESETS)
