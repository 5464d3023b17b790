"""The checks of report.json."""

import base64
import copy
import json
import math
import subprocess
import sys

import pytest

from pyfd.evaluation import report
from tests.evaluation.report.reports import (
    ATTACKS,
    DEFENCES,
    make,
    png,
    sections,
    together,
    tree,
    words,
)


def change(content: dict, path: str, value: object) -> dict:
    """Return the report with the value at a dotted path replaced, or removed."""
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
        ("format", "other", "report.json/format: Input should be 'pyfd-evaluation', not 'other'"),
        ("format", REMOVED, "report.json/format: this field is missing"),
        ("version", 2, "report.json/version: must be 1, not 2: another pyfd wrote the report"),
        ("version", True, "report.json/version: Input should be a valid integer, not True"),
        ("cells", REMOVED, "report.json/cells: this field is missing"),
        ("cells", {}, "report.json/cells: Input should be a valid list, not {}"),
        ("cells", [], "report.json: there are no cells: nothing was measured"),
        ("cells.0", REMOVED, "report.json: none has no benign accuracy"),
        ("cells.1", 3, "report.json/cells/1: Input should be an object, not 3"),
        ("cells.1", {}, "report.json/cells/1/correct: this field is missing"),
        ("cells.1.threat", "white-box", "cells/1/threat: .* 'black-box', not 'white-box'"),
        ("cells.1.attack", "benign", "cells/1: threat and attack must both be benign"),
        ("cells.0.epsilon", 4, "cells/0: threat and attack must both be benign, without epsilon"),
        ("cells.1.attack", "", "cells/1/attack: String should have at least 1 character"),
        ("cells.1.title", 1, "cells/1/title: Input should be a valid string, not 1"),
        ("cells.1.epsilon", "4", "cells/1/epsilon: Input should be a valid number, not '4'"),
        ("cells.1.epsilon", -1, "epsilon: Input should be greater than or equal to 0, not -1"),
        ("cells.1.epsilon", math.nan, "epsilon: Input should be a finite number, not nan"),
        ("cells.1.epsilon", False, "epsilon: Input should be a valid number, not False"),
        ("cells.1.kind", "magic", "kind: .*'none', 'one-pass', 'two-pass' or 'trans.*not 'magic'"),
        ("cells.1.kind", "one-pass", "report.json: none has two kinds"),
        ("cells.1.defence", None, "cells/1/defence: Input should be a valid string, not None"),
        ("cells.1.correct", 121, "cells/1: correct must be at most n, 120"),
        ("cells.1.correct", -1, "correct: Input should be greater than or equal to 0, not -1"),
        ("cells.1.correct", True, "correct: Input should be a valid integer, not True"),
        ("cells.1.correct", 3.0, "correct: Input should be a valid integer, not 3.0"),
        ("cells.1.n", 0, "cells/1: correct must be at most n, 0, and n at least 1"),
        ("cells.1.accuracy", 0.999, "cells/1: accuracy must be correct/n"),
        ("cells.1.accuracy", 1.5, "accuracy: Input should be less than or equal to 1, not 1.5"),
        ("cells.1.accuracy", 10**400, "accuracy: Input should be a valid number, not 1000"),
        (
            "cells.1.interval",
            [0.99, 1],
            "interval must be two numbers around the accuracy",
        ),
        ("cells.1.interval", [0], "cells/1: interval must be two numbers"),
        ("cells.1.interval", [0, 1, 1], "cells/1: interval must be two numbers"),
        ("cells.1.interval", [-1, 1], "interval/0: Input should be greater .* 0, not -1"),
        ("cells.1.interval", [0, math.inf], "interval/1: Input should be .*, not inf"),
        ("cells.1.parameters", REMOVED, "cells/1/parameters: this field is missing"),
        ("cells.1.parameters", [], "cells/1/parameters: Input should be an object"),
        ("cells.1.seconds", None, "cells/1/seconds: Input should be a valid number, not None"),
        ("cells.1.seconds", 1e300, r"seconds: Input should be less than 10+, not 1e\+300"),
        ("cells.1.l2", "long", "cells/1/l2: Input should be a valid number, not 'long'"),
        ("setting", [], "report.json/setting: Input should be an object"),
        ("setting.model", 1, "report.json/setting/model: Input should be a valid string, not 1"),
        ("setting.n", 1.5, "report.json/setting/n: Input should be a valid integer, not 1.5"),
        ("setting.n", 119, "report.json: none is not measured on the setting's n"),
        ("costs", None, "report.json/costs: Input should be an object, not None"),
        ("costs.tvm", -1, "costs/tvm: Input should be greater than or equal to 0, not -1"),
        ("warnings", "none", "report.json/warnings: Input should be a valid list, not 'none'"),
        ("warnings", [1], "report.json/warnings/0: Input should be a valid string, not 1"),
        ("warnings", REMOVED, "report.json/warnings: this field is missing"),
        ("examples.0.title", REMOVED, "examples/0/title: this field is missing"),
        ("examples.0.predicted", 3, "examples/0/predicted: Input should be an object, not 3"),
        ("examples.0.predicted.attacked", REMOVED, "predicted/attacked: this field is missing"),
        ("examples.0.predicted.attacked", "cat", "predicted/attacked: .* integer, not 'cat'"),
        ("examples.0.label", "<b>", "examples/0/label: .* valid integer, not '<b>'"),
        (
            "examples.0.original",
            "x.png",
            "should be a PNG or a JPEG in base64, not 'x.png'",
        ),
        (
            "examples.0.original",
            '"><script>',
            "Input should be a PNG or a JPEG in base64",
        ),
        ("examples.0.original", png() + '"', "Input should be a PNG or a JPEG in base64"),
        ("examples.0.defended", base64.b64encode(b"GIF89a" * 9).decode(), "should be a PNG"),
        ("examples.0.defended", "/9j/<", "should be a PNG or a JPEG"),
        ("examples.0.defended", png() + "\n   ", "defended: Input should be a PNG"),
        ("examples.0.defended", png() + "\n", "defended: Input should be a PNG"),
        ("examples.0.defended", None, "defended: Input should be a valid string, not None"),
    ],
)
def test_refused(path, value, match):
    content = change(make(), path, value)
    for render in (report.page, report.text):
        with pytest.raises(ValueError, match=match):
            render(content)


@pytest.mark.parametrize(
    ("found", "match"),
    [
        ([together("none", 3, 9, ["pgd"])], "none at ε = 3 has no cell, or two entries"),
        ([together("other", 4, 9, ["pgd"])], "other at ε = 4 has no cell, or two entries"),
        ([together("none", 4, 9, ["pgd"])] * 2, "none at ε = 4 has no cell, or two entries"),
        (
            [together("none", 4, 9, ["pgd"]) | {"n": 60, "accuracy": 0.15, "interval": [0, 1]}],
            "on the setting's n",
        ),
        ([together("none", 4, 9, ["pgd"] * 1001)], "together/0/attacks: .* at most 1000 items"),
    ],
)
def test_what_is_left_together_belongs_to_the_cells(found, match):
    with pytest.raises(ValueError, match=match):
        report.page(make(together=found))


def test_two_cells_of_one_place():
    content = make()
    content["cells"].append(content["cells"][1])
    with pytest.raises(ValueError, match="two cells are none under PGD, ε = 4"):
        report.page(content)


@pytest.mark.parametrize("content", [None, [], "x"])
def test_no_report(content):
    with pytest.raises(ValueError, match=r"report\.json: Input should be an object, not"):
        report.page(content)


def test_deep_settings_are_cut():
    deep: object = "end"
    for _ in range(900):
        deep = [deep]
    content = change(make(DEFENCES, ATTACKS[:1]), "setting.versions", deep)
    terms = sections(tree(content))["Setting"].iter("dd")
    assert "…" in [words(term) for term in terms]


def test_rounded_numbers_are_taken():
    """The rounded accuracy, 1 here, may even be above its interval."""
    content = change(make(), "cells.0.interval", [0.969, 0.9996])
    report.text(change(content, "cells.0.accuracy", 0.9996))


def test_an_extra_field_is_taken():
    report.text(change(make(), "cells.1.remark", "new"))


def test_an_attack_has_the_title_of_its_cells():
    content = make(attacks=(ATTACKS[0], ("gray-box", "patch", 4), ("gray-box", "other", 2)))
    for cell in content["cells"]:
        if cell["attack"] == "patch":
            cell["title"] = "Patch (Brown)"
    titles = report.text(content).splitlines()[0]
    assert titles.endswith("| gray-box: Patch (Brown), ε = 4 | gray-box: other, ε = 2 |")


@pytest.mark.parametrize("library", ["jinja2", "matplotlib", "pydantic"])
def test_a_missing_library_is_named(library):
    code = f"import sys; sys.modules[{library!r}] = None; import pyfd.evaluation.report"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"{library} is missing: pip install 'pyfd-jpeg[evaluate]'" in done.stderr


def test_load(tmp_path):
    path = tmp_path / "report.json"
    with pytest.raises(ValueError, match=r"report\.json: no such file; pyfd evaluate writes it"):
        report.load(path)
    for damaged in (b"{", b"\xff\xfe\x00", b"[" * 100_000):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"report\.json is not JSON"):
            report.load(path)
    path.write_text('{"format": "other"}')
    with pytest.raises(ValueError, match=r"report\.json/format: Input should be"):
        report.load(path)
    path.write_text(json.dumps(make()))
    assert report.load(path) == make()
