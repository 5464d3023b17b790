"""8×8 tables as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_NARROWEST = 3


def grid(title: str, table: Iterable[Iterable[object]]) -> list[str]:
    """Return a title and the rows of a table as lines of equal width."""
    cells = [[str(value) for value in row] for row in table]
    width = max(_NARROWEST, *(len(cell) for row in cells for cell in row))
    rows = [" ".join(f"{cell:>{width}}" for cell in row) for row in cells]
    width = max(map(len, [title, *rows]))
    return [line.ljust(width) for line in [title, *rows]]


def side_by_side(grids: Sequence[Sequence[str]], per_row: int = 2) -> list[str]:
    """Return the lines of grids in rows, with an empty line between the rows."""
    lines: list[str] = []
    for start in range(0, len(grids), per_row):
        lines += [""] if start else []
        row = zip(*grids[start : start + per_row], strict=True)
        lines += ["  " + "     ".join(parts).rstrip() for parts in row]
    return lines
