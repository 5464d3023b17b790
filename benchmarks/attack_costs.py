"""Count and time the passes of every attack: the table in docs/attacks.md.

    python -m benchmarks.attack_costs [--write docs/attacks.md]

Each attack gets one random image on which it never succeeds, so that the numbers are the most
that it needs. The network is EfficientNet-Lite0 at 224×224, in one thread; the defence is
"two-pass:fd-cvpr2019". Takes about ten minutes. Needs 'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import pyfd
from benchmarks import pages
from pyfd.evaluation import models
from pyfd.evaluation.attacks import ATTACKS, Attack, HopSkipJump, Queries, Target
from pyfd.evaluation.defences import parse

MAKER = "benchmarks/attack_costs.py"
MODEL, DEFENCE, EPSILON = "efficientnet-lite0", "two-pass:fd-cvpr2019", 1


class Counted(nn.Module):
    """A model that is always right about one class, and counts the images that pass through it.

    Args:
        model: A module from N×3×H×W to N×K logits.
        label: The class of which it is sure.
        steadfast: Whether it is; otherwise it answers as `model` does.
    """

    def __init__(self, model: nn.Module, label: int, *, steadfast: bool = True) -> None:
        super().__init__()
        self.model = model
        self.label = label
        self.steadfast = steadfast
        self.forwards = 0
        self.backwards = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, N×K; the one class's is 1 above all others."""
        count = len(images)
        self.forwards += count
        logits: torch.Tensor = self.model(images)
        if self.steadfast:
            one = torch.arange(logits.shape[1], device=logits.device) == self.label
            most = logits.masked_fill(one, -torch.inf).amax(1, keepdim=True)
            logits = torch.where(one, most + 1, logits)
        if logits.requires_grad:
            logits.register_hook(lambda _: self._differentiated(count))
        return logits

    def _differentiated(self, count: int) -> None:
        self.backwards += count


class Cost(NamedTuple):
    """What an attack takes for one image on which it never succeeds."""

    name: str
    forwards: int
    backwards: int
    seconds: float


def cost(attack: Attack, model: nn.Module, image: np.ndarray) -> Cost:
    """Attack one image.

    Args:
        attack: The attack.
        model: A module from N×3×H×W floats in [0, 1] to N×K logits, in evaluation mode.
        image: An H×W×3 ``uint8`` array.
    """
    with torch.no_grad():
        batch = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        label = int(model(batch).argmax())
    # HopSkipJump begins with another image of another class, so that there must be one
    queried = isinstance(attack, Queries) and isinstance(attack.attack, HopSkipJump)
    counted = Counted(model, label, steadfast=not queried).eval()
    target = Target(counted, (counted,), parse(DEFENCE))
    epsilon = EPSILON if attack.bounded else None
    began = time.process_time()
    attack.perturb(target, [image], np.array([label]), epsilon, 0)
    return Cost(attack.name, counted.forwards, counted.backwards, time.process_time() - began)


def table(costs: Iterable[Cost]) -> str:
    """Return a table with a row for each attack."""
    heads = ["attack", "parameters", "forward passes", "backward passes", "seconds per image"]
    return pages.table(heads, map(row, costs))


def row(found: Cost) -> Sequence[str]:
    """Return an attack's row."""
    passes = [f"{count:,}" for count in (found.forwards, found.backwards)]
    return [f"`{found.name}`", described(ATTACKS[found.name]), *passes, f"{found.seconds:.1f}"]


def described(attack: Attack) -> str:
    """Return an attack's parameters; of one made of others, those parts' names."""
    parameters: dict[str, Any] = attack.parameters_against(parse(DEFENCE))
    if any(isinstance(value, dict) for value in parameters.values()):
        return ", ".join(parameters)
    return ", ".join(f"{key} {value}" for key, value in parameters.items()) or "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", type=Path, help="the page to put the table in")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = models.load(MODEL)
    side: Any = model.input_size
    image = np.random.default_rng(0).integers(96, 160, (side, side, 3)).astype(np.uint8)
    cost(ATTACKS["fgsm"], model, image)  # loads the libraries
    costs = []
    for attack in ATTACKS.values():
        costs.append(cost(attack, model, image))
        print(*costs[-1], flush=True)
    text = f"pyfd {pyfd.__version__}, torch {torch.__version__}.\n\n{table(costs)}"
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
