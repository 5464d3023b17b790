"""pyfd.art inside ART: the codec's pixels, and gradients that attacks can follow."""

import copy
import pickle
import sys

import numpy as np
import pytest
import torch
from art.attacks.evasion import (
    FastGradientMethod,
    HopSkipJump,
    ProjectedGradientDescent,
    ProjectedGradientDescentPyTorch,
)
from art.defences.preprocessor.preprocessor import PreprocessorPyTorch
from art.estimators.classification import BlackBoxClassifierNeuralNetwork, PyTorchClassifier
from art.preprocessing.standardisation_mean_std.numpy import StandardisationMeanStd
from torch import nn

import pyfd
from pyfd.art import FeatureDistillation
from tests.jpegs import picture

TABLES = pyfd.QTables.preset("fd-cvpr2019")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
SIZE = 16
EPS = 8 / 255
LABELS = np.array([0, 1, 2, 3])


def pictures(count: int = 4, height: int = SIZE, width: int = SIZE, channels: int = 3):
    images = [picture(width, height, seed, channels) for seed in range(count)]
    return np.stack(images).reshape(count, height, width, channels)


def by_codec(images: np.ndarray, tables=TABLES, subsampling="4:4:4") -> np.ndarray:
    defended = []
    for image in images.squeeze(3) if images.shape[3] == 1 else images:
        data = pyfd.encode(image, tables, subsampling=subsampling, baseline=False)
        defended.append(pyfd.decode(data, tables, mode="L" if image.ndim == 2 else "RGB"))
    return np.stack(defended).reshape(images.shape)


def as_input(images: np.ndarray, clip=(0.0, 1.0), channels_first=True) -> np.ndarray:
    values = (images / 255 * (clip[1] - clip[0]) + clip[0]).astype(np.float32)
    return np.moveaxis(values, 3, 1) if channels_first else values


class Network(nn.Module):
    """A small smooth network that weights every pixel differently."""

    def __init__(self, channels_first: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.channels_first = channels_first
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(8 * SIZE * SIZE, 4)
        )

    def forward(self, x):
        return self.layers(x if self.channels_first else x.movedim(3, 1))


def classifier(*defences, channels_first: bool = True, **options) -> PyTorchClassifier:
    model = Network(channels_first)
    return PyTorchClassifier(
        model,
        nn.CrossEntropyLoss(),
        input_shape=(3, SIZE, SIZE) if channels_first else (SIZE, SIZE, 3),
        nb_classes=4,
        optimizer=torch.optim.SGD(model.parameters(), 0.01),
        clip_values=(0.0, 1.0),
        channels_first=channels_first,
        device_type="cpu",
        preprocessing_defences=list(defences) or None,
        **options,
    )


def ours(**options) -> FeatureDistillation:
    options = {"clip_values": (0.0, 1.0), "channels_first": True, **options}
    return FeatureDistillation(TABLES, **options)


# ---- pixels --------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("clip", [(0.0, 1.0), (0, 255), (-1, 1), (-2.5, 7.1)])
def test_gives_the_codecs_levels(clip, channels_first, device):
    images = pictures(3, 17, 22)
    defence = FeatureDistillation("fd-cvpr2019", clip_values=clip, channels_first=channels_first)
    x = as_input(images, clip, channels_first)
    expected = as_input(by_codec(images), clip, channels_first)
    labels = np.arange(3)
    found, same = defence(x, labels)
    assert found.dtype == np.float32
    assert same is labels
    # Equal up to float32's rounding, a thousandth of a level at most
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * (clip[1] - clip[0]) / 255)
    tensor, same = defence.forward(torch.tensor(x, device=device), labels)
    assert same is labels
    assert tensor.device.type == device
    np.testing.assert_array_equal(tensor.cpu().numpy(), found)


def test_whole_levels_stay_whole():
    images = pictures()
    found, _ = ours(clip_values=(0, 255))(as_input(images, (0, 255)))
    np.testing.assert_array_equal(found, np.moveaxis(by_codec(images), 3, 1))


def test_integers_become_floats():
    images = np.moveaxis(pictures(), 3, 1)
    found, _ = ours(clip_values=(0, 255))(images)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, ours(clip_values=(0, 255))(images.astype(np.float32))[0])


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:0"])
def test_subsampling(subsampling):
    images = pictures(2, 19, 30)
    found, _ = ours(subsampling=subsampling)(as_input(images))
    expected = as_input(by_codec(images, TABLES, subsampling))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_grayscale(subsampling, channels_first):
    images = pictures(3, 17, 22, channels=1)
    tables = pyfd.QTables([np.full((8, 8), 33), np.full((8, 8), 250)])
    defence = FeatureDistillation(
        tables, clip_values=(0, 1), channels_first=channels_first, subsampling=subsampling
    )
    found, _ = defence(as_input(images, (0, 1), channels_first))
    expected = as_input(by_codec(images, tables), (0, 1), channels_first)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_clip_values_per_channel():
    """The inputs are normalized already."""
    mean, std = (np.array(v).reshape(3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25)))
    clip = ((0 - mean) / std, (1 - mean) / std)
    images = pictures()
    found, _ = ours(clip_values=clip)(((as_input(images) - mean) / std).astype(np.float32))
    np.testing.assert_allclose(found, (as_input(by_codec(images)) - mean) / std, atol=1e-5)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("clip", [(0, 1), (-2.5, 7.1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_do_not_depend_on_the_gradient(channels, clip, subsampling):
    """The codec and its twin agree on values between levels and slightly outside them."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-0.49 / 255, 255.49 / 255, (20, channels, 9, 21))
    x = torch.tensor(values * (clip[1] - clip[0]) + clip[0], dtype=torch.float32)
    defence = ours(clip_values=clip, subsampling=subsampling)
    moving, _ = defence.forward(x.clone().requires_grad_())
    assert torch.equal(defence.forward(x)[0], moving.detach())


def test_large_batches_are_as_small_ones():
    x = as_input(pictures(37))
    found, _ = ours()(x)
    np.testing.assert_array_equal(found[36:], ours()(x[36:])[0])
    np.testing.assert_array_equal(found[:1], ours()(x[:1])[0])


# ---- gradients ----------------------------------------------------------------


@pytest.mark.parametrize("clip", [(0.0, 1.0), (0, 255)])
@pytest.mark.parametrize(("channels_first", "channels"), [(True, 3), (False, 3), (True, 1)])
def test_forward_is_straight_through(clip, channels_first, channels):
    images = pictures(20, channels=channels)
    x = torch.tensor(as_input(images, clip, channels_first), requires_grad=True)
    defence = ours(clip_values=clip, channels_first=channels_first)
    weights = torch.randn_like(x)
    (defence.forward(x)[0] * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)
    estimate = defence.estimate_gradient(x.detach().numpy(), weights.numpy())
    np.testing.assert_allclose(estimate, weights, rtol=1e-5)


class Trap(PreprocessorPyTorch):
    """A defence that rounds, and is differentiable in `estimate_forward` only, like ART's own."""

    def forward(self, x, y=None):
        return torch.round(x * 10) / 10, y

    def estimate_forward(self, x, y=None):  # noqa: ARG002
        return x


ATTACKS = {
    "fgm": lambda estimator: FastGradientMethod(estimator, eps=EPS),
    "pgd": lambda estimator: ProjectedGradientDescent(
        estimator, eps=EPS, eps_step=EPS / 2, max_iter=4, verbose=False
    ),
    "pgd-pytorch": lambda estimator: ProjectedGradientDescentPyTorch(
        estimator, eps=EPS, eps_step=EPS / 2, max_iter=4, verbose=False
    ),
}


def cross_entropy(estimator, x: np.ndarray) -> np.ndarray:
    return estimator.compute_loss(x, np.eye(4)[LABELS], reduction="none")


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("channels_first", [True, False])
def test_attacks_move_the_input(attack, channels_first):
    estimator = classifier(ours(channels_first=channels_first), channels_first=channels_first)
    x = as_input(pictures(), channels_first=channels_first)
    moved = ATTACKS[attack](estimator).generate(x, np.eye(4)[LABELS])
    change = np.abs(moved - x)
    assert change.max() == pytest.approx(EPS, rel=1e-3)
    assert (change > 0).mean() > 0.9
    assert (cross_entropy(estimator, moved) > cross_entropy(estimator, x)).all()


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_on_a_defence_that_only_rounds_stand_still(attack):
    """ART differentiates `forward`, so attacks find no gradient, and the defence looks robust."""
    estimator = classifier(Trap(device_type="cpu"))
    x = as_input(pictures())
    np.testing.assert_array_equal(ATTACKS[attack](estimator).generate(x, np.eye(4)[LABELS]), x)


@pytest.mark.parametrize("preprocessing", [None, (np.float32(0.4), np.float32(0.3))])
def test_a_classifier_sees_the_defended_images(preprocessing):
    options = {} if preprocessing is None else {"preprocessing": preprocessing}
    images = pictures()
    expected = classifier(**options).predict(as_input(by_codec(images)))
    found = classifier(ours(), **options).predict(as_input(images))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - classifier(**options).predict(as_input(images))).max() > 1e-3


def test_gradients_are_those_at_the_defended_images():
    images, labels = pictures(), np.eye(4)[LABELS]
    expected = classifier().loss_gradient(as_input(by_codec(images)), labels)
    found = classifier(ours()).loss_gradient(as_input(images), labels)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)


def test_gradients_beside_preprocessing_in_numpy():
    """Then ART calls the defence with arrays, and uses `estimate_gradient`."""
    x, labels = as_input(pictures()), np.eye(4)[LABELS]
    expected = classifier(ours(), preprocessing=(0.4, 0.3)).loss_gradient(x, labels)
    standardisation = StandardisationMeanStd(0.4, 0.3)
    found = classifier(ours(), preprocessing=standardisation).loss_gradient(x, labels)
    assert not isinstance(standardisation, PreprocessorPyTorch)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)


def test_training_meets_the_defence_if_asked():
    x, y = as_input(pictures()), np.eye(4)[LABELS]
    weights = []
    for apply_fit in (False, True):
        estimator = classifier(ours(apply_fit=apply_fit))
        estimator.fit(x, y, batch_size=4, nb_epochs=1)
        weights.append(estimator.model.layers[3].weight.detach().numpy().copy())
    assert not np.allclose(*weights, atol=1e-6)


def test_a_black_box_attack():
    network = Network()

    def predict(x):
        with torch.no_grad():
            return network(torch.tensor(x)).softmax(1).numpy()

    estimator = BlackBoxClassifierNeuralNetwork(
        predict,
        input_shape=(3, SIZE, SIZE),
        nb_classes=4,
        clip_values=(0.0, 1.0),
        preprocessing_defences=ours(),
    )
    images = pictures(2)
    x = as_input(images)
    np.testing.assert_allclose(estimator.predict(x), predict(as_input(by_codec(images))), atol=1e-6)
    np.random.seed(0)
    attack = HopSkipJump(estimator, max_iter=2, max_eval=20, init_eval=5, verbose=False)
    moved = attack.generate(x)
    before, after = (estimator.predict(v).argmax(1) for v in (x, moved))
    assert (before != after).all()


# ---- as a preprocessor --------------------------------------------------------


def test_set_params():
    defence, x = ours(), as_input(pictures())
    defence.set_params(qtables="fd-2018", subsampling="4:2:0")
    fresh = FeatureDistillation(
        "fd-2018", clip_values=(0.0, 1.0), channels_first=True, subsampling="4:2:0"
    )
    np.testing.assert_array_equal(defence(x)[0], fresh(x)[0])
    with pytest.raises(ValueError, match="clip_values"):
        defence.set_params(clip_values=(1, 0))


def test_flags():
    assert (ours().apply_fit, ours().apply_predict, ours().is_fitted) == (False, True, True)
    assert ours(apply_fit=True, apply_predict=False).apply_fit
    assert "fd-cvpr2019" in repr(ours())


def test_is_copied_and_pickled():
    x = as_input(pictures())
    for other in (copy.deepcopy(ours()), pickle.loads(pickle.dumps(ours()))):
        np.testing.assert_array_equal(other(x)[0], ours()(x)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_values": (1.0, 0.0)}, "min >= max"),
        ({"clip_values": (0.0, 0.0)}, "min >= max"),
        ({"clip_values": (0.0, float("nan"))}, "min >= max"),
        ({"clip_values": (0.0,)}, "pair"),
        ({"clip_values": None}, "pair"),
        ({"clip_values": ("a", "b")}, "pair"),
        ({"channels_first": 1}, "channels_first"),
        ({"qtables": "fd"}, "fd"),
        ({"qtables": pyfd.QTables.uniform(8192)}, "8191"),
        ({"subsampling": "4:1:1"}, "subsampling"),
    ],
)
def test_bad_options_are_refused(options, message):
    options = {"qtables": TABLES, "clip_values": (0, 1), **options}
    with pytest.raises(ValueError, match=message):
        FeatureDistillation(**options)


@pytest.mark.parametrize(
    ("x", "channels_first", "message"),
    [
        (np.zeros((2, 8, 8, 3)), True, "N×3×H×W or N×1×H×W with channels_first=True, not 2×8×8×3"),
        (np.zeros((2, 3, 8, 8)), False, "N×H×W×3"),
        (np.zeros((3, 8, 8)), True, "not 3×8×8"),
        (np.zeros((1, 3, 2, 8, 8)), True, "not 1×3×2×8×8"),
        (np.zeros((0, 3, 8, 8)), True, "empty"),
        (np.zeros((2, 5, 8, 8)), True, "not 2×5×8×8; a JPEG file has no other channels"),
        (np.zeros((2, 8, 8, 5)), False, "groups of them, each on its own"),
        (np.full((1, 3, 8, 8), np.nan), True, "finite"),
        (np.full((1, 3, 8, 8), np.inf), True, "finite"),
    ],
)
def test_bad_images_are_refused(x, channels_first, message):
    with pytest.raises(ValueError, match=message):
        ours(channels_first=channels_first)(x)


@pytest.mark.parametrize(
    ("module", "name"), [("art", "adversarial-robustness-toolbox"), ("torch", "torch")]
)
def test_a_missing_library_names_the_extra(monkeypatch, module, name):
    for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == "art"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "pyfd.art")
    with pytest.raises(ImportError, match=rf"{name} is missing: pip install 'pyfd-jpeg\[art\]'"):
        import pyfd.art  # noqa: F401
