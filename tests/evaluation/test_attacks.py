"""The attacks: their needs, their bounds, their strength, and their targets."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from pyfd.evaluation import attacks
from pyfd.evaluation.attacks import Target
from pyfd.evaluation.defences import Defence, known, parse
from tests.evaluation.toys import Linear, Wavy, case
from tests.jpegs import picture

LIBRARY = ("fgsm", "bim", "pgd", "apgd", "deepfool", "cw-l2")


def perturbed(name: str, model: nn.Module, *arguments, seed: int = 0) -> list[np.ndarray]:
    return attacks.find(name).perturb(Target(model), *arguments, seed)


@pytest.mark.parametrize("name", LIBRARY)
def test_images_stay_images(name):
    model, images, labels = case()
    bounded = attacks.ATTACKS[name].bounded
    moved = perturbed(name, model, images, labels, 3 if bounded else None)
    distances = []
    for before, after in zip(images, moved, strict=True):
        assert after.dtype == np.uint8
        assert after.shape == before.shape
        assert after.flags.c_contiguous
        distances.append(np.abs(after.astype(int) - before).max())
    assert max(distances) >= 1
    assert not bounded or max(distances) == 3


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd", "apgd"])
def test_follows_the_gradient(name):
    """Against a linear model, the best perturbation is ε times the gradient's sign."""
    model, images, labels = case()
    moved = perturbed(name, model, images, labels, 4)
    sign = np.sign(model.pattern.detach().permute(1, 2, 0).numpy())
    for before, after, label in zip(images, moved, labels, strict=True):
        inside = (before >= 4) & (before <= 251)
        toward = -sign if label == 0 else sign
        agree = (after.astype(int) - before == 4 * toward)[inside].mean()
        assert agree > 0.95


@pytest.mark.parametrize("name", ["deepfool", "cw-l2"])
def test_image_itself_where_nothing_is_found(name):
    """Foolbox's CW would return black images."""

    class Sure(Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return super().forward(batch * 1e-9) + torch.tensor([1e3, 0.0])

    images = [picture(32, 32, seed=i) for i in range(3)]
    moved = perturbed(name, Sure().eval(), images, np.zeros(3, np.int64), None)
    for before, after in zip(images, moved, strict=True):
        assert np.array_equal(before, after)


def test_is_repeatable():
    _, images, labels = case()
    model = Wavy()
    first, second, other = (
        perturbed("pgd", model, images, labels, 4, seed=seed) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_transfer_attacks_the_surrogate_alone():
    _, images, labels = case()
    surrogate = Linear().eval()
    target = Target(nn.Identity(), (surrogate,))  # an attack on this model would fail
    moved = attacks.find("transfer").perturb(target, images, labels, 4, 0)
    assert all(map(np.array_equal, moved, perturbed("pgd", surrogate, images, labels, 4)))


def test_transfer_attacks_the_mean_of_several_surrogates():
    _, images, labels = case()

    class Opposite(Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return -0.5 * super().forward(batch)

    pair = (Linear().eval(), Opposite().eval())  # whose mean is half of the first
    moved = attacks.find("transfer").perturb(Target(nn.Identity(), pair), images, labels, 4, 0)
    assert all(map(np.array_equal, moved, perturbed("pgd", pair[0], images, labels, 4)))


def test_surrogates_of_other_classes_are_refused():
    _, images, labels = case()
    pair = (Linear().eval(), nn.Sequential(Linear(), nn.Linear(2, 5)).eval())
    with pytest.raises(ValueError, match="the same classes, not 2 and 5 of them"):
        attacks.find("transfer").perturb(Target(nn.Identity(), pair), images, labels, 4, 0)


def test_bpda_is_pgd_without_a_defence():
    model, images, labels = case()
    target = Target(model, defence=parse("bits:8"))  # leaves images as they are
    moved = attacks.find("bpda").perturb(target, images, labels, 4, 0)
    same = [
        (a == b).mean()
        for a, b in zip(moved, perturbed("pgd", model, images, labels, 4), strict=True)
    ]
    assert min(same) > 0.95


# ---- their needs --------------------------------------------------------------

AUTOATTACK = ("apgd-ce", "apgd-t", "fab-t", "autoattack")
KNOWLEDGE = {
    **dict.fromkeys((*LIBRARY, *AUTOATTACK, "square", "pgd-t", "noise"), "gray-box"),
    **dict.fromkeys(("bpda", "bpda-t", "bpda-strong", "grid"), "adaptive"),
    **dict.fromkeys((f"bpda-{name}" for name in AUTOATTACK), "adaptive"),
    **dict.fromkeys(("transfer", "square-whole", "hopskipjump"), "black-box"),
}


def test_what_attackers_know():
    assert {name: attack.threat for name, attack in attacks.ATTACKS.items()} == KNOWLEDGE
    unbounded = {name for name, attack in attacks.ATTACKS.items() if not attack.bounded}
    assert unbounded == {"deepfool", "cw-l2"}
    assert all(attack.description for attack in attacks.ATTACKS.values())


def test_which_defences_are_attacked_adaptively():
    names = ("none", "one-pass:16", "two-pass:16", "certified:1", "two-pass:pixel-1", "jpeg:75")
    names += ("bits:3", "tvm", "shield")
    aimed = {
        name: [d for d in names if attacks.find(name).applies_to(parse(d))]
        for name in ("bpda", "bpda-autoattack", "grid", "square-whole")
    }
    assert aimed == {
        "bpda": list(names[1:]),
        "bpda-autoattack": list(names[1:]),
        "grid": list(names[1:4]),
        "square-whole": list(names),  # one who only asks cannot know that there is no defence
    }


def test_needs_decide():
    class Needy(attacks.Attack):
        name = "needy"

    attack = Needy()
    assert (attack.threat, attack.bounded, attack.aimed) == ("gray-box", True, False)
    attack.needs = frozenset({"surrogate"})
    assert (attack.threat, attack.bounded, attack.aimed) == ("black-box", False, False)
    attack.needs = frozenset({"queries"})
    assert (attack.threat, attack.bounded, attack.aimed) == ("black-box", False, True)
    for need in ("defence", "gradients", "tables", "4:4:4"):
        attack.needs = frozenset({need})
        assert (attack.threat, attack.aimed) == ("adaptive", True)
        assert attack.applies_to(parse("two-pass:16"))
        assert not attack.applies_to(Defence())
        assert attack.applies_to(parse("tvm")) == (need not in ("tables", "4:4:4"))
        assert attack.applies_to(parse("jpeg:75")) == (need != "4:4:4")


@pytest.mark.parametrize("name", ["bpda", "bpda-apgd-t", "grid", "square-whole", "transfer"])
def test_a_need_that_is_not_met(name):
    model, images, labels = case()
    with pytest.raises(ValueError, match=f"'{name}' needs"):
        perturbed(name, model, images, labels, 4)


def test_parameters_of_cells():
    def parameters(name: str, defence: str) -> dict:
        return attacks.find(name).parameters_against(parse(defence))

    pgd = {"max_iter": 10, "eps_step": "2.5 ε / max_iter", "num_random_init": 1}
    square = {"n_queries": 5000, "n_restarts": 1, "p_init": 0.8}
    assert parameters("bpda", "jpeg:75") == attacks.find("pgd").parameters == pgd
    assert parameters("bpda", "shield") == pgd | {"draws": 20}
    assert parameters("bpda-t", "jpeg:75") == pgd | {"max_iter": 20, "targets": 3}
    assert parameters("bpda-strong", "jpeg:75") == pgd | {"max_iter": 50, "restarts": 5}
    assert parameters("bpda-apgd-t", "bits:4") == {"n_iter": 100, "n_restarts": 1, "targets": 9}
    assert parameters("square-whole", "tvm") == square | {"draws": 20}
    assert parameters("square-whole", "none") == square
    assert parameters("hopskipjump", "none") == {"queries": 5000, "init_eval": 100}
    assert set(parameters("bpda-autoattack", "shield")) == {
        "apgd-ce",
        "apgd-t",
        "fab-t",
        "square",
        "draws",
    }
    assert parameters("grid", "two-pass:16") == {
        "steps": attacks.STEPS,
        "targets": 3,
        "trials": 600,
    }


def test_unknown_names():
    with pytest.raises(ValueError, match="no attack 'pdg': there are fgsm, bim, pgd"):
        attacks.find("pdg")


def test_names_and_descriptions_need_no_library():
    """The command's help shows them at once, even if the libraries are missing."""
    slow = ("torch", "art", "foolbox", "pyautoattack")
    code = f"import sys; sys.modules.update(dict.fromkeys({slow}))\n"
    code += "from pyfd.evaluation.attacks import ATTACKS\n"
    code += "from pyfd.evaluation.defences import known\n"
    code += "print(*ATTACKS, known())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == f"{' '.join(attacks.ATTACKS)} {known()}\n"


@pytest.mark.parametrize(
    ("module", "name", "library"),
    [
        ("art", "pgd", "adversarial-robustness-toolbox"),
        ("foolbox", "cw-l2", "foolbox"),
        ("pyautoattack", "apgd-ce", "pyautoattack"),
        ("pyautoattack", "autoattack", "pyautoattack"),
        ("art", "pgd-t", "adversarial-robustness-toolbox"),
    ],
)
def test_missing_libraries(monkeypatch, module, name, library):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ImportError, match=rf"^{library} is missing: pip install 'pyfd-jpeg\[evaluate\]'"
    ):
        perturbed(name, *case(), 4)
