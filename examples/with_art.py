"""Run ART's PGD on a classifier with and without the defence, at two strengths.

One attacker does not know the defence; the gradients of the other go through it.

Run it: python examples/with_art.py
"""

import numpy as np
import torch
from art.attacks.evasion import ProjectedGradientDescentPyTorch
from art.estimators.classification import PyTorchClassifier
from torch import nn

import pyfd
from pyfd.art import FeatureDistillation

SIZE = 32
TABLES = pyfd.QTables.uniform(40)


def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw waves, stronger across (class 0) or down (class 1).

    Returns the images, N×3×H×W in 0...1, and their labels.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    one, other = np.sin(0.4 * np.arange(SIZE) + rng.uniform(0, 7, (2, count, 1)))
    across = np.where(labels, 8, 12)[:, None, None] * one[:, None, :]
    down = np.where(labels, 12, 8)[:, None, None] * other[:, :, None]
    images = (across + down)[:, None] + rng.uniform(80, 170, (count, 3, 1, 1))
    return (images.round() / 255).astype(np.float32), labels


class Waves(nn.Module):
    """A classifier that compares how much neighbors differ in the two directions."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        across, down = ((images.diff(dim=axis) * 255) ** 2 for axis in (3, 2))
        return torch.stack([across.mean((1, 2, 3)), down.mean((1, 2, 3))], 1) / 10


def classifier(*defences: FeatureDistillation) -> PyTorchClassifier:
    return PyTorchClassifier(
        Waves(),
        nn.CrossEntropyLoss(),
        input_shape=(3, SIZE, SIZE),
        nb_classes=2,
        clip_values=(0.0, 1.0),
        preprocessing_defences=list(defences),
    )


def main() -> None:
    defence = FeatureDistillation(TABLES, clip_values=(0.0, 1.0), channels_first=True)
    plain, defended = classifier(), classifier(defence)
    np.random.seed(0)  # ART's attacks draw their starting points from NumPy's global generator
    images, labels = draw(20)
    images, _ = defence(images)  # the first pass: the camera writes with these tables

    def report(attack: str, attacked: np.ndarray) -> None:
        right = [(c.predict(attacked).argmax(1) == labels).mean() for c in (plain, defended)]
        print(f"{attack:34} {right[0]:6.0%} {right[1]:9.0%}")

    print(f"{'right answers':34} {'plain':>6} {'defended':>9}")
    report("no attack", images)
    for levels in (2, 10):  # a step of 40 withstands 40 / 16 = 2.5 levels
        for through, name in ((plain, "PGD"), (defended, "PGD through the defence")):
            eps = levels / 255
            pgd = ProjectedGradientDescentPyTorch(
                through, eps=eps, eps_step=eps / 4, max_iter=10, num_random_init=1, verbose=False
            )
            report(f"{name}, {levels} levels", pgd.generate(images, labels))


if __name__ == "__main__":
    main()
