"""Attacks against linear models, whose robust accuracy at ε can be computed.

A linear model's margin between two classes is least at a corner of the box within ±ε and
0...255. So an image is robust if it keeps its class at the corners of all wrong classes.
"""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from pyfd.evaluation import attacks
from pyfd.evaluation.attacks import BPDA, Attack, AutoAttack, Target, to_batch
from pyfd.evaluation.defences import parse
from tests.evaluation.toys import cell, run

SIDE, COUNT = 10, 7

#: Fewer steps and queries than the built-in attacks take, by the parameter's name.
FEW = {"n_iter": 15, "n_queries": 120, "queries": 300, "tries": 3, "restarts": 2, "max_iter": 5}
FEW["trials"] = 3


class Affine(nn.Module):
    """A linear model of several classes, for images around the middle gray."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(classes)
        self.weights = nn.Parameter(torch.randn(classes, 3 * SIDE**2, generator=generator))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return (batch - 0.5).flatten(1) @ self.weights.T


class Blind(Affine):
    """The same without a gradient."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return super().forward(batch)


class Unrecorded(Affine):
    """The same without a gradient, whoever asks for one."""

    @torch.inference_mode()
    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return super().forward(batch)


class Constant(Affine):
    """The same with a gradient for its weights alone."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return super().forward(batch.detach())


def few(attack: Attack) -> Attack:
    """Return an attack with fewer steps and queries."""
    found = copy.copy(attack)
    found.parameters = {k: FEW.get(k, v) for k, v in attack.parameters.items()}
    if isinstance(found, BPDA):
        found.attack = few(found.attack)
        found.draws = 3
    elif isinstance(found, AutoAttack):
        found.parts = [few(part) for part in found.parts]
    return found


@cache
def pictures() -> tuple[np.ndarray, ...]:
    """Return images of more and more contrast, so that ever fewer of them can be moved far."""
    rng = np.random.default_rng(7)
    noise = rng.integers(-127, 128, (COUNT, SIDE, SIDE, 3))
    scales = np.linspace(0.03, 1, COUNT)[:, None, None, None]
    return tuple((128 + scales * noise).astype(np.uint8))


def labelled(model: nn.Module) -> np.ndarray:
    with torch.no_grad():
        return model(to_batch(pictures())).argmax(1).numpy()


def robust(model: Affine, labels: np.ndarray, epsilon: float) -> np.ndarray:
    """Return whether no change within ε makes the model give another class to each image."""
    weights = model.weights.detach().double().numpy()
    found = []
    for image, label in zip(pictures(), labels, strict=True):
        flat = image.transpose(2, 0, 1).ravel().astype(float)
        away = weights[label] - np.delete(weights, label, 0)
        corners = np.clip(flat - epsilon * np.sign(away), 0, 255)
        found.append(bool(((corners / 255 - 0.5) * away).sum(1).min() > 0))
    return np.array(found)


def undone(name: str, model: Affine, labels: np.ndarray) -> np.ndarray:
    """Return which images FAB may miss: it stops so near to them that rounding leads back."""
    return ~robust(model, labels, 0.25) & ("fab" in name)


def moved(attack: Attack, model: nn.Module, labels: np.ndarray, epsilon: int, seed: int = 0):
    """Return the images of an attack, behind a defence that does next to nothing to them."""
    defence = parse("one-pass:1" if "tables" in attack.needs else "bits:8")
    target = Target(model, (model,), defence)
    return attack.perturb(target, pictures(), labels, epsilon, seed)


def kept(attack: Attack, model: nn.Module, labels: np.ndarray, epsilon: int) -> np.ndarray:
    """Return whether the model is still right, for each image."""
    found = moved(attack, model, labels, epsilon)
    for before, after in zip(pictures(), found, strict=True):
        assert after.dtype == np.uint8
        assert after.flags.c_contiguous
        assert np.abs(after.astype(int) - before).max() <= epsilon
    with torch.no_grad():
        return model(to_batch(found)).argmax(1).numpy() == labels


BOUNDED = [name for name, attack in attacks.ATTACKS.items() if attack.bounded and name != "grid"]
WEAK = ("noise", "square", "square-whole", "hopskipjump")
#: Untargeted ones may walk toward a class that is likelier, but farther.
AIMED = ("apgd-t", "fab-t", "pgd-t", "autoattack", "bpda-t")
AIMED += ("bpda-apgd-t", "bpda-fab-t", "bpda-autoattack")


@pytest.mark.parametrize("name", [name for name in BOUNDED if name not in WEAK])
def test_two_classes_are_attacked_exactly(name):
    model = Affine(2).eval()
    labels = labelled(model)
    expected = robust(model, labels, 2)
    assert 0 < expected.sum() < COUNT
    left = kept(few(attacks.find(name)), model, labels, 2)
    assert ((left == expected) | undone(name, model, labels)).all()


@pytest.mark.parametrize("name", AIMED)
@pytest.mark.parametrize("classes", [3, 6])
def test_more_classes_are_attacked_exactly_by_targeted_attacks(name, classes):
    model = Affine(classes).eval()
    labels = labelled(model)
    expected = robust(model, labels, 1)
    assert 0 < expected.sum() < COUNT
    left = kept(few(attacks.find(name)), model, labels, 1)
    assert ((left == expected) | undone(name, model, labels)).all()
    assert (~expected & ~undone(name, model, labels)).any()


@pytest.mark.parametrize("name", [*WEAK, "pgd", "apgd-ce", "transfer"])
def test_no_attack_leaves_less_than_is_robust(name):
    model = Affine(12).eval()
    labels = labelled(model)
    attack = few(attacks.find(name))
    for epsilon in (1, 2):
        assert (kept(attack, model, labels, epsilon) >= robust(model, labels, epsilon)).all()
    assert not kept(attack, model, labels, 255).all()


@pytest.mark.parametrize("name", BOUNDED)
def test_everything_falls_where_everything_is_allowed(name):
    model = Affine(3).eval()
    labels = labelled(model)
    assert not robust(model, labels, 255).any()
    left = kept(few(attacks.find(name)), model, labels, 255)
    assert (left <= undone(name, model, labels)).all() or (name in WEAK and left.sum() <= 3)


@pytest.mark.parametrize("name", [*WEAK, "pgd-t", "bpda-strong", "apgd-ce", "apgd-t", "fab-t"])
def test_the_seed_decides_and_nothing_else(name):
    model = Affine(4).eval()
    labels = labelled(model)
    attack = few(attacks.find(name))
    found = []
    for state in (1, 2):
        np.random.seed(state)
        torch.manual_seed(state)
        found.append(moved(attack, model, labels, 2, seed=5))
    assert all(map(np.array_equal, *found))


@pytest.mark.parametrize("kind", [Blind, Unrecorded, Constant])
@pytest.mark.parametrize("name", [*BOUNDED, "grid"])
def test_models_without_a_gradient(name, kind):
    """Who follows gradients is blind, and fails at nothing else; who only asks is not."""
    model = kind(3).eval()
    labels = labelled(model)
    left = kept(few(attacks.find(name)), model, labels, 3)
    if name in ("square", "square-whole", "autoattack", "bpda-autoattack"):
        assert left.sum() < COUNT
    if name in ("fgsm", "bim", "grid"):
        assert left.all()


@pytest.mark.parametrize("name", [*AIMED, "apgd-ce", "square", "square-whole", "hopskipjump"])
def test_images_that_are_wrong_already_stay_as_they_are(name):
    model = Affine(3).eval()
    labels = (labelled(model) + 1) % 3
    found = moved(few(attacks.find(name)), model, labels, 2)
    if name in ("pgd-t", "bpda-t"):
        with torch.no_grad():
            assert (model(to_batch(found)).argmax(1).numpy() != labels).all()
    else:
        assert all(map(np.array_equal, found, pictures()))


def test_a_single_image():
    model = Affine(5).eval()
    labels = labelled(model)[:1]
    for name in set(BOUNDED) - {name for name in BOUNDED if name.startswith("bpda")}:
        target = Target(model, (model,), parse("bits:8"))
        (after,) = few(attacks.find(name)).perturb(target, pictures()[:1], labels, 1, 0)
        assert after.shape == pictures()[0].shape


@pytest.mark.usefixtures("undrawn")
def test_an_evaluation_shows_the_same(tmp_path):
    """AutoAttack is as strong as its strongest part, and what queries find is judged by defence."""
    model = Affine(4).eval()
    names = ("apgd-ce", "apgd-t", "autoattack", "bpda-apgd-t", "bpda-autoattack", "square-whole")
    found = run(
        tmp_path,
        model=model,
        pictures=list(pictures()),
        attacks=[few(attacks.find(name)) for name in (*names, "transfer")],
        defences=("none", "bits:8"),
        epsilons=(1,),
        surrogate=[model, model],
    )
    labels = labelled(model)
    least = int(robust(model, labels, 1).sum())
    for defence in ("none", "bits:8"):
        left = {c["attack"]: c["correct"] for c in found["cells"] if c["defence"] == defence}
        assert left["autoattack"] == left["apgd-t"] == least
        assert min(left.values()) == least
        assert left["square-whole"] < COUNT
    assert cell(found, "bits:8", "bpda-autoattack", 1)["correct"] == least
    assert cell(found, "none", "square-whole", 1)["threat"] == "black-box"
    assert cell(found, "bits:8", "apgd-t", 1)["parameters"]["targets"] == 9
    assert found["setting"]["surrogates"] == ["Affine", "Affine"]
    assert found["setting"]["batch_size"] == 10
