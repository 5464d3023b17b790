"""A look at a model before anything runs, whose errors say what is wrong with the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pyfd._core.pixels import Pixels
from pyfd.evaluation.models.classifier import as_classifier, to_batch


def check(
    model: nn.Module,
    image: Pixels,
    labels: npt.ArrayLike,
    class_names: Sequence[str] | None = None,
) -> list[str]:
    """Refuse a model that cannot be evaluated, after a look at its answer to one image.

    The model gets a batch of two: the image and its mirror image.

    Args:
        model: As for `as_classifier`.
        image: H×W×3 ``uint8``.
        labels: The class numbers of all images.
        class_names: The names of the classes, by number.

    Returns:
        Sentences about what makes attacks weaker than they should be: no gradient, or
        probabilities instead of logits.

    Raises:
        ValueError: The model fails, or returns no N×K floating-point logits, or such that are
            not finite, or for fewer classes than there are labels, or for another number than
            there are names.
    """
    inputs = to_batch([image, image[:, ::-1]], model).requires_grad_()
    logits = _answer(as_classifier(model), inputs)
    classes, most = logits.shape[1], int(np.max(labels))
    if classes < 2:
        raise ValueError(
            f"the model returned {classes} logit per image; it must return one for each class: for "
            "two classes and one logit x, torch.cat([-x, x], 1) / 2"
        )
    if not torch.isfinite(logits).all():
        raise ValueError(
            "the model returned logits that are not finite (NaN or ∞) for the first image: are "
            "its weights whole, and is it trained?"
        )
    if most >= classes:
        raise ValueError(
            f"the model returned {classes} logits, which are for the classes 0 to {classes - 1}, "
            f"but there is an image of class {most}"
        )
    if int(np.min(labels)) < 0:
        raise ValueError(f"classes are numbered from 0: there is a label {int(np.min(labels))}")
    if class_names is not None and len(class_names) != classes:
        raise ValueError(
            f"the model returned {classes} logits, but there are {len(class_names)} class names. "
            "Names of labels that the model does not know are numbered in order, which is right "
            "only for a model that was trained on these classes: give numbers as labels, or the "
            "model an attribute class_names"
        )
    return [*_no_gradient(inputs, logits), *_probabilities(logits)]


def _answer(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    try:
        with torch.enable_grad():
            logits: torch.Tensor = model(inputs)
    except Exception as error:  # the user's code may raise anything
        message = str(error)
        if isinstance(error, ValueError) and message.startswith("the model returned"):
            raise
        size = "×".join(map(str, inputs.shape))
        raise ValueError(
            f"the model failed on a batch of {size} floats in 0...1: "
            f"{type(error).__name__}: {message}. It must take images of any size and resize "
            "them itself, or have an attribute input_size, with which --scale model resizes them"
        ) from error
    return logits


def _no_gradient(inputs: torch.Tensor, logits: torch.Tensor) -> list[str]:
    """Return a warning if the logits have no gradient, or one that is zero or not finite."""
    gradient, reason = None, "it has none"
    if logits.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(logits[:, 0].sum(), inputs, allow_unused=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
    if gradient is not None and gradient.isfinite().all() and gradient.any():
        return []
    if gradient is not None:
        reason = "it is zero" if gradient.isfinite().all() else "it is not finite"
    return [
        f"The gradient of the model's logits with respect to its input cannot be used ({reason}): "
        "attacks that follow it say nothing about this model."
    ]


def _probabilities(logits: torch.Tensor) -> list[str]:
    """Return a warning if the logits look like the results of softmax."""
    sums = logits.detach().double().sum(1)
    if bool((logits >= 0).all()) and bool(((sums - 1).abs() < 1e-4).all()):
        return [
            "The model seems to return probabilities: gradients vanish where it is sure, and "
            "attacks look weaker than they are. Return the logits, before the softmax."
        ]
    return []
