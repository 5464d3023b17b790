"""What it costs to certify a photograph: its plain file and its certified one, compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import pyfd
from pyfd import QTables
from pyfd._core.pixels import Pixels


class Cost(NamedTuple):
    """A photograph's certified file beside the plain one with the same tables."""

    certified: bool
    """Whether all blocks of the decoded file hold, and encoding it again gives the file."""
    blocks: int
    held: int
    """The blocks that hold in the plain file."""
    changed: int
    """The blocks whose coefficients differ between the files."""
    whole: int
    """Those of them that the plain file shows without padding and without a 0 or 255."""
    psnr: float
    """Of the certified file against the photograph, in dB."""
    plain_psnr: float
    bytes: int
    plain_bytes: int
    pixels: int


class Pair(NamedTuple):
    """A photograph as its plain file shows it, and as the certified one does; and the cost."""

    plain: Pixels
    certified: Pixels
    cost: Cost


def pair(photo: Pixels, tables: QTables, epsilon: int, *, optimize: bool = False) -> Pair:
    """Encode a photograph with and without a radius, and compare the files.

    Args:
        photo: H×W×3 ``uint8``.
        tables: The tables of both files.
        epsilon: The strength that one of them is certified for.
        optimize: Write Huffman tables made for each file.
    """
    files = [
        pyfd.encode(photo, tables, optimize=optimize, radius=radius) for radius in (None, epsilon)
    ]
    plain, certified = map(pyfd.decode, files)
    again = pyfd.encode(certified, tables, optimize=optimize)
    changed = _changed(*files)
    cost = Cost(
        certified=bool(pyfd.holds(certified, tables, epsilon).all()) and again == files[1],
        blocks=changed.size,
        held=int(pyfd.holds(plain, tables, epsilon).sum()),
        changed=int(changed.sum()),
        whole=int((changed & _whole(plain)).sum()),
        psnr=psnr(photo, certified),
        plain_psnr=psnr(photo, plain),
        bytes=len(files[1]),
        plain_bytes=len(files[0]),
        pixels=photo.shape[0] * photo.shape[1],
    )
    return Pair(plain, certified, cost)


def _changed(one: bytes, other: bytes) -> np.ndarray:
    """Return which blocks of two 4:4:4 files differ in a component."""
    components = (pyfd.read_coefficients(file).components for file in (one, other))
    differences = (np.any(a != b, axis=(2, 3)) for a, b in zip(*components, strict=True))
    return np.logical_or.reduce(list(differences))


def _whole(pixels: Pixels) -> np.ndarray:
    """Return which blocks have neither padding nor a sample of 0 or 255."""
    height, width = pixels.shape[:2]
    inside = np.zeros((-(-height // 8) * 8, -(-width // 8) * 8), bool)
    inside[:height, :width] = ((pixels > 0) & (pixels < 255)).all(2)
    blocks: np.ndarray = inside.reshape(len(inside) // 8, 8, -1, 8).all((1, 3))
    return blocks


def psnr(one: Pixels, other: Pixels) -> float:
    """Return the peak signal-to-noise ratio over all samples, in dB."""
    error = np.mean(np.square(one.astype(np.float64) - other))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


# ---- many photographs -----------------------------------------------------------


class Summary(NamedTuple):
    """The costs of many photographs together."""

    photos: int
    certified: int
    """The photographs that are certified as a whole."""
    before: int
    """The photographs whose plain file is certified as a whole."""
    held: float
    """The share of all blocks that hold in the plain files."""
    changed: float
    """The share of all blocks that differ."""
    whole: float
    """The share of all blocks that differ, but have neither padding nor a 0 or 255."""
    psnr: float
    plain_psnr: float
    loss: float
    """The largest loss of PSNR, and the photograph's index in `loser`."""
    loser: int
    bytes: float
    """The certified files' bytes for one of the plain files."""
    bits: float
    """The certified files' bits per pixel: the mean over the photographs."""


def summary(costs: Sequence[Cost]) -> Summary:
    """Return the costs of many photographs together."""
    blocks = sum(cost.blocks for cost in costs)
    losses = [cost.plain_psnr - cost.psnr for cost in costs]
    return Summary(
        photos=len(costs),
        certified=sum(cost.certified for cost in costs),
        before=sum(cost.held == cost.blocks for cost in costs),
        held=sum(cost.held for cost in costs) / blocks,
        changed=sum(cost.changed for cost in costs) / blocks,
        whole=sum(cost.whole for cost in costs) / blocks,
        psnr=float(np.mean([cost.psnr for cost in costs])),
        plain_psnr=float(np.mean([cost.plain_psnr for cost in costs])),
        loss=max(losses),
        loser=int(np.argmax(losses)),
        bytes=sum(cost.bytes for cost in costs) / sum(cost.plain_bytes for cost in costs),
        bits=float(np.mean([8 * cost.bytes / cost.pixels for cost in costs])),
    )
