"""What models answer, and errors that say what is wrong with an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def answer(model: nn.Module, batch: Tensor) -> Tensor:
    """Return a model's N×K logits for N×3×H×W floats in [0, 1].

    Raises:
        TypeError: It returns something else, or its parameters do not take ``float32``.
    """
    try:
        found = model(batch)
    except RuntimeError as error:
        if reason := other_dtype(model, error):
            raise TypeError(f"the model failed: {error}. {reason}") from error
        raise
    if not isinstance(found, Tensor):
        raise TypeError(
            f"the model must return N×K logits, not {described(found)}: "
            "pyfd.evaluation.models.as_classifier(model) takes them from what it knows"
        )
    if found.dim() != 2 or len(found) != len(batch):
        raise TypeError(
            f"the model must return N×K logits, not {times(found)} for {len(batch)} images"
        )
    return found


def other_dtype(model: nn.Module, error: BaseException) -> str | None:
    """Return a sentence if a model failed because its parameters are not ``float32``, or None."""
    weights = (*model.parameters(), *model.buffers())
    others = {weight.dtype for weight in weights if weight.is_floating_point()} - {torch.float32}
    # A model of another type that fails of something else may convert images itself
    about_types = re.search("type|Half|BFloat16", str(error))
    if not others or not about_types:
        return None
    names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in others))
    return f"Its parameters are {names}, but images are float32: use model.float()"


def described(found: Any) -> str:
    """Return in words what a model returned."""
    if isinstance(found, Tensor):
        return f"a tensor of {times(found)}"
    name = type(found).__name__
    if isinstance(found, Mapping):
        return f"a {name} with the keys {', '.join(map(repr, list(found)[:8])) or 'none'}"
    if isinstance(found, tuple | list):
        parts = ", ".join(described(part) for part in found[:4])
        return f"a {name} of {len(found)}: {parts}"
    return f"an object of type {name}"


def times(tensor: Tensor) -> str:
    """Return a tensor's shape in words."""
    return "×".join(map(str, tensor.shape)) or "no dimension (one number)"
