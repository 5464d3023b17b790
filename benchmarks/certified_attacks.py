"""Attack certified files: the tables of certified defences in docs/reproduction.md.

    python -m benchmarks.certified_attacks PHOTOS LABELS --output DIR
                                           [--write docs/reproduction.md]

PHOTOS and LABELS are those of benchmarks/reproduction.py. For each network, at its input
size and at the photographs' own, many photographs are certified, and some of them attacked.
The certified share and what an attack within ε leaves must be equal; the evaluation stops if
an attack changes what a network sees. Each part is an evaluation in its own folder below
DIR; an interrupted run is resumed from there. Plain files are attacked on the grid with more
steps, targets and trials than usual, to see whether the attack still gains. At last, their
certified share is compared with what it leaves (benchmarks/bracket.py, its log is
DIR/bracket.jsonl). Takes about an hour on two cores, and one more on one for the comparison.
Needs 'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks import bracket, pages
from benchmarks.studies import (
    MODELS,
    SIZES,
    Content,
    Part,
    Photos,
    Scale,
    conduct,
    find,
    percent,
    promised,
    publish,
    read_arguments,
    together,
)
from pyfd.evaluation.attacks.grid import Grid

MAKER = "benchmarks/certified_attacks.py"
EPSILONS = (1, 2, 4)
PLAIN, CERTIFIED, PIXELS = "two-pass:certified:{}", "certified:{}", "two-pass:pixel-{}"
ATTACKS = ("pgd", "bpda", "grid")
COUNTS: Mapping[Scale, int] = {"model": 200, "photo": 100}  # photographs
ATTACKED = 25  # of these
STRONGER = 10  # of these, with many times as much of an attack
#: The attack on the grid as it is, with fewer trials, and with more of each of its parameters.
MORE: Mapping[str, Mapping[str, int]] = {
    "grid": {},
    "no trials": {"trials": 0},
    "150 trials": {"trials": 150},
    "2400 trials": {"trials": 2400},
    "40 steps": {"steps": 40},
    "9 targets": {"targets": 9},
}


def many(model: str, scale: Scale) -> Part:
    """Return the part that certifies many photographs, without an attack."""
    defences = ["none", "certified:fd-cvpr2019@1"]
    for epsilon in EPSILONS:
        defences += [name.format(epsilon) for name in (PLAIN, CERTIFIED, PIXELS)]
    return Part("certified", model, defences, (), EPSILONS, COUNTS[scale], scale)


def attacked(model: str, scale: Scale, epsilon: int) -> Part:
    """Return the part that attacks some photographs at a strength."""
    defences = ("none", CERTIFIED.format(epsilon))
    name = f"certified-attacked-{epsilon}"
    return Part(name, model, defences, ATTACKS, (epsilon,), ATTACKED, scale)


def stronger() -> Part:
    """Return the part that attacks plain files on the grid with more of everything."""
    attacks = [grid(name, **more) for name, more in MORE.items()]
    return Part("grid-stronger", MODELS[0], (PLAIN.format(4),), attacks, (4,), STRONGER)


def grid(name: str, **parameters: int) -> Grid:
    """Return the attack on the grid with parameters, and a name of its own."""
    attack = Grid(**parameters)
    attack.name = name
    return attack


def parts() -> list[Part]:
    """Return all parts, those without an attack first."""
    places = [(model, scale) for scale in SIZES for model in MODELS]
    return [
        *(many(*place) for place in places),
        *(attacked(*place, epsilon) for place in places for epsilon in EPSILONS),
        stronger(),
    ]


# ---- the page -----------------------------------------------------------------


def page(contents: Mapping[str, Content], entries: Sequence[bracket.Entry] = ()) -> str:
    """Return the generated part of docs/reproduction.md.

    Args:
        contents: The reports so far, by the parts' folders.
        entries: The images of the comparison with the attack on the grid.
    """
    sections = []
    for scale, size in SIZES.items():
        for model in MODELS:
            if found := contents.get(many(model, scale).folder):
                sections += [
                    f"### Certified defences: {model}, at {size}",
                    f"{found['setting']['n']} photographs, without an attack:",
                    cost_table(found),
                ]
            wanted = {epsilon: attacked(model, scale, epsilon).folder for epsilon in EPSILONS}
            if some := {e: contents[name] for e, name in wanted.items() if name in contents}:
                sections += [
                    f"{next(iter(some.values()))['setting']['n']} of these photographs, attacked:",
                    attack_table(some),
                ]
    if found := contents.get(stronger().folder):
        sections += [
            f"### A stronger attack on the grid: {MODELS[0]}, ε = 4, "
            f"{found['setting']['n']} photographs",
            more_table(found),
        ]
    for model, scale in bracket.COUNTS if entries else ():
        places = [e["image"] for e in entries if (e["model"], e["scale"]) == (model, scale)]
        sections += [
            f"### Certified and attacked: {model}, at {SIZES[scale]}, "
            f"{len(set(places))} photographs",
            bracket.table(entries, model, scale),
        ]
    return "\n\n".join(sections)


def cost_table(content: Content) -> str:
    """Return a table of what certified defences keep, certify and send."""
    rows = []
    for cell in content["cells"]:
        name = cell["defence"]
        bits = content["rates"].get(name)
        row = [name, percent(cell), promised(content["certified"].get(name))]
        rows.append([*row, "–" if bits is None else f"{bits:.2f}"])
    return pages.table(["defence", "benign", "certified", "bits per pixel"], rows)


def attack_table(contents: Mapping[int, Content]) -> str:
    """Return a table of what attacks leave, with a row for each defence at each strength."""
    rows = []
    for epsilon, content in contents.items():
        for defence in dict.fromkeys(found["defence"] for found in content["cells"]):
            row = [str(epsilon), defence, percent(find(content, defence, "benign", None))]
            row.append(percent(content["certified"].get(defence)))
            row += [percent(find(content, defence, attack, epsilon)) for attack in ATTACKS]
            rows.append(row)
    return pages.table(["ε", "defence", "benign", "certified", *ATTACKS], rows)


def more_table(content: Content) -> str:
    """Return a table of what the attack on the grid leaves with more of its parameters."""
    defence = PLAIN.format(4)
    cells = [cell for name in MORE if (cell := find(content, defence, name, 4)) is not None]
    rows = [[cell["attack"], percent(cell), f"{cell['seconds'] / cell['n']:.0f}"] for cell in cells]
    rows.append(["all together", percent(together(content, defence, 4)), ""])
    return pages.table(["attack", f"left of {defence}", "seconds per photograph"], rows)


def main() -> None:
    arguments = read_arguments(__doc__)
    photos = Photos(arguments.photos, arguments.labels)
    contents = conduct(parts(), photos, arguments, MAKER, page)
    entries = bracket.measure(photos, arguments.output)
    publish(arguments, MAKER, page(contents, entries))


if __name__ == "__main__":
    main()
