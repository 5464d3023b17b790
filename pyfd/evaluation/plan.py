"""What an evaluation has to do: which images are attacked, and one chunk of them at a time."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import nn

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.evaluation import attacks
from pyfd.evaluation.defences import Defence, Distillation, as_jpeg
from pyfd.torch import batches, device_of, predict

#: Attacks beyond ART's: PGD through the defence, at the grid, and from another model.
ADAPTIVE, TRANSFER = ("bpda", "grid"), "transfer"
NAMES = (*attacks.ATTACKS, *ADAPTIVE, TRANSFER)

#: Of a random defence, whose logits an adaptive attacker averages.
DRAWS = 4

_EXAMPLE_SIDE = 224
_AMPLIFIED = 16


@dataclass(frozen=True)
class Attacked:
    """Images that are attacked once, and the defences that are judged on them."""

    attack: str
    threat: str
    epsilon: int | None
    start: Defence
    judged: tuple[Defence, ...]
    through: Defence | None = None

    @property
    def key(self) -> str:
        """What tells it from the others of a plan."""
        return f"{self.attack} {self.epsilon} {self.judged[0].name}"


def plan(
    defences: Sequence[Defence], names: Sequence[str], epsilons: Sequence[int]
) -> list[Attacked]:
    """Defences with the same starting images share what does not know the defence."""
    single = tuple(d for d in defences if d.kind != "two-pass")
    groups = [single] if single else []
    groups += [(d,) for d in defences if d.kind == "two-pass"]
    found = [Attacked("benign", "benign", None, group[0], group) for group in groups]
    for name in names:
        bounded = name not in attacks.ATTACKS or attacks.ATTACKS[name].bounded
        for epsilon in epsilons if bounded else (None,):
            if name in ADAPTIVE:
                found += [
                    Attacked(name, "adaptive", epsilon, d, (d,), d)
                    for d in defences
                    if d.kind != "none" and (name != "grid" or isinstance(d, Distillation))
                ]
            else:
                threat = "black-box" if name == TRANSFER else "gray-box"
                found += [Attacked(name, threat, epsilon, g[0], g) for g in groups]
    return found


@dataclass
class Bench:
    """All that a worker needs."""

    model: nn.Module
    surrogate: nn.Module | None
    images: list[Pixels]
    labels: npt.NDArray[np.int64]
    plan: list[Attacked]
    seed: int
    batch_size: int
    attacker_quality: int | None
    chunks: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.chunks = list(batches([image.shape for image in self.images], self.batch_size))

    def digest(self) -> str:
        """Of everything that decides the results."""
        digest = hashlib.sha256()
        for model in (self.model, self.surrogate):
            for name, tensor in model.state_dict().items() if model else ():
                digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        for image in self.images:
            digest.update(repr(image.shape).encode() + image.tobytes())
        for item in self.plan:
            tables = [None if d.qtables is None else d.qtables.to_text() for d in item.judged]
            names = [d.name for d in item.judged]
            digest.update(repr((item.key, names, tables)).encode())
        parameters = {name: attack.parameters for name, attack in attacks.ATTACKS.items()}
        rest = (self.labels.tolist(), self.seed, self.batch_size, self.attacker_quality, parameters)
        digest.update(repr(rest).encode())
        return digest.hexdigest()

    def work(self, place: int, chunk: int) -> dict[str, Any]:
        """Attack one chunk, and ask every defence: one line of the journal."""
        item = self.plan[place]
        chosen = self.chunks[chunk]
        seed = self.seed + chosen[0]
        labels = self.labels[chosen]
        images = item.start.camera([self.images[i] for i in chosen])
        began = time.perf_counter()
        moved = self._attacked(item, images, labels, seed)
        seconds = time.perf_counter() - began
        pairs = zip(moved, images, strict=True)
        distances = [float(np.linalg.norm((a - 1.0 * b) / 255)) for a, b in pairs]
        seen = {d.name: self._seen(d, moved, seed) for d in item.judged}
        classes = {name: predict(self.model, given) for name, given in seen.items()}
        line: dict[str, Any] = {
            "place": place,
            "chunk": chunk,
            "right": {name: int((found == labels).sum()) for name, found in classes.items()},
            "l2": sum(distances),
            "seconds": seconds,
            "examples": [],
        }
        if chunk == 0 and item.attack != "benign":
            defence = item.judged[-1]
            line["examples"] = [
                self._example(item, defence, images, moved, seen[defence.name], labels)
            ]
        return line

    def _attacked(
        self, item: Attacked, images: list[Pixels], labels: npt.NDArray[np.int64], seed: int
    ) -> list[Pixels]:
        if item.attack == "benign":
            return images
        if item.attack == "grid":
            assert item.through is not None
            assert item.through.qtables is not None
            assert item.epsilon is not None
            through = item.through.module()
            assert through is not None
            tables = item.through.qtables
            return attacks.grid(self.model, through, tables, images, labels, item.epsilon)
        model = self.surrogate if item.attack == TRANSFER else self.model
        assert model is not None
        if item.through is not None:
            model = chain(item.through, model, seed)
        name = item.attack if item.attack in attacks.ATTACKS else "pgd"
        return attacks.run(name, model, images, labels, item.epsilon, seed)

    def _seen(self, defence: Defence, images: list[Pixels], seed: int) -> list[Pixels]:
        """What the model is shown of pixels, or of the attacker's files."""
        if self.attacker_quality is None:
            return defence(images, seed)
        files = [as_jpeg(image, self.attacker_quality) for image in images]
        if isinstance(defence, Distillation):
            return [pyfd.decode(file, defence.qtables) for file in files]
        return defence([pyfd.decode(file) for file in files], seed)

    def _example(
        self,
        item: Attacked,
        defence: Defence,
        images: list[Pixels],
        moved: list[Pixels],
        seen: list[Pixels],
        labels: npt.NDArray[np.int64],
    ) -> dict[str, Any]:
        """The first image that the attack is after, with what the model says of it."""
        triple = [images[0], moved[0], seen[0]]
        said = predict(self.model, triple).tolist()
        difference = 128.0 + _AMPLIFIED * (moved[0].astype(float) - images[0])
        strength = "" if item.epsilon is None else f", ε = {item.epsilon}"
        return {
            "title": f"{item.attack}{strength}",
            "label": int(labels[0]),
            "predicted": dict(zip(("benign", "attacked", "defended"), said, strict=True)),
            "original": _png(images[0]),
            "adversarial": _png(moved[0]),
            "perturbation": _png(difference.clip(0, 255).astype(np.uint8)),
            "amplified": _AMPLIFIED,
            "defended": _png(seen[0]),
            "defence": defence.name,
        }


def chain(defence: Defence, model: nn.Module, seed: int) -> nn.Module:
    """The model behind a differentiable stand-in for the defence (BPDA; EOT if it is random)."""
    module = defence.module()
    if module is None:
        draws = itertools.count(seed + 1)  # not those that the defence will make
        module = attacks.StraightThrough(lambda images: defence(images, next(draws)))
    module = module.to(device_of(model))
    behind = nn.Sequential(module, model).eval()
    return attacks.Expectation(behind, DRAWS) if defence.random else behind


def _png(image: Pixels) -> str:
    """The middle of an image."""
    height, width = image.shape[:2]
    top, left = max(0, height - _EXAMPLE_SIDE) // 2, max(0, width - _EXAMPLE_SIDE) // 2
    buffer = io.BytesIO()
    middle = image[top : top + _EXAMPLE_SIDE, left : left + _EXAMPLE_SIDE]
    Image.fromarray(np.ascontiguousarray(middle)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
