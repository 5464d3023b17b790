"""No report says that more is certified than an attack leaves; what is unsound is no success."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from pyfd.cli import cli
from pyfd.evaluation import BrokenCertificateError, report
from pyfd.evaluation.defences import Defence, PixelGrid
from tests.evaluation.oracles import KNOWING, Known, Lazy, attacked, known_images, text
from tests.evaluation.toys import cell, without_times

# ---- what is proved, and what attacks leave ------------------------------------------------


def grid(folder: Path, **options) -> dict:
    defaults = {"defences": ("none", PixelGrid(4)), "attacks": ("fgsm",), "epsilons": (4, 5)}
    return attacked(folder, 20, **{**defaults, **options})


def change(folder: Path, changed, **where) -> None:
    """Change one character of what the log says of the first image of the grid."""
    path = folder / "progress.jsonl"
    header, *lines = path.read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        if entry["place"] == where["place"]:
            field = entry[where["field"]]
            field["two-pass:pixel-4"] = changed(field["two-pass:pixel-4"])
    path.write_text("\n".join([header, *map(json.dumps, entries)]) + "\n")


def flipped(digits: str) -> str:
    """Return the answers with another one to the first image."""
    return ("0" if digits[0] == "1" else "1") + digits[1:]


def places(content: dict) -> dict[tuple[str, int | None], int]:
    """Return the places of the grid's trials."""
    found = [(c["attack"], c["epsilon"]) for c in content["cells"] if c["defence"] != "none"]
    assert found == [("benign", None), ("fgsm", 4), ("fgsm", 5)]
    return {key: 2 * i + 1 for i, key in enumerate(found)}


def test_what_is_certified_is_what_attacks_leave(tmp_path):
    found = grid(tmp_path)
    proved = found["certified"]["two-pass:pixel-4"]["correct"]
    assert cell(found, "two-pass:pixel-4", "fgsm", 4)["correct"] == proved > 10
    assert cell(found, "two-pass:pixel-4", "fgsm", 5)["correct"] < proved


def test_an_attack_that_leaves_less_than_is_certified_is_an_error(tmp_path):
    """The log is the last place where the numbers may change."""
    first = grid(tmp_path)
    change(tmp_path, flipped, place=places(first)["fgsm", 4], field="right")
    said = (
        r"image \d+ is certified behind 'two-pass:pixel-4' at ε = 4, but under fgsm, ε = 4 the "
        "model's answer to it is another one: .* no number of this evaluation can be trusted$"
    )
    with pytest.raises(BrokenCertificateError, match=said):
        grid(tmp_path)
    assert not (tmp_path / "report.json").exists()
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "broken-certificate.npz").exists()  # there are no pixels to show


@pytest.mark.parametrize(("attack", "epsilon"), [("fgsm", 5), ("benign", None)])
def test_beyond_the_strength_nothing_is_compared(tmp_path, attack, epsilon):
    first = grid(tmp_path)
    change(tmp_path, flipped, place=places(first)[attack, epsilon], field="right")
    before = cell(first, "two-pass:pixel-4", attack, epsilon)["correct"]
    after = cell(grid(tmp_path), "two-pass:pixel-4", attack, epsilon)["correct"]
    assert abs(after - before) == 1


def test_images_without_a_proof_may_fall(tmp_path):
    first = grid(tmp_path)
    number = places(first)
    change(tmp_path, flipped, place=number["fgsm", 4], field="right")
    change(tmp_path, lambda d: "-" + d[1:], place=number["benign", None], field="certified")
    again = grid(tmp_path)
    proved = first["certified"]["two-pass:pixel-4"]["correct"]
    assert again["certified"]["two-pass:pixel-4"]["correct"] == proved - 1


def test_an_answer_that_was_wrong_may_not_become_right(tmp_path):
    """Where everything is certified, attacks leave exactly the benign accuracy."""
    first = grid(tmp_path)
    change(tmp_path, flipped, place=places(first)["benign", None], field="certified")
    with pytest.raises(BrokenCertificateError, match="is another one"):
        grid(tmp_path)


def test_nothing_is_certified_of_an_attackers_files(tmp_path):
    """Their pixels may be farther away than the attacker's ε, so that less is left."""
    proved = grid(tmp_path / "pixels")["certified"]["two-pass:pixel-4"]["correct"]
    found = grid(tmp_path / "files", attacker_quality=30)
    assert cell(found, "two-pass:pixel-4", "fgsm", 4)["correct"] < proved
    assert found["certified"] == {}
    assert "certified" not in report.text(found)
    assert "accuracy-by-rate" not in report.figures(found)
    said = text(found, "attacker-quality")
    assert "Nothing is reported as certified" in said
    # What is not certified stands on attacks alone
    assert "two-pass:pixel-4" in text(found, "no-adaptive")


def test_certified_tables_have_no_uniform_step(tmp_path):
    """Otherwise they were a point among plain tables where nothing says that they are certified."""
    names = ("two-pass:40", "certified:40@1")
    found = attacked(tmp_path, 4, attacks=(), defences=names, attacker_quality=90)
    assert {c["defence"]: c["uniform_step"] for c in found["cells"]} == dict(
        zip(names, (40, None), strict=True)
    )


def test_nothing_is_said_of_certificates_where_no_defence_has_one(tmp_path):
    found = grid(tmp_path, defences=("none",), attacker_quality=30)
    assert text(found, "attacker-quality").endswith("those that would are stronger.")


def test_a_log_that_certifies_an_attackers_files_is_done_again(tmp_path):
    """One of an earlier version, for example."""
    first = grid(tmp_path, attacker_quality=30)
    path = tmp_path / "progress.jsonl"
    header, *entries = map(json.loads, path.read_text().splitlines())
    for entry in entries:
        if entry["rates"].keys() == {"two-pass:pixel-4"}:
            entry["certified"] = {"two-pass:pixel-4": "1" * 20}
    path.write_text("\n".join(map(json.dumps, [header, *entries])) + "\n")
    again = grid(tmp_path, attacker_quality=30)
    assert again["certified"] == {}
    assert without_times(again) == without_times(first)


class Dice(Known):
    """A model that gives any answer to anything."""

    def forward(self, batch):
        return 0 * super().forward(batch) + torch.rand(len(batch), 5) * torch.tensor(
            [1, 1, 0, 0, 0]
        )


def test_a_model_that_contradicts_itself_has_no_certificate(tmp_path):
    """That one of 20 images keeps its answer by chance has a probability of a half."""
    torch.manual_seed(0)
    with pytest.raises(BrokenCertificateError, match="different answers to the same pixels"):
        grid(tmp_path, model=Dice())
    assert not (tmp_path / "report.json").exists()


class Proving(Defence):
    """A defence that shows the same whatever it is given, and promises that."""

    name, kind, epsilon = "proving", "transformation", 4

    def certifies(self, image):  # noqa: ARG002
        return True

    def defend(self, image, rng):  # noqa: ARG002
        return np.full_like(image, 128)


@pytest.mark.parametrize("needs", [frozenset({"epsilon"}), KNOWING, frozenset({"queries"})])
def test_every_promise_is_compared_whoever_attacks(tmp_path, needs):
    """Also that of a defence whose camera does nothing, which others have in common."""
    options = {"defences": ("none", Proving()), "attacks": (Lazy(needs=needs | {"epsilon"}),)}
    grid(tmp_path, **options)
    path = tmp_path / "progress.jsonl"
    header, *entries = map(json.loads, path.read_text().splitlines())
    for entry in entries:
        if not entry["certified"] and "proving" in entry["right"]:  # an attack's
            entry["right"]["proving"] = flipped(entry["right"]["proving"])
    path.write_text("\n".join(map(json.dumps, [header, *entries])) + "\n")
    with pytest.raises(BrokenCertificateError, match="behind 'proving' at ε = 4"):
        grid(tmp_path, **options)


# ---- the command ------------------------------------------------------------------------------


def known() -> Known:
    return Known()


def blind() -> Known:
    model = Known()
    model.scale = 1e4
    return model


@pytest.mark.parametrize(("model", "code"), [("known", 0), ("blind", 1)])
def test_errors_are_the_exit_code_of_the_command(tmp_path, model, code):
    """The report is written all the same."""
    (tmp_path / "photos").mkdir()
    rows = ["file,label"]
    for i, (image, label) in enumerate(zip(*known_images(30), strict=True)):
        Image.fromarray(image).save(tmp_path / f"photos/{i}.png")
        rows.append(f"{i}.png,{label}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    arguments = ["evaluate", "--model", f"{__name__}:{model}", "--images", f"{tmp_path}/photos"]
    arguments += ["--labels", f"{tmp_path}/labels.csv", "-d", "none", "-a", "fgsm", "-e", "4"]
    arguments += ["--workers", "1", "-o", f"{tmp_path}/out"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == code
    assert "warning: The base set has 30 images" in result.stderr
    content = json.loads((tmp_path / "out/report.json").read_text())
    assert (tmp_path / "out/report.html").exists()
    errors = [f for f in content["findings"] if f["level"] == "error"]
    assert bool(errors) == bool(code)
    for finding in errors:
        assert f"error: {finding['text']}" in result.stderr
    said = "these errors make the evaluation unsound: gradients, powerless"
    assert (said in result.stderr) == bool(code)
