"""`pyfd evaluate plot`: the figures of a report as files for a paper."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from PIL import Image

from pyfd.cli import cli
from tests.evaluation.report.reports import make


@pytest.fixture
def path(tmp_path):
    """A report.json."""
    (tmp_path / "report.json").write_text(json.dumps(make()))
    return tmp_path / "report.json"


def plot(*arguments):
    return CliRunner().invoke(cli, ["evaluate", "plot", *map(str, arguments)])


def test_the_names_of_figures_are_listed(path):
    result = plot(path, "--list")
    assert (result.exit_code, result.stderr) == (0, "")
    names = result.stdout.splitlines()
    assert names[0] == "accuracy-by-epsilon"
    assert "accuracy-by-defence" in names


def test_a_pdf_has_its_fonts_and_no_pixels(path, tmp_path):
    result = plot(path, "-o", tmp_path / "figure.pdf")
    assert result.exit_code == 0, result.output
    data = (tmp_path / "figure.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert b"/FontFile2" in data  # a TrueType font, which journals ask for
    assert b"/Type3" not in data
    assert b"/Subtype /Image" not in data
    width = float(re.search(rb"/MediaBox \[ *0 0 ([0-9.]+)", data)[1])
    assert width / 72 == pytest.approx(6.8, abs=0.01)


def test_an_svg_needs_no_fonts_of_the_reader(path, tmp_path):
    plot(path, "-o", tmp_path / "figure.svg", "--figure", "accuracy-by-defence")
    root = ElementTree.parse(tmp_path / "figure.svg").getroot()
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "path" in kinds
    assert not kinds & {"text", "image", "script"}


def test_a_png_has_300_dots_per_inch(path, tmp_path):
    plot(path, "-o", tmp_path / "figure.PNG")
    with Image.open(tmp_path / "figure.PNG") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.width == pytest.approx(6.8 * 300, abs=1)


def test_figures_differ_and_the_same_one_is_always_the_same(path, tmp_path):
    names = plot(path, "--list").stdout.splitlines()
    chosen = [("--figure", name) for name in names]
    found = []
    for number, options in enumerate([(), *chosen]):
        assert plot(path, "-o", tmp_path / f"{number}.pdf", *options).exit_code == 0
        found.append((tmp_path / f"{number}.pdf").read_bytes())
    assert found[0] == found[1]
    assert len(set(found[1:])) == len(names)


def test_a_report_of_a_run_that_goes_on_is_drawn_with_a_warning(path, tmp_path):
    content = make() | {"finished": False, "progress": {"done": 1, "total": 2}}
    content["cells"] = [c for c in content["cells"] if c["attack"] in ("benign", "pgd")]
    path.write_text(json.dumps(content))
    result = plot(path, "-o", tmp_path / "figure.svg")
    assert result.exit_code == 0
    assert (tmp_path / "figure.svg").stat().st_size > 1000
    assert "report.json: the evaluation has not finished" in result.stderr


def hostile(content):
    content["cells"][1]["accuracy"] = 2
    return content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ('{"format": "pyfd-evaluation", "ver', "is not JSON"),
        ("[]", "report.json: Input should be an object"),
        ("{}", "report.json/format: this field is missing"),
        (json.dumps(make() | {"version": 99}), "report.json/version: must be 1, not 99"),
        (json.dumps(hostile(make())), "report.json/cells/1/accuracy: "),
        (json.dumps(make() | {"cells": []}), "nothing was measured"),
        ("[" * 10**5, "report.json"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(path, tmp_path, text, message):
    path.write_text(text)
    result = plot(path, "-o", tmp_path / "figure.pdf")
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "figure.pdf").exists()


def test_a_report_without_attacks_has_no_figures(path, tmp_path):
    content = make()
    content["cells"] = [c for c in content["cells"] if c["attack"] == "benign"]
    path.write_text(json.dumps(content | {"certified": {}, "rates": {}}))
    result = plot(path, "-o", tmp_path / "figure.pdf")
    assert result.exit_code == 1
    assert "no figures: nothing was attacked" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("{}", "-o", "x.jpg"), 2, "must end in .png, .svg or .pdf"),
        (("{}",), 2, "Give either -o FILE or --list"),
        (("{}", "--list", "-o", "x.pdf"), 2, "Give either -o FILE or --list"),
        (("nothing.json", "--list"), 1, "json: no such file; pyfd evaluate writes it"),
        (("{}", "-o", "x.pdf", "--figure", "zoo"), 1, "no figure 'zoo': there are accuracy-by-e"),
        (("{}", "-o", "no/such/x.pdf"), 1, "no/such/x.pdf: No such file or directory"),
    ],
)
def test_mistakes_are_named(path, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    result = plot(*(a.format(path) for a in arguments))
    assert result.exit_code == code
    assert message in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_the_report_is_not_overwritten(path, tmp_path):
    (tmp_path / "link.svg").symlink_to(path)
    before = path.read_bytes()
    result = plot(path, "-o", tmp_path / "link.svg")
    assert result.exit_code == 2
    assert "would overwrite the input" in result.stderr
    assert path.read_bytes() == before


def test_a_subcommand_comes_before_the_options_of_an_evaluation(tmp_path):
    arguments = ["evaluate", "--images", "x", "-o", f"{tmp_path}/out", "plot", "report.json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "plot must come first: pyfd evaluate plot" in result.stderr
    assert CliRunner().invoke(cli, ["evaluate", "draw"]).exit_code == 2
    assert not (tmp_path / "out").exists()


def test_the_help_of_evaluate_lists_its_subcommand():
    text = CliRunner().invoke(cli, ["evaluate", "--help"]).stdout
    assert "plot  Draw a figure of a report.json" in text
    assert "Attacks that know the model, not the defence" in text
