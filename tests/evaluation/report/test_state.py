"""How far an evaluation is, what it found when it checked itself, and the names of classes."""

import copy

import pytest

from pyfd.evaluation import report
from tests.evaluation.report.reports import (
    ATTACKS,
    HOSTILE,
    LOWEST,
    N,
    example,
    make,
    rows,
    sections,
    tree,
    words,
)

SMALL = {"none": "none", "two-pass:16": "two-pass"}
ERROR = {"level": "error", "check": "noise", "text": "PGD does worse than noise."}
WARNING = {"level": "warning", "check": "small", "text": "The base set is small."}


def small(**changes) -> dict:
    plain = {"warnings": [], "examples": [], "costs": {}}
    return make(SMALL, ATTACKS[:2], **{**plain, **changes})


def partial(kept: int, n: int, **changes) -> dict:
    """Return a report of the first cells, which count only n images."""
    content = copy.deepcopy(small(finished=False, **changes))
    content["cells"] = content["cells"][:kept]
    for cell in content["cells"]:
        cell |= {"n": n, "correct": n, "accuracy": 1.0, "interval": [0.9, 1]}
    return content


# ---- how far it is -----------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "left"), [(90, "2 min"), (1820.5, "30 min"), (90_000, "25 h"), (None, None)]
)
def test_an_unfinished_report_says_so_first(seconds, left):
    progress = {"done": 3, "total": 12, "seconds_left": seconds}
    shown = sections(tree(partial(3, 10, progress=progress, findings=[ERROR])))
    assert next(iter(shown)) == "Unfinished"
    said = words(shown["Unfinished"])
    assert "3 of 12 parts were done (25 %)" in said
    assert (f"about {left} were left" in said) == ("left" in said) == (seconds is not None)
    assert "Unfinished" not in sections(tree(small(finished=True)))
    assert "Unfinished" not in sections(tree(small()))


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 4])
def test_any_cell_of_an_unfinished_report_may_be_missing(kept):
    """Even the benign one, of which no other cell is shown then."""
    content = partial(4, 10)
    content["cells"] = content["cells"][4 - kept :]
    shown = rows(sections(tree(content))["Every defence under every attack"])
    assert sum(td.text == "100.0" for cells in shown.values() for td in cells) == kept
    lines = report.text(content).splitlines()
    assert len(lines) == 2 + len({cell["defence"] for cell in content["cells"]})
    dict(report.figures(content))


def test_an_unfinished_report_counts_no_more_images_than_there_are():
    with pytest.raises(ValueError, match="none is not measured on the setting's n"):
        report.page(partial(2, N + 1))
    finished = partial(4, 10) | {"finished": True}
    with pytest.raises(ValueError, match="none is not measured on the setting's n"):
        report.page(finished)


# ---- what it found ---------------------------------------------------------


def test_errors_come_before_warnings():
    content = small(findings=[WARNING, ERROR], warnings=["older", ERROR["text"]])
    first, second = list(sections(tree(content)).items())[:2]
    assert first[0] == "Do not use these numbers: 1 error"
    assert first[1].get("class") == "errors"
    assert [words(item) for item in first[1].iter("li")] == [ERROR["text"]]
    assert second[0] == "Read this first: 2 warnings"
    assert [words(item) for item in second[1].iter("li")] == ["older", WARNING["text"]]


@pytest.mark.parametrize(
    ("finding", "match"),
    [
        ({"level": "fatal"}, "findings/0/level: Input should be 'error' or 'warning', not 'fatal'"),
        ({"text": ""}, "findings/0/text: String should have at least 1 character"),
        ({"check": 3}, "findings/0/check: Input should be a valid string, not 3"),
    ],
)
def test_a_finding_is_refused(finding, match):
    with pytest.raises(ValueError, match=match):
        report.page(small(findings=[ERROR | finding]))


# ---- classes ---------------------------------------------------------------


def test_classes_have_names():
    content = small(examples=[example()])
    content["setting"]["classes"] = {"281": "tabby", "282": "tiger cat"}
    shown = sections(tree(content))
    said = [words(caption) for caption in shown["Examples"].iter("figcaption")]
    assert said[0] == "OriginalThe model says tabby (281): right"
    assert said[1] == "AdversarialThe model says 3: wrong, it is tabby (281)"
    assert "Classes" not in words(shown["Setting"])


def test_a_hostile_class_is_text():
    content = small(examples=[example()])
    content["setting"]["classes"] = {"281": HOSTILE, "get": HOSTILE}
    caption = next(sections(tree(content))["Examples"].iter("figcaption"))
    assert f"The model says {HOSTILE} (281)" in words(caption)
    content["setting"]["classes"] = {"281": 3}
    with pytest.raises(ValueError, match="classes/281: Input should be a valid string"):
        report.page(content)


def test_one_table_of_the_lowest_accuracies():
    assert list(rows(sections(tree(small()))[LOWEST])) == list(SMALL)
