"""Count and time the passes of every attack: the table in docs/attacks.md.

    python -m benchmarks.attack_costs [--write docs/attacks.md]

Each attack gets one image on which it never succeeds, so that the numbers are the most that it
needs. Its passes through the model are counted on a network that takes next to no time; the
seconds are those of the attack and the defence there, and those that EfficientNet-Lite0 takes
for as many passes. Everything runs at 224×224, in one thread, behind
"two-pass:fd-cvpr2019". Takes five minutes. Needs 'pyfd-jpeg[evaluate]'.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
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
SIDE, CLASSES, LABEL = 224, 1000, 7
TIMED = 20


class Pass(NamedTuple):
    """The seconds of one image's passes through a network."""

    forward: float
    backward: float


class Counted(nn.Module):
    """A fast network, always right about one class, that counts the images that it sees.

    It is a little less sure each time, so that no attack gives up.

    Args:
        around: An image, 1×3×H×W.
        steadfast: Whether it is always right; otherwise, only near `around`.
    """

    def __init__(self, around: torch.Tensor, *, steadfast: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(3 * 49, CLASSES, generator=generator)
        self.around = around
        self.steadfast = steadfast
        self.forwards = 0
        self.backwards = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, N×K; the class's is at most 1 above all others."""
        count = len(images)
        self.forwards += count
        logits = nn.functional.avg_pool2d(images, SIDE // 7).flatten(1) @ self.weights
        one = torch.arange(CLASSES) == LABEL
        most = logits.masked_fill(one, -torch.inf).amax(1, keepdim=True)
        near = (images - self.around).abs().mean((1, 2, 3)) < 0.1
        sure = 1 / (1 + self.forwards / 100)
        sign = torch.where(near | self.steadfast, sure, -1.0)[:, None]
        logits = torch.where(one, most + sign, logits)
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


def cost(attack: Attack, image: np.ndarray, each: Pass) -> Cost:
    """Attack one image.

    Args:
        attack: The attack.
        image: A 224×224×3 ``uint8`` array.
        each: What a pass through the real network takes.
    """
    around = torch.from_numpy(parse(DEFENCE)([image])[0]).permute(2, 0, 1)[None].float() / 255
    # HopSkipJump begins with another image of another class, so that there must be one
    queried = isinstance(attack, Queries) and isinstance(attack.attack, HopSkipJump)
    counted = Counted(around, steadfast=not queried).eval()
    target = Target(counted, (counted,), parse(DEFENCE))
    epsilon = EPSILON if attack.bounded else None
    began = time.process_time()
    attack.perturb(target, [image], np.array([LABEL]), epsilon, 0)
    own = time.process_time() - began
    passes = counted.forwards * each.forward + counted.backwards * each.backward
    return Cost(attack.name, counted.forwards, counted.backwards, own + passes)


def measured(model: nn.Module) -> Pass:
    """Return what one image's passes through a network take."""
    image = torch.rand(1, 3, SIDE, SIDE)

    def forward() -> None:
        with torch.no_grad():
            model(image)

    def both() -> None:
        varied = image.clone().requires_grad_()
        torch.autograd.grad(model(varied)[:, 0].sum(), varied)

    alone, together = seconds(forward), seconds(both)
    return Pass(alone, together - alone)


def seconds(call: Callable[[], object]) -> float:
    """Return the median of the CPU's seconds for a call."""
    times = []
    for _ in range(TIMED):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return float(np.median(times))


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
    each = measured(models.load(MODEL))
    image = np.random.default_rng(0).integers(96, 160, (SIDE, SIDE, 3)).astype(np.uint8)
    cost(ATTACKS["fgsm"], image, each)  # loads the libraries
    costs = []
    for attack in ATTACKS.values():
        costs.append(cost(attack, image, each))
        print(*costs[-1], flush=True)
    text = (
        f"pyfd {pyfd.__version__}, torch {torch.__version__}. One forward pass takes "
        f"{1000 * each.forward:.0f} ms, one backward pass {1000 * each.backward:.0f} ms.\n\n"
        f"{table(costs)}"
    )
    print(text)
    if arguments.write:
        pages.publish(arguments.write, MAKER, text)


if __name__ == "__main__":
    main()
