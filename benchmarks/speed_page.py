"""What `make bench` found, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import instructions

BEGIN, END = "<!-- made by benchmarks/speed.py -->\n", "<!-- end -->"
PARTS = ("symbols", "copy", "new memory", "plain", "defended", "defended, out=")

Content = Mapping[str, Any]


def put(text: str, made: str) -> str:
    """The page with what is between the marks made anew."""
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{made}\n\n{END}{text.partition(END)[2]}"


def page(content: Content) -> str:
    """The generated part of docs/performance.md."""
    parts = [machine(content["machine"]), summary(content["rows"])]
    if content["quick"]:
        parts.insert(0, "**A quick run: it shows that the command works, and no more.**")
    if content.get("floor"):
        parts += ["### How near the floor", floor(content["floor"])]
    if content.get("instructions"):
        parts += ["### Instructions per 8×8 block", instructions.table(content["instructions"])]
    return "\n\n".join(parts)


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def machine(found: Content) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return (
        f"{found['processor']}, {found['cores']} cores; {found['kernel']}; "
        f"Python {found['python']}; {found['compiler']}; "
        f"libjpeg-turbo {found['libjpeg_turbo']}; commit {found['commit']}; "
        f"load {found['load']:.1f} before; {found['when']}. {packages}."
    )


# ---- the target table -----------------------------------------------------------


def summary(rows: Sequence[Content]) -> str:
    """A line for each bound of each row; the worst case decides."""
    heads = ["measured", "target", "typical", "worst", "quartiles", "the worst case", "verdict"]
    lines = []
    for row in rows:
        for bound in dict.fromkeys(case["bound"] for case in row["cases"]):
            cases = [case for case in row["cases"] if case["bound"] == bound]
            lines.append([row["what"], bound, *judged(cases, row["unit"])])
    return markdown(heads, lines)


def judged(cases: Sequence[Content], unit: str = "") -> list[str]:
    """Typical value, worst value, its quartiles, its name, and the verdict."""
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
    spread = f"{number(worst['low'])} to {number(worst['high'])}"
    return [
        number(middle, unit),
        number(worst["value"], unit),
        spread,
        worst["label"],
        verdict,
    ]


def number(value: float, unit: str = "") -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"


def cases(row: Content) -> str:
    """Every case of a row, for the terminal and report.md."""
    heads = ["case", "target", "median", "quartiles", "pairs", "ours", "theirs", ""]
    return markdown(heads, map(line, row["cases"]))


def line(case: Content) -> list[str]:
    if "value" not in case:
        return [case["label"], case["bound"], f"not measured: {case['unmeasured']}", *[""] * 5]
    spread = f"{number(case['low'])} to {number(case['high'])}"
    return [
        case["label"],
        case["bound"],
        number(case["value"]),
        spread,
        f"{case['pairs']:,}",
        time(case["ours"]),
        time(case["theirs"]),
        "–" if case["bound"] == "–" else "met" if case["met"] else "**not met**",
    ]


def time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{1000 * seconds:.3f} ms" if seconds < 0.1 else f"{1000 * seconds:,.0f} ms"


def floor(found: Sequence[Content]) -> str:
    """Milliseconds per megapixel, a line per kind of file."""
    rows = [
        [f"{entry['size']}, {entry['kind']}"]
        + [f"{entry['milliseconds'][part]:.2f}" for part in PARTS]
        for entry in found
    ]
    return "Milliseconds per megapixel.\n\n" + markdown(["file", *PARTS], rows)
