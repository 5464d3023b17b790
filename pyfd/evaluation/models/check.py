"""A look at a model before anything runs, whose errors say what is wrong with the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pyfd._core.pixels import Pixels
from pyfd.evaluation.models.classifier import as_classifier, logits_of, to_batch
from pyfd.torch import batches
from pyfd.torch.answers import other_dtype
from pyfd.torch.scoring import not_finite


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
        ValueError: The model fails or changes its input, or returns no N×K floating-point logits,
            or such that are not finite, or for fewer classes than there are labels, or for
            another number than there are names.
    """
    inputs = to_batch([image, image[:, ::-1]], model)
    before = inputs.clone()
    logits = _answer(as_classifier(model), inputs)
    if not torch.equal(inputs, before):
        raise ValueError(
            "the model changes its input in place, so that attacks would start from other images: "
            "write x = x - mean, not x -= mean or x.sub_(mean)"
        )
    classes, most = logits.shape[1], int(np.max(labels))
    if classes < 2:
        raise ValueError(
            f"the model returned {classes} logit per image; it must return one for each class: for "
            "two classes and one logit x, torch.cat([-x, x], 1) / 2"
        )
    _refuse_infinite(logits, [0, 0])
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


def classes_of(
    model: nn.Module, images: Sequence[Pixels], *, batch_size: int
) -> npt.NDArray[np.int64]:
    """Return the classes that a model gives to images; errors say what is wrong with the model.

    Args:
        model: As `as_classifier` returns it.
        images: H×W×3 ``uint8``; their sizes may differ.
        batch_size: The most images in a batch.

    Raises:
        ValueError: The model fails on some images, or returns other numbers of logits for
            images of other sizes, or such that are not finite.
    """
    found = np.empty(len(images), np.int64)
    classes = None
    for chosen in batches([image.shape for image in images], batch_size):
        logits = _answer(model, to_batch([images[i] for i in chosen], model))
        logits = logits_of(logits, len(chosen))
        if logits.shape[1] != (classes or logits.shape[1]):
            raise ValueError(
                f"the model returned {classes} logits for image 0, and {logits.shape[1]} for image "
                f"{chosen[0]}"
            )
        classes = logits.shape[1]
        _refuse_infinite(logits, chosen)
        found[chosen] = logits.argmax(1).cpu().numpy()
    return found


def _refuse_infinite(logits: torch.Tensor, numbers: Sequence[int]) -> None:
    finite = torch.isfinite(logits).all(1).tolist()
    if not all(finite):
        raise not_finite(f"image {numbers[finite.index(False)]}")


def _answer(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    try:
        with torch.no_grad():
            logits: torch.Tensor = model(inputs)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        message = str(error)
        if isinstance(error, ValueError) and message.startswith("the model returned"):
            raise
        size = "×".join(map(str, inputs.shape))
        remedy = other_dtype(model, error) or (
            "It must take images of any size and resize them itself, or have an attribute "
            "input_size, with which --scale model resizes them"
        )
        raise ValueError(
            f"the model failed on a batch of {size} floats in 0...1: "
            f"{type(error).__name__}: {message}. {remedy}"
        ) from error
    return logits
