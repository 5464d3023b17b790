"""SoftQuantizer: the codec's pixels, slopes by hand, and a floor that no search leaves."""

import numpy as np
import pytest
import scipy.fft
import torch

import pyfd
from pyfd import QTables
from pyfd.torch import SoftQuantizer
from tests.jpegs import picture


def batch(*pixels: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2) / 255


RANDOM = QTables(np.random.default_rng(0).integers(2, 90, (2, 8, 8)))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:4:0"])
def test_pixels_are_the_codecs(subsampling):
    photo = picture(29, 18)
    quantizer = SoftQuantizer(RANDOM, subsampling=subsampling)
    assert quantizer.qtables == RANDOM
    file = pyfd.encode(photo, RANDOM, subsampling=subsampling)
    found = quantizer(batch(photo))
    assert torch.equal(found.detach(), batch(pyfd.decode(file, RANDOM)))
    assert found.requires_grad


def test_pixels_are_those_of_steps_between_whole_ones():
    quantizer = SoftQuantizer(RANDOM)
    with torch.no_grad():
        quantizer.raw += 3.3
    tables = quantizer.qtables
    assert (tables.array >= RANDOM.array + 2).all()
    photo = picture(16, 16)
    expected = batch(pyfd.decode(pyfd.encode(photo, tables)))
    assert torch.equal(quantizer(batch(photo)).detach(), expected)


@pytest.mark.parametrize(
    ("start", "smallest", "expected"),
    [
        (QTables.uniform(40), None, [np.full((8, 8), 40)]),
        (QTables.uniform(1), None, [np.full((8, 8), 1)]),
        (QTables.uniform(20), QTables.certified(1), QTables.certified(1).array.clip(20)),
        (RANDOM, QTables.uniform(30), RANDOM.array.clip(30)),
        (QTables.uniform(30), RANDOM, RANDOM.array.clip(30)),
        (QTables.uniform(8191), QTables.uniform(8191), [np.full((8, 8), 8191)]),
    ],
)
def test_a_search_starts_from_the_larger_steps(start, smallest, expected):
    assert SoftQuantizer(start, smallest=smallest).qtables == QTables(np.stack(expected))


def test_the_slope_by_a_step_is_what_rounding_moves():
    """By hand, for a gray block: (round(c/Q) - c/Q) times the basis function, by softplus."""
    block = picture(8, 8, seed=4, channels=1) // 2 + 60
    steps = np.random.default_rng(1).integers(10, 60, (8, 8))
    quantizer = SoftQuantizer(QTables(steps))
    weights = np.random.default_rng(2).normal(size=(8, 8))
    found = quantizer(batch(np.stack([block] * 3, axis=2)))
    (found[0].mean(0) * torch.tensor(weights)).sum().backward()
    sizes = scipy.fft.dctn(block - 128.0, norm="ortho") / steps
    slopes = (sizes.round() - sizes) * scipy.fft.dctn(weights, norm="ortho") / 255
    slopes *= 1 - np.exp(1 - steps)  # of steps = 1 + softplus(raw), by raw
    error = np.abs(quantizer.raw.grad[0].numpy() - slopes).max()
    assert error < 0.03 * np.abs(slopes).max()


def test_the_slope_by_a_sample_is_1():
    images = batch(picture(16, 8) // 2 + 60).requires_grad_()
    SoftQuantizer(QTables.uniform(20))(images)[0, 1, 3, 4].backward()
    expected = torch.zeros_like(images)
    expected[0, 1, 3, 4] = 1
    assert torch.allclose(images.grad, expected, atol=0.02)


def test_a_search_goes_down_to_the_floor_and_no_further():
    """The squared error is smallest there."""
    floor = QTables.certified(1)
    quantizer = SoftQuantizer(QTables.certified(1, slack=14), smallest=floor)
    images = batch(*(picture(32, 32, seed=n) for n in range(4)))
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=1.0)
    for _ in range(40):
        optimizer.zero_grad()
        (255 * (quantizer(images) - images)).square().mean().backward()
        optimizer.step()
        assert (quantizer.qtables.array >= floor.array).all()
    reached = quantizer.qtables.array == floor.array
    assert reached.mean() > 0.9


def test_steps_end_where_those_of_a_file_do():
    quantizer = SoftQuantizer(QTables.uniform(8000))
    with torch.no_grad():
        quantizer.raw += 500
    assert quantizer.qtables == QTables.uniform(8191)


def test_it_can_be_saved_and_loaded():
    quantizer = SoftQuantizer(QTables.uniform(8))
    quantizer.load_state_dict(SoftQuantizer(QTables.uniform(9)).state_dict())
    assert quantizer.qtables == QTables.uniform(9)
    assert "subsampling=4:4:4" in repr(quantizer)


@pytest.mark.parametrize("smallest", [QTables.uniform(9000), None])
def test_steps_beyond_an_encoders_are_refused(smallest):
    with pytest.raises(ValueError, match="8191"):
        SoftQuantizer(QTables.uniform(8192 if smallest is None else 1), smallest=smallest)


def test_other_arguments_that_are_refused():
    with pytest.raises(ValueError, match="4:4:4"):
        SoftQuantizer(RANDOM, subsampling="4:1:1")
    with pytest.raises(TypeError, match=r"use images.float\(\) / 255"):
        SoftQuantizer(RANDOM)(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="N×3×H×W"):
        SoftQuantizer(RANDOM)(torch.zeros(3, 8, 8))
