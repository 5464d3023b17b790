"""Plain two-pass files between the certified share and what the attack on the grid leaves.

The share of images that are right and certified as a whole is a lower bound of the accuracy
under every attack, and what an attack leaves is an upper bound. Of each image between the two
this says how much of it can move at all (`pyfd.evaluation.attacks.reach`, exactly). Where that
is little, all coefficients that the bounds allow are decoded and shown to the network. If it
gets all of them right, no perturbation can deceive it: the image is proved.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from torch import nn

import pyfd
from benchmarks import pages
from benchmarks.studies import MODELS, Photos, Scale, percent
from pyfd import QTables
from pyfd._core.log import Log
from pyfd.evaluation.attacks import ATTACKS, Target, to_batch
from pyfd.evaluation.attacks.reach import Codec, room
from pyfd.evaluation.defences import Distillation
from pyfd.evaluation.results import interval
from pyfd.qtables import parse_tables
from pyfd.torch import predict

#: The tables of the reproduction, and the strengths.
TABLES = ("16", "fd-2018", "fd-cvpr2019", "certified:1", "certified:2", "certified:4")
EPSILONS = (1, 2, 4)
#: The photographs of each network at each size.
COUNTS: dict[tuple[str, Scale], int] = {
    (MODELS[0], "model"): 25,
    (MODELS[-1], "model"): 25,
    (MODELS[0], "photo"): 10,
}
#: The most coefficients' values, all together, that are decoded and shown to the network.
MOST = 512

Entry: TypeAlias = dict[str, Any]


class Place(NamedTuple):
    """What is bracketed together: a row of the table."""

    model: str
    scale: Scale
    tables: str
    epsilon: int


def places() -> list[Place]:
    """Return all rows."""
    return [Place(*which, t, e) for which in COUNTS for t in TABLES for e in EPSILONS]


def measure(photos: Photos, folder: Path) -> list[Entry]:
    """Return an entry for each image in each place; what the log in the folder has is not redone.

    Raises:
        OtherRunError: The log is of other photographs, another version or another attack.
    """
    digest = hashlib.sha256(photos.all.labels.tobytes())
    for image in photos.all.pixels:
        digest.update(np.ascontiguousarray(image))
    header = {
        "format": "pyfd bracket",
        "version": 1,
        "pyfd": pyfd.__version__,
        "attack": ATTACKS["grid"].parameters,
        "most": MOST,
        "photographs": digest.hexdigest(),
    }
    with Log(folder / "bracket.jsonl", header) as log:
        known = {_key(entry): entry for entry in log.entries()}
        for place in places():
            print(" ".join(map(str, place)), flush=True)
            images, labels = photos.of(place.model, place.scale)
            for i in range(min(len(images), COUNTS[place.model, place.scale])):
                key = (*place, i)
                if key not in known:
                    found = bracket(photos.model(place.model), images[i], int(labels[i]), place)
                    known[key] = {**place._asdict(), "image": i, **found}
                    log.append(known[key])
    return list(known.values())


def _key(entry: Entry) -> tuple[Any, ...]:
    return tuple(entry.get(name) for name in (*Place._fields, "image"))


# ---- one image ----------------------------------------------------------------


def bracket(model: nn.Module, photograph: np.ndarray, label: int, place: Place) -> Entry:
    """Return what is certain about an image, and what the attack on the grid makes of it."""
    tables = parse_tables(place.tables)
    defence = Distillation(tables, two_pass=True)
    (image,) = defence.camera([photograph])
    truth = np.array([label])
    down, up = room(Codec(tables), to_batch([image]) * 255, place.epsilon)
    right = bool(predict(model, defence([image]))[0] == label)
    certified = bool(pyfd.holds(image, tables, place.epsilon).all())
    left = right
    if right and not certified:
        target = Target(model, defence=defence)
        moved = ATTACKS["grid"].perturb(target, [image], truth, place.epsilon, 0)
        left = bool(predict(model, defence(moved))[0] == label)
    values = (up - down + 1).numpy().astype(int)
    few = left and not certified and math.prod(values[values > 1].tolist()) <= MOST
    return {
        "right": right,
        "certified": right and certified,
        "left": left,
        "proved": few and _all_right(model, image, label, tables, down.numpy(), up.numpy()),
        "blocks": int((values > 1).any((1, 2, 3)).sum()),
        "of": len(values),
        "coefficients": int((values > 1).sum()),
    }


def _all_right(
    model: nn.Module,
    image: np.ndarray,
    label: int,
    tables: QTables,
    down: np.ndarray,
    up: np.ndarray,
) -> bool:
    """Return whether the network is right whatever values the coefficients take."""
    before = pyfd.read_coefficients(pyfd.encode(image, tables, baseline=False))
    free = np.argwhere(up > down)
    ranges = [np.arange(down[tuple(at)], up[tuple(at)] + 1) for at in free]
    for batch in _batches(itertools.product(*ranges), 16):
        seen = []
        for values in batch:
            components = [c.copy() for c in before.components]
            for (block, component, v, u), value in zip(free, values, strict=True):
                wide = components[component].shape[1]
                components[component][block // wide, block % wide, v, u] += int(value)
            file = dataclasses.replace(before, components=tuple(components))
            seen.append(pyfd.decode(pyfd.write_coefficients(file), tables))
        if (predict(model, seen) != label).any():
            return False
    return True


def _batches(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(values)
    while batch := list(itertools.islice(left, size)):
        yield batch


# ---- the page -----------------------------------------------------------------


def table(entries: Sequence[Entry], model: str, scale: Scale) -> str:
    """Return a network's table at a size, with a row for each of the tables at each ε."""
    heads = ["tables", "ε", "right", "certified", "proved", "left by grid", "open"]
    heads += ["blocks that can move", "coefficients that can move"]
    rows = []
    for place in places():
        if (place.model, place.scale) != (model, scale):
            continue
        found = [entry for entry in entries if _key(entry)[: len(place)] == place]
        count = {
            name: sum(entry[name] for entry in found)
            for name in ("right", "certified", "proved", "left")
        }
        between = [e for e in found if e["left"] and not e["certified"] and not e["proved"]]
        shares = [count[name] for name in ("right", "certified", "proved", "left")]
        rows.append(
            [
                place.tables,
                str(place.epsilon),
                *(_percent(share, len(found)) for share in (*shares, len(between))),
                _median([100 * e["blocks"] / e["of"] for e in between], "{:.1f} %"),
                _median([e["coefficients"] for e in between], "{:.0f}"),
            ]
        )
    return pages.table(heads, rows)


def _percent(share: int, count: int) -> str:
    return percent(
        {"accuracy": share / count, "interval": interval(share, count)} if count else None
    )


def _median(values: Sequence[float], form: str) -> str:
    return form.format(float(np.median(values))) if values else "–"
