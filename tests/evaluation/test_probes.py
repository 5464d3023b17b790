"""What a model and defences show before any attack: their draws, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.evaluation.oracles import (
    Known,
    Lazy,
    Nothing,
    Random,
    Seeded,
    attacked,
    known_images,
    levels,
    text,
)
from tests.evaluation.toys import GRID

pytestmark = pytest.mark.usefixtures("undrawn")

# ---- the model --------------------------------------------------------------------------


def test_training_mode_changes_nothing(tmp_path):
    """`evaluate` puts the model into evaluation mode."""

    class Dropping(Known):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout(0.5)

        def forward(self, batch):
            return self.dropout(super().forward(batch))

    model = Dropping().train()
    assert levels(attacked(tmp_path, attacks=(), model=model)) == {"base-set": "warning"}


class Trembling(Known):
    def forward(self, batch):
        return super().forward(batch) + torch.rand(len(batch), 5)


class Comparing(Known):
    """A model that adapts to the batch."""

    def forward(self, batch):
        logits = super().forward(batch)
        return logits + 0.5 * (logits - logits.mean(0))


@pytest.mark.parametrize(("model", "check"), [(Trembling, "random-model"), (Comparing, "batch")])
def test_answers_that_are_not_the_images_alone(tmp_path, model, check):
    assert levels(attacked(tmp_path, attacks=(), model=model()))[check] == "error"


class Sure(Known):
    def forward(self, batch):
        return super().forward(batch).softmax(1)


def test_probabilities(tmp_path):
    assert levels(attacked(tmp_path, attacks=(), model=Sure()))["probabilities"] == "warning"


class Global(Nothing):
    """A defence that draws where nobody can repeat it."""

    random = True

    def defend(self, image, rng):  # noqa: ARG002
        return image + torch.randint(0, 2, image.shape).numpy().astype(np.uint8)


@pytest.mark.parametrize(("kind", "said"), [(Seeded, "depends on the seed"), (Global, "same")])
def test_draws_that_a_defence_hides(tmp_path, kind, said):
    content = attacked(tmp_path, attacks=(), defences=(kind(),))
    assert levels(content)["hidden-draws"] == "error"
    assert said in text(content, "hidden-draws")


def test_draws_that_a_defence_admits(tmp_path):
    assert "hidden-draws" not in levels(attacked(tmp_path, attacks=(), defences=(Random(),)))


def test_probes_leave_the_generators_alone(tmp_path):
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(()), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    attacked(tmp_path, attacks=(), model=Trembling(), defences=(Global(),))
    assert np.random.rand() == expected[1]


# ---- gradients --------------------------------------------------------------------------


class Saturated(Known):
    """Logits that are so large that the loss is flat."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = 1e4


class Quantized(Known):
    def forward(self, batch):
        return super().forward((batch * 255).round() / 255)


class Broken(Known):
    """The gradient of the root is infinite at 0, times 0."""

    def forward(self, batch):
        return super().forward(batch) + (0 * batch.mean((1, 2, 3))).sqrt()[:, None]


class Detached(Known):
    def forward(self, batch):
        return super().forward(batch.detach()).detach()


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (Saturated, "are zero:"),
        (Quantized, "are zero:"),
        (Broken, "are not finite:"),
        (Detached, "are zero:"),
    ],
)
def test_gradients_that_vanish(tmp_path, model, kind):
    content = attacked(tmp_path, attacks=(Lazy(),), model=model())
    assert levels(content)["gradients"] == levels(content)["powerless"] == "error"
    assert f"Gradients through the undefended model {kind}" in text(content, "gradients")


@pytest.mark.parametrize("kind", [Saturated, Quantized, Broken, Detached])
def test_gradients_of_surrogates(tmp_path, kind):
    """Nobody relies on a transfer that fails, but whoever reads of it should know why."""
    options = {"attacks": ("pgd", "transfer"), "surrogate": [Known(), kind()]}
    content = attacked(tmp_path / "1", **options)
    assert levels(content)["gradients"] == "warning"
    assert text(content, "gradients").startswith("Gradients through surrogate 2 are ")
    assert text(content, "gradients").endswith(": transfer gains nothing by it.")
    alone = attacked(tmp_path / "2", **{**options, "surrogate": kind()})
    assert text(alone, "gradients").startswith("Gradients through the surrogate are ")
    assert "gradients" not in levels(attacked(tmp_path / "3", **{**options, "surrogate": Known()}))


class Partly(Known):
    """A model that gives no gradient for images whose first sample is at most a level."""

    def __init__(self, dark: int) -> None:
        super().__init__()
        self.dark = dark

    def forward(self, batch):
        bright = (batch[:, :1, :1, :1] * 255 > self.dark).float()
        return super().forward(bright * batch + (1 - bright) * batch.detach())


def test_gradients_that_vanish_for_some_images(tmp_path):
    firsts = sorted(image[0, 0, 0] for image in known_images(20)[0])
    for count, level in ((1, "warning"), (2, "error"), (7, "error")):
        content = attacked(
            tmp_path / f"{count}", attacks=("fgsm",), model=Partly(firsts[count - 1])
        )
        assert levels(content)["gradients"] == level
        assert f"zero for {count / 20:.0%} of images" in text(content, "gradients")


class Shattered(Nothing):
    """A defence whose stand-in has no gradient."""

    name = "shattered"

    def module(self):
        return Rounding()


class Rounding(nn.Module):
    def forward(self, batch):
        return (batch * 255).round() / 255


def test_gradients_through_a_defence(tmp_path):
    options = {"defences": ("none", Shattered()), "attacks": ("bpda", "pgd")}
    content = attacked(tmp_path / "1", **options)
    assert levels(content)["gradients"] == "error"
    assert text(content, "gradients").startswith("Gradients through shattered are zero:")
    # Where the defence has fallen to another attack, nobody relies on this one
    content = attacked(tmp_path / "2", epsilons=(64,), **options)
    assert levels(content)["gradients"] == "warning"


@pytest.mark.parametrize(
    ("model", "attacks", "found"),
    [
        (Quantized, (GRID,), True),
        (Detached, (GRID,), True),
        (Known, (GRID,), False),
        (Saturated, (GRID,), False),
        (Saturated, (GRID, "bpda"), True),
        (Saturated, ("bpda", GRID), True),
    ],
)
def test_gradients_that_an_attack_on_tables_follows(tmp_path, model, attacks, found):
    """It lowers the margin, which has a gradient where only the cross-entropy is flat."""
    content = attacked(
        tmp_path, 20, model=model(), attacks=attacks, defences=("one-pass:2",), epsilons=(1,)
    )
    assert (levels(content).get("gradients") == "error") == found
    if found:
        said = text(content, "gradients")
        assert said.startswith("Gradients through one-pass:2 are zero: attacks that follow them")
