"""An attack that sees nothing but decisions."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks.base import Attack, Target, scores
from pyfd.evaluation.attacks.library import seed_all
from pyfd.evaluation.libraries import ART, require

if TYPE_CHECKING:
    from torch import nn

#: The most bytes of the random directions that ART draws together, as it holds them.
_MEMORY = 1 << 29

#: The number of random images among which a start is looked for, as in ART.
_STARTS = 100


class HopSkipJump(Attack):
    """HopSkipJump in L∞ (Chen et al., 2020), by ART, which ends at the first success within ε.

    From a random image of another class, it walks along the decision boundary toward the image.
    It ends with the first 8-bit image within ±ε that is misclassified, or with the image itself
    once it has asked `queries` times, or if all of 100 random images have the true class.

    Args:
        queries: The most images that it asks about, for each image.
    """

    name = "hopskipjump"
    title = "HopSkipJump"
    description = "a walk along the decision boundary, by decisions alone"
    libraries = ART
    together = 5

    def __init__(self, queries: int = 5000) -> None:
        self.parameters = {"queries": queries, "init_eval": 100}

    def perturb(
        self,
        target: Target,
        images: Sequence[Pixels],
        labels: npt.NDArray[np.int64],
        epsilon: int | None,
        seed: int,
    ) -> list[Pixels]:
        """Return adversarial images."""
        require(self.libraries)
        found = []
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            seed_all(seed + i)
            watched = _Watched(
                target.model, image, int(label), epsilon or 0, self.parameters["queries"]
            )
            with contextlib.suppress(_FinishedError):
                self._walk(watched, np.random.default_rng(seed + i))
            found.append(image.copy() if watched.found is None else watched.found)
        return found

    def _walk(self, watched: _Watched, rng: np.random.Generator) -> None:
        from art.attacks import evasion  # type: ignore[import-untyped]
        from art.estimators.classification import BlackBoxClassifier  # type: ignore[import-untyped]

        image = watched.image.transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255
        classes = watched(image).shape[1]
        # ART's own start is drawn by a generator without a seed
        start = watched.another_class(rng)
        if start is None:
            return
        together = max(1, _MEMORY // (8 * image.size))
        options: dict[str, Any] = {
            "max_iter": self.parameters["queries"],  # the queries end it
            "init_eval": min(self.parameters["init_eval"], together),
            "max_eval": together,
        }
        classifier = BlackBoxClassifier(watched, image.shape[1:], classes, clip_values=(0.0, 1.0))
        attack = evasion.HopSkipJump(classifier, norm=np.inf, verbose=False, **options)
        attack.generate(image, np.eye(classes)[[watched.label]], x_adv_init=start)


class _FinishedError(Exception):
    """An image was found, or the queries are spent."""


class _Watched:
    """The answers of a model, as ART asks for them, and the first success within ε."""

    def __init__(
        self, model: nn.Module, image: Pixels, label: int, epsilon: int, queries: int
    ) -> None:
        self.model = model
        self.image = image
        self.label = label
        self.epsilon = epsilon
        self.left = queries
        self.found: Pixels | None = None

    def __call__(self, batch: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Return the N×K logits of N×3×H×W images in [0, 1], rounded to 8 bits.

        Raises:
            _FinishedError: One of them is what is looked for, or no query is left.
        """
        batch = batch[: self.left]
        self.left -= len(batch)
        levels = (batch.transpose(0, 2, 3, 1) * 255).round().clip(0, 255).astype(np.uint8)
        logits = scores(self.model, list(levels))
        far = np.abs(levels.astype(int) - self.image).max((1, 2, 3))
        hits = np.flatnonzero((logits.argmax(1) != self.label) & (far <= self.epsilon))
        if len(hits):
            self.found = np.ascontiguousarray(levels[hits[0]])
        if len(hits) or not self.left:
            raise _FinishedError
        return logits

    def another_class(self, rng: np.random.Generator) -> npt.NDArray[np.float32] | None:
        """Return a random image of another class, 1×3×H×W; None if there is none among many."""
        height, width, channels = self.image.shape
        for _ in range(_STARTS):
            drawn = rng.random((1, channels, height, width), dtype=np.float32)
            if self(drawn).argmax() != self.label:
                return drawn
        return None
