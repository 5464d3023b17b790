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
) -> None:
    """Refuse a model that cannot be evaluated, after a look at its answer to one image.

    The model gets a batch of two: the image and its mirror image. What makes attacks weak, such
    as missing gradients and probabilities instead of logits, is not looked at here: the report's
    findings name it.

    Args:
        model: As for `as_classifier`.
        image: H×W×3 ``uint8``.
        labels: The class numbers of all images.
        class_names: The names of the classes, by number.

    Raises:
        ValueError: The model fails, or returns no N×K floating-point logits, or such that are
            not finite, or for fewer classes than there are labels, or for another number than
            there are names.
    """
    inputs = to_batch([image, image[:, ::-1]], model)
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


def _answer(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    try:
        with torch.no_grad():
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
