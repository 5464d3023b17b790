"""Attack certified files: the tables of certified defences in docs/reproduction.md.

    python -m benchmarks.certified_attacks PHOTOS LABELS --output DIR
                                           [--write docs/reproduction.md]

PHOTOS and LABELS are those of benchmarks/reproduction.py. For each network, at its input
size and at the photographs' own, many photographs are certified, and some of them attacked.
The certified share and what an attack within ε leaves must be equal; the evaluation stops if
an attack changes what a network sees. Each part is an evaluation in its own folder below
DIR; an interrupted run is resumed from there. Takes about an hour on two cores, and the
comparison of plain files' certified share with what the attack on the grid leaves
(benchmarks/bracket.py, its log is DIR/bracket.jsonl) some four more, on one core. Needs
'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyfd
from benchmarks import bracket, pages
from benchmarks.reproduction import (
    MODELS,
    SIZES,
    Content,
    Part,
    Photos,
    Scale,
    cell,
    read_arguments,
    run,
)

MAKER = "benchmarks/certified_attacks.py"
EPSILONS = (1, 2, 4)
PLAIN, CERTIFIED, PIXELS = "two-pass:certified:{}", "certified:{}", "two-pass:pixel-{}"
ATTACKS = ("pgd", "bpda", "grid")
COUNTS: Mapping[Scale, int] = {"model": 200, "photo": 100}  # photographs
ATTACKED: Mapping[Scale, int] = {"model": 20, "photo": 8}  # some of these


def many(model: str, scale: Scale) -> Part:
    """Return the part that certifies many photographs, without an attack."""
    defences = ["none", "certified:fd-cvpr2019@1"]
    for epsilon in EPSILONS:
        defences += [name.format(epsilon) for name in (PLAIN, CERTIFIED, PIXELS)]
    return Part("certified", model, defences, (), EPSILONS, COUNTS[scale], scale)


def attacked(model: str, scale: Scale, epsilon: int) -> Part:
    """Return the part that attacks some photographs at a strength."""
    defences = ["none", *(name.format(epsilon) for name in (PLAIN, CERTIFIED))]
    name = f"certified-attacked-{epsilon}"
    return Part(name, model, defences, ATTACKS, (epsilon,), ATTACKED[scale], scale)


def parts() -> list[Part]:
    """Return all parts, those without an attack first."""
    places = [(model, scale) for scale in SIZES for model in MODELS]
    return [
        *(many(*place) for place in places),
        *(attacked(*place, epsilon) for place in places for epsilon in EPSILONS),
    ]


# ---- the page -----------------------------------------------------------------


def page(contents: Mapping[str, Content], entries: Sequence[bracket.Entry]) -> str:
    """Return the generated part of docs/reproduction.md.

    Args:
        contents: The parts' reports, by the parts' folders.
        entries: The images of the comparison with the attack on the grid.
    """
    sections = []
    for scale, size in SIZES.items():
        for model in MODELS:
            found = contents[many(model, scale).folder]
            some = [contents[attacked(model, scale, e).folder] for e in EPSILONS]
            sections += [
                f"### Certified defences: {model}, at {size}",
                f"{found['setting']['n']} photographs, without an attack:",
                cost_table(found),
                f"{some[0]['setting']['n']} of these photographs, attacked:",
                attack_table(some),
            ]
    for model, scale in bracket.COUNTS:
        images = len(
            {
                entry["image"]
                for entry in entries
                if entry["model"] == model and entry["scale"] == scale
            }
        )
        sections += [
            f"### Certified and attacked: {model}, at {SIZES[scale]}, {images} photographs",
            bracket.table(entries, model, scale),
        ]
    return "\n\n".join(sections)


def cost_table(content: Content) -> str:
    """Return a table of what certified defences keep, certify and send."""
    heads = ["defence", "benign", "certified", "bits per pixel"]
    rows = []
    for found in content["cells"]:
        name = found["defence"]
        promised, bits = content["certified"].get(name), content["rates"].get(name)
        rows.append(
            [
                name,
                percent(found["accuracy"]),
                "–" if promised is None else f"{percent(promised['accuracy'])} ({at(promised)})",
                "–" if bits is None else f"{bits:.2f}",
            ]
        )
    return pages.table(heads, rows)


def at(promised: Content) -> str:
    """Return the strength that something is certified at."""
    return f"ε = {promised['epsilon']}"


def attack_table(contents: list[Content]) -> str:
    """Return a table of what attacks leave, with a row for each defence at each strength."""
    rows = []
    for epsilon, content in zip(EPSILONS, contents, strict=True):
        for defence in dict.fromkeys(found["defence"] for found in content["cells"]):
            promised = content["certified"].get(defence)
            row = [str(epsilon), defence, percent(cell(content, defence, "benign", None))]
            row.append(percent(promised and promised["accuracy"]))
            row += [percent(cell(content, defence, attack, epsilon)) for attack in ATTACKS]
            rows.append(row)
    return pages.table(["ε", "defence", "benign", "certified", *ATTACKS], rows)


def percent(share: float | None) -> str:
    """Return a share in percent; a dash for what was not measured."""
    return "–" if share is None else f"{100 * share:.1f}"


def main() -> None:
    arguments = read_arguments(__doc__)
    photos = Photos(arguments.photos, arguments.labels)
    contents = {}
    for part in parts():
        print(part.folder, flush=True)
        contents[part.folder] = run(part, photos, arguments.output, arguments.photos.name)
    entries = bracket.measure(photos, arguments.output)
    text = f"pyfd {pyfd.__version__}. Accuracy in %.\n\n{page(contents, entries)}"
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
