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

from benchmarks import pages, speed_page, speed_plots
from pyfd import plots

MAKER = "benchmarks/tracking.py"
RESULTS = Path(__file__).with_name("results.jsonl")
NOTED = ("when", "commit", "processor", "cores", "load", "python", "compiler", "libjpeg_turbo")
#: The rows whose worst cases the page shows, and what a line of the picture is called.
SHOWN = {
    "plain": "decode / plain decode",
    "simplejpeg": "decode / simplejpeg",
    "encode-simplejpeg": "encode / simplejpeg",
    "requantize": "requantize / decode + encode",
    "workers": "2 workers / 1",
}
RUNS = 12  # in the table


def line(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of the content of speed.json: typical and worst ratio of each bound."""
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
    """Return the runs of a file in their order; none if there is no file."""
    return [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []


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
    note = "The worst case of each row; instructions of the defended decode, the mean of all kinds."
    picture = "![The worst ratios over the commits](images/tracking.png)"
    return f"{note}\n\n{pages.table(heads, lines)}\n\n{picture}"


def instructions(run: Mapping[str, Any]) -> str:
    """Return the mean of a run's instructions per block in defended decodes."""
    found = [n for name, n in run["instructions"].items() if name.startswith("defended, ")]
    return f"{sum(found) / len(found):,.0f}" if found else "–"


def draw(runs: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the picture: the worst ratios over the runs, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = float("nan")
    curves = {
        what: [missing if (w := worst(run, key)) is None else w for run in runs]
        for key, what in SHOWN.items()
    }
    places = list(range(len(runs)))
    figure = speed_plots.lines(places, curves, "commit", "worst ratio")
    figure.axes[0].set_xticks(places, [run["commit"][:7] for run in runs], rotation=90, fontsize=7)
    figure.axes[0].set_ylim(bottom=0)
    plots.save(figure, folder / "tracking.png")


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
    main()
