"""`pyfd inspect`: show what .jpg files contain."""

from __future__ import annotations

import json
from typing import Any

import click
import numpy as np
import numpy.typing as npt

import pyfd
from pyfd._core.files import JPEG_SUFFIXES
from pyfd.cli import jobs
from pyfd.cli.grids import grid, side_by_side
from pyfd.cli.messages import Messages, RefusedError, printable
from pyfd.cli.options import (
    Examples,
    check_steps,
    follow_links_option,
    inputs_argument,
    limits_options,
    tables_option,
)
from pyfd.cli.plan import collect
from pyfd.limits import Limits
from pyfd.qtables import BASELINE_STEP, DECODER_STEP, QTables

_COMPONENTS = {
    "L": ("Y",),
    "YCbCr": ("Y", "Cb", "Cr"),
    "RGB": ("R", "G", "B"),
    "CMYK": ("C", "M", "Y", "K"),
    "YCCK": ("Y", "Cb", "Cr", "K"),
}
_COMMENT_SHOWN = 200


@click.command(
    cls=Examples,
    epilog="""\
pyfd inspect photo.jpg
pyfd inspect photo.jpg --qtables fd-cvpr2019
pyfd inspect camera-files --qtables fd-cvpr2019 --require
pyfd inspect photos --json | jq .qtables""",
)
@inputs_argument
@follow_links_option
@tables_option("Show what these tables would change", None)
@click.option(
    "--require",
    is_flag=True,
    help="Refuse a file, with exit code 1, unless all of its coefficients lie on the grid of the "
    "tables: the acceptance test of an encoder that should write them.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Write a line of JSON per file, for programs."
)
@limits_options
def inspect(
    inputs: tuple[str, ...],
    follow_links: bool,
    tables: QTables | None,
    require: bool,
    as_json: bool,
    limits: Limits,
) -> None:
    """Show what .jpg files contain.

    Shows the header, the metadata and the quantization tables. With -q, it also
    shows what re-quantizing to those tables would change: nothing in a file that
    was made with them, because its coefficients lie on their grid.
    """
    if tables is not None:
        check_steps(tables, DECODER_STEP)
    elif require:
        raise click.UsageError("--require is for the grid of tables: add -q T.")
    messages = Messages()
    separator = ""
    for name, _, regular in collect(inputs, JPEG_SUFFIXES, messages, follow_links=follow_links):
        with messages.watching(name):
            data = jobs.read(name, limits, regular=regular)
            found = _facts(name, data, tables, limits)
            text = f"{json.dumps(found)}\n" if as_json else separator + _as_text(found)
            click.echo(text, nl=False)
            separator = "\n"
            if require:
                _require_grid(name, found["effect"], messages)
    messages.finish()


def _require_grid(name: str, effect: dict[str, Any], messages: Messages) -> None:
    """Refuse a file that the tables would change; note one that has other tables.

    Raises:
        RefusedError: Coefficients do not lie on the grid.
    """
    components = effect["components"]
    if not effect["on_grid"]:
        where = ", ".join(
            f"{_off(shares):,} of {shares['coefficients']:,} coefficients of {component}"
            for component, shares in components.items()
            if shares["changed"]
        )
        raise RefusedError(f"not on the grid of {_title(effect)}: {where}")
    if any(shares["table"] == "other" for shares in components.values()):
        messages.note(name, "lies on the grid, but has other tables: another picture may not")


# ---- the facts ------------------------------------------------------------


def _facts(name: str, data: bytes, tables: QTables | None, limits: Limits) -> dict[str, Any]:
    """Return a file's header, and what tables would change in it, ready for JSON."""
    header = pyfd.probe(data, limits=limits)
    comment = header.comment
    found: dict[str, Any] = {
        "file": name,
        "bytes": len(data),
        "width": header.width,
        "height": header.height,
        "color_space": header.color_space,
        "components": _COMPONENTS[header.color_space],
        "sampling": header.sampling,
        "subsampling": header.subsampling,
        "progressive": header.progressive,
        "orientation": header.orientation,
        "exif_bytes": len(header.exif or b""),
        "icc_profile_bytes": len(header.icc_profile or b""),
        "comment": None if comment is None else comment.decode("utf-8", "backslashreplace"),
        "qtables": [table.tolist() for table in header.qtables],
    }
    if tables is not None:
        found["effect"] = _effect(data, tables, limits)
    return found


def _effect(data: bytes, tables: QTables, limits: Limits) -> dict[str, Any]:
    """Return what re-quantizing to `tables` would change."""
    baseline = bool(tables.array.max() <= BASELINE_STEP)
    size = len(pyfd.requantize(data, tables, baseline=baseline, limits=limits))
    before = pyfd.read_coefficients(data, limits=limits)
    names = _COMPONENTS[before.color_space]
    components = {name: _shares(before, tables, i) for i, name in enumerate(names)}
    return {
        "qtables": tables.name,
        "bytes": size,
        "on_grid": not any(shares["changed"] for shares in components.values()),
        "components": components,
    }


def _shares(before: pyfd.Coefficients, tables: QTables, i: int) -> dict[str, Any]:
    """Return shares of component `i`'s coefficients, 0 to 1.

    They are counted in one row of blocks after the other, because the coefficients alone
    may take all the memory that the limits allow.
    """
    quantized = before.components[i]
    table, step = before.qtables[i].astype(np.int64), tables[i].astype(np.int64)
    most = np.minimum(1023, DECODER_STEP // step)  # that a file holds (T.81 F.1.2) in 16 bits
    least = -most
    least[0, 0] = -min(1024, DECODER_STEP // int(step[0, 0]))
    counts = np.zeros(4, np.int64)
    for row in quantized:
        old = row * table
        size = (2 * abs(old) + step) // (2 * step)
        new = np.clip(np.sign(old) * size, least, most) * step
        counts += [np.count_nonzero(a) for a in (old % step == 0, old != new, old, new)]
    shares = (counts / quantized.size).tolist()
    names = ("on_grid", "changed", "nonzero_before", "nonzero_after")
    return {
        "table": _kinship(table, step),
        "coefficients": quantized.size,
        **dict(zip(names, shares, strict=True)),
    }


def _kinship(table: npt.NDArray[np.int64], step: npt.NDArray[np.int64]) -> str:
    """Return how a file's table relates to the wanted one; with "other", the picture decides."""
    if np.array_equal(table, step):
        return "same"
    return "multiple" if not (table % step).any() else "other"


# ---- the text ---------------------------------------------------------------


def _as_text(found: dict[str, Any]) -> str:
    """Return the facts as text for people, in which nothing can control a terminal."""
    lines = [printable(found["file"]), *_summary(found), "", *_grids(found)]
    if "effect" in found:
        lines += ["", *_effect_lines(found)]
    return "\n".join(lines) + "\n"


def _summary(found: dict[str, Any]) -> list[str]:
    sampling = " ".join(f"{h}x{v}" for h, v in found["sampling"])
    name = found["subsampling"]
    orientation = found["orientation"]
    rows = {
        "size": f"{found['width']} x {found['height']} pixels, {found['bytes']:,} bytes",
        "colors": found["color_space"],
        "sampling": f"{name} ({sampling})" if name else sampling,
        "coding": "progressive" if found["progressive"] else "sequential",
        "orientation": f"{orientation}" + (" (EXIF's; not applied)" if orientation > 1 else ""),
        "metadata": _metadata(found),
    }
    if found["comment"] is not None:
        rows["comment"] = _quoted(found["comment"])
    return [f"  {label:<12} {value}" for label, value in rows.items()]


def _metadata(found: dict[str, Any]) -> str:
    parts = [("EXIF", found["exif_bytes"]), ("ICC profile", found["icc_profile_bytes"])]
    return ", ".join(f"{label} {size:,} bytes" for label, size in parts if size) or "none"


def _quoted(comment: str) -> str:
    shown = printable(comment[:_COMMENT_SHOWN])
    more = len(comment) - _COMMENT_SHOWN
    return f'"{shown}"' + (f" and {more:,} more characters" if more > 0 else "")


def _grids(found: dict[str, Any]) -> list[str]:
    """Return the quantization tables side by side, equal ones once."""
    groups: dict[str, list[str]] = {}
    tables = {}
    for name, table in zip(found["components"], found["qtables"], strict=True):
        key = str(table)
        groups.setdefault(key, []).append(name)
        tables[key] = table
    grids = [grid(f"table of {', '.join(names)}", tables[key]) for key, names in groups.items()]
    return side_by_side(grids)


def _effect_lines(found: dict[str, Any]) -> list[str]:
    effect = found["effect"]
    lines = [
        f"  re-quantized to {_title(effect)}, share of the coefficients:",
        "        on the grid   changed   nonzero before   nonzero after",
    ]
    for name, shares in effect["components"].items():
        lines.append(
            f"  {name:<4}{shares['on_grid']:>11.2%} {shares['changed']:>11.2%} "
            f"{shares['nonzero_before']:>14.2%} {shares['nonzero_after']:>15.2%}"
        )
    lines.append(f"  {_verdict(effect)}")
    before, after = found["bytes"], effect["bytes"]
    lines.append(f"  file size {before:,} -> {after:,} bytes ({after / before - 1:+.1%})")
    return lines


def _title(effect: dict[str, Any]) -> str:
    return printable(effect["qtables"] or "these tables")


def _off(shares: dict[str, Any]) -> int:
    """Return how many coefficients of a component the tables would change."""
    count: int = round(shares["changed"] * shares["coefficients"])
    return count


def _verdict(effect: dict[str, Any]) -> str:
    """Return in words whether the file lies on the grid, and whether every one like it does."""
    total = sum(shares["coefficients"] for shares in effect["components"].values())
    if not effect["on_grid"]:
        off = sum(map(_off, effect["components"].values()))
        return f"not on the grid: {off:,} of {total:,} coefficients would change"
    kinds = {shares["table"] for shares in effect["components"].values()}
    if kinds == {"same"}:
        why = "the file has these tables"
    elif "other" not in kinds:
        why = "the file's steps are multiples of these"
    else:
        why = "in this picture; the file has other tables"
    return f"100 % of the coefficients lie on the grid: {why}"
