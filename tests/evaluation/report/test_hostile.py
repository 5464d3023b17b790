"""The page of a report.json that anybody may have written."""

import json
import os
import re
import subprocess
import sys

import pytest

from pyfd.evaluation import report
from tests.evaluation.report.reports import (
    ATTACKS,
    HOSTILE,
    Tree,
    cell,
    example,
    make,
    poisoned,
    rows,
    sections,
    tree,
    words,
)


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


@pytest.mark.parametrize(
    ("field", "values", "match"),
    [
        ("warnings", ["x"] * 1001, "report.json/warnings: .* at most 1000 items"),
        ("findings", [{"level": "error", "check": "x", "text": "x"}] * 1001, "at most 1000 items"),
        ("examples", [example()] * 1001, "report.json/examples: .* at most 1000 items"),
        ("cells", [], "the table has more than 10000 cells"),
    ],
)
def test_reports_of_any_length_are_refused_before_they_are_drawn(field, values, match):
    """A table is as large as its defences times its columns, however few cells are measured."""
    if field == "cells":
        columns = [ATTACKS[0], *(("gray-box", f"a{n}", 4) for n in range(200))]
        made = make({"none": "none"}, columns)["cells"]
        values = made + [cell(f"d{n}", "one-pass", ATTACKS[0]) for n in range(100)]
    with pytest.raises(ValueError, match=match):
        report.page(make(**{field: values}))


def test_the_page_loads_nothing(root):
    for element in root.iter():
        assert element.tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        for name, value in element.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                assert value.startswith(
                    ("data:image/png;base64,", "data:image/svg+xml;base64,", "#")
                )
    page = report.page(make())
    assert "://" not in page
    assert "@import" not in page
    assert "url(" not in page
    (policy,) = (e for e in root.iter("meta") if "content-security-policy" in str(e.attrib).lower())
    assert policy.get("content", "").startswith("default-src 'none'; img-src data:;")


def test_the_page_repeats(tmp_path):
    """The page is the same here and in a process that orders its sets in another way."""
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
