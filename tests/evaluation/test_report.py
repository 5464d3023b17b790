"""The page of an evaluation: its numbers, its order, and what a hostile report.json may not do."""

import base64
import copy
import hashlib
import html
import io
import json
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from pyfd.evaluation import report
from pyfd.evaluation.report import plots as figures

DEFENCES = {
    "none": "none",
    "two-pass:16": "two-pass",
    "two-pass:32": "two-pass",
    "two-pass:fd-cvpr2019": "two-pass",
    "one-pass:16": "one-pass",
    "one-pass:32": "one-pass",
    "tvm": "transformation",
}
ATTACKS = [  # not in the order of the table
    ("benign", "benign", None),
    *(("gray-box", "pgd", epsilon) for epsilon in (4, 1, 2)),
    ("gray-box", "cw-l2", None),
    ("black-box", "transfer", 4),
    *(("adaptive", "bpda", epsilon) for epsilon in (2, 4)),
    ("adaptive", "grid", 4),
]
COLUMNS = [
    *(("benign", "benign", None), ("adaptive", "bpda", 2), ("adaptive", "bpda", 4)),
    *(("adaptive", "grid", 4), ("gray-box", "pgd", 1), ("gray-box", "pgd", 2)),
    *(("gray-box", "pgd", 4), ("gray-box", "cw-l2", None), ("black-box", "transfer", 4)),
]
N = 120


def accuracy(defence: str, attack: tuple) -> int:
    """How many of `N`: any number that says which cell it is of."""
    if attack[0] == "benign":
        return N - 5 * list(DEFENCES).index(defence) if defence in DEFENCES else 100
    return int(hashlib.sha256(repr((defence, attack)).encode()).hexdigest(), 16) % 90


def wilson(correct: int, n: int) -> list[float]:
    share, z = correct / n, 1.96
    middle = share + z * z / 2 / n
    half = z * math.sqrt(share * (1 - share) / n + z * z / 4 / n / n)
    return [max(0, (middle - half) / (1 + z * z / n)), min(1, (middle + half) / (1 + z * z / n))]


def cell(defence: str, kind: str, attack: tuple, correct: int | None = None) -> dict:
    threat, name, epsilon = attack
    correct = accuracy(defence, attack) if correct is None else correct
    return {
        "defence": defence,
        "kind": kind,
        "step": None,
        "attack": name,
        "threat": threat,
        "epsilon": epsilon,
        "parameters": {} if threat == "benign" else {"steps": 10},
        "correct": correct,
        "n": N,
        "accuracy": round(correct / N, 4),
        "interval": wilson(correct, N),
        "l2": None if threat == "benign" else 1.5,
        "seconds": 2.5,
    }


def png(seed: int = 0) -> str:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def example(**changes) -> dict:
    return {
        "title": "pgd, ε = 4",
        "label": 281,
        "predicted": {"benign": 281, "attacked": 3, "defended": 281},
        "original": png(seed=1),
        "adversarial": png(seed=2),
        "perturbation": png(seed=3),
        "amplified": 32,
        "defended": png(seed=4),
        "defence": "two-pass:16",
        **changes,
    }


def measured(defence: str, attack: tuple) -> bool:
    """Nobody attacks total-variation minimization adaptively, nor the undefended model."""
    return attack[0] != "adaptive" or DEFENCES.get(defence) not in ("none", "transformation")


def make(defences=DEFENCES, attacks=ATTACKS, **changes) -> dict:
    pairs = product(defences.items(), attacks)
    return {
        "format": "pyfd-evaluation",
        "version": 1,
        "setting": {
            "model": "efficientnet-lite0",
            "images": "photos",
            "scale": "photo",
            "loaded": 400,
            "n": N,
            "seed": 0,
            "device": "cpu",
            "versions": {"pyfd": "0.1.0", "torch": "2.13.0"},
            "date": "2026-11-23",
        },
        "cells": [cell(d, kind, a) for (d, kind), a in pairs if measured(d, a)],
        "costs": {"bits:4": 1e-4, "tvm": 2.2, "two-pass:16": 0.0011, "two-pass:32": 0.0022},
        "warnings": ["attack pgd, epsilon 1: never succeeds"],
        "examples": [example()],
        **changes,
    }


class Tree(HTMLParser):
    """A page as an element tree; refuses tags that do not balance."""

    VOID = ("meta", "img", "br", "wbr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.builder = ElementTree.TreeBuilder()
        self.open: list[str] = []
        assert page.startswith("<!DOCTYPE html>\n<html lang=")
        self.feed(page)
        self.close()
        assert not self.open
        self.root = self.builder.close()

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes)
        self.builder.start(tag, dict(attributes))
        self.open.append(tag)
        if tag in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.builder.end(tag)

    def handle_data(self, data):
        if self.open:
            self.builder.data(data)


def tree(content: dict) -> ElementTree.Element:
    return Tree(report.page(content)).root


def words(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def sections(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """By heading, in order."""
    return {words(section.find("h2")): section for section in root.iter("section")}


def rows(section: ElementTree.Element, number: int = 0) -> dict[str, list[ElementTree.Element]]:
    """The cells of a section's table by the header of their row."""
    table = list(section.iter("table"))[number]
    return {words(row.find("th")): row.findall("td") for row in table.find("tbody")}


@pytest.fixture(scope="module")
def root() -> ElementTree.Element:
    return tree(make())


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
    shown = rows(sections(root)["What came out"])
    for defence in DEFENCES:
        benign, adaptive, gray = shown[defence]
        assert benign.text == f"{accuracy(defence, COLUMNS[0]) / N:.1%}"[:-1]
        for element, threat in ((adaptive, "adaptive"), (gray, "gray-box")):
            found = [a for a in COLUMNS if a[0] == threat and measured(defence, a)]
            if found:
                assert element.text == f"{min(accuracy(defence, a) for a in found) / N:.1%}"[:-1]
    assert words(shown["none"][1]) == "nothing to know"
    assert words(shown["tvm"][1]) == "not attacked"


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
    shown = rows(sections(root)["What a defence costs"])
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


# ---- what it says, and in what order ---------------------------------------


def test_the_bad_news_comes_first(root):
    assert list(sections(root)) == [
        "Read this first: 1 warning",
        "What came out",
        "Every defence under every attack",
        "The same in plots",
        "Examples",
        "What a defence costs",
        "What the numbers mean, and what they do not",
        "Setting",
    ]
    warnings, verdict = list(sections(root).values())[:2]
    assert [words(item) for item in warnings.iter("li")] == make()["warnings"]
    assert not any("no warning" in words(item) for item in verdict.iter("li"))
    assert words(root.find("head/title")) == "pyfd evaluation: efficientnet-lite0 on photos"
    counted = "120 of 400 images that the undefended model gets right: the base set."
    assert counted in words(verdict.find("p"))


def test_what_is_not_there_has_no_section():
    content = make({"tvm": "transformation"}, [COLUMNS[0]], costs={}, warnings=[], examples=[])
    assert list(sections(tree(content))) == [
        "What came out",
        "Every defence under every attack",
        "What the numbers mean, and what they do not",
        "Setting",
    ]


def verdict(content: dict) -> list[str]:
    return [words(item) for item in sections(tree(content))["What came out"].iter("li")]


def two_pass(*attacked: tuple[tuple, int]) -> dict:
    cells = ((COLUMNS[0], 100), *attacked)
    found = [cell("two-pass:16", "two-pass", attack, correct) for attack, correct in cells]
    return make(cells=found, warnings=[], examples=[], costs={})


def test_the_verdict_compares_at_the_same_strength():
    """Adaptive at ε = 4 is lower than gray-box at ε = 2, which proves nothing."""
    gray, weak, knowing = (
        (("gray-box", "pgd", 2), 90),
        (("gray-box", "pgd", 4), 60),
        (("adaptive", "bpda", 4), 48),
    )
    lower = verdict(two_pass(gray, weak, knowing))
    assert lower[0].startswith("An attacker who knows the defence does better.")
    assert (
        "BPDA, ε = 4 leaves 40.0 %, where PGD, ε = 4, which ignores it, leaves 50.0 %" in lower[0]
    )
    assert verdict(two_pass(gray, knowing)) == [
        "The built-in checks of the evaluation raised no warning."
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
        "Perturbation, 32 times amplified",
        "Behind two-pass:16The model says 281: right",
    ]


# ---- plots -----------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch) -> dict[str, list]:
    """What the page has drawn."""
    found: dict[str, list] = {"accuracies": [], "tradeoffs": []}
    for name, calls in found.items():
        make_figure = getattr(figures, name)

        def record(*arguments, calls=calls, make_figure=make_figure):
            calls.append(arguments)
            return make_figure(*arguments)

        monkeypatch.setattr(figures, name, record)
    return found


def captions(root: ElementTree.Element) -> list[str]:
    return [words(item) for item in sections(root)["The same in plots"].iter("figcaption")]


def test_plots_against_epsilon(drawn):
    shown = captions(tree(make()))
    assert shown[:4] == [
        "adaptive: BPDA",
        "adaptive: grid-aimed",
        "gray-box: PGD",
        "black-box: transfer",
    ]
    curves, x_label = drawn["accuracies"][2]
    assert x_label == "ε, in 8-bit levels"
    for defence, curve in zip(DEFENCES, curves, strict=True):
        attacks = [COLUMNS[0], *(("gray-box", "pgd", epsilon) for epsilon in (1, 2, 4))]
        wanted = [accuracy(defence, attack) / N for attack in attacks]
        assert curve.points == list(zip((0, 1, 2, 4), wanted, strict=True))
    assert len(drawn["accuracies"][0][0]) == sum(measured(d, COLUMNS[1]) for d in DEFENCES)


def test_plots_against_step(drawn):
    shown = captions(tree(make()))[4:14]
    assert shown == [
        f"{kind}, {attack}"
        for kind in ("two-pass", "one-pass")
        for attack in (
            *("adaptive: BPDA", "adaptive: grid-aimed", "gray-box: PGD"),
            *("gray-box: CW L2", "black-box: transfer"),
        )
    ]
    curves, x_label = drawn["accuracies"][4 + 2]
    assert x_label == "quantization step"
    assert [curve.label for curve in curves] == ["benign", "ε = 1", "ε = 2", "ε = 4"]
    for curve, attack in zip(curves, (COLUMNS[0], *COLUMNS[4:7]), strict=True):
        wanted = [(step, accuracy(f"two-pass:{step}", attack) / N) for step in (16, 32)]
        assert curve.points == wanted


def test_one_step_is_no_curve():
    content = make({"two-pass:16": "two-pass", "one-pass:32": "one-pass"})
    assert not any(caption.startswith(("one", "two")) for caption in captions(tree(content)))


def test_plots_against_benign_accuracy(drawn):
    shown = captions(tree(make()))[14:]
    assert shown == [
        "ε = 1: gray-box",
        "ε = 2: gray-box and adaptive",
        "ε = 4: gray-box and adaptive",
        "ε = 4: black-box",
        "L2: gray-box",
    ]
    (points,) = drawn["tradeoffs"][2]
    for number, (defence, point) in enumerate(zip(DEFENCES, points, strict=True), 1):
        assert point.label == str(number)
        assert point.benign == accuracy(defence, COLUMNS[0]) / N
        assert point.ignored == accuracy(defence, ("gray-box", "pgd", 4)) / N
        adaptive = [accuracy(defence, ("adaptive", name, 4)) / N for name in ("bpda", "grid")]
        assert point.known == (min(adaptive) if measured(defence, COLUMNS[1]) else None)


def test_an_adaptive_attack_alone_is_a_point_too(drawn):
    content = two_pass((("adaptive", "bpda", 4), 50))
    assert captions(tree(content)) == ["adaptive: BPDA", "ε = 4: adaptive"]
    (((point,),),) = drawn["tradeoffs"]
    assert (point.ignored, point.known) == (None, 50 / N)


def test_points_of_those_who_know_are_hollow():
    look = figures.Look()
    both, ignored, known = [("1", 0.6, 0.4), ("2", 0.5, None), ("3", None, 0.3)]
    points = [figures.Tradeoff(name, look, 0.9, *ys) for name, *ys in (both, ignored, known)]
    (axes,) = figures.tradeoffs(points).axes
    drawn = [(line.get_ydata().tolist(), line.get_fillstyle()) for line in axes.lines]
    assert drawn == [
        *(([0.6], "full"), ([0.4, 0.6], "full"), ([0.4], "none")),
        *(([0.5], "full"), ([0.3], "none")),
    ]


def test_curves_differ_without_color():
    """One pass and two with the same table share a marker, nothing else shares all."""
    tables = {f"{kind}:{n}": kind for n in range(30) for kind in ("one-pass", "two-pass")}
    looks = figures.looks({**tables, **{f"bits:{n}": "transformation" for n in range(6)}})
    assert len({(look.line, look.marker, look.fill) for look in looks.values()}) == 66
    assert len({(look.marker, look.fill) for look in looks.values()}) == 36
    one, two = looks["one-pass:7"], looks["two-pass:7"]
    assert (one.marker, one.fill) == (two.marker, two.fill)


def test_labels_of_points_keep_apart():
    """Points as close as defences get, some of them in the very same place."""
    look = figures.Look()
    benign = (0.9, 0.905, 0.91, 0.91, 0.92, 0.93, 0.95, 0.95, 1.0, 1.0)
    points = [
        figures.Tradeoff(str(n), look, x, 0.02 * n, 0.01 if n % 2 else None)
        for n, x in enumerate(benign, 1)
    ]
    figure = figures.tradeoffs(points)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    boxes = [Text.get_window_extent(label) for label in axes.texts]  # without their lines
    assert [text.get_text() for text in axes.texts] == [str(n) for n in range(1, 11)]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    width, height = canvas.get_width_height()
    assert all(box.x0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)
    assert all(box.y0 >= axes.get_window_extent().y0 - 1 for box in boxes)


def test_every_id_is_one_elements_and_every_reference_leads_somewhere(root):
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) > 100
    values = [value for element in root.iter() for value in element.attrib.values()]
    inside = [re.findall(r"url\(#([^)]+)\)|^#(.+)$", value) for value in values]
    references = {name for found in inside for pair in found for name in pair if name}
    labels = {element.get("aria-labelledby") for element in root.iter("svg")}
    assert references | labels == set(ids)


def test_plots_have_titles(root):
    found = list(sections(root)["The same in plots"].iter("svg"))
    assert len(found) == len(DEFENCES) + len(captions(root))
    assert all(svg.get("role") == "img" and svg[0].tag == "title" for svg in found)
    assert words(found[-1][0]) == "Benign against adversarial accuracy: L2: gray-box"


# ---- sizes -----------------------------------------------------------------


@pytest.mark.parametrize("attack", [ATTACKS[1], ("gray-box", "deepfool", None), ATTACKS[-1]])
def test_one_attack(attack):
    attacks = [ATTACKS[0], attack]
    content = make({"two-pass:16": "two-pass"}, attacks, warnings=[], examples=[], costs={})
    (cells,) = rows(sections(tree(content))["Every defence under every attack"]).values()
    assert len(cells) == len(content["cells"]) == 2
    assert len(report.text(content).splitlines()) == 3


def test_no_epsilon():
    attacks = [a for a in ATTACKS if a[2] is None]
    shown = captions(tree(make(DEFENCES, attacks)))
    assert shown == ["two-pass, gray-box: CW L2", "one-pass, gray-box: CW L2", "L2: gray-box"]


def test_hundreds_of_cells():
    defences = {f"two-pass:{step}": "two-pass" for step in range(1, 41)}
    content = make(defences)
    assert len(content["cells"]) == 360
    shown = rows(sections(tree(content))["Every defence under every attack"])
    assert sum(map(len, shown.values())) == 360


# ---- strangers' reports ----------------------------------------------------

HOSTILE = (
    "</title></style></svg></code></p>\"'><script>alert(1)</script>"
    "<img src=x onerror=f()><!-- &lt;&#60; |`$x$"
)


def poisoned(text: str) -> dict:
    """A report with the text wherever a text is free."""
    defences = {text: "two-pass", f"two-pass:{text}": "two-pass", "two-pass:16": "two-pass"}
    attacks = [*ATTACKS[:2], ("gray-box", text, 4), ("adaptive", text, None)]
    content = make(defences, attacks)
    for item in content["cells"]:
        item["parameters"] = {text: text}
    setting = {"model": text, "images": text, "loaded": N, "n": N, text: [text, {text: text}]}
    return content | {
        "setting": setting | {"versions": {text: text}, "scale": text, "device": text},
        "costs": {text: 1.0},
        "warnings": [text],
        "examples": [example(title=text, defence=text)],
    }


def test_nothing_of_the_report_becomes_markup(root):
    hostile = tree(poisoned(HOSTILE))
    assert {e.tag for e in hostile.iter()} <= {e.tag for e in root.iter()}
    assert "script" not in {e.tag for e in hostile.iter()}
    assert {name for e in hostile.iter() for name in e.attrib} <= {
        name for e in root.iter() for name in e.attrib
    }
    assert words(hostile.find("head/title")) == f"pyfd evaluation: {HOSTILE} on {HOSTILE}"
    shown = sections(hostile)
    assert words(shown["Read this first: 1 warning"].find("ul/li")) == HOSTILE
    assert words(shown["Examples"].find("h3")) == HOSTILE
    assert f"1 {HOSTILE}" in rows(shown["Every defence under every attack"])
    assert next(shown["Examples"].iter("img")).get("alt") == f"original: {HOSTILE}"


def test_nothing_of_the_report_becomes_markdown():
    lines = report.text(poisoned(HOSTILE)).splitlines()
    assert len(lines) == 2 + 3
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "<" not in "".join(lines)
    assert r"\|\`\$x\$" in lines[2]
    assert "line\nbreak" not in report.text(poisoned("line\nbreak"))


@pytest.mark.parametrize("text", ["\0\x1b[31m", "\ud800", "\u202edrow", "\ufffe\x85", "漢字🦊"])
def test_any_letters(text):
    page = report.page(poisoned(text))
    page.encode()
    Tree(page)
    assert (text in page) == (text == "漢字🦊")


def test_the_page_loads_nothing(root):
    for element in root.iter():
        assert element.tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        for name, value in element.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                assert value.startswith(("data:image/png;base64,", "#"))
    page = report.page(make())
    assert "://" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    (policy,) = (e for e in root.iter("meta") if "content-security-policy" in str(e.attrib).lower())
    assert policy.get("content", "").startswith("default-src 'none'; img-src data:;")


def test_the_page_repeats(tmp_path):
    """Here, and in a process that orders its sets in another way."""
    content = make({"none": "none", "two-pass:16": "two-pass"})
    (tmp_path / "report.json").write_text(json.dumps(content))
    page = report.page(content)
    assert page == report.page(content)
    code = (
        "import sys; from pyfd.evaluation import report; "
        "sys.stdout.buffer.write(report.page(report.load(sys.argv[1])).encode())"
    )
    command = [sys.executable, "-c", code, tmp_path / "report.json"]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert done.stdout.decode() == page


def change(content: dict, path: str, value: object) -> dict:
    """The report with what the dotted path leads to replaced, or removed."""
    content = copy.deepcopy(content)
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    target = content
    for part in way:
        target = target[part]
    if value is REMOVED:
        del target[last]
    else:
        target[last] = value
    return content


REMOVED = object()


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        ("format", "other", "report.json/format must be one of pyfd-evaluation, not 'other'"),
        ("format", REMOVED, "report.json has no 'format'"),
        ("version", 2, "version must be 1: another pyfd wrote it, not 2"),
        ("cells", REMOVED, "report.json has no 'cells'"),
        ("cells", {}, "cells must be a list"),
        ("cells", [], "nothing was measured"),
        ("cells.0", REMOVED, "none has no benign accuracy"),
        ("cells.1", 3, "report.json/cells/1 must be an object, not 3"),
        ("cells.1", {}, "report.json/cells/1 has no 'defence'"),
        ("cells.1.threat", "white-box", "cells/1/threat must be one of benign, adaptive"),
        ("cells.1.attack", "benign", "cells/1: threat and attack are benign, both"),
        ("cells.0.epsilon", 4, "cells/0: threat and attack are benign, both without epsilon"),
        ("cells.1.attack", "", "attack must be a text"),
        ("cells.1.epsilon", "4", "epsilon must be a number from 0, or null, not '4'"),
        ("cells.1.epsilon", -1, "epsilon must be a number from 0"),
        ("cells.1.epsilon", math.nan, "epsilon must be a number"),
        ("cells.1.kind", "magic", "kind must be one of none, one-pass, two-pass"),
        ("cells.1.kind", "one-pass", "none has two kinds"),
        ("cells.1.defence", None, "defence must be a text, not None"),
        ("cells.1.correct", 121, "correct must be at most n, 120"),
        ("cells.1.correct", True, "correct must be an integer from 0, not True"),
        ("cells.1.n", 0, "n at least 1"),
        ("cells.1.accuracy", 0.999, "accuracy must be correct/n"),
        ("cells.1.accuracy", 10**400, "accuracy must be a number from 0 to 1, not 1000"),
        ("cells.1.interval", [0.99, 1], "interval must be two numbers around the accuracy"),
        ("cells.1.interval", [0], "interval must be two numbers"),
        ("cells.1.interval", [-1, 1], "interval/0 must be a number from 0 to 1, not -1"),
        ("cells.1.interval", [0, math.inf], "interval/1 must be a number from 0 to 1, not inf"),
        ("cells.1.parameters", REMOVED, "cells/1 has no 'parameters'"),
        ("cells.1.seconds", None, "seconds must be a number"),
        ("cells.1.l2", "long", "l2 must be a number"),
        ("setting", [], "report.json/setting must be an object"),
        ("setting.model", 1, "report.json/setting/model must be a text, not 1"),
        ("setting.n", 1.5, "n must be an integer"),
        ("setting.n", 119, "none is not measured on the setting's n"),
        ("costs", None, "costs must be an object"),
        ("costs.tvm", -1, "costs/tvm must be a number from 0"),
        ("warnings", "none", "warnings must be a list"),
        ("warnings", [1], "warnings/0 must be a text"),
        ("warnings", REMOVED, "report.json has no 'warnings'"),
        ("examples.0.title", REMOVED, "examples/0 has no 'title'"),
        ("examples.0.predicted.attacked", REMOVED, "has no 'attacked'"),
        ("examples.0.predicted.attacked", "cat", "attacked must be an integer from 0"),
        ("examples.0.label", "<b>", "label must be an integer from 0, not '<b>'"),
        ("examples.0.original", "x.png", "original must be a PNG in base64"),
        ("examples.0.original", '"><script>', "original must be a PNG in base64"),
        ("examples.0.original", png() + '"', "original must be a PNG in base64"),
        ("examples.0.defended", base64.b64encode(b"GIF89a" * 9).decode(), "must be a PNG"),
        ("examples.0.defended", png() + "\n   ", "must be a PNG"),
        ("examples.0.defended", None, "must be a PNG"),
    ],
)
def test_refused(path, value, match):
    content = change(make(), path, value)
    for render in (report.page, report.text):
        with pytest.raises(ValueError, match=match):
            render(content)


def test_two_cells_of_one_place():
    content = make()
    content["cells"].append(content["cells"][1])
    with pytest.raises(ValueError, match="two cells are none under PGD, ε = 4"):
        report.page(content)


@pytest.mark.parametrize("content", [None, [], "x"])
def test_no_report(content):
    with pytest.raises(ValueError, match=r"report\.json must be an object"):
        report.page(content)


def test_deep_settings_are_cut():
    deep: object = "end"
    for _ in range(900):
        deep = [deep]
    content = change(make(DEFENCES, ATTACKS[:1]), "setting.versions", deep)
    terms = sections(tree(content))["Setting"].iter("dd")
    assert "…" in [words(term) for term in terms]


def test_rounded_numbers_are_taken():
    """Even where the accuracy, 1 here, is above its interval then."""
    content = change(make(), "cells.0.interval", [0.969, 0.9996])
    report.text(change(content, "cells.0.accuracy", 0.9996))


def test_without_matplotlib():
    code = "import sys; sys.modules['matplotlib'] = None; import pyfd.evaluation.report"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "matplotlib is missing: pip install 'pyfd-jpeg[evaluate]'" in done.stderr


def test_load(tmp_path):
    path = tmp_path / "report.json"
    with pytest.raises(ValueError, match=r"report\.json does not exist: pyfd evaluate writes it"):
        report.load(path)
    for damaged in (b"{", b"\xff\xfe\x00", b"[" * 100_000):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"report\.json is not JSON"):
            report.load(path)
    path.write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="format must be"):
        report.load(path)
    path.write_text(json.dumps(make()))
    assert report.load(path) == make()


# ---- in a browser ----------------------------------------------------------


def chromium(tmp_path: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--force-color-profile=srgb", "--enable-logging=stderr"),
        *(f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


def console(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.system
def test_the_browser_shows_the_page_and_has_nothing_to_complain_of(tmp_path):
    page = tmp_path / "report.html"
    page.write_text(report.page(make()))
    shot = tmp_path / "page.png"
    done = chromium(tmp_path, page, "--window-size=1280,5000", f"--screenshot={shot}")
    assert console(done) == []
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    assert pixels.shape == (5000, 1280, 3)
    ink = (pixels < 128).all(axis=2)
    assert 0.005 < ink.mean() < 0.3
    assert not ink[:, :20].any()  # margins
    assert not ink[:, -20:].any()
    red = (pixels == (0x9C, 0x1C, 0x00)).all(axis=2)
    assert red[:400].sum() > 1000  # the warnings' frame is at the top
    shade = (pixels == (0xF3, 0xB4, 0x8F)).all(axis=2)
    assert shade.sum() > 1000  # the tables' worst cells
    curves = (pixels == (0x0B, 0x4F, 0x8A)).all(axis=2)
    assert curves.sum() > 1000


@pytest.mark.system
def test_the_console_would_tell(tmp_path):
    """The log has what the test above looks for, and the page's policy is in force."""
    page = tmp_path / "report.html"
    intruder = '<img src="other.png"><script>alert(1)</script>'
    page.write_text(report.page(make()).replace("</main>", f"{intruder}</main>"))
    said = console(chromium(tmp_path, page, f"--screenshot={tmp_path / 'page.png'}"))
    assert len(said) == 2
    assert all("Content Security Policy" in line for line in said)


@pytest.mark.system
def test_no_width_makes_the_page_scroll_sideways(tmp_path):
    """Neither with names that are longer than a line. The table scrolls in its own frame."""
    long = make({**DEFENCES, f"two-pass:/{'directory' * 12}/tables.json": "two-pass"})
    long["warnings"] = ["w" * 300]
    long["setting"]["model"] = "m" * 100
    widths, pages = (360, 390, 700, 1280), (report.page(make()), report.page(long))
    frames = "".join(
        f'<iframe width="{width}" height="900" style="border:0" srcdoc="{html.escape(page)}">'
        "</iframe>"
        for page, width in product(pages, widths)
    )
    script = """<script>addEventListener("load", () => {
      const sizes = [...document.querySelectorAll("iframe")].map(frame => {
        const root = frame.contentDocument.documentElement;
        const tables = [...root.querySelectorAll(".wide")];
        const scrolls = tables.some(table => table.scrollWidth > table.clientWidth);
        return [frame.clientWidth, root.clientWidth, root.scrollWidth, scrolls];
      });
      document.body.textContent = `sizes=${JSON.stringify(sizes)};`;
    });</script>"""
    outer = tmp_path / "frames.html"
    outer.write_text(f"<!doctype html><meta charset=utf-8><body>{frames}{script}")
    found = re.search(r"sizes=([^;]+);", chromium(tmp_path, outer, "--dump-dom").stdout)
    assert found
    sizes = json.loads(found[1])
    assert [size[0] for size in sizes] == [*widths, *widths]
    for _, client, scroll, _ in sizes:
        assert scroll == client
    assert [size[3] for size in sizes[:4]] == [True, True, True, False]
