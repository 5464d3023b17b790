"""Markdown tables, and the generated part of a page, which stands between two markers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pyfd._core.writing import write_file

END = "<!-- end -->"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in (heads, *rows))
    return "\n".join([head, "|" + "---|" * len(heads), *body])


def publish(page: Path, maker: str, text: str) -> None:
    """Replace the part of a page that a benchmark generates, and leave the rest alone.

    The part stands between ``<!-- made by MAKER -->`` and the next ``<!-- end -->``. A page
    without these markers gets them at its end; a page that does not exist is created.

    Args:
        page: The Markdown file.
        maker: The benchmark's file, such as "benchmarks/speed.py".
        text: The new part, without the markers.

    Raises:
        ValueError: The page has the first marker, but not the second.
    """
    begin = f"<!-- made by {maker} -->"
    before, begun, rest = (page.read_text() if page.exists() else "").partition(begin)
    _, ended, after = rest.partition(END)
    if begun and not ended:
        raise ValueError(f'{page}: "{begin}" is not followed by "{END}"')
    write_file(page, f"{before}{begin}\n\n{text}\n\n{END}{after}".encode())
