"""`pyfd evaluate --quick`: what it takes for options that are not given."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from pyfd.cli import cli
from tests.evaluation.toys import Texture, images, labels_of


class Sized(Texture):
    """A model that says its input size."""

    input_size = 16


def sized() -> Texture:
    return Sized()


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run the command on ten pictures, and return what it asks of `evaluate`."""
    (tmp_path / "photos").mkdir()
    pictures = images(10)
    rows = ["file,label"]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"photos/{number}.png")
        rows.append(f"{number}.png,{labels_of(Texture(), [picture])[0]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setattr("pyfd.evaluation.report.text", json.dumps)

    def invoke(*options: str, model: str = "sized") -> dict:
        asked = {}

        def evaluate(_, pixels, __, **arguments):
            asked.update(arguments, sizes={p.shape for p in pixels}, count=len(pixels))
            return {"findings": []}

        monkeypatch.setattr("pyfd.evaluation.evaluate", evaluate, raising=False)
        arguments = ["evaluate", "--images", f"{tmp_path}/photos", "-o", f"{tmp_path}/out"]
        arguments += ["--labels", f"{tmp_path}/labels.csv", "-m", f"{__name__}:{model}", *options]
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return asked

    return invoke


def test_presets_give_the_picture_of_the_defence(command):
    asked = command("--quick")
    kinds = [(d.kind, d.epsilon) for d in asked["defences"]]
    assert [kind for kind, _ in kinds] == ["none", "one-pass", "two-pass", "two-pass"]
    certified = [epsilon for _, epsilon in kinds if epsilon is not None]
    assert certified
    assert set(certified) <= set(asked["epsilons"])
    threats = {attack.threat for attack in asked["attacks"]}
    assert threats == {"gray-box", "adaptive"}
    assert asked["count"] == 4
    assert asked["sizes"] == {(16, 16, 3)}
    assert asked["setting"]["quick"] is True
    assert asked["setting"]["scale"] == "model"


@pytest.mark.parametrize("order", [1, -1])
def test_options_that_are_given_win(command, order):
    given = [["--quick"], ["-d", "none"], ["-a", "fgsm"], ["-e", "9"], ["--limit", "3"]]
    given += [["--scale", "photo"]]
    asked = command(*(word for option in given[::order] for word in option))
    assert [d.name for d in asked["defences"]] == ["none"]
    assert [a.name for a in asked["attacks"]] == ["fgsm"]
    assert asked["epsilons"] == (9,)
    assert asked["count"] == 3
    assert asked["sizes"] == {picture.shape for picture in images(2)}
    assert asked["setting"]["quick"] is True


def test_a_model_without_an_input_size_takes_the_pictures_as_they_are(command):
    asked = command("--quick", model="Texture")
    assert asked["setting"]["scale"] == "photo"
    assert asked["sizes"] == {picture.shape for picture in images(2)}


def test_without_it_nothing_is_quick(command):
    asked = command()
    assert asked["count"] == 10
    assert asked["epsilons"] == (1, 2, 4)
    assert "quick" not in asked["setting"]


def test_the_command_of_the_readme_runs(tmp_path):
    """With the network and the images that it ships with, though with one of them."""
    arguments = ["evaluate", "--quick", "--images", "foolbox", "-o", f"{tmp_path}/smoke"]
    result = CliRunner().invoke(cli, [*arguments, "--limit", "1", "--workers", "1"])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "smoke" / "report.json").read_text())
    assert report["finished"]
    assert report["setting"]["n"] == 1
    assert {c["attack"] for c in report["cells"]} >= {"benign", "pgd", "grid"}
    assert (tmp_path / "smoke" / "report.html").stat().st_size < 1_000_000
