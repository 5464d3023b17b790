"""Keep what `make bench` measured, a line of JSON for each run, and draw it over the commits.

    python -m benchmarks.tracking [--results FILE] [--write docs/performance.md]

`make bench` appends to benchmarks/results.jsonl, which is committed. Ratios say how fast pyfd is
beside others of the same run. Numbers of instructions depend on the compiler, so that a line
has the versions, and `make bench-compare` compares builds of the same machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import commands, pages, speed_page, speed_plots
from benchmarks.files import QUALITIES, Kind
from benchmarks.instructions import KINDS
from pyfd import plots

MAKER = "benchmarks/tracking.py"
DEFENDED = "defended, "  # with the kind of the file: instructions of a defended decode
RESULTS = Path(__file__).with_name("results.jsonl")
NOTED = ("when", "commit", "processor", "cores", "load", "python", "compiler", "libjpeg_turbo")
KEPT = (*NOTED, "packages", "bundled", "ratios", "instructions")
#: The rows whose worst cases the page shows, and what a line of the picture is called.
SHOWN = {
    "plain": "decode / plain decode",
    "simplejpeg": "decode / simplejpeg",
    "encode-simplejpeg": "encode / simplejpeg",
    "requantize": "requantize / decode + encode",
    "workers": "2 workers / 1",
}
#: The kinds of files whose instructions are drawn
DRAWN = [*(Kind(quality, "4:2:0") for quality in QUALITIES), Kind(90, "4:4:4"), KINDS[-1]]
RUNS = 12  # in the table
PICTURES = {
    "tracking.png": "The worst ratios over the commits",
    "tracking-instructions.png": "Instructions of a defended decode over the commits",
}


def line(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `KEPT` names of speed.json's content: of ratios, typical and worst by bound."""
    ratios: dict[str, dict[str, list[float]]] = {}
    for row in content["rows"]:
        for bound in dict.fromkeys(case["bound"] for case in row["cases"]):
            cases = [x for x in row["cases"] if x["bound"] == bound and "value" in x]
            if cases:
                middle = sorted(case["value"] for case in cases)[len(cases) // 2]
                worst = max(cases, key=lambda case: case["excess"])["value"]
                pair = [float(f"{value:.4g}") for value in (middle, worst)]
                ratios.setdefault(row["key"], {})[bound] = pair
    where = content["machine"]
    return {
        **{name: where[name] for name in NOTED},
        "packages": where["packages"],
        "bundled": where.get("bundled", {}),
        "ratios": ratios,
        "instructions": {
            f"{entry['operation']}, {entry['kind']}": round(entry["per_block"], 1)
            for entry in content.get("instructions", [])
        },
    }


def append(content: Mapping[str, Any], path: Path) -> None:
    """Add a run to the end of a file of results."""
    with path.open("a") as file:
        file.write(json.dumps(line(content), ensure_ascii=False, separators=(",", ":")) + "\n")


def results(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a file in their order; none if there is no file.

    Raises:
        SystemExit: A line is no run, as after a merge with conflicts.
    """
    runs = []
    for number, text in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            run = json.loads(text)
            runs.append({key: run[key] for key in KEPT})
        except (ValueError, KeyError, TypeError):
            raise SystemExit(f"{path}, line {number}: this is no run of the bench") from None
    return runs


def worst(run: Mapping[str, Any], key: str) -> float | None:
    """Return the worst ratio of a row in a run: that of its first bound."""
    pairs = run["ratios"].get(key)
    return next(iter(pairs.values()))[1] if pairs else None


# ---- the page -----------------------------------------------------------------


def page(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the generated part: the picture, and a table of the last runs."""
    heads = ["run", "commit", "processor", *SHOWN.values(), "instructions a block"]
    lines = [
        [
            run["when"][:10],
            run["commit"],
            run["processor"],
            *("–" if (w := worst(run, key)) is None else speed_page.number(w) for key in SHOWN),
            instructions(run),
        ]
        for run in runs[-RUNS:]
    ]
    note = (
        "The worst case of each row; where a row has several targets, of the first one, which for "
        "`requantize` is that of baseline files at 64×64. Instructions of the defended decode are "
        "the mean of all kinds."
    )
    shown = "\n".join(f"![{what}](images/{name})" for name, what in PICTURES.items())
    return f"{note}\n\n{pages.table(heads, lines)}\n\n{shown}"


def instructions(run: Mapping[str, Any]) -> str:
    """Return the mean of a run's instructions per block in defended decodes."""
    found = [n for name, n in run["instructions"].items() if name.startswith(DEFENDED)]
    return f"{sum(found) / len(found):,.0f}" if found else "–"


def draw(runs: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the pictures over the runs, in their order: worst ratios, and instructions."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = float("nan")
    ratios = {
        what: [missing if (w := worst(run, key)) is None else w for run in runs]
        for key, what in SHOWN.items()
    }
    counts = {
        name: [run["instructions"].get(f"{DEFENDED}{name}", missing) for run in runs]
        for name in map(str, DRAWN)
    }
    figures = ((ratios, "worst ratio"), (counts, "instructions a block"))
    places, names = list(range(len(runs))), [run["commit"][:7] for run in runs]
    for picture, (curves, left) in zip(PICTURES, figures, strict=True):
        figure = speed_plots.lines(places, curves, "commit", left)
        figure.axes[0].set_xticks(places, names, rotation=90, fontsize=7)
        figure.axes[0].set_ylim(bottom=0)
        plots.save(figure, folder / picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", type=Path, help="the page to put the table and the picture in")
    arguments = parser.parse_args()
    runs = results(arguments.results)
    if not runs:
        raise SystemExit(f"{arguments.results} has no runs: `make bench` adds them")
    text = page(runs)
    print(text)
    if arguments.write:
        draw(runs, arguments.write.parent / "images")
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    commands.run(main)
