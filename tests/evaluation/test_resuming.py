"""An evaluation that is resumed from a folder: the results that it reuses and refuses."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from torch import nn

from pyfd.evaluation import packages
from pyfd.evaluation.defences import Defence, Distillation
from pyfd.qtables import QTables
from tests.evaluation.toys import (
    Texture,
    images,
    run,
    run_here,
    run_there,
    without_times,
)

pytestmark = pytest.mark.usefixtures("undrawn")


# ---- another evaluation is refused ------------------------------------------------

MODEL = """
import torch
from torch import nn

FACTOR = 100

def roughness(batch):
    return (batch[..., 1:] - batch[..., :-1]).abs().mean((1, 2, 3))

class Same(torch.autograd.Function):
    @staticmethod
    def forward(context, values):
        return values.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.limit = 6

    def forward(self, batch):
        rough = Same.apply(roughness(batch)) * FACTOR
        return torch.stack([self.limit - rough, rough - self.limit], 1)
"""
DEFENCE = """
from pyfd.evaluation.defences import Defence

MORE = [3]

def brightened(image, by):
    return (image // 2 + by + MORE[0]).astype("uint8")

class Bright(Defence):
    name, kind = "bright", "transformation"

    def __init__(self):
        self.by = 10

    def defend(self, image, rng):
        return brightened(image, self.by)
"""
ATTACK = """
from pyfd.evaluation.attacks import Attack

def shifted(image, by):
    return image + (image < 255 - by) * by

class Shift(Attack):
    name = "shift"
    by = 1

    def perturb(self, target, images, labels, epsilon, seed):
        return [shifted(image, self.by).astype("uint8") for image in images]
"""


def made(source: str, name: str, *changes: tuple[str, str]):
    """Return an object of a class in a module's source, after changes of its text."""
    for before, after in changes:
        assert before in source
        source = source.replace(before, after)
    namespace = {"__name__": "somewhere"}
    exec(source, namespace)
    return namespace[name]()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("roughness(batch))", "roughness(1 * batch))"), id="forward"),
        pytest.param((".mean((1, 2, 3))", ".mean((1, 3, 2))"), id="a function that it calls"),
        pytest.param(("FACTOR = 100", "FACTOR = 100.0"), id="a global value"),
        pytest.param(("limit = 6", "limit = 6.0"), id="an attribute"),
        pytest.param(("return gradient", "return -gradient"), id="the gradient alone"),
    ],
)
def test_another_model_with_equal_weights_and_predictions(tmp_path, change):
    run(tmp_path, attacks=(), model=made(MODEL, "Model"))
    run(tmp_path, attacks=(), model=made(MODEL, "Model", ("FACTOR =", "# a comment\nFACTOR =")))
    with pytest.raises(ValueError, match=r"of another evaluation \(other model\): choose another"):
        run(tmp_path, attacks=(), model=made(MODEL, "Model", change))


@pytest.mark.parametrize(
    "change",
    [("image // 2", "image // 3"), ("by = 10", "by = 11"), ("MORE = [3]", "MORE = [4]")],
)
def test_another_defence_of_the_same_name(tmp_path, change):
    run(tmp_path, attacks=(), defences=("none", made(DEFENCE, "Bright")))
    run(tmp_path, attacks=(), defences=("none", made(DEFENCE, "Bright")))
    with pytest.raises(ValueError, match=r"another evaluation \(other defences\)"):
        run(tmp_path, attacks=(), defences=("none", made(DEFENCE, "Bright", change)))


@pytest.mark.parametrize("change", [("255 - by", "254 - by"), ("by = 1", "by = 2")])
def test_another_attack_of_the_same_name(tmp_path, change):
    run(tmp_path, attacks=[made(ATTACK, "Shift")])
    run(tmp_path, attacks=[made(ATTACK, "Shift")])
    with pytest.raises(ValueError, match=r"another evaluation \(other attacks\)"):
        run(tmp_path, attacks=[made(ATTACK, "Shift", change)])


def test_other_tables_of_the_same_name(tmp_path):
    def distillation(step: int) -> Distillation:
        return Distillation(QTables(np.full((8, 8), step), name="mine"), two_pass=True)

    run(tmp_path, attacks=(), defences=("none", distillation(16)))
    with pytest.raises(ValueError, match=r"another evaluation \(other defences\)"):
        run(tmp_path, attacks=(), defences=("none", distillation(17)))


class Weighted(Texture):
    def __init__(self, weight: float, buffer: float = 0.0, hidden: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.register_buffer("shown", torch.tensor(buffer))
        self.register_buffer("hidden", torch.tensor(hidden), persistent=False)


@pytest.mark.parametrize("other", [(1.1,), (1.0, 0.1), (1.0, 0.0, 0.1)])
def test_other_weights_and_buffers(tmp_path, other):
    run(tmp_path, attacks=(), model=Weighted(1.0))
    with pytest.raises(ValueError, match=r"other model\)"):
        run(tmp_path, attacks=(), model=Weighted(*other))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 1}, "seed"),
        ({"batch_size": 1}, "batch_size"),
        ({"epsilons": (3,)}, "epsilons"),
        ({"attacker_quality": 90}, "attacker_quality"),
        ({"pictures": images(3)}, "images, predictions"),
        ({"pictures": images(4)[2:]}, "images"),
        ({"surrogate": Texture(), "attacks": ("transfer",)}, "attacks, surrogates"),
        ({"attacks": ("bim",)}, "attacks"),
        ({"defences": ("none", "two-pass:16")}, "defences"),
        ({"defences": ("two-pass:16", "none")}, "defences"),
        ({"defences": ("none", "two-pass:pixel-2")}, "defences"),
    ],
)
def test_other_arguments(tmp_path, change, name):
    run(tmp_path, attacks=())
    with pytest.raises(ValueError, match=rf"progress\.jsonl is of another .* \(other {name}\): "):
        run(tmp_path, **{"attacks": (), **change})


def test_other_versions(tmp_path, monkeypatch):
    run(tmp_path, attacks=())
    monkeypatch.setattr(packages, "_installed", lambda _: "another version")
    with pytest.raises(ValueError, match=r"\(other packages\)"):
        run(tmp_path, attacks=())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("{", "its first line is not the header of a log"),
        ('{"format": "notes"}', "it has the format 'notes', not 'pyfd-evaluation-progress'"),
        (
            '{"format": "pyfd-evaluation-progress", "digest": "1"}',
            r"another version of pyfd wrote it \(format None, not 4\)",
        ),
        (
            '{"format": "pyfd-evaluation-progress", "version": 2}',
            r"another version of pyfd wrote it \(format 2, not 4\)",
        ),
    ],
)
def test_a_file_in_another_format(tmp_path, text, reason):
    (tmp_path / "progress.jsonl").write_text(text)
    with pytest.raises(ValueError, match=rf"another evaluation \({reason}\): choose another"):
        run(tmp_path, attacks=())
    assert (tmp_path / "progress.jsonl").read_text() == text


def test_a_folder_in_the_logs_place(tmp_path):
    (tmp_path / "progress.jsonl").mkdir()
    with pytest.raises(IsADirectoryError, match=r"progress\.jsonl: Is a directory"):
        run(tmp_path, attacks=())


# ---- the same evaluation is resumed -------------------------------------------------

COUNTING = """
import sys
from pathlib import Path
from torch import nn
from pyfd.evaluation.attacks import Attack
from pyfd.evaluation.defences import Defence
from tests.evaluation.toys import Texture, run

class Model(Texture):
    def __init__(self):
        super().__init__()
        self.names = {"one", "two", "three", ("four", 5), None}
        self.forward = lambda batch: Texture.forward(self, batch)

class Counting(Attack):
    name = "counting"
    def perturb(self, target, images, labels, epsilon, seed):
        with open(sys.argv[2], "a") as file:
            file.write("called\\n")
        return [image.copy() for image in images]

class Own(Defence):
    name, kind = "own", "transformation"

run(Path(sys.argv[1]), model=Model(), attacks=[Counting()], defences=("none", "two-pass:16", Own()))
"""


def test_a_new_process_goes_on(tmp_path):
    """Whatever the seed of hashes, nothing is attacked again, and the log does not change."""
    texts = []
    for start in (run_here, run_there):
        start(COUNTING, str(tmp_path / "out"), str(tmp_path / "calls"))
        texts.append((tmp_path / "out/progress.jsonl").read_text())
    assert texts[0] == texts[1]
    assert (tmp_path / "calls").read_text() == "called\n" * 4  # two starts × two sizes


def test_an_object_that_counts_its_calls_goes_on_as_a_new_object(tmp_path):
    """docs/evaluation.md says so: its attributes are compared as they are at the beginning."""

    class Counting(Defence):
        name, kind = "counting", "transformation"
        calls = 0

        def defend(self, image, rng):
            self.calls += 1
            return super().defend(image, rng)

    used = Counting()
    first = run(tmp_path, attacks=(), defences=("none", used))
    assert used.calls
    with pytest.raises(ValueError, match=r"\(other defences\)"):
        run(tmp_path, attacks=(), defences=("none", used))
    again = run(tmp_path, attacks=(), defences=("none", Counting()))
    assert without_times(again) == without_times(first)


def test_entries_that_two_processes_wrote_count_once(tmp_path):
    first = run(tmp_path)
    path = tmp_path / "progress.jsonl"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *lines, *lines]) + "\n")
    assert without_times(run(tmp_path)) == without_times(first)


def test_an_entry_that_was_cut_off_in_the_middle_is_done_again(tmp_path):
    first = run(tmp_path)
    path = tmp_path / "progress.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:20]
    path.write_text("\n".join([*lines, "[1]", "{}"]) + "\n")
    assert without_times(run(tmp_path)) == without_times(first)
    assert len(path.read_text().splitlines()) == len(lines) + 3


@pytest.mark.parametrize(
    "change",
    [
        {"place": 99},
        {"place": -1},
        {"place": "0"},
        {"place": 10**400},
        {"chunk": 99},
        {"right": {}},
        {"right": {"none": 0}},
        {"right": {"none": ""}},
        {"right": {"none": "00"}},
        {"right": {"none": "-"}},
        {"right": {"none": "0\n"}},
        {"right": [["none", "0"]]},
        {"right": {"none": "0", "another": "0"}},
        {"l2": "far"},
        {"l2": float("nan")},
        {"l2": 10**400},
        {"l2": float("inf")},
        {"seconds": -1.0},
        {"seconds": None},
        {"examples": [{}]},
        {"examples": json.loads("[" * 500 + "]" * 500)},
        {"more": 1},
    ],
)
def test_entries_that_are_not_of_this_evaluation_are_skipped(tmp_path, change):
    """They are the last of their trial and chunk: if they counted, they would decide."""
    first = run(tmp_path)
    path = tmp_path / "progress.jsonl"
    entry = json.loads(path.read_text().splitlines()[1])
    assert (entry["place"], entry["chunk"]) == (0, 0)
    entry |= {"right": {"none": "0"}, **change}
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    lines = path.read_text().splitlines()
    again = run(tmp_path)
    assert without_times(again) == without_times(first)
    assert again["cells"][0]["seconds"] == first["cells"][0]["seconds"]
    assert path.read_text().splitlines() == lines


def test_lines_of_strangers_are_passed_over(tmp_path):
    first = run(tmp_path)
    path = tmp_path / "progress.jsonl"
    with path.open("a") as file:
        for line in (
            "[" * 100_000,
            '{"place": ' + "9" * 5000 + "}",
            "[" * 8_000_000,
            "\0" * 9,
            "{}",
        ):
            file.write(line + "\n")
    size = path.stat().st_size
    assert without_times(run(tmp_path)) == without_times(first)
    assert path.stat().st_size == size


def test_a_pipe_in_the_logs_place_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "progress.jsonl")
    with pytest.raises(ValueError, match=r"another evaluation \(it is not a regular file\)"):
        run(tmp_path)
