"""Models and images for the tests of the evaluation, small enough to attack in no time."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import types
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pyfd.evaluation import attacks, evaluate
from tests.jpegs import picture

#: The attack on the grid with as little search as goes through all of its code. Its strength is
#: tested in test_grid.py; elsewhere, minutes of search would test nothing.
GRID = attacks.Grid(steps=2, targets=1, trials=2)


class Linear(nn.Module):
    """A model of two classes by the sign of a fixed random pattern: its gradients are known."""

    def __init__(self, size: int = 32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.pattern = nn.Parameter(torch.randn(3, size, size, generator=generator))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        score = (batch * self.pattern).sum((1, 2, 3))
        return torch.stack([score, -score], 1)


class Wavy(Linear):
    """A model with many local maxima, so that an attack's result depends on its start."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.sin(400 * batch))


class Texture(nn.Module):
    """A model of an image's roughness, which small perturbations and large steps change."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        rough = (batch[..., 1:] - batch[..., :-1]).abs().mean((1, 2, 3)) * 100
        return torch.stack([6 - rough, rough - 6], 1)


def texture() -> nn.Module:
    """Return a model, for the command's argument "tests.evaluation.toys:texture"."""
    return Texture()


def case() -> tuple[nn.Module, list[np.ndarray], np.ndarray]:
    """Return a model, images, and the classes that it gives to them."""
    model = Linear().eval()
    pictures = [picture(32, 32, seed=i) for i in range(3)]
    with torch.no_grad():
        labels = model(attacks.to_batch(pictures)).argmax(1).numpy()
    return model, pictures, labels


def images(count: int = 6) -> list[np.ndarray]:
    """Return pictures of two sizes."""
    return [picture(24 + 8 * (i % 2), 24, seed=i) for i in range(count)]


def labels_of(model: nn.Module, pictures: list[np.ndarray]) -> list[int]:
    """Return the classes that a model gives to pictures."""
    batches = [torch.tensor(p).permute(2, 0, 1)[None].float() / 255 for p in pictures]
    return [int(model(batch).argmax()) for batch in batches]


def run(folder: Path, **options) -> dict:
    """Evaluate `Texture` without defences against PGD, or as the options say."""
    pictures = options.pop("pictures", images(2))
    model = options.pop("model", Texture())
    defaults = {"defences": ("none",), "attacks": ("pgd",), "epsilons": (4,)}
    truth = options.pop("truth", labels_of(model, pictures))
    return evaluate(model, pictures, truth, output=folder, **{**defaults, **options})


def cell(content: dict, defence: str, attack: str, epsilon: int | None = None) -> dict:
    """Return the one cell of a defence under an attack."""
    (found,) = [
        c
        for c in content["cells"]
        if (c["defence"], c["attack"], c["epsilon"]) == (defence, attack, epsilon)
    ]
    return found


def without_times(content: dict) -> list[dict]:
    """Return the cells without the values that differ from run to run."""
    return [{k: v for k, v in c.items() if k != "seconds"} for c in content["cells"]]


class OneWorker(ProcessPoolExecutor):
    """A pool of one process, however many are asked for: the start of each takes seconds.

    What crosses the border between processes does so with one as with several.
    """

    def __init__(self, _workers: int, *options: Any) -> None:
        super().__init__(1, *options)


def run_here(script: str, *arguments: str) -> list[str]:
    """Run a script as `python -c` does, but in this process; return the lines that it prints.

    Importing torch and the rest takes seconds: where two processes must agree, this is one.
    """
    main, printed = types.ModuleType("__main__"), io.StringIO()
    before = sys.modules["__main__"], sys.argv
    sys.modules["__main__"], sys.argv = main, ["-c", *arguments]
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            exec(compile(script, "<string>", "exec", dont_inherit=True), vars(main))
    finally:
        sys.modules["__main__"], sys.argv = before
    return printed.getvalue().splitlines()


def run_there(script: str, *arguments: str) -> list[str]:
    """Run a script with `python -c`, with a seed of Python's hashes that is not ours."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "2" else "2"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": seed},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
