"""Reports for the tests, and their pages as trees of elements."""

import base64
import hashlib
import io
import math
from html.parser import HTMLParser
from itertools import product
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from pyfd.evaluation import report

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
LOWEST = "The lowest accuracy of each defence"


def accuracy(defence: str, attack: tuple) -> int:
    """Return how many of `N` are right: a number that differs from cell to cell."""
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


def together(defence: str, epsilon: int, correct: int, attacks: list[str]) -> dict:
    share = {"correct": correct, "n": N, "accuracy": correct / N, "interval": wilson(correct, N)}
    return {"defence": defence, "epsilon": epsilon, "attacks": attacks, **share}


def measured(defence: str, attack: tuple) -> bool:
    """Return whether there is a cell: tvm and the undefended model have no adaptive attack."""
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
    """Return the sections by heading, in order."""
    return {words(section.find("h2")): section for section in root.iter("section")}


def rows(section: ElementTree.Element, number: int = 0) -> dict[str, list[ElementTree.Element]]:
    """Return the cells of a section's table by the header of their row."""
    table = list(section.iter("table"))[number]
    return {words(row.find("th")): row.findall("td") for row in table.find("tbody")}


def two_pass(*attacked: tuple[tuple, int]) -> dict:
    cells = ((COLUMNS[0], 100), *attacked)
    found = [cell("two-pass:16", "two-pass", attack, correct) for attack, correct in cells]
    return make(cells=found, warnings=[], examples=[], costs={})


def captions(root: ElementTree.Element) -> list[str]:
    return [words(item) for item in sections(root)["Plots"].iter("figcaption")]


HOSTILE = (
    "</title></style></svg></code></p>\"'><script>alert(1)</script>"
    "<img src=x onerror=f()><!-- &lt;&#60; |`$x$"
)


def poisoned(text: str) -> dict:
    """Return a report with the text wherever a text is free."""
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
        "together": [together(text, 4, 10, [text])],
    }
