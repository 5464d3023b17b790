"""ART's attacks on a classifier behind pyfd.art: each runs, and moves what it can."""

import numpy as np
import pytest
import torch
from art.attacks import evasion
from art.estimators.classification import PyTorchClassifier
from torch import nn

from pyfd.art import FeatureDistillation

SIZE = 8
EPS = {"eps": 0.03, "eps_step": 0.01, "max_iter": 2}
QUIET = {"verbose": False}
FOUR = {"batch_size": 4}
INNER = {"max_iter": 2, "verbose": False}
#: The attacks that follow gradients, and their parameters.
GRADIENTS = {
    "AutoConjugateGradient": EPS | QUIET,
    "AutoProjectedGradientDescent": EPS | QUIET,
    "BasicIterativeMethod": EPS | QUIET,
    "DeepFool": {"max_iter": 3, "epsilon": 0.1} | FOUR | QUIET,
    "FastGradientMethod": {"eps": 0.03},
    "MomentumIterativeMethod": EPS | QUIET,
    "NewtonFool": {"max_iter": 3} | FOUR | QUIET,
    "ProjectedGradientDescent": EPS | QUIET,
    "ProjectedGradientDescentNumpy": EPS | QUIET,
    "ProjectedGradientDescentPyTorch": EPS | QUIET,
    "RescalingAutoConjugateGradient": EPS | QUIET,
    "ShadowAttack": {"nb_steps": 2, "batch_size": 1} | QUIET,
    "Wasserstein": {
        "max_iter": 2,
        "conjugate_sinkhorn_max_iter": 3,
        "projected_sinkhorn_max_iter": 3,
    }
    | QUIET,
}
#: The attacks that return the images where they find nothing, and those that try pixels.
OTHERS = {
    "BoundaryAttack": {"targeted": False, "max_iter": 1, "num_trial": 2} | QUIET,
    "CarliniL0Method": {"binary_search_steps": 1, "max_iter": 1} | FOUR | QUIET,
    "CarliniL2Method": {"binary_search_steps": 1, "max_iter": 2} | FOUR | QUIET,
    "CarliniLInfMethod": {"max_iter": 2, "largest_const": 1e-4} | FOUR | QUIET,
    "ElasticNet": {"binary_search_steps": 1, "max_iter": 2} | FOUR | QUIET,
    "HopSkipJump": {"max_iter": 1, "max_eval": 10, "init_eval": 5} | QUIET,
    "PixelAttack": {"th": 4, "max_iter": 1},
    "SaliencyMapMethod": {"gamma": 0.01} | FOUR | QUIET,
    "SimBA": {"max_iter": 3, "freq_dim": 2} | QUIET,
    "SpatialTransformation": {"max_translation": 10, "num_translations": 2} | QUIET,
    "SquareAttack": {"eps": 0.05, "max_iter": 3} | QUIET,
    "UniversalPerturbation": {"max_iter": 1, "eps": 0.1, "attacker_params": INNER} | QUIET,
    "VirtualAdversarialMethod": {"max_iter": 1} | FOUR | QUIET,
    "ZooAttack": {"max_iter": 1, "use_resize": False, "use_importance": False, "nb_parallel": 4}
    | QUIET,
}
PROBABILITIES = {"SimBA", "VirtualAdversarialMethod"}

# Where an attack leaves the range on its way, the defence clips, and says so
pytestmark = [
    pytest.mark.filterwarnings("ignore:x has values outside of clip_values"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning:art.attacks.evasion.wasserstein"),
]


def images(channels: int = 3, high: float = 1.0) -> np.ndarray:
    """Return images with black and white parts, from which an attack leaves the range."""
    rng = np.random.default_rng(0)
    blocks = rng.uniform(-0.3, 1.3, (4, channels, 2, 2)).repeat(4, 2).repeat(4, 3)
    return (np.clip(blocks, 0, 1) * high).astype(np.float32)


def classifier(name: str = "", channels: int = 3, high: float = 1.0, **options):
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(channels * SIZE * SIZE, 4)]
    if name in PROBABILITIES:
        layers.append(nn.Softmax(1))
    defence = FeatureDistillation("fd-cvpr2019", clip_values=(0, high), channels_first=True)
    return PyTorchClassifier(
        nn.Sequential(*layers),
        nn.CrossEntropyLoss(),
        input_shape=(channels, SIZE, SIZE),
        nb_classes=4,
        clip_values=(0.0, high),
        device_type="cpu",
        preprocessing_defences=[defence],
        **options,
    )


def attacked(name: str, estimator, x: np.ndarray, **parameters) -> np.ndarray:
    np.random.seed(0)
    torch.manual_seed(0)
    labels = np.eye(4)[estimator.predict(x).argmax(1)]
    attack = getattr(evasion, name)(estimator, **parameters)
    if name != "ShadowAttack":  # it takes one image
        return attack.generate(x, labels)
    one_by_one = [attack.generate(x[i : i + 1], labels[i : i + 1]) for i in range(len(x))]
    return np.concatenate(one_by_one)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", GRADIENTS)
def test_attacks_along_gradients_move_the_input(name, channels):
    x = images(channels)
    moved = attacked(name, classifier(name, channels), x, **GRADIENTS[name])
    assert moved.shape == x.shape
    assert np.isfinite(moved).all()
    assert np.abs(moved - x).max() > 1e-3


@pytest.mark.parametrize("name", OTHERS)
def test_other_attacks_run(name):
    x = images()
    moved = attacked(name, classifier(name), x, **OTHERS[name])
    assert moved.shape == x.shape
    assert np.isfinite(moved).all()


@pytest.mark.parametrize("attacker", ["deepfool", "newtonfool"])
@pytest.mark.parametrize("high", [1.0, 255.0])
def test_universal_perturbation(attacker, high):
    parameters = {"attacker": attacker, "attacker_params": INNER, "max_iter": 2, "delta": 0.0}
    x = images(high=high)
    moved = attacked(
        "UniversalPerturbation", classifier(high=high), x, eps=0.3 * high, **parameters, **QUIET
    )
    assert moved.shape == x.shape
    assert moved.min() >= 0
    assert moved.max() <= high


@pytest.mark.parametrize("name", ["NewtonFool", "ProjectedGradientDescent", "DeepFool"])
def test_arrays_of_float64(name):
    """They are what numpy makes, and ART passes them on as they are."""
    x = images().astype(np.float64)
    moved = attacked(name, classifier(name), x, **GRADIENTS[name])
    assert np.abs(moved - x).max() > 1e-3


def test_differences_below_a_level_find_nothing_and_larger_ones_do():
    x = images()
    moves = []
    for difference in (1e-6, 0.5):
        options = {"max_iter": 1, "finite_diff": difference, "eps": 0.1} | FOUR | QUIET
        moved = attacked(
            "VirtualAdversarialMethod", classifier("VirtualAdversarialMethod"), x, **options
        )
        moves.append(np.abs(moved - x).max())
    assert moves[0] == 0
    assert moves[1] > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_values_beyond_the_range_are_clipped_with_the_identitys_gradient(channels):
    defence = FeatureDistillation("fd-cvpr2019", clip_values=(-1, 1), channels_first=True)
    x = torch.randn(20, channels, 9, 9, requires_grad=True)
    with pytest.warns(UserWarning, match=r"x has values outside of clip_values, \(-1, 1\)"):
        found, _ = defence.forward(x)
    assert torch.equal(found, defence.forward(x.detach().clamp(-1, 1))[0])
    weights = torch.randn_like(x)
    (found * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)
