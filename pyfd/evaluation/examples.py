"""The examples of a report: which images are shown, of which attacks, and how they are stored.

Each attack shows one image, whose number depends on the attack's place alone and not on what
becomes of the image.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.evaluation.plan import Trial
from pyfd.qtables import QTables

_MOST = 6  # in a report; a page with more would be larger than 1 MB
_SIDE = 224
_AMPLIFIED = 16

# Noise is most of a perturbation, and takes twice as many bytes as a photograph.
_FINE, _COARSE = QTables.annex_k(75), QTables.annex_k(40)


def shown(place: int, chunks: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return the image that a trial shows: another one for each trial, as far as there are any.

    Args:
        place: The trial's index.
        chunks: The indices of the images that are attacked together.

    Returns:
        The index of a chunk, and an index in it.
    """
    images = [(chunk, index) for chunk, part in enumerate(chunks) for index in range(len(part))]
    return images[place % len(images)]


def judge(place: int, trials: Sequence[Trial]) -> int:
    """Return the defence behind which a trial's image is shown: the next one for each trial.

    Args:
        place: The trial's index.
        trials: All trials.

    Returns:
        An index of the trial's `judged`. The undefended model is left out if it is not alone.
    """
    judged = trials[place].judged
    defended = [index for index, defence in enumerate(judged) if defence.kind != "none"] or [0]
    before = sum(trial.judged == judged for trial in trials[:place])
    return defended[before % len(defended)]


def example(
    title: str,
    defence: str,
    image: int,
    pictures: tuple[Pixels, Pixels, Pixels],
    classes: Sequence[int],
    label: int,
) -> dict[str, Any]:
    """Return an example, which JSON can hold.

    Args:
        title: The attack and its strength.
        defence: The defence's name.
        image: The image's number among all that were given.
        pictures: The original, the adversarial image, and what the model sees of it behind the
            defence; H×W×3. The middle of each is stored as JPEG.
        classes: What the model takes the three for.
        label: What the image is.
    """
    original, adversarial, defended = pictures
    difference = 128.0 + _AMPLIFIED * (adversarial.astype(float) - original)
    perturbation = difference.clip(0, 255).astype(np.uint8)
    return {
        "title": title,
        "image": image,
        "label": label,
        "predicted": dict(zip(("benign", "attacked", "defended"), map(int, classes), strict=True)),
        "original": _stored(original, _FINE),
        "adversarial": _stored(adversarial, _FINE),
        "perturbation": _stored(perturbation, _COARSE),
        "amplified": _AMPLIFIED,
        "defended": _stored(defended, _FINE),
        "defence": defence,
    }


def choose(examples: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the examples for a report: other images first, then other attacks and defences.

    Args:
        examples: The examples of all trials, in the order of the trials.
    """
    left = list(enumerate(examples))
    used: Counter[tuple[str, Any]] = Counter()
    chosen: list[tuple[int, Mapping[str, Any]]] = []
    while left and len(chosen) < _MOST:
        best = min(left, key=lambda item: (*_uses(item[1], used), item[0]))
        left.remove(best)
        chosen.append(best)
        used.update(_kinds(best[1]))
    return [found for _, found in sorted(chosen, key=lambda item: item[0])]


def _uses(example: Mapping[str, Any], used: Counter[tuple[str, Any]]) -> tuple[int, int]:
    """Return how often an example's image was used, and its attack, strength and defence."""
    image, *others = _kinds(example)
    return used[image], sum(used[kind] for kind in others)


def _kinds(example: Mapping[str, Any]) -> list[tuple[str, Any]]:
    title = example["title"]
    attack = title.partition(", ε")[0]
    return [
        ("image", example.get("image")),
        ("attack", attack),
        ("strength", title.removeprefix(attack)),
        ("defence", example["defence"]),
    ]


def _stored(pixels: Pixels, tables: QTables) -> str:
    """Return the middle of an image as JPEG in base64."""
    height, width = pixels.shape[:2]
    top, left = max(0, height - _SIDE) // 2, max(0, width - _SIDE) // 2
    middle = np.ascontiguousarray(pixels[top : top + _SIDE, left : left + _SIDE])
    file = pyfd.encode(middle, tables, subsampling="4:2:0", optimize=True)
    return base64.b64encode(file).decode()
