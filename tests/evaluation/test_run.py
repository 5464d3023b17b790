"""`evaluate`: its cells, its workers, and the mistakes that it names."""

from __future__ import annotations

import json
import os
import sys
import threading

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import pyfd
from pyfd.cli import cli
from pyfd.evaluation import evaluate
from pyfd.evaluation.attacks import BPDA
from tests.evaluation.toys import (
    GRID,
    OneWorker,
    Texture,
    cell,
    images,
    labels_of,
    run,
    without_times,
)

DEFENCES = ("none", "one-pass:16", "two-pass:16", "bits:3", "shield")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    pictures = images()
    return evaluate(
        Texture(),
        pictures,
        labels_of(Texture(), pictures),
        output=tmp_path_factory.mktemp("report"),
        defences=DEFENCES,
        attacks=("fgsm", "pgd", BPDA(draws=2), GRID, "transfer", "deepfool"),
        epsilons=(1, 4),
        surrogate=Texture(),
        batch_size=2,
    )


def test_has_a_cell_for_everything(content):
    expected = set()
    for defence in DEFENCES:
        expected |= {(defence, "benign", None), (defence, "deepfool", None)}
        for epsilon in (1, 4):
            expected |= {(defence, a, epsilon) for a in ("fgsm", "pgd", "transfer")}
            if defence != "none":
                expected.add((defence, "bpda", epsilon))
            if "pass" in defence:
                expected.add((defence, "grid", epsilon))
    assert {(c["defence"], c["attack"], c["epsilon"]) for c in content["cells"]} == expected
    assert len(content["cells"]) == len(expected)


def test_cells_are_consistent(content):
    for c in content["cells"]:
        assert c["n"] == content["setting"]["n"] == 6
        assert c["accuracy"] == c["correct"] / 6
        assert c["interval"][0] <= c["accuracy"] <= c["interval"][1]
        threat = {"benign": "benign", "transfer": "black-box", "bpda": "adaptive"}
        assert c["threat"] == threat.get(
            c["attack"], "adaptive" if c["attack"] == "grid" else "gray-box"
        )
    assert cell(content, "none", "benign")["accuracy"] == 1  # the base set
    assert cell(content, "none", "pgd", 4)["accuracy"] < 1
    # The surrogate is the same model: transfer is as strong as the attack itself
    for defence in DEFENCES:
        same = cell(content, defence, "transfer", 4), cell(content, defence, "pgd", 4)
        assert same[0]["correct"] == same[1]["correct"]


def test_benign_accuracy_is_the_codecs(content):
    pictures = images()
    truth = labels_of(Texture(), pictures)
    seen = [_two_passes(p) for p in pictures]
    right = np.mean(np.array(labels_of(Texture(), seen)) == truth)
    assert cell(content, "two-pass:16", "benign")["accuracy"] == right


def _two_passes(image: np.ndarray) -> np.ndarray:
    tables = pyfd.QTables.uniform(16)
    once = pyfd.decode(pyfd.encode(image, tables), tables)
    return pyfd.decode(pyfd.encode(once, tables), tables)


def test_cells_name_the_step_of_uniform_tables(content):
    steps = {c["defence"]: c["uniform_step"] for c in content["cells"]}
    assert steps == {d: 16 if "pass" in d else None for d in DEFENCES}


def test_writes_a_report(content, tmp_path_factory):
    folder = next(tmp_path_factory.getbasetemp().glob("report*"))
    assert json.loads((folder / "report.json").read_text()) == content
    assert "two-pass:<wbr>16" in (folder / "report.html").read_text()
    assert set(content["costs"]) == set(DEFENCES) - {"none"}
    assert all(seconds > 0 for seconds in content["costs"].values())
    assert content["examples"]
    assert content["setting"]["versions"]["torch"] == torch.__version__


def test_workers_change_nothing(content, tmp_path):
    """In some of the cells; each has more chunks of images than there are workers."""
    pictures = images()
    again = evaluate(
        Texture(),
        pictures,
        labels_of(Texture(), pictures),
        output=tmp_path,
        defences=("none", "two-pass:16"),
        attacks=("pgd", GRID, "transfer"),
        epsilons=(4,),
        surrogate=Texture(),
        batch_size=2,
        workers=2,
    )
    whole = without_times(content)
    assert len(again["cells"]) == 7
    assert all(cell in whole for cell in without_times(again))


class Unwelcome(Texture):
    """An object that cannot be sent to another process."""

    def __setstate__(self, _state: dict) -> None:
        os._exit(3)


def test_a_worker_that_dies_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("pyfd.evaluation.processes.ProcessPoolExecutor", OneWorker)
    with pytest.raises(
        RuntimeError, match=r'a worker died.* below if __name__ == "__main__"\?.*workers=1'
    ):
        run(tmp_path, model=Unwelcome(), workers=2)


class Locked(Texture):
    """A model that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def locked() -> Locked:
    return Locked()


def test_a_model_that_cannot_be_pickled_needs_one_worker(tmp_path):
    with pytest.raises(ValueError, match=r"cannot be sent to a worker: .*lock.* workers=1"):
        run(tmp_path / "out", model=Locked(), workers=2)
    assert not (tmp_path / "out").exists()
    assert run(tmp_path / "out", model=Locked(), workers=1)["setting"]["n"] == 2


def test_an_attackers_files_are_decoded(tmp_path):
    """A defence by tables decodes the file itself, not its pixels encoded again."""
    found = run(tmp_path, defences=("none", "one-pass:16"), attacker_quality=40, epsilons=(1,))
    assert cell(found, "none", "pgd", 1)["parameters"]["attacker_quality"] == 40


# ---- mistakes -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attacks": ("pdg",)}, "no attack 'pdg': there are fgsm"),
        ({"attacks": ("transfer",)}, "another model"),
        ({"attacks": ("pgd", "pgd")}, "each attack must be given only once"),
        ({"epsilons": (0.5,)}, "whole number"),
        ({"epsilons": (0,)}, "1...255"),
        ({"defences": ()}, "at least one defence"),
        ({"defences": ("none", "none")}, "each only once"),
        ({"defences": ("two-pass:fd",)}, "fd"),
        ({"truth": [0]}, "2 images need as many labels"),
        ({"pictures": []}, "0 images"),
        ({"truth": [7, 7]}, "for the classes 0 to 1, but there is an image of class 7"),
        ({"truth": [1, 1]}, "none of the images right"),
    ],
)
def test_mistakes_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **options)


# ---- the command --------------------------------------------------------------


def test_command(tmp_path):
    (tmp_path / "photos").mkdir()
    pictures = images(4)
    truth = labels_of(Texture(), pictures)
    rows = ["file,label"]
    for i, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"photos/{i}.png")
        rows.append(f"{i}.png,{truth[i]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    arguments = ["evaluate", "--model", "tests.evaluation.toys:texture"]
    arguments += ["--images", f"{tmp_path}/photos", "--labels", f"{tmp_path}/labels.csv"]
    arguments += ["-d", "none", "-d", "two-pass:16", "-a", "bpda", "-e", "9", "--workers", "1"]
    arguments += ["--limit", "3", "--quick"]  # so few images would be an error otherwise
    result = CliRunner().invoke(cli, [*arguments, "-o", f"{tmp_path}/out"])
    assert result.exit_code == 0, result.output
    assert "two-pass:16" in result.stdout
    assert json.loads((tmp_path / "out/report.json").read_text())["setting"]["n"] == 3
    refused = CliRunner().invoke(cli, [*arguments, "--scale", "model", "-o", f"{tmp_path}/other"])
    assert refused.exit_code == 1
    assert "input_size" in refused.stderr
    assert CliRunner().invoke(cli, ["evaluate", "--images", "foolbox"]).exit_code == 2
    few = ["--max-pixels", "9", "-o", f"{tmp_path}/other"]
    refused = CliRunner().invoke(cli, [*arguments, *few])
    assert refused.exit_code == 1
    assert "0.png: max_pixels is 9, but the file has" in refused.stderr
    assert not (tmp_path / "other").exists()


def test_command_says_in_one_line_that_a_model_needs_one_worker(tmp_path):
    (tmp_path / "photos").mkdir()
    (picture,) = images(1)
    Image.fromarray(picture).save(tmp_path / "photos/0.png")
    label = labels_of(Texture(), [picture])[0]
    (tmp_path / "labels.csv").write_text(f"file,label\n0.png,{label}\n")
    arguments = ["evaluate", "--model", f"{__name__}:locked", "--images", f"{tmp_path}/photos"]
    arguments += ["--labels", f"{tmp_path}/labels.csv", "-d", "none", "-a", "fgsm"]
    refused = CliRunner().invoke(
        cli, [*arguments, "--workers", "2", "-o", f"{tmp_path}/out"], catch_exceptions=False
    )
    assert refused.exit_code == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "workers=1" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_command_refuses_unknown_attacks_at_once():
    refused = CliRunner().invoke(cli, ["evaluate", "--images", "x", "-o", "y", "-a", "pdg"])
    assert refused.exit_code == 2
    assert "no attack 'pdg': there are fgsm" in refused.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nonsense", "no defence 'nonsense'; there are none, one-pass:T"),
        ("jpeg:0", "'jpeg:0': quality must be in 1...100, not 0"),
        ("two-pass:.", "'two-pass:.': Is a directory"),
    ],
)
def test_command_refuses_unknown_defences_at_once(name, reason):
    arguments = ["evaluate", "--model", "no.such:model", "--images", "x", "-o", "y", "-d", name]
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 2
    assert f"Invalid value for '-d' / '--defence': {reason}" in refused.stderr


def test_command_names_the_missing_library_of_a_defence(monkeypatch):
    monkeypatch.setitem(sys.modules, "art", None)
    refused = CliRunner().invoke(cli, ["evaluate", "--images", "x", "-o", "y", "-d", "tvm"])
    assert refused.exit_code == 1
    assert "pip install 'pyfd-jpeg[evaluate]'" in refused.stderr


def test_command_names_a_missing_library(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "art", None)
    arguments = ["evaluate", "--model", "tests.evaluation.toys:texture", "--images"]
    (tmp_path / "photos").mkdir()
    Image.fromarray(images(1)[0]).save(tmp_path / "photos/0.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,0\n")
    arguments += [f"{tmp_path}/photos", "--labels", f"{tmp_path}/labels.csv", "-d", "none"]
    refused = CliRunner().invoke(cli, [*arguments, "-o", f"{tmp_path}/out", "-a", "pgd"])
    assert refused.exit_code == 1
    assert "pip install 'pyfd-jpeg[evaluate]'" in refused.stderr
