"""A new attack and a new defence, as objects and as built-in ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.cli import cli
from pyfd.evaluation import attacks, defences
from pyfd.evaluation.attacks import Attack, Target, to_batch
from pyfd.evaluation.defences import Defence
from pyfd.evaluation.defences.base import whole_number
from pyfd.qtables import QTables
from tests.evaluation.toys import GRID, OneWorker, cell, run


class Checkers(Attack):
    """An attack with a pattern of ±ε, which uses no model."""

    name = "checkers"
    title = "Checkerboard"
    description = "a checkerboard of ±ε"
    parameters: Mapping[str, int] = {"side": 1}

    def perturb(
        self,
        target: Target,  # noqa: ARG002
        images: Sequence[Pixels],
        labels: np.ndarray,  # noqa: ARG002
        epsilon: int | None,
        seed: int,  # noqa: ARG002
    ) -> list[Pixels]:
        assert epsilon is not None
        return [
            (image + epsilon * (-1) ** np.indices(image.shape)[:2].sum(0).astype(int))
            .clip(0, 255)
            .astype(np.uint8)
            for image in images
        ]


class Shown(Checkers):
    """The same attack, with knowledge of the defence."""

    name = "shown"
    title = ""
    needs = frozenset({"epsilon", "defence"})

    def perturb(self, target: Target, *arguments) -> list[Pixels]:
        assert isinstance(target.defence, Mean)
        assert target.surrogates == ()
        return super().perturb(target, *arguments)


class Mean(Defence):
    """A defence in which each sample becomes the mean of N neighbors in its row."""

    description = "the mean of N neighbours"
    libraries: ClassVar[Mapping[str, str]] = {"numpy": "numpy"}
    patterns = ("mean:N",)
    kind = "transformation"

    def __init__(self, count: int) -> None:
        self.count = count
        self.name = f"mean:{count}"

    @classmethod
    def parsed(cls, name: str, argument: str) -> Mean:
        assert name == "mean"
        return cls(whole_number(argument))

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        rows = np.stack([np.roll(image, i, axis=1) for i in range(self.count)])
        return rows.mean(0).astype(np.uint8)


def test_objects(tmp_path):
    found = run(
        tmp_path, attacks=("fgsm", Checkers(), Shown()), defences=("none", Mean(4)), epsilons=(16,)
    )
    assert cell(found, "none", "checkers", 16)["accuracy"] < 1
    assert cell(found, "mean:4", "checkers", 16)["title"] == "Checkerboard"
    assert cell(found, "mean:4", "checkers", 16)["threat"] == "gray-box"
    assert cell(found, "mean:4", "checkers", 16)["parameters"] == {"side": 1}
    assert cell(found, "mean:4", "shown", 16)["threat"] == "adaptive"
    assert cell(found, "mean:4", "shown", 16)["title"] == "shown"
    assert cell(found, "none", "fgsm", 16)["title"] == "FGSM"
    assert cell(found, "none", "benign")["title"] == "benign"
    assert ("none", "shown") not in {(c["defence"], c["attack"]) for c in found["cells"]}
    assert "mean:4" in found["costs"]
    assert "checkers, ε = 16" in [example["title"] for example in found["examples"]]


def test_objects_go_to_workers(tmp_path, monkeypatch):
    monkeypatch.setattr("pyfd.evaluation.processes.ProcessPoolExecutor", OneWorker)
    options = {"attacks": (Checkers(),), "defences": ("none", Mean(4)), "batch_size": 1}
    one = run(tmp_path / "1", **options)["cells"]
    two = run(tmp_path / "2", workers=2, **options)["cells"]
    assert [c["correct"] for c in one] == [c["correct"] for c in two]


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(attacks.ATTACKS, "checkers", Checkers())
    monkeypatch.setattr(defences, "DEFENCES", [*defences.DEFENCES, Mean])


@pytest.mark.usefixtures("registered")
def test_names(tmp_path):
    found = run(tmp_path, attacks=("checkers",), defences=("none", "mean:4"))
    assert cell(found, "mean:4", "checkers", 4)["title"] == "Checkerboard"
    with pytest.raises(ValueError, match="'mean:x': 'x' is not a whole number"):
        defences.parse("mean:x")
    with pytest.raises(ValueError, match=r"there are none, .*, mean:N$"):
        defences.parse("mean")
    with pytest.raises(ValueError, match=r"there are fgsm, .*, checkers$"):
        attacks.find("check")


@pytest.mark.usefixtures("registered")
def test_the_commands_help():
    text = CliRunner().invoke(cli, ["evaluate", "--help"]).output
    gray_box = text[text.index("Attacks that know the model, not") :].partition("\n\n")[0]
    listed = [line.split(maxsplit=1) for line in gray_box.splitlines()[1:]]
    assert ["checkers", "a checkerboard of ±ε"] in listed
    assert ["fgsm", "one step along the gradient's sign"] in listed
    shown = [line.split(maxsplit=1) for line in text[text.index("Defences:\n") :].splitlines()]
    assert ["mean:N", "the mean of N neighbours"] in shown


def test_a_missing_library_of_a_defence(tmp_path, monkeypatch):
    monkeypatch.setattr(Mean, "libraries", {"no_such_module": "no-such-package"})
    with pytest.raises(ImportError, match=r"^no-such-package is missing: pip install"):
        run(tmp_path, defences=("none", Mean(4)))
    assert not (tmp_path / "progress.jsonl").exists()


def test_a_defence_says_what_a_service_does_with_an_image(tmp_path):
    """Its cost is the time of that."""
    calls = []

    class Served(Mean):
        def service_call(self, image: Pixels):
            assert image.shape == (24, 24, 3) or image.shape == (24, 32, 3)
            return lambda: calls.append(image)

    found = run(tmp_path, attacks=(), defences=("none", Served(4)))
    assert len(calls) == 3  # two images, and the first one to warm up
    assert found["costs"]["mean:4"] >= 0


def test_an_attack_on_the_tables_of_an_own_defence(tmp_path):
    """It needs no class of pyfd's, only tables for chroma at its full size."""

    class Codec(Defence):
        name, kind = "codec", "transformation"
        qtables = QTables.uniform(24)
        subsampling = "4:4:4"

        def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
            return pyfd.decode(pyfd.encode(image, self.qtables), self.qtables)

    class Halved(Codec):
        name = "halved"
        subsampling = "4:2:0"

    defences = ("one-pass:24", Codec(), Halved())
    found = run(tmp_path, attacks=(GRID,), defences=defences)
    attacked = {c["defence"]: c for c in found["cells"] if c["attack"] == "grid"}
    assert set(attacked) == {"one-pass:24", "codec"}
    assert attacked["codec"]["correct"] == attacked["one-pass:24"]["correct"]
    assert attacked["codec"]["l2"] == attacked["one-pass:24"]["l2"]


@pytest.mark.parametrize(
    ("moved", "message"),
    [
        (lambda images: [image // 2 for image in images], "moved a sample by more than"),
        (lambda images: images[1:], "must return uint8 images of the shapes"),
        (lambda images: [image[1:] for image in images], "must return uint8 images"),
        (lambda images: list(to_batch(images).numpy()), "must return uint8 images"),
    ],
)
def test_attacks_that_break_the_rules(tmp_path, moved, message):
    class Wrong(Attack):
        name = "wrong"

        def perturb(self, target, images, labels, epsilon, seed):  # noqa: ARG002
            return moved(images)

    with pytest.raises(ValueError, match=f"the attack 'wrong' {message}"):
        run(tmp_path, attacks=(Wrong(),))


@pytest.mark.parametrize("several", [False, True])
def test_surrogates_are_given_to_those_who_need_them(tmp_path, several):
    class Nosy(Checkers):
        def perturb(self, target, *arguments):
            assert [type(model) for model in target.surrogates] == kinds
            return super().perturb(target, *arguments)

    attack = Nosy()
    attack.needs = frozenset({"epsilon", "surrogate"})
    models = [torch.nn.Flatten(), torch.nn.Sequential(torch.nn.Flatten())][: 1 + several]
    kinds = [type(model) for model in models]
    found = run(tmp_path, attacks=(attack,), surrogate=models if several else models[0])
    assert cell(found, "none", "checkers", 4)["threat"] == "black-box"


def test_who_only_asks_is_sent_against_every_defence(tmp_path):
    class Asking(Checkers):
        def perturb(self, target, *arguments):
            asked.append(target.defence.name)
            return super().perturb(target, *arguments)

    asked: list[str] = []
    attack = Asking()
    attack.needs = frozenset({"epsilon", "queries"})
    defences = ("none", "bits:3", "two-pass:16")
    found = run(tmp_path, attacks=(attack,), defences=defences)
    assert sorted(set(asked)) == sorted(defences)
    for defence in defences:
        assert cell(found, defence, "checkers", 4)["threat"] == "black-box"
