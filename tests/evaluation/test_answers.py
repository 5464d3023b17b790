"""What models return, and what is said about those that cannot be evaluated."""

from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from pyfd.cli import cli
from pyfd.evaluation import attacks, evaluate, models
from pyfd.evaluation.attacks.base import scores
from pyfd.evaluation.models import Classifier, as_classifier, check, logits_of
from tests.evaluation.toys import GRID, OneWorker, Texture, images, labels_of, run, without_times

LOGITS = torch.arange(6.0).view(2, 3)
Named = namedtuple("Named", ["loss", "logits"])


class Model(nn.Module):
    """A linear model of three classes, whose logits are then changed."""

    def __init__(self, change=lambda logits: logits):
        super().__init__()
        self.change = change
        self.dropout = nn.Dropout()
        self.weight = nn.Parameter(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))

    def forward(self, images):
        return self.change(self.dropout(images).mean((2, 3)) @ self.weight)


IMAGE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


@pytest.mark.parametrize(
    "answer",
    [
        LOGITS,
        (LOGITS, torch.zeros(2, 5, 5)),
        [torch.zeros(()), torch.zeros(2, 7, 4, 4), LOGITS, torch.zeros(2, 9)],
        {"logits": LOGITS, "features": torch.zeros(2, 4)},
        SimpleNamespace(logits=LOGITS),
        Named(torch.zeros(2, 5), LOGITS),
        (None, LOGITS),
    ],
)
def test_forms_of_logits(answer):
    assert logits_of(answer, 2) is LOGITS
    model = as_classifier(Model(lambda _: answer))
    assert torch.equal(model(torch.zeros(2, 3, 8, 8)), LOGITS)
    assert as_classifier(model) is model


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64,) * 2],
)
def test_precision_of_logits(dtype, kept):
    """Attacks compute with NumPy, which has no bfloat16, and mix logits with float32."""
    assert logits_of(LOGITS.to(dtype), 2).dtype == kept
    model = as_classifier(Model(lambda logits: logits.to(dtype)), IMAGE)
    assert model(torch.zeros(2, 3, 8, 8)).dtype == kept
    raw = scores(Model(lambda logits: logits.to(dtype)).eval(), [IMAGE])
    np.testing.assert_allclose(raw, scores(Model().eval(), [IMAGE]), rtol=0.01)


def test_an_output_of_transformers():
    transformers = pytest.importorskip("transformers")
    output = transformers.modeling_outputs.ImageClassifierOutput(logits=LOGITS)
    assert logits_of(output, 2) is LOGITS
    assert logits_of(output.to_tuple(), 2) is LOGITS


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (LOGITS[0], "returned 3 numbers for 2 images"),
        (LOGITS.argmax(1), "returned 2 numbers for 2 images"),
        (LOGITS[:1], "returned 1×3 numbers for 2 images"),
        (LOGITS.long(), "returned 2×3 numbers of type int64"),
        (LOGITS.view(2, 3, 1, 1), "returned 2×3×1×1 numbers"),
        (LOGITS.sum(), r"returned no dimension \(one number\) numbers"),
        ({"out": LOGITS}, "returned a dict with the keys 'out'"),
        ({}, "returned a dict with the keys none"),
        ((LOGITS[:1], "x"), "returned a tuple of 2: a tensor of 1×3, an object of type str"),
        (LOGITS.numpy(), "returned an object of type ndarray"),
        (None, "returned an object of type NoneType"),
        (SimpleNamespace(scores=LOGITS), "returned an object of type SimpleNamespace"),
        (SimpleNamespace(logits=[1.0]), "returned an object of type SimpleNamespace"),
    ],
)
def test_other_answers_are_the_models_fault(answer, match):
    with pytest.raises(ValueError, match=f"^the model {match}.*it must return N×K"):
        logits_of(answer, 2)
    with pytest.raises(ValueError, match=f"^the model {match}"):
        check(Model(lambda _: answer), IMAGE, [0])


def test_what_is_no_module():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, not function"):
        as_classifier(lambda images: images)


def test_evaluation_mode_and_attributes():
    model = Model()
    model.input_size, model.class_names = 24, ("a", "b", "c")
    wrapped = as_classifier(model)
    assert not any(part.training for part in wrapped.modules())
    assert (wrapped.input_size, wrapped.class_names) == (24, ("a", "b", "c"))
    assert as_classifier(model, IMAGE) is model  # it gives a tensor
    pair = Model(lambda logits: (logits, logits))
    assert as_classifier(pair, IMAGE).module is pair
    classifier = Classifier(nn.Flatten(), 4, mean=[0, 0, 0])
    assert as_classifier(classifier) is classifier


# ---- the look at one image ---------------------------------------------------------


def test_a_good_model():
    assert check(Model(), IMAGE, [0, 2, 1], ["a", "b", "c"]) is None


def broken(_):
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda logits: logits * float("nan"), "are not finite.*image 0"),
        (lambda logits: logits / 0, "are not finite"),
        (lambda logits: logits[:, :1], r"returned 1 logit per image.*torch\.cat"),
        (lambda logits: logits[:, :2], "2 logits, which are for the classes 0 to 1.*class 2"),
        (broken, "failed on a batch of 2×3×16×24 floats.*RuntimeError: mat1.*resize them itself"),
    ],
)
def test_models_that_cannot_be_evaluated(change, match):
    with pytest.raises(ValueError, match=f"^the model .*{match}"):
        check(Model(change), IMAGE, [0, 2])


class Precise(nn.Module):
    """A network of another dtype, which may convert its input itself."""

    def __init__(self, dtype, converts=False):
        super().__init__()
        self.network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        self.network.to(dtype)
        self.dtype = dtype if converts else torch.float32

    def forward(self, batch):
        return self.network(batch.to(self.dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_dtype(dtype):
    name = str(dtype).removeprefix("torch.")
    said = f"Its parameters are {name}, but images are float32: use model.float\\(\\)$"
    with pytest.raises(ValueError, match=f"^the model failed.*{said}"):
        check(Precise(dtype), IMAGE, [0])
    assert check(Precise(dtype, converts=True), IMAGE, [0]) is None
    odd = nn.Sequential(Precise(dtype, converts=True), nn.Unflatten(1, (3, 1)))
    with pytest.raises(ValueError, match="It must take images of any size"):
        check(odd, IMAGE, [0])


def test_labels_and_names_that_do_not_fit():
    with pytest.raises(ValueError, match="there is a label -1"):
        check(Model(), IMAGE, [-1])
    with pytest.raises(ValueError, match="returned 3 logits, but there are 2 class names"):
        check(Model(), IMAGE, [0], ["a", "b"])


# ---- in an evaluation ---------------------------------------------------------------


class Answering(Texture):
    """`Texture`, whose answer has the form of some library."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, images):
        return self.form(super().forward(images))


@pytest.mark.parametrize("form", [lambda x: {"logits": x}, lambda x: SimpleNamespace(logits=x)])
def test_evaluate_takes_them(form, tmp_path):
    found = run(tmp_path / "a", model=models.as_classifier(Answering(form)))
    assert without_times(found) == without_times(run(tmp_path / "b"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_attack_takes_answers_in_half_precision(dtype, tmp_path):
    half = Answering(lambda x: x.to(dtype))
    attacks = ("fgsm", "pgd", "bpda", "noise", "apgd", "pgd-t", "transfer", GRID)
    options = {"surrogate": half, "attacks": attacks, "defences": ("none", "two-pass:16")}
    found = run(tmp_path, model=half, pictures=images(1), truth=[0], **options)
    assert found["finished"]
    assert {c["attack"] for c in found["cells"]} == {"benign", "grid", *attacks[:-1]}


def test_evaluate_says_what_is_wrong_with_a_model(tmp_path):
    pictures, wrong = images(2), Answering(lambda x: x.argmax(1))
    truth = labels_of(Texture(), pictures)
    with pytest.raises(ValueError, match=r"^the model returned 2 numbers for 2 images"):
        evaluate(wrong, pictures, truth, output=tmp_path)
    with pytest.raises(ValueError, match="of the surrogate: the model returned 2 numbers"):
        run(tmp_path, surrogate=wrong, attacks=("transfer",))
    with pytest.raises(ValueError, match="returned 2 logits, but there are 3 class names"):
        run(tmp_path, class_names=["a", "b", "c"])
    assert list(tmp_path.iterdir()) == []
    found = run(tmp_path, model=Answering(lambda x: x.softmax(1)))
    assert found["setting"]["model"] == "Answering"
    assert any("seems to return probabilities" in warning for warning in found["warnings"])


def test_load_takes_a_function_that_returns_such_a_model(tmp_path, monkeypatch):
    (tmp_path / "pyfd_test_answer.py").write_text(
        "from torch import nn\n"
        "class Model(nn.Module):\n"
        "    def forward(self, images):\n"
        "        return {'logits': images.mean((2, 3))}\n"
    )
    monkeypatch.chdir(tmp_path)
    model = models.load("pyfd_test_answer:Model")
    assert model(torch.ones(2, 3, 4, 4)).tolist() == [[1, 1, 1]] * 2


# ---- models that fail later than on the first image --------------------------------------


class Moody(Texture):
    """A model that does something else with a batch before it answers."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def forward(self, batch):
        found = self.act(batch)
        return super().forward(batch) if found is None else found


def darken(batch):
    batch -= 0.5


def stop(*_):
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (
            lambda x: x[:, :, :16] @ x if 32 in x.shape else None,
            "failed on a batch of 1×3×.*resize",
        ),
        (lambda x: torch.full((len(x), 2), torch.nan) if 32 in x.shape else None, "for image 1"),
        (lambda x: torch.zeros(len(x), 3) if 32 in x.shape else None, "2 logits .* 3 for image 1"),
        (lambda x: torch.zeros(2) if len(x) == 1 else None, "no dimension|2 numbers for 1 image"),
        (darken, "changes its input in place"),
        (lambda x: torch.eye(2).to_sparse() if len(x) == 2 else None, "not dense"),
        (stop, "SystemExit"),
    ],
)
def test_models_that_fail_on_some_images(act, match, tmp_path):
    with pytest.raises(ValueError, match=f"the model .*{match}"):
        evaluate(Moody(act), images(3), [0, 0, 0], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def refuse(batch):
    if batch.requires_grad:
        raise OSError("no gradients here")


def test_an_attack_that_fails_is_named(tmp_path):
    """Attacks that need no gradient run; others say what failed, and of whom."""
    assert run(tmp_path / "a", model=Moody(refuse), attacks=("noise",))["finished"]
    match = "the attack pgd, ε = 4 on 'none' failed: OSError: no gradients here"
    with pytest.raises(RuntimeError, match=match):
        run(tmp_path / "b", model=Moody(refuse))


class Overflowing(Texture):
    """A model that answers with something else to images that are rougher than most."""

    def __init__(self, value: float, classes: int = 2) -> None:
        super().__init__()
        self.value, self.classes = value, classes

    def forward(self, batch):
        logits = super().forward(batch)
        other = logits.clone()
        other[:, : self.classes] = self.value
        rough = (batch[..., 1:] - batch[..., :-1]).abs().mean((1, 2, 3)) > 0.02
        return torch.where(rough[:, None], other, logits)


def smooth() -> dict:
    columns = (np.indices((16, 16, 3))[1] % 2).astype(np.uint8)
    pictures = [90 + i + columns for i in range(3)]
    return {"pictures": pictures, "truth": [0, 0, 0], "epsilons": (16,)}


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    ("attack", "defence"),
    [
        *((name, "none") for name in ("fgsm", "pgd", "pgd-t", "apgd-ce", "autoattack", "noise")),
        *((name, "none") for name in ("square", "deepfool", "hopskipjump", "transfer")),
        *((name, "one-pass:2") for name in ("bpda", "bpda-apgd-t", "grid", "square-whole")),
    ],
)
def test_answers_under_attack_that_are_not_finite(value, attack, defence, tmp_path):
    """They are no class: an argmax would make the first one of them."""
    model = Overflowing(value)
    options = {**smooth(), "attacks": (GRID if attack == "grid" else attack,)}
    options |= {"surrogate": model} if attack == "transfer" else {}
    who = "a surrogate" if attack == "transfer" else "the model"
    match = f"^{who} returned logits that are not finite .* for (image|what .* made of image)"
    with pytest.raises(ValueError, match=match):
        run(tmp_path, model=model, defences=(defence,), **options)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_attack_is_named_where_the_answer_is_one_that_it_asked_for(workers, tmp_path):
    """The message is whole when it comes from another process, too."""
    match = "for what pgd, ε = 16 made of images \\[0, 1, 2\\]: are its weights whole, and"
    with pytest.raises(ValueError, match=f"^the model returned .{{30,60}} {match}"):
        run(
            tmp_path,
            model=Overflowing(torch.nan),
            defences=("none",),
            workers=workers,
            **{**smooth(), "attacks": ("pgd",)},
        )


class Rougher(attacks.Attack):
    """An attack that asks nothing."""

    name = "rougher"

    def perturb(self, target, images, labels, epsilon, seed):  # noqa: ARG002
        return [image + 16 * (np.indices(image.shape)[1] % 2).astype(np.uint8) for image in images]


def test_the_image_the_defence_and_the_attack_are_named(tmp_path):
    options = {**smooth(), "attacks": (Rougher(),), "defences": ("none", "bits:7")}
    with pytest.raises(ValueError, match="for image 0 behind 'none' under rougher, ε = 16: "):
        run(tmp_path, model=Overflowing(torch.nan), **options)
    benign = {**smooth(), "attacks": (), "defences": ("one-pass:200",)}
    noise = np.random.default_rng(0).integers(128, 130, (16, 16, 3), dtype=np.uint8)

    class Gray(Texture):
        def forward(self, batch):
            logits = super().forward(batch)
            even = (batch - batch.mean((1, 2, 3), keepdim=True)).abs().amax((1, 2, 3)) < 1e-4
            return torch.where(even[:, None], torch.nan, logits)

    with pytest.raises(ValueError, match="for image 0 behind 'one-pass:200': "):
        run(tmp_path / "2", model=Gray(), **{**benign, "pictures": [noise], "truth": [0]})


def test_a_class_that_is_out_of_the_question_is_an_answer(tmp_path):
    options = {**smooth(), "attacks": (Rougher(),)}
    found = run(tmp_path, model=Overflowing(-torch.inf, 1), **options)
    assert found["cells"][-1]["correct"] == 0


def test_gradients_that_are_not_finite_make_no_image(tmp_path):
    """DeepFool's would be NaN, and black."""

    class Rooted(Texture):
        def forward(self, batch):
            return super().forward(batch) + (0 * batch.mean((1, 2, 3))).sqrt()[:, None]

    found = run(tmp_path, model=Rooted(), attacks=("deepfool",), **smooth())
    assert found["cells"][-1]["correct"] == 3
    assert found["cells"][-1]["l2"] == 0


def impatient() -> nn.Module:
    """Return a model whose code ends the process, for the command."""
    raise SystemExit(0)


def refuse_at_length(batch):
    if batch.requires_grad:
        raise OSError("no gradients\n\n    here")


def talkative() -> nn.Module:
    """Return a model whose error has several lines, for the command."""
    return Moody(refuse_at_length)


def gradientless() -> nn.Module:
    """Return a model that attacks with gradients cannot attack, for the command."""
    return Moody(refuse)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("impatient", 'pyfd: {0}: no model from "{0}": SystemExit: 0'),
        (
            "gradientless",
            "Error: the attack grid, ε = 4 on 'two-pass:16' failed: OSError: no gradients",
        ),
        (
            "talkative",
            "Error: the attack grid, ε = 4 on 'two-pass:16' failed: OSError: no gradients here\n",
        ),
    ],
)
def test_the_command_blames_the_model(model, said, tmp_path, monkeypatch):
    """From a worker too, which needs no ART for this attack."""
    monkeypatch.setattr("pyfd.evaluation.processes.ProcessPoolExecutor", OneWorker)
    pictures, path = images(1), tmp_path / "x.npz"
    np.savez(path, images=np.stack(pictures), labels=np.array(labels_of(Texture(), pictures)))
    name = f"{__name__}:{model}"
    arguments = ["evaluate", "-m", name, "--images", str(path), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(
        cli, [*arguments, "-a", "grid", "-e", "4", "-d", "two-pass:16", "--workers", "2"]
    )
    assert done.exit_code == 1
    assert said.format(name) in done.stderr
