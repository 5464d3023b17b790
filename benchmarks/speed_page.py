"""The results of `make bench` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import instructions, pages

PEERS = ("Pillow", "simplejpeg", "OpenCV", "imagecodecs", "torchvision", "kornia")
PARTS = ("symbols", "copy", "new memory", "plain", "defended", "defended, out=")

Content = Mapping[str, Any]


def page(content: Content) -> str:
    """Return the generated part of docs/performance.md."""
    parts = [machine(content["machine"]), summary(content["rows"])]
    parts += ["### Where another library is ahead", ahead(content["rows"])]
    if content["quick"]:
        parts.insert(0, "**A quick run: it shows that the command works, and nothing else.**")
    if content.get("floor"):
        parts += ["### How near the floor", floor(content["floor"])]
    if content.get("instructions"):
        parts += ["### Instructions per 8×8 block", instructions.table(content["instructions"])]
    return "\n\n".join(parts)


def machine(found: Content) -> str:
    """Return a paragraph on the machine, the versions and the date."""
    packages, bundled = (
        ", ".join(f"{name} {version}" for name, version in found.get(key, {}).items())
        for key in ("packages", "bundled")
    )
    return (
        f"{found['processor']}, {found['cores']} cores; {found['kernel']}; "
        f"Python {found['python']}; {found['compiler']}; "
        f"libjpeg-turbo {found['libjpeg_turbo']}; commit {found['commit']}; "
        f"load {found['load']:.1f} before the run; {found['when']}. {packages}."
        + (f" Their wheels bring libjpeg-turbo: {bundled}." if bundled else "")
    )


# ---- the target table -----------------------------------------------------------


def summary(rows: Sequence[Content]) -> str:
    """Return a table with a line for each bound of each row; the worst case decides."""
    heads = ["measured", "target", "typical", "worst", "quartiles", "the worst case", "verdict"]
    lines = []
    for row in rows:
        for bound in dict.fromkeys(case["bound"] for case in row["cases"]):
            cases = [case for case in row["cases"] if case["bound"] == bound]
            lines.append([row["what"], bound, *judged(cases, row["unit"])])
    return pages.table(heads, lines)


def judged(cases: Sequence[Content], unit: str = "") -> list[str]:
    """Return the typical value, the worst value, its quartiles, its name, and the verdict."""
    found = [case for case in cases if "value" in case]
    if not found:
        return ["–", "–", "–", cases[0]["unmeasured"], "not measured"]
    worst = max(found, key=lambda case: case["excess"])
    middle = sorted(case["value"] for case in found)[len(found) // 2]
    if cases[0]["bound"] == "–":
        return [number(middle, unit), *["–"] * 4]
    met = sum(case["met"] for case in found)
    verdict = "met" if met == len(found) else f"**not met** in {len(found) - met} of {len(found)}"
    if len(found) < len(cases):
        verdict += f", {len(cases) - len(found)} not measured"
    return [
        number(middle, unit),
        number(worst["value"], unit),
        spread(worst),
        worst["label"],
        verdict,
    ]


def ahead(rows: Sequence[Content]) -> str:
    """Return a list of the rows in which another library is faster in some case."""
    lines = []
    for row in rows:
        found = [case for case in row["cases"] if "value" in case]
        faster = [case for case in found if round(case["value"], 2) > 1]
        theirs = row["what"].partition(" / ")[2]
        if faster and any(peer in theirs for peer in PEERS):
            worst = max(faster, key=lambda case: case["value"])
            lines.append(
                f"- {row['what']}: in {len(faster)} of {len(found)} cases, "
                f"up to {number(worst['value'])} ({worst['label']})"
            )
    return "\n".join(lines) or "In no case that was measured."


def spread(case: Content) -> str:
    """Return a case's quartiles."""
    return f"{number(case['low'])} to {number(case['high'])}"


def number(value: float, unit: str = "") -> str:
    """Return a value with three or more significant digits, and its unit."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"


def cases(row: Content) -> str:
    """Return a table of every case of a row, for the terminal and report.md."""
    heads = ["case", "target", "median", "quartiles", "pairs", "ours", "theirs", ""]
    return pages.table(heads, map(line, row["cases"]))


def line(case: Content) -> list[str]:
    """Return a case's line in the table of all cases."""
    if "value" not in case:
        return [case["label"], case["bound"], f"not measured: {case['unmeasured']}", *[""] * 5]
    return [
        case["label"],
        case["bound"],
        number(case["value"]),
        spread(case),
        f"{case['pairs']:,}",
        time(case["ours"]),
        time(case["theirs"]),
        "–" if case["bound"] == "–" else "met" if case["met"] else "**not met**",
    ]


def time(seconds: float | None) -> str:
    """Return a time in milliseconds."""
    if seconds is None:
        return "–"
    return f"{1000 * seconds:.3f} ms" if seconds < 0.1 else f"{1000 * seconds:,.0f} ms"


def floor(found: Sequence[Content]) -> str:
    """Return a table of milliseconds per megapixel, with a line for each kind of file."""
    rows = [
        [f"{entry['size']}, {entry['kind']}"]
        + [f"{entry['milliseconds'][part]:.2f}" for part in PARTS]
        for entry in found
    ]
    return "Milliseconds per megapixel.\n\n" + pages.table(["file", *PARTS], rows)
