"""Attack as reviewers ask for: the tables in docs/attacks.md.

    python -m benchmarks.autoattack PHOTOS LABELS --output DIR [--write docs/attacks.md]

PHOTOS and LABELS are those of benchmarks/reproduction.py; the network is EfficientNet-Lite0 at
224×224. AutoAttack with and without BPDA, targeted PGD, restarts, and Square as a black box, on
25 photographs at three strengths; HopSkipJump and a random defence, averaged over 20 draws, on
10; transfer from two networks; and curves up to where everything falls. Each part is an
evaluation in its own folder below DIR; an interrupted run is resumed from there. Takes about
ten hours on two cores. Needs 'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyfd
from benchmarks import pages
from benchmarks.reproduction import (
    Content,
    Part,
    Photos,
    cell,
    read_arguments,
    run,
)

MAKER = "benchmarks/autoattack.py"
MODEL = "efficientnet-lite0"
SURROGATES = ("squeezenet1.1", "efficientnet-lite2")
DEFENCES = ("none", "one-pass:fd-cvpr2019", "two-pass:fd-cvpr2019", "jpeg:75")
EPSILONS = (1, 2, 4)
CURVE = (1, 2, 4, 8, 16, 32, 64)
COUNT, FEW = 25, 10  # photographs; of the slowest parts
STRONG = ("noise", "pgd", "autoattack", "bpda", "bpda-t", "bpda-strong")
STRONG += ("bpda-autoattack", "grid", "square-whole")


def strong(epsilon: int) -> Part:
    """Return the part with a strength's main table."""
    return Part(f"autoattack-{epsilon}", MODEL, DEFENCES, STRONG, (epsilon,), COUNT)


def others() -> dict[str, Part]:
    """Return the other parts by their titles."""
    random, surrogates = ("shield",), SURROGATES
    return {
        "HopSkipJump": Part("decisions", MODEL, DEFENCES, ("hopskipjump",), EPSILONS, FEW),
        "A random defence, 20 draws": Part(
            "random", MODEL, random, ("bpda", "bpda-apgd-ce"), EPSILONS, FEW
        ),
        "Transfer from two networks": Part(
            "transfer", MODEL, DEFENCES, ("transfer",), EPSILONS, COUNT, surrogates=surrogates
        ),
        "Up to where everything falls": Part(
            "curve", MODEL, DEFENCES, ("noise", "bpda-t"), CURVE, COUNT
        ),
    }


def parts() -> Iterator[Part]:
    """Yield all parts, the fastest first."""
    yield from reversed(others().values())
    yield from map(strong, EPSILONS)


# ---- the page -----------------------------------------------------------------


def page(contents: Mapping[str, Content]) -> str:
    """Return the generated part of docs/attacks.md.

    Args:
        contents: The parts' reports, by the parts' names.
    """
    sections = []
    for epsilon in EPSILONS:
        part = strong(epsilon)
        sections += section(f"ε = {epsilon}", part, contents[part.name])
    for title, part in others().items():
        sections += section(title, part, contents[part.name])
    return "\n\n".join(sections)


def section(title: str, part: Part, content: Content) -> list[str]:
    """Return the heading of a part, how long it took, and its table."""
    took = f"{content['setting']['n']} photographs, {hours(content):.1f} hours of one process."
    return [f"### {title}", took, table(part, content)]


def table(part: Part, content: Content) -> str:
    """Return a table of accuracies in percent: a row for each defence."""
    several = len(part.epsilons) > 1
    columns = [("benign", None), *((a, e) for a in part.attacks for e in part.epsilons)]
    heads = [a if e is None or not several else f"{a}, ε = {e}" for a, e in columns]
    rows = []
    for defence in part.defences:
        found = [cell(content, str(defence), *column) for column in columns]
        rows.append([str(defence), *("–" if x is None else f"{100 * x:.0f}" for x in found)])
    return pages.table(["defence", *heads], rows)


def hours(content: Content) -> float:
    """Return how long the attacks took in one process.

    Cells of one attack on the same images share it.
    """
    times = {(c["attack"], c["epsilon"], c["seconds"]) for c in content["cells"]}
    return sum(seconds for *_, seconds in times) / 3600


def main() -> None:
    arguments = read_arguments(__doc__)
    photos = Photos(arguments.photos, arguments.labels)
    contents = {}
    for part in parts():
        print(part.folder, flush=True)
        contents[part.name] = run(part, photos, arguments.output, arguments.photos.name)
    text = f"pyfd {pyfd.__version__}. Accuracy in %.\n\n{page(contents)}"
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
