"""What a perturbation can make of coefficients: the codec's numbers, and the certificate's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pyfd
from pyfd import QTables
from pyfd._core.arithmetic import DCT
from pyfd.evaluation.attacks import to_batch
from pyfd.evaluation.attacks.reach import Codec, ends, room, to_blocks, to_planes
from tests.jpegs import picture

TABLES = [QTables.uniform(1), QTables.uniform(24), QTables.certified(2), QTables.annex_k(60)]
SIZES = [(8, 8), (24, 32), (20, 27)]


def image(width: int, height: int, seed: int) -> np.ndarray:
    """Return a picture that reaches black and white, or is full of extremes."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        return rng.choice(np.array([0, 3, 128, 255], np.uint8), (height, width, 3))
    return (2.0 * picture(width, height, seed) - 128).clip(0, 255).astype(np.uint8)


def levels(pixels: np.ndarray) -> torch.Tensor:
    return to_batch([pixels]) * 255


def stored(pixels: np.ndarray, tables: QTables) -> np.ndarray:
    """Return the coefficients of a file of the pixels, block by block: B×3×8×8."""
    components = pyfd.read_coefficients(pyfd.encode(pixels, tables, baseline=False)).components
    return np.stack([c.reshape(-1, 8, 8) for c in components], 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tables", TABLES)
def test_coefficients_are_those_of_the_file(tables, size):
    for seed in range(4):
        pixels = image(*size, seed)
        found = Codec(tables).quantized(to_blocks(levels(pixels)).double())
        assert np.array_equal(found.numpy(), stored(pixels, tables))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tables", TABLES)
@pytest.mark.parametrize("epsilon", [1, 2, 9])
def test_a_block_can_change_unless_it_is_certified(tables, size, epsilon):
    for seed in range(4):
        pixels = pyfd.decode(pyfd.encode(image(*size, seed), tables), tables)
        found = room(Codec(tables), levels(pixels), epsilon)
        assert np.array_equal(~found.blocks.numpy(), pyfd.holds(pixels, tables, epsilon).ravel())


@pytest.mark.parametrize("size", SIZES)
def test_no_perturbation_passes_the_ends_and_each_end_is_reached(size):
    """An end is reached with the signs of the coefficient's basis function."""
    tables, epsilon = QTables.uniform(12), 3
    rng = np.random.default_rng(0)
    pixels = image(*size, 0)
    whole = pixels[: size[1] // 8 * 8, : size[0] // 8 * 8]
    down, up = room(Codec(tables), levels(pixels), epsilon)
    before = stored(pixels, tables)
    for _ in range(30):
        e = epsilon * rng.choice([-1, 0, 1], pixels.shape)
        moved = stored((pixels + e).clip(0, 255).astype(np.uint8), tables) - before
        assert (moved >= down.numpy()).all()
        assert (moved <= up.numpy()).all()
    if whole.shape != pixels.shape:
        return
    weights = [0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]
    for component, v, u in [(0, 0, 0), (0, 3, 2), (1, 0, 1), (2, 7, 7), (1, 0, 0)]:
        signs = np.sign(np.outer(DCT[v], DCT[u])[..., None] * weights[component])
        tiled = np.tile(signs, (size[1] // 8, size[0] // 8, 1)) * epsilon
        for way, end in ((1, up), (-1, down)):
            moved = stored((pixels + way * tiled).clip(0, 255).astype(np.uint8), tables) - before
            place = (slice(None), component, v, u)
            assert np.array_equal(moved[place], end.numpy()[place])


@pytest.mark.parametrize("size", SIZES)
def test_blocks_go_back_to_where_they_came_from(size):
    planes = torch.cat([levels(image(*size, seed)) for seed in range(3)])
    blocks = to_blocks(planes)
    high, wide = -(-size[1] // 8), -(-size[0] // 8)
    assert blocks.shape == (3 * high * wide, 3, 8, 8)
    assert torch.equal(to_planes(blocks, tuple(planes.shape)), planes)
    last = planes[2, :, 8 * (high - 1), 8 * (wide - 1)]
    assert torch.equal(blocks[-1, :, 0, 0], last)


def test_ends_stay_between_black_and_white():
    low, high = ends(torch.tensor([0.0, 1, 128, 254, 255]), 2)
    assert low.tolist() == [0, 0, 126, 252, 253]
    assert high.tolist() == [2, 3, 130, 255, 255]
