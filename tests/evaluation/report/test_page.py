"""The page of an evaluation: its numbers, its order and its statements."""

import pytest

from pyfd.evaluation import report
from tests.evaluation.report.reports import (
    ATTACKS,
    COLUMNS,
    DEFENCES,
    LOWEST,
    N,
    accuracy,
    cell,
    example,
    make,
    measured,
    rows,
    sections,
    together,
    tree,
    two_pass,
    wilson,
    words,
)

# ---- the tables ------------------------------------------------------------


def test_the_numbers_are_those_of_the_report(root):
    shown = rows(sections(root)["Every defence under every attack"])
    assert list(shown) == [f"{number} {name}" for number, name in enumerate(DEFENCES, 1)]
    for defence, cells in zip(DEFENCES, shown.values(), strict=True):
        for attack, element in zip(COLUMNS, cells, strict=True):
            if not measured(defence, attack):
                assert (element.text, element.get("title")) == ("–", "not measured")
                continue
            correct = accuracy(defence, attack)
            low, high = (100 * end for end in wilson(correct, N))
            assert element.text == f"{100 * correct / N:.1f}"
            assert words(element.find("small")) == f"{low:.0f}–{high:.0f}"
            interval = f"95 % interval {low:.1f} to {high:.1f} %"
            assert element.get("title") == f"{correct} of {N} right; {interval}"


def test_adaptive_columns_stand_beside_gray_box_ones(root):
    head = next(sections(root)["Every defence under every attack"].iter("thead"))
    threats, attacks, strengths = (
        [(words(th), int(th.get("colspan", 1)), th.get("scope")) for th in row] for row in head
    )
    assert threats == [
        ("Defence", 1, "col"),
        ("benign", 1, "col"),
        ("adaptive", 3, "colgroup"),
        ("gray-box", 4, "colgroup"),
        ("black-box", 1, "colgroup"),
    ]
    names = [("BPDA", 2), ("grid-aimed", 1), ("PGD", 3), ("CW", 1), ("transfer", 1)]
    assert attacks == [(*name, "colgroup") for name in names]
    wanted = [f"ε = {epsilon}" if epsilon else "L2" for _, _, epsilon in COLUMNS[1:]]
    assert strengths == [(strength, 1, "col") for strength in wanted]


def test_the_lowest_of_each_defence(root):
    shown = rows(sections(root)[LOWEST])
    for defence in DEFENCES:
        benign, adaptive, gray = shown[defence]
        assert benign.text == f"{accuracy(defence, COLUMNS[0]) / N:.1%}"[:-1]
        for element, threat in ((adaptive, "adaptive"), (gray, "gray-box")):
            found = [a for a in COLUMNS if a[0] == threat and measured(defence, a)]
            if found:
                assert element.text == f"{min(accuracy(defence, a) for a in found) / N:.1%}"[:-1]
    assert words(shown["none"][1]) == "no defence"
    assert words(shown["tvm"][1]) == "not attacked"


def test_what_all_attacks_leave_together():
    found = [together("none", 2, 9, ["pgd", "bpda"]), together("none", 4, 3, ["pgd"])]
    found += [together("two-pass:16", 4, 30, ["pgd", "grid"])]
    content = make(together=found)
    shown = rows(sections(tree(content))[LOWEST])
    low, high = (100 * end for end in wilson(3, N))
    assert [words(shown[name][-1]) for name in ("none", "two-pass:16", "tvm")] == [
        "2.5at ε = 4",
        "25.0at ε = 4",
        "not attacked",
    ]
    assert (
        shown["two-pass:16"][-1].get("title").startswith("30 of 120 right under each of pgd, grid;")
    )
    assert "All together: " in words(sections(tree(content))[LOWEST])
    head, _, *lines = report.text(content).splitlines()
    titles, *cells = ([c.strip() for c in line.strip("|").split("|")] for line in (head, *lines))
    assert titles[-2:] == ["all together, ε = 2", "all together, ε = 4"]
    by_name = {cell[0]: cell[-2:] for cell in cells}
    assert by_name["none"][1] == f"2.5 ({low:.0f}–{high:.0f})"
    assert (by_name["two-pass:16"][0], by_name["tvm"]) == ("–", ["–", "–"])


def test_without_what_is_left_together_there_is_no_column(root):
    assert "All together" not in words(sections(root)[LOWEST])


def test_markdown():
    head, rule, *lines = report.text(make()).splitlines()
    titles = [title.strip() for title in head.strip("|").split("|")]
    assert titles[:3] == ["defence", "benign", "adaptive: BPDA, ε = 2"]
    assert titles[-2:] == ["gray-box: CW L2", "black-box: transfer, ε = 4"]
    assert rule == "| --- |" + " ---: |" * 9
    for defence, line in zip(DEFENCES, lines, strict=True):
        name, *cells = (part.strip() for part in line.strip("|").split("|"))
        assert name == defence
        for attack, text in zip(COLUMNS, cells, strict=True):
            correct = accuracy(defence, attack)
            low, high = (100 * end for end in wilson(correct, N))
            shown = f"{100 * correct / N:.1f} ({low:.0f}–{high:.0f})"
            assert text == (shown if measured(defence, attack) else "–")


def test_costs(root):
    shown = rows(sections(root)["Cost of each defence"])
    assert {name: [words(td) for td in cells] for name, cells in shown.items()} == {
        "bits:4": ["100 µs", "1.00×"],
        "two-pass:16": ["1.10 ms", "11.0×"],
        "two-pass:32": ["2.20 ms", "22.0×"],
        "tvm": ["2.20 s", "22,000×"],
    }


def test_the_setting(root):
    section = sections(root)["Setting"]
    terms = dict(zip(map(words, section.iter("dt")), map(words, section.iter("dd")), strict=True))
    assert terms["Model"] == "efficientnet-lite0"
    assert terms["Attacked at"] == "the photograph's own size"
    assert terms["Versions"] == "pyfd 0.1.0, torch 2.13.0"
    attacks = rows(section)
    assert len(attacks) == len(COLUMNS) - 1
    counted = 2.5 * sum(measured(defence, ("gray-box", "pgd", 4)) for defence in DEFENCES)
    shown = [words(td) for td in attacks["PGD, ε = 4"]]
    assert shown == ["gray-box", "steps 10", "1.50", f"{counted:.1f} s"]


# ---- its statements, and their order ---------------------------------------


def test_the_bad_news_comes_first(root):
    assert list(sections(root)) == [
        "Read this first: 1 warning",
        "Results",
        "Examples",
        "Plots",
        LOWEST,
        "Every defence under every attack",
        "Cost of each defence",
        "How to read the numbers",
        "Setting",
    ]
    warnings, verdict = list(sections(root).values())[:2]
    assert [words(item) for item in warnings.iter("li")] == make()["warnings"]
    assert not any("raised no warning" in words(item) for item in verdict.iter("li"))
    assert words(root.find("head/title")) == "pyfd evaluation: efficientnet-lite0 on photos"
    counted = "Only the 120 of 400 images that the undefended model gets right are counted"
    assert counted in words(verdict.find("p"))


def test_what_is_not_there_has_no_section():
    content = make({"tvm": "transformation"}, [COLUMNS[0]], costs={}, warnings=[], examples=[])
    assert list(sections(tree(content))) == [
        "Results",
        "Every defence under every attack",
        "How to read the numbers",
        "Setting",
    ]


def verdict(content: dict) -> list[str]:
    return [words(item) for item in sections(tree(content))["Results"].iter("li")]


def test_the_verdict_compares_at_the_same_strength():
    """Adaptive accuracy at ε = 4 below gray-box accuracy at ε = 2 proves nothing."""
    gray, weak, knowing = (
        (("gray-box", "pgd", 2), 90),
        (("gray-box", "pgd", 4), 60),
        (("adaptive", "bpda", 4), 48),
    )
    lower = verdict(two_pass(gray, weak, knowing))
    assert lower[0].startswith("An attacker who knows the defence does better.")
    assert (
        "BPDA, ε = 4 leaves 40.0 %, whereas PGD, ε = 4, which ignores the defence, leaves 50.0 %"
        in lower[0]
    )
    assert verdict(two_pass(gray, knowing)) == [
        "The evaluation's checks of itself raised no warning."
    ]
    equal = verdict(two_pass(gray, weak, (("adaptive", "bpda", 4), 60)))
    assert equal[0].startswith("No adaptive attack did better")


def test_the_verdict_names_what_was_not_attacked_adaptively():
    assert any("Not attacked adaptively: tvm." in item for item in verdict(make()))
    gray = two_pass((("gray-box", "pgd", 4), 60))
    assert verdict(gray)[0].startswith("No adaptive attack was run.")
    many = make({f"d{n}": "transformation" for n in range(20)}, ATTACKS[:1])
    attacked = (ATTACKS[0], ("adaptive", "bpda", 1))
    many["cells"] += [cell("two-pass:2", "two-pass", attack) for attack in attacked]
    assert "d6, d7 and 12 more." in " ".join(verdict(many))


def test_the_verdict_tells_how_bad_it_is_without_a_defence():
    cells = [
        cell("none", "none", (threat, attack, epsilon), correct)
        for threat, attack, epsilon, correct in (
            ("benign", "benign", None, N),
            ("gray-box", "pgd", 4, 12),
            ("black-box", "transfer", 4, 100),
        )
    ]
    said = verdict(make(cells=cells))
    assert said == [
        "Without a defence, PGD, ε = 4 leaves the model right on 12 of 120 images (10.0 %)."
    ]


def test_examples(root):
    section = sections(root)["Examples"]
    pictures = list(section.iter("img"))
    keys = ("original", "adversarial", "perturbation", "defended")
    made = example()
    assert [p.get("src") for p in pictures] == [f"data:image/png;base64,{made[k]}" for k in keys]
    assert [p.get("alt") for p in pictures] == [f"{key}: pgd, ε = 4" for key in keys]
    assert [words(caption) for caption in section.iter("figcaption")] == [
        "OriginalThe model says 281: right",
        "AdversarialThe model says 3: wrong, it is 281",
        "Perturbation, amplified 32 times",
        "Behind two-pass:16The model says 281: right",
    ]


# ---- sizes -----------------------------------------------------------------


@pytest.mark.parametrize("attack", [ATTACKS[1], ("gray-box", "deepfool", None), ATTACKS[-1]])
def test_one_attack(attack):
    attacks = [ATTACKS[0], attack]
    content = make({"two-pass:16": "two-pass"}, attacks, warnings=[], examples=[], costs={})
    (cells,) = rows(sections(tree(content))["Every defence under every attack"]).values()
    assert len(cells) == len(content["cells"]) == 2
    assert len(report.text(content).splitlines()) == 3


def test_hundreds_of_cells():
    defences = {f"two-pass:{step}": "two-pass" for step in range(1, 41)}
    content = make(defences)
    assert len(content["cells"]) == 360
    shown = rows(sections(tree(content))["Every defence under every attack"])
    assert sum(map(len, shown.values())) == 360
