"""A model that takes milliseconds, and pictures that it gets right."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tests.jpegs import picture

CLASSES = 3


class Brightest(nn.Module):
    """A model whose class is the brightest channel."""

    input_size = 24

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0), requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.gain * images.mean((2, 3))


def photographs(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return gray pictures of two sizes, in which the label's channel is brighter."""
    labels = np.arange(count) % CLASSES
    gray = [picture(24 + 8 * (n % 2), 24, seed=n, channels=1) // 2 for n in range(count)]
    return [
        np.stack([x] * 3, axis=2) + 20 * np.eye(CLASSES, dtype=np.uint8)[n]
        for x, n in zip(gray, labels, strict=True)
    ], labels
