"""Tables in the forms that encoders take: C arrays, VA-API's struct, and a marker segment.

Tables are arrays in natural order here; the forms with a fixed order are in zigzag order.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pyfd._core.bands import zigzag_order
from pyfd._core.steps import BASELINE_STEP

#: The orders of the steps that `to_c` writes, with their descriptions.
ORDERS = {
    "zigzag": "zigzag, as in a DQT segment (ITU-T T.81, B.2.4.1 and figure A.6)",
    "natural": "natural: row by row, a row for each vertical frequency (ITU-T T.81, A.3.3)",
}

Tables = npt.NDArray[np.uint16]

_PRECISION = {np.uint8: 0, np.uint16: 1}  # Pq of ITU-T T.81, B.2.4.1
_SHOWN = 1000  # characters of a name or an origin, which a file may fill with a megabyte
_WIDTH = 96


def to_c(tables: Tables, name: str | None, origin: str | None, order: str) -> str:
    """Return a header for C99 and C++ with an array of 64 steps for each table.

    The arrays are ``uint8_t``, or ``uint16_t`` if a step exceeds 255. One or two tables are
    called luma and chroma, both of which are always there; three are luma, cb and cr, and four
    component0 to component3. The order is a part of their names.

    Args:
        tables: n×8×8 steps.
        name: Their label, for the comment.
        origin: How they were made, as JSON text, for the comment.
        order: A key of `ORDERS`.
    """
    names = {3: ("luma", "cb", "cr"), 4: tuple(f"component{i}" for i in range(4))}.get(
        len(tables), ("luma", "chroma")
    )
    wide = bool(tables.max() > BASELINE_STEP)
    c_type = "uint16_t" if wide else "uint8_t"
    arrays = [
        f"static const {c_type} pyfd_qtable_{label}_{order}[64] = {{\n{_rows(table, order)}\n}};"
        for label, table in zip(names, _served(tables, len(names)), strict=True)
    ]
    notes = [("order", ORDERS[order])]
    if wide:
        notes.append(("steps", "16 bits, because one exceeds 255: baseline JPEG has 8 bits"))
    return _header("QTABLES", notes, name, origin, ["#include <stdint.h>", "", *arrays])


def to_vaapi(tables: Tables, name: str | None, origin: str | None) -> str:
    """Return a header for C99 and C++ with VA-API's struct for JPEG encoders.

    The arguments are those of `to_c`.

    Raises:
        ValueError: The struct cannot hold the tables: a step exceeds 255, or a component
            beyond Cb has a table of its own.
    """
    if tables.max() > BASELINE_STEP:
        raise ValueError(f"VA-API's steps have 8 bits: at most {BASELINE_STEP}, not {tables.max()}")
    if any((table != tables[1]).any() for table in tables[2:]):
        raise ValueError(f"VA-API has a table for luma and one for chroma, not {len(tables)}")
    luma, chroma = (f"  {{\n{_rows(table, 'zigzag')}\n  }}" for table in _served(tables, 2))
    lines = [
        "#include <va/va.h>",
        "#include <va/va_enc_jpeg.h>",
        "",
        "static const VAQMatrixBufferJPEG pyfd_qmatrix = {",
        "  1, /* load_lum_quantiser_matrix */",
        "  1, /* load_chroma_quantiser_matrix */",
        f"{luma},",
        f"{chroma},",
        "  {0}",
        "};",
    ]
    return _header("QMATRIX", [("order", ORDERS["zigzag"])], name, origin, lines)


def to_dqt(tables: Tables) -> bytes:
    """Return a marker segment that defines the tables in slots 0, 1… (ITU-T T.81, B.2.4.1).

    A table with steps beyond 255 has 16 bits for each step, the high byte first.
    """
    body = b""
    for slot, table in enumerate(tables):
        kind = np.uint16 if table.max() > BASELINE_STEP else np.uint8
        steps = table.ravel()[zigzag_order()].astype(kind).astype(np.dtype(kind).newbyteorder(">"))
        body += bytes([_PRECISION[kind] << 4 | slot]) + steps.tobytes()
    return b"\xff\xdb" + (len(body) + 2).to_bytes(2, "big") + body


def _served(tables: Tables, count: int) -> list[Tables]:
    """Return the tables that serve the first components; the last one serves the rest."""
    return [tables[min(i, len(tables) - 1)] for i in range(count)]


def _rows(table: Tables, order: str) -> str:
    """Return 64 steps in eight lines of C."""
    steps = table.ravel()[zigzag_order()] if order == "zigzag" else table.ravel()
    width = len(str(table.max()))
    rows = (", ".join(f"{step:{width}d}" for step in row) for row in steps.reshape(8, 8))
    return ",\n".join(f"    {row}" for row in rows)


def _header(
    kind: str,
    notes: Sequence[tuple[str, str]],
    name: str | None,
    origin: str | None,
    lines: Sequence[str],
) -> str:
    """Return a C header: a comment, and the lines between include guards.

    The guard differs from those of other tables, so that including two of them is an error
    of the compiler, and not the first ones without a word.
    """
    body = "\n".join(lines)
    guard = f"PYFD_{kind}_{hashlib.sha256(body.encode()).hexdigest()[:8].upper()}_H"
    facts = [("name", "none" if name is None else json.dumps(name[:_SHOWN]))]
    if origin is not None:
        facts.append(("origin", origin[:_SHOWN]))
    comment = [line for label, text in (*facts, *notes) for line in _comment_lines(label, text)]
    return "\n".join(
        [
            "/*",
            " * Quantization tables of a JPEG encoder, written by pyfd tables convert.",
            " *",
            *comment,
            " */",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            body,
            "",
            f"#endif /* {guard} */",
            "",
        ]
    )


def _comment_lines(label: str, text: str) -> list[str]:
    """Return lines inside a comment of C, whatever the text, which is JSON's ASCII or ours."""
    for ending, harmless in (("*/", "* /"), ("/*", "/ *"), ("??", "? ?")):
        while ending in text:  # "???" has two trigraphs, one in the other
            text = text.replace(ending, harmless)
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f" * {label:<8}", subsequent_indent=f" * {'':<8}"
    )
