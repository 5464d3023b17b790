"""Scoring of models: their accuracy and the classes that they predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pyfd._core.pixels import Pixels
from pyfd.codec import Subsampling
from pyfd.qtables import QTablesLike, as_qtables
from pyfd.torch.answers import answer
from pyfd.torch.passes import through_codec


def accuracy(
    model: nn.Module,
    images: Sequence[Pixels],
    labels: npt.ArrayLike,
    qtables: QTablesLike | None = None,
    *,
    subsampling: Subsampling = "4:4:4",
    batch_size: int = 16,
) -> float:
    """Return the share of images that a model classifies correctly after two passes.

    It is a scorer for `pyfd.refine`::

        pyfd.refine(functools.partial(pyfd.torch.accuracy, model, images, labels))

    Args:
        model: A module from N×3×H×W floats in [0, 1] to N×K logits. It is put into
            evaluation mode for the duration of the call.
        images: H×W×3 ``uint8`` arrays; their sizes may differ.
        labels: An integer per image.
        qtables: Tables for ``decode(encode(image, qtables), qtables)``, or None
            for the images as they are.
        subsampling: As in `pyfd.encode`.
        batch_size: The most images in a batch; all images of a batch have one size.

    Returns:
        The share, 0 to 1.

    Raises:
        TypeError: As in `predict`.
        ValueError: There are no images, or their number is not that of the labels, or a largest
            logit is not finite.
    """
    truth = np.asarray(labels)
    if not len(images) or truth.shape != (len(images),):
        raise ValueError(f"{len(images)} images need as many labels, not shape {truth.shape}")
    tables = None if qtables is None else as_qtables(qtables)

    def defended(image: Pixels) -> Pixels:
        return image if tables is None else through_codec(image, tables, subsampling)

    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(defended, images))
    return float((predict(model, seen, batch_size=batch_size) == truth).mean())


def predict(
    model: nn.Module, images: Sequence[Pixels], *, batch_size: int = 16
) -> npt.NDArray[np.int64]:
    """Return the classes that a model predicts, in the order of the images.

    Args:
        model: A module from N×3×H×W floats in [0, 1] to N×K logits. It is put into
            evaluation mode for the duration of the call.
        images: H×W×3 ``uint8`` arrays; their sizes may differ.
        batch_size: The most images in a batch.

    Returns:
        An ``int64`` array with the index of the largest logit for each image.

    Raises:
        TypeError: The model does not return N×K logits, or its parameters are not ``float32``.
            `pyfd.evaluation.models.as_classifier` makes logits of dicts and tuples.
        ValueError: A largest logit is NaN or ∞.
    """
    return predict_named(model, images, [f"image {i}" for i in range(len(images))], batch_size)


def predict_named(
    model: nn.Module, images: Sequence[Pixels], names: Sequence[str], batch_size: int = 16
) -> npt.NDArray[np.int64]:
    """Return what `predict` does; errors call the images by names."""
    device = device_of(model)
    classes = np.empty(len(images), np.int64)
    with judging(model), torch.no_grad():
        for chosen in batches([image.shape for image in images], batch_size):
            batch = torch.from_numpy(np.stack([images[i] for i in chosen])).to(device)
            logits = answer(model, batch.permute(0, 3, 1, 2).float() / 255)
            refuse_unclear(logits, [names[i] for i in chosen])
            classes[chosen] = logits.argmax(1).cpu().numpy()
    return classes


@contextmanager
def judging(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and each of its modules back into its own."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def refuse_unclear(logits: torch.Tensor, names: Sequence[str]) -> None:
    """Refuse N×K logits that name no class, of which ``argmax`` would make class 0.

    Raises:
        NotFiniteError: A largest logit is NaN, which it is if any is, or ∞.
    """
    clear = logits.amax(1).isfinite().tolist()
    if not all(clear):
        raise not_finite(names[clear.index(False)])


class NotFiniteError(ValueError):
    """A model's answer to an image names no class."""


def not_finite(name: str, model: str = "the model") -> NotFiniteError:
    """Return the error about a model's answer to an image, which blames the model."""
    return NotFiniteError(
        f"{model} returned logits that are not finite (NaN or ∞) for {name}: are its weights "
        "whole, and is it trained?"
    )


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's weights; the CPU for a model without weights."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def batches(shapes: Sequence[tuple[int, ...]], size: int) -> Iterator[list[int]]:
    """Yield lists of at most `size` indices of items that have the same shape."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(index)
    for indices in by_shape.values():
        for start in range(0, len(indices), size):
            yield indices[start : start + size]
