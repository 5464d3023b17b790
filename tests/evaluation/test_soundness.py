"""What makes an evaluation unsound: each check finds it, at its level, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from pyfd.evaluation.attacks import Attack, find
from pyfd.evaluation.defences import Defence, PixelGrid
from pyfd.evaluation.plan import Trial
from pyfd.evaluation.soundness.outcomes import SURE, Outcome, stronger
from tests.evaluation.oracles import KNOWING, Known, Lazy, Nothing, Random, attacked, levels, text
from tests.evaluation.toys import run

pytestmark = pytest.mark.usefixtures("undrawn")

# ---- the report -----------------------------------------------------------------------


def test_findings_have_a_level_a_check_and_a_text_and_warnings_are_their_texts(tmp_path):
    content = attacked(tmp_path, 30, attacks=(Lazy(),))
    assert content["findings"]
    for finding in content["findings"]:
        assert finding.keys() == {"level", "check", "text"}
        assert finding["text"].endswith(".")
    assert content["warnings"] == [finding["text"] for finding in content["findings"]]
    order = [finding["level"] for finding in content["findings"]]
    assert order == sorted(order)
    assert set(order) == {"error", "warning"}


# ---- attacks that are too weak ----------------------------------------------------------


class Rough(nn.Module):
    """A model of roughness: noise makes every flat image rough."""

    def forward(self, batch):
        rough = (batch[..., 1:] - batch[..., :-1]).abs().mean((1, 2, 3)) * 100
        return torch.stack([6 - rough, rough - 6], 1)


class Certain(Attack):
    """Noise that deceives the model above."""

    name = "noise"

    def perturb(self, target, images, labels, epsilon, seed):  # noqa: ARG002
        signs = np.indices(images[0].shape)[1] % 2 * epsilon
        return [image + signs.astype(np.uint8) for image in images]


@pytest.mark.parametrize("needs", [frozenset({"epsilon"}), KNOWING])
@pytest.mark.parametrize("tried", [True, False])
def test_weaker_than_noise(tmp_path, needs, tried):
    """The noise is that of the run if there is some, and otherwise tried on the spot."""
    flat = [np.full((16, 16, 3), 60 + i, np.uint8) for i in range(26)]
    attacks = [Lazy(needs=needs)]
    attacks += [Certain()] if tried else []
    options = {"model": Rough(), "pictures": flat, "truth": [0] * 26, "epsilons": (2, 16)}
    content = run(tmp_path, attacks=attacks, defences=("none", Nothing()), **options)
    target = "nothing" if needs is KNOWING else "the undefended model"
    assert levels(content)["noise"] == "error"
    said = text(content, "noise")
    assert said.startswith(
        f"lazy, ε = 16 is weaker than random noise of the same strength against {target}"
    )


def test_powerless(tmp_path):
    options = {"epsilons": (1, 2)}
    content = attacked(tmp_path / "1", attacks=(Lazy(since=2), "pgd"), **options)
    assert "lazy, ε = 2, never succeeds on" in text(content, "powerless")
    assert levels(content)["powerless"] == "error"
    content = attacked(tmp_path / "2", attacks=(Lazy(),), **options)
    assert "lazy, ε = 1 and 2, never succeeds on" in text(content, "powerless")
    content = attacked(tmp_path / "3", attacks=(Lazy(needs=frozenset()),), **options)
    assert "lazy never succeeds on" in text(content, "powerless")
    blind = Lazy(needs=frozenset({"surrogate", "epsilon"}))
    content = attacked(tmp_path / "4", attacks=(blind,), surrogate=Known(), **options)
    assert levels(content)["powerless"] == "warning"


def test_weaker_than_a_black_box(tmp_path):
    options = {"defences": ("none", Nothing()), "surrogate": Known(), "epsilons": (4,)}
    attacks = (Lazy(needs=KNOWING), "transfer")
    content = attacked(tmp_path / "1", attacks=attacks, **options)
    assert levels(content)["black-box"] == "error"
    assert "transfer, ε = 4, which follows no gradient" in text(content, "black-box")
    assert "is stronger than lazy against nothing" in text(content, "black-box")
    content = attacked(tmp_path / "2", attacks=(*attacks, "bpda"), **options)
    assert "black-box" not in levels(content)


def test_weaker_than_what_ignores_the_defence(tmp_path):
    options = {"defences": ("none", Nothing()), "epsilons": (4,)}
    content = attacked(tmp_path / "1", attacks=(Lazy(needs=KNOWING), "pgd"), **options)
    assert levels(content)["adaptive"] == "error"
    assert "pgd, ε = 4, which ignores the defence, is stronger than lazy against nothing" in text(
        content, "adaptive"
    )
    content = attacked(tmp_path / "2", attacks=(Lazy(needs=KNOWING), "pgd", "bpda"), **options)
    assert "adaptive" not in levels(content)


def test_weaker_than_a_single_step(tmp_path):
    options = {"epsilons": (4,), "count": 30}
    content = attacked(tmp_path / "1", attacks=(Lazy(), "fgsm"), **options)
    assert levels(content)["one-step"] == "error"
    assert "fgsm, ε = 4, a single step, is stronger than lazy" in text(content, "one-step")
    content = attacked(tmp_path / "2", attacks=(Lazy(), "fgsm", "pgd"), **options)
    assert "one-step" not in levels(content)


def test_an_attack_that_does_not_say_its_steps_may_be_the_strongest(tmp_path):
    """It may take any number of them."""
    own = Lazy(name="own", since=99, parameters={})
    content = attacked(tmp_path, attacks=(Lazy(), own), epsilons=(4,))
    found = {c["attack"]: c["correct"] for c in content["cells"]}
    assert found["own"] < found["lazy"]
    assert "one-step" not in levels(content)


def test_accuracy_that_rises(tmp_path):
    rising = Lazy(since=4)
    content = attacked(tmp_path / "1", 50, attacks=(rising,), epsilons=(1, 2, 4))
    assert levels(content)["rises"] == "error"
    assert "lazy leaves more at ε = 4 than at ε = 2 against the undefended model" in text(
        content, "rises"
    )
    once = Lazy(since=4, parameters={})
    assert (
        levels(attacked(tmp_path / "2", 50, attacks=(once,), epsilons=(2, 4)))["rises"] == "warning"
    )


# ---- accuracy that does not fall ----------------------------------------------------------


class Hiding(Defence):
    """A camera that rounds to multiples of 7, and gray for whoever shows something else."""

    name, kind = "hiding", "two-pass"

    def camera(self, images):
        return [image // 7 * 7 for image in images]

    def defend(self, image, rng):  # noqa: ARG002
        return image.copy() if (image % 7 == 0).all() else np.full_like(image, 128)


class Drowning(Nothing):
    """Noise in which nothing can be seen."""

    name, random = "drowning", True

    def defend(self, image, rng):
        return (image + 99 * rng.normal(size=image.shape) * 50).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("defence", [Hiding(), Drowning()])
def test_accuracy_that_does_not_fall(tmp_path, defence):
    content = attacked(
        tmp_path, 40, defences=("none", defence), attacks=("bpda", "pgd"), epsilons=(64,)
    )
    assert levels(content)["unfallen"] == "error"
    assert f"stay right against {defence.name} at ε = 64" in text(content, "unfallen")


def test_accuracy_that_is_proved_need_not_fall(tmp_path):
    options = {"attacks": ("fgsm",), "defences": ("none", "two-pass:pixel-64")}
    content = attacked(tmp_path, 40, epsilons=(64,), **options)
    assert content["certified"]["two-pass:pixel-64"]["correct"] > 10
    assert set(levels(content)) == {"base-set"}


def test_what_is_not_proved_needs_attacks(tmp_path):
    """At ε = 6, the strength that is proved does not help."""
    options = {"attacks": ("fgsm",), "defences": (PixelGrid(4),)}
    proved = levels(attacked(tmp_path / "1", epsilons=(1, 4), **options))
    assert set(proved) == {"base-set", "undefended"}
    content = attacked(tmp_path / "2", epsilons=(4, 6), **options)
    assert levels(content)["no-adaptive"] == "error"


# ---- the plan -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "level"), [(24, "error"), (25, "warning"), (99, "warning"), (100, None)]
)
def test_base_set(tmp_path, count, level):
    assert levels(attacked(tmp_path, count, attacks=())).get("base-set") == level


@pytest.mark.parametrize(("count", "smoke"), [(24, True), (25, False), (120, False)])
def test_a_smoke_run_is_excused_by_its_few_images_alone(tmp_path, count, smoke):
    options = {"defences": (Nothing(),), "epsilons": (1,), "setting": {"quick": True}}
    found = levels(attacked(tmp_path / "1", count, attacks=("fgsm",), **options))
    assert found["no-adaptive"] == "error"
    assert found["undefended"] == "warning"
    assert ("smoke" in found) == smoke
    assert ("base-set" in found) == (not smoke and count < 100)
    options["defences"] = ("none", Nothing())
    meager = levels(attacked(tmp_path / "2", count, attacks=("bpda",), **options))
    assert {"one-attack", "few-steps"} & set(meager) == (
        set() if smoke else {"one-attack", "few-steps"}
    )


def test_a_smoke_run_says_that_an_attackers_files_are_coded(tmp_path):
    options = {"attacks": ("bpda",), "attacker_quality": 90, "setting": {"quick": True}}
    found = attacked(tmp_path, 10, defences=("none", PixelGrid(4)), **options)
    assert "Nothing is reported as certified" in text(found, "attacker-quality")


def test_no_large_strength(tmp_path):
    assert "no-large-epsilon" not in levels(attacked(tmp_path / "1", 99))
    assert levels(attacked(tmp_path / "2", 100))["no-large-epsilon"] == "warning"
    assert "no-large-epsilon" not in levels(attacked(tmp_path / "3", 100, epsilons=(1, 64)))


def test_no_attack_knows_a_defence(tmp_path):
    options = {"defences": ("none", Nothing())}
    content = attacked(tmp_path / "1", epsilons=(1, 2), **options)
    assert levels(content)["no-adaptive"] == "error"
    assert text(content, "no-adaptive").startswith("No attack knows nothing: ")
    # What has fallen to whoever ignores it has fallen
    assert "no-adaptive" not in levels(attacked(tmp_path / "2", epsilons=(64,), **options))


def test_what_is_missing(tmp_path):
    content = attacked(
        tmp_path / "1", defences=(Nothing(),), attacks=("bpda",), attacker_quality=90
    )
    assert levels(content) == dict.fromkeys(
        ["base-set", "undefended", "attacker-quality", "one-attack", "few-steps"], "warning"
    )
    assert "takes more than 10 steps" in text(content, "few-steps")
    lazy = Lazy(needs=KNOWING, parameters={"steps": 1})
    content = attacked(tmp_path / "3", defences=(Nothing(),), attacks=(lazy,))
    assert "takes more than one step: " in text(content, "few-steps")
    attacks = (Lazy(needs=KNOWING, parameters={"each": {"steps": 100}}), "bpda")
    content = attacked(tmp_path / "2", defences=("none", Nothing()), attacks=attacks)
    assert not {"one-attack", "few-steps"} & set(levels(content))


@pytest.mark.parametrize(
    ("draws", "level"), [({}, "error"), ({"draws": 19}, "error"), ({"draws": 20}, None)]
)
def test_few_draws(tmp_path, draws, level):
    attack = Lazy(needs=KNOWING, parameters=draws)
    content = attacked(tmp_path, attacks=(attack,), defences=("none", Random()))
    assert levels(content).get("few-draws") == level


def test_tables_at_unequal_benign_accuracy(tmp_path):
    """A step of 1 keeps noise, and a step of 255 flattens it."""
    noise = np.random.default_rng(0).normal(128, 24, (4, 24, 24, 3))
    pictures = list(noise.clip(0, 255).astype(np.uint8))
    found = run(tmp_path, pictures=pictures, defences=("two-pass:1", "two-pass:255"))
    assert levels(found)["unequal"] == "warning"
    assert "two-pass:255 keeps 0.0%, two-pass:1 100.0%" in text(found, "unequal")


# ---- comparing image by image ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "losses"), [(8, 0), (7, 0), (11, 1), (10, 1), (20, 6), (0, 9), (5, 5)]
)
def test_stronger_is_the_sign_test(gains, losses):
    """Images that are right or wrong under both, and those not yet attacked, do not count."""
    both = [True] * 40 + [False] * 40
    one = np.array([False] * gains + [True] * losses + both + [False] * 50)
    other = np.array([True] * gains + [False] * losses + both + [True] * 50)
    done = np.arange(len(one)) < len(one) - 50
    trial = Trial(Lazy(), 1, Nothing(), (Nothing(),))
    p = binomtest(gains, gains + losses, alternative="greater").pvalue
    outcomes = [Outcome(trial, Nothing(), right, done) for right in (one, other)]
    assert stronger(*outcomes) == (p <= SURE)
    assert stronger(*outcomes[::-1]) == (losses > gains and losses >= 8)


def test_what_all_attacks_together_leave(tmp_path):
    """Two attacks of which each spares a half of the images leave none of them."""

    class Half(Lazy):
        def __init__(self, which: int) -> None:
            super().__init__(name=f"half-{which}", which=which)

        def perturb(self, target, images, labels, epsilon, seed):
            moved = find("pgd").perturb(target, images, labels, epsilon, seed)
            pairs = enumerate(zip(images, moved, strict=True))
            return [after if i % 2 == self.which else before for i, (before, after) in pairs]

    halves = [Half(0), Half(1)]
    for half in halves:
        half.needs = frozenset({"epsilon"})
    found = attacked(tmp_path, attacks=halves, epsilons=(64,))
    assert [c["correct"] for c in found["cells"] if c["epsilon"]] == [15, 15]
    (together,) = found["together"]
    assert together == {
        "defence": "none",
        "epsilon": 64,
        "attacks": ["half-0", "half-1"],
        "correct": 0,
        "n": 30,
        "accuracy": 0.0,
        "interval": together["interval"],
    }


def test_what_all_attacks_together_leave_is_no_more_than_noise_leaves(tmp_path):
    flat = [np.full((16, 16, 3), 60 + i, np.uint8) for i in range(4)]
    options = {"model": Rough(), "pictures": flat, "truth": [0] * 4, "epsilons": (16,)}
    found = run(tmp_path, attacks=(Lazy(), Certain()), **options)
    (together,) = found["together"]
    assert together["attacks"] == ["lazy", "noise"]
    assert together["correct"] == 0 < found["cells"][1]["correct"]
