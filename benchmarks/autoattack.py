"""Attack as reviewers ask for: the tables in docs/attacks.md.

    python -m benchmarks.autoattack PHOTOS LABELS --output DIR [--write docs/attacks.md]

PHOTOS and LABELS are those of benchmarks/reproduction.py; the network is SqueezeNet at 227×227,
whose passes take less than half as long as EfficientNet's, and the parts have 25 photographs, or
10 where there are many cells or queries. A table for each strength has AutoAttack with and
without BPDA, targeted PGD, restarts and the attack on the grid. Others have curves up to where
everything falls, transfer from two networks, a random defence with the mean of 20 draws, and two
black boxes. Each part is an evaluation in its own folder below DIR, from which an interrupted run
is resumed; the page is written after each. Takes about three hours on two cores. Needs
'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import pages
from benchmarks.studies import (
    MODELS,
    Content,
    Part,
    Photos,
    conduct,
    find,
    percent,
    read_arguments,
    together,
)
from pyfd import plots
from pyfd.evaluation.report import figures

MAKER = "benchmarks/autoattack.py"
*SURROGATES, MODEL = MODELS
DEFENCES = ("none", "one-pass:fd-cvpr2019", "two-pass:fd-cvpr2019")
EPSILONS = (1, 2, 4)
CURVE = (1, 2, 4, 8, 16, 32, 64)
COUNT, FEW = 25, 10  # photographs
STRONG = ("noise", "pgd", "autoattack", "bpda", "bpda-t", "bpda-strong", "bpda-autoattack", "grid")


def strong(epsilon: int) -> Part:
    """Return the part with a strength's main table."""
    return Part(f"autoattack-{epsilon}", MODEL, DEFENCES, STRONG, (epsilon,), COUNT)


UP_TO = ("noise", "pgd", "bpda-t", "grid")
CURVES = Part("curve", MODEL, (*DEFENCES, "certified:4"), UP_TO, CURVE, FEW)
TRANSFER = Part("transfer", MODEL, DEFENCES, ("transfer",), EPSILONS, COUNT, "model", SURROGATES)
RANDOM = Part("random", MODEL, ("shield",), ("bpda",), EPSILONS, COUNT)
BLIND = Part("black-boxes", MODEL, DEFENCES, ("square-whole", "hopskipjump"), (4,), FEW)


def sections() -> Iterator[tuple[str, Part]]:
    """Yield all parts with their titles, in the order of the page."""
    for epsilon in EPSILONS:
        yield f"ε = {epsilon}", strong(epsilon)
    yield "Up to where everything falls", CURVES
    yield "Transfer from two networks", TRANSFER
    yield "A random defence, the mean of 20 draws", RANDOM
    yield "Black boxes on the whole pipeline", BLIND


def parts() -> list[Part]:
    """Return all parts, the fastest first, and then the largest strength."""
    return [TRANSFER, RANDOM, CURVES, *map(strong, reversed(EPSILONS)), BLIND]


# ---- the page -----------------------------------------------------------------


def page(contents: Mapping[str, Content], pictures: Path) -> str:
    """Return the generated part of docs/attacks.md, and write its picture.

    Args:
        contents: The reports so far, by the parts' folders.
        pictures: The folder for the picture.
    """
    if curves := contents.get(CURVES.folder):
        draw(curves, pictures / "curves.png")
    found = [(title, part) for title, part in sections() if part.folder in contents]
    return "\n\n".join(section(title, part, contents[part.folder]) for title, part in found)


def draw(content: Content, path: Path) -> None:
    """Write a picture with the curves of accuracy over ε."""
    plots.save(figures(content)["accuracy-by-epsilon"], path)


def section(title: str, part: Part, content: Content) -> str:
    """Return the heading of a part, how long it took, its picture if it has one, and its table."""
    picture = "![Accuracy against ε](images/curves.png)\n\n" if part == CURVES else ""
    took = f"{content['setting']['n']} photographs, {hours(content):.1f} hours of one process."
    return f"### {title}\n\n{took}\n\n{picture}{table(part, content)}"


def table(part: Part, content: Content) -> str:
    """Return a table of accuracies in percent: a row for each defence at each strength."""
    several = len(part.attacks) > 1
    heads = ["ε", "defence", "benign", *part.attacks, *(["all together"] if several else [])]
    rows = []
    for epsilon in part.epsilons:
        for defence in map(str, part.defences):
            row = [str(epsilon), defence, percent(find(content, defence, "benign", None))]
            row += [percent(find(content, defence, attack, epsilon)) for attack in part.attacks]
            row += [percent(together(content, defence, epsilon))] if several else []
            rows.append(row)
    return pages.table(heads, rows)


def hours(content: Content) -> float:
    """Return how long the attacks took in one process.

    Cells of one attack on the same images share it.
    """
    times = {(c["attack"], c["epsilon"], c["seconds"]) for c in content["cells"]}
    return sum(seconds for *_, seconds in times) / 3600


def main() -> None:
    arguments = read_arguments(__doc__)
    photos = Photos(arguments.photos, arguments.labels)
    pictures = arguments.write.parent / "images" if arguments.write else arguments.output
    conduct(parts(), photos, arguments, MAKER, lambda contents: page(contents, pictures))


if __name__ == "__main__":
    main()
