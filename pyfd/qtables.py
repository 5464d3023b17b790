"""Quantization tables: the `QTables` type, and tables by name.

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
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pyfd import analysis
from pyfd._core import bands, least_steps, presets, table_files
from pyfd._core.steps import BASELINE_STEP as BASELINE_STEP
from pyfd._core.steps import DECODER_STEP as DECODER_STEP
from pyfd._core.steps import ENCODER_STEP as ENCODER_STEP
from pyfd._core.steps import MAX_STEP as MAX_STEP
from pyfd._core.steps import MAX_TABLES, check_baseline, steps_of
from pyfd._core.writing import write_file

#: Tables as a caller may pass them: `QTables`, a preset's name, one 8×8 array-like, or a
#: sequence of one to four of them.
QTablesLike: TypeAlias = "QTables | str | npt.ArrayLike | Sequence[npt.ArrayLike]"


class QTables:
    """One to four 8×8 quantization tables; immutable, hashable, comparable.

    Table *i* serves component *i*, and the last one also serves the components after it:
    one table serves all, two serve luma and chroma, three serve Y, Cb and Cr.

    Args:
        arrays: One 8×8 array-like of integers in 1...65535, in natural order,
            or a sequence of one to four of them.
        name: A label. Comparisons ignore it.
        origin: How the tables were made: a dictionary that JSON can hold, with
            a "method" and its parameters. Comparisons ignore it.

    Raises:
        TypeError: `arrays` is not an array, or JSON cannot hold `origin`.
        ValueError: The shape or the number of tables is wrong, or a step is not
            an integer or is out of range.
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
    _origin: str | None  # as JSON text, which is immutable

    def __init__(
        self,
        arrays: npt.ArrayLike | Sequence[npt.ArrayLike],
        name: str | None = None,
        *,
        origin: dict[str, Any] | None = None,
    ):
        object.__setattr__(self, "array", steps_of(arrays))
        object.__setattr__(self, "largest", int(self.array.max()))
        object.__setattr__(self, "_name", name)
        object.__setattr__(
            self, "_origin", None if origin is None else table_files.pack_origin(origin)
        )

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
        """How the tables were made, as a copy; None if that is unknown."""
        if self._origin is None:
            return None
        origin: dict[str, Any] = json.loads(self._origin)
        return origin

    def __len__(self) -> int:
        """Return the number of tables, 1 to 4."""
        return len(self.array)

    def __getitem__(self, component: int) -> npt.NDArray[np.uint16]:
        """Return the table that serves a component, 0 to 3: 8×8 ``uint16``, read-only."""
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
        """Return a table with one step for all frequencies and components."""
        origin = {"method": "uniform", "step": step}
        return cls(np.full((8, 8), step), name=f"uniform-{step}", origin=origin)

    @classmethod
    def annex_k(cls, quality: int, *, baseline: bool = True) -> QTables:
        """Return the standard's example tables, scaled to an IJG quality.

        They are those of ITU-T T.81, Annex K.1, scaled by the IJG rule: what Pillow and
        ``cjpeg -baseline`` write. Without ``-baseline``, cjpeg writes steps beyond 255 at
        qualities below 24; with ``baseline=False``, the tables have these too.

        Args:
            quality: The quality, 1...100.
            baseline: Limit the steps to 255, which a baseline file can have.

        Raises:
            ValueError: The quality is out of range.
        """
        if not 1 <= quality <= 100:
            raise ValueError(f"quality must be in 1...100, not {quality}")
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        tables = (np.array(presets.ANNEX_K) * scale + 50) // 100
        origin: dict[str, Any] = {"method": "annex_k", "quality": quality}
        name = f"annex-k-{quality}"
        if baseline:
            tables = tables.clip(max=BASELINE_STEP)
        elif tables.max() > BASELINE_STEP:
            origin["baseline"], name = False, f"{name}-beyond-baseline"
        return cls(tables.clip(min=1), name=name, origin=origin)

    @classmethod
    def two_band(
        cls, importance: npt.ArrayLike, *, step: int, protected_step: int, protected: int
    ) -> QTables:
        """Return tables with a fine step for the most important frequencies.

        The `protected` frequencies of the largest importance form the
        accuracy-sensitive band and get `protected_step`; the others form the
        malicious-defence band and get `step` (Liu et al., CVPR 2019, Eq. 11). Among
        equals, the first in zigzag order is protected.

        Args:
            importance: 8×8 numbers in natural order, such as the standard
                deviations of the DCT coefficients over a data set; or n×8×8
                for n = 1...4 tables.
            step: The malicious-defence band's step.
            protected_step: The accuracy-sensitive band's step.
            protected: The number of protected frequencies of each table, 0...64.

        Raises:
            ValueError: An argument has another shape or is out of range.
        """
        tables = bands.two_band(
            importance, step=step, protected_step=protected_step, protected=protected
        )
        origin = {
            "method": "two_band",
            "step": operator.index(step),
            "protected_step": operator.index(protected_step),
            "protected": protected,
        }
        return cls(tables, origin=origin)

    @classmethod
    def for_threat(
        cls,
        epsilon: float,
        statistics: bands.Statistics | None = None,
        *,
        protected: int = 0,
        protected_step: int = 1,
        baseline: bool = True,
    ) -> QTables:
        """Return tables against perturbations of a given strength.

        This is the constructor to start with. The step is that of
        `pyfd.analysis.step_for`: about 8·epsilon, at which a sign-like perturbation of
        that strength still moves 1 coefficient in 10,000. By default all frequencies
        get it. Protected frequencies keep their detail but are not defended: a
        perturbation at these frequencies stays (Liu et al., CVPR 2019, Eq. 11).

        Args:
            epsilon: The strength, in 8-bit levels, above 0 and at most 255.
            statistics: The result of `pyfd.calibrate`: for each of Y, Cb and Cr that
                has blocks, a table that protects the frequencies with the largest
                standard deviation. Without statistics, one table that protects the
                lowest frequencies, in zigzag order.
            protected: The number of protected frequencies, 0...64.
            protected_step: Their step.
            baseline: Refuse steps beyond 255, which a baseline decoder does not have
                to support.

        Raises:
            ValueError: An argument is out of range, a step is beyond 255 with
                `baseline`, or the statistics are not 3×8×8 or hold no blocks.
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
        importance = np.zeros((8, 8))  # all equal, so that zigzag order decides
        if statistics is not None:
            importance = bands.counted(statistics.std) if protected else importance
            origin["statistics"] = statistics.digest
        if baseline:
            check_baseline(epsilon, max(step, protected_step if protected else 1))
        tables = cls.two_band(
            importance, step=step, protected_step=protected_step, protected=protected
        )
        name = f"threat-{epsilon:g}" + (f"-protected-{protected}" if protected else "")
        return cls(tables.array, name=name, origin=origin)

    @classmethod
    def certified(
        cls, epsilon: int, *, slack: int = 8, files: bool = False, baseline: bool = True
    ) -> QTables:
        """Return the finest tables that hold a strength in every block, with some room.

        A table holds ε if a flat block of level 128 has a radius beyond ε
        (`pyfd.certify`). The steps are ⌈2·gain·ε⌉ + `slack`, gain being the L1 norm of the
        frequency's basis function in the codec's integers: 16ε + 8 for DC, up to 18 % less
        elsewhere. Pixels are rounded to 8 bits, which moves the coefficients of most blocks
        off the grid: the slack leaves room for that.

        Args:
            epsilon: The strength in whole 8-bit levels, 0...255, or 0...126 for files.
            slack: The room, 0 or more. With 0 the steps are the least ones that hold ε, and
                hardly any block but a flat one does.
            files: Hold ε for files that an attacker hands to `pyfd.decode`, too. That takes
                larger steps: 16ε + 16 for DC.
            baseline: Refuse steps beyond 255, which a baseline decoder does not have
                to support. With the default slack they start at ε = 16.

        Raises:
            TypeError: `epsilon` or `slack` is not an integer.
            ValueError: An argument is out of range, a step is beyond 255 with `baseline`,
                or beyond 8191.
        """
        steps = least_steps.certified(epsilon, slack=slack, files=files, baseline=baseline)
        epsilon, slack = operator.index(epsilon), operator.index(slack)
        origin = {"method": "certified", "epsilon": epsilon, "slack": slack, "files": bool(files)}
        name = f"certified{'-files' if files else ''}:{epsilon}"
        return cls(steps, name=name if slack == 8 else f"{name}-slack-{slack}", origin=origin)

    @classmethod
    def preset(cls, name: str) -> QTables:
        """Return a published table by its name.

        Raises:
            ValueError: The name is not in `PRESETS`.
        """
        try:
            return _PRESETS[name]
        except KeyError:
            known = ", ".join(repr(preset) for preset in PRESETS)
            raise ValueError(f"no preset named {name!r}; there are {known}") from None

    # ---- files ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tables, the name and the origin to a JSON file.

        Raises:
            OSError: The file cannot be written.
        """
        write_file(path, self.to_json().encode())

    def to_json(self) -> str:
        """Return the content of the file that `save` writes."""
        return table_files.to_json(self.array, self._name, self._origin)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> QTables:
        """Read a file that `save` wrote; it may lack the name and the origin.

        Raises:
            ValueError: The file is not a table file, is not a regular file or larger than
                1 MiB, or its tables are invalid.
            OSError: The file cannot be read.
        """
        content = table_files.read(path)
        return cls(content.tables, name=content.name, origin=content.origin)

    def to_text(self) -> str:
        """Return the text form of ``cjpeg -qtables``: one table after another.

        The steps are in natural order. cjpeg takes the first table for luma and the
        second for chroma; ``-qslots 0`` makes it take a single table for all components.
        """
        return table_files.to_text(self.array, self._name)

    @classmethod
    def from_text(cls, text: str, name: str | None = None) -> QTables:
        """Read the text form of ``cjpeg -qtables``.

        Whole numbers with white space or a comma after each; ``#`` starts a comment. A
        byte-order mark is skipped.

        Raises:
            ValueError: The text does not hold 1 to 4 tables of 64 steps in 1...65535; the
                message names the line and the column.
        """
        return cls(table_files.from_text(text), name=name)


def as_qtables(value: QTablesLike) -> QTables:
    """Return `QTables` from tables in any form that a caller may pass.

    Raises:
        TypeError: The value is not tables in any form.
        ValueError: There is no such preset, or the tables are invalid.
    """
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


def decoder_steps(qtables: QTablesLike | None) -> npt.NDArray[np.uint16] | None:
    """Return the tables as one array (tables, 8, 8), or None for a plain decode.

    Raises:
        ValueError: A step is larger than `DECODER_STEP`.
    """
    return None if qtables is None else steps_within(qtables, DECODER_STEP)


def parse_tables(text: str) -> QTables:
    """Return the tables that a user names on the command line.

    Args:
        text: A preset's name, a step ("16"), "annex-k:QUALITY" (with steps up to 255),
            "certified:EPSILON", "certified-files:EPSILON", or the path of a file that
            `QTables.save` wrote or that is in the form of ``cjpeg -qtables``.

    Raises:
        ValueError: The text is none of these, or the tables are invalid.
        OSError: The file cannot be read.
    """
    if text in PRESETS:
        return QTables.preset(text)
    if re.fullmatch(r"[0-9]+", text):
        return QTables.uniform(int(text))
    if match := re.fullmatch(r"annex-k:([0-9]+)", text):
        return QTables.annex_k(int(match[1]))
    if match := re.fullmatch(r"certified(-files)?:([0-9]+)", text):
        return QTables.certified(int(match[2]), files=match[1] is not None, baseline=False)
    path = Path(text)
    if not text or not path.exists():  # of "" a Path makes "."
        raise ValueError(
            f"{text!r} is neither a preset ({', '.join(PRESETS)}) nor a step (16) "
            "nor annex-k:QUALITY nor certified:EPSILON nor certified-files:EPSILON nor a file"
        )
    content = table_files.read_either(path)
    return QTables(content.tables, name=content.name, origin=content.origin)


def served(count: int) -> tuple[str, ...]:
    """Return, for each of `count` tables, the components that it serves, in words."""
    return {
        1: ("all components",),
        2: ("Y", "Cb and Cr"),
        3: ("Y", "Cb", "Cr"),
    }.get(count, tuple(f"component {i}" for i in range(count)))


_PRESETS = {
    name: QTables(table, name=name, origin={"method": "preset", "preset": name})
    for name, table in presets.PRESETS.items()
}

#: The names that `QTables.preset` takes.
PRESETS: tuple[str, ...] = tuple(_PRESETS)
