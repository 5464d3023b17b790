"""FeatureDistillation without float64: the bounds of its integers, and the codec's pixels."""

import contextlib
import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import pyfd
from pyfd import QTables
from pyfd._core.arithmetic import BASIS
from pyfd.torch import FeatureDistillation, stages

SUBSAMPLINGS = ["4:4:4", "4:2:2", "4:2:0", "4:4:0"]
MISSING = {torch.float64, torch.int64, torch.complex128}
#: Where TF32 or autocast may drop bits, and which have no integers on most devices
PRODUCTS = re.compile(r"aten\.(mm|bmm|addmm|baddbmm|addbmm|mv|convolution)\b")


class LikeMPS(TorchDispatchMode):
    """Refuses 64-bit numbers as torch's MPS does, and matrix products besides."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not PRODUCTS.match(str(func)), func
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype in MISSING:
                raise TypeError(f"{func}: MPS framework doesn't support {leaf.dtype}")
        return result


@contextlib.contextmanager
def like_mps(monkeypatch) -> Iterator[None]:
    """Run tensor operations instead of the codec, and these without 64-bit numbers."""
    monkeypatch.setattr("pyfd.torch.distillation._is_exporting", lambda: True)
    with LikeMPS():
        yield


def levels_of(images: np.ndarray) -> torch.Tensor:
    return torch.tensor(images).permute(0, 3, 1, 2).contiguous()


def by_codec(images: np.ndarray, tables: QTables, subsampling: str) -> torch.Tensor:
    defended = []
    for image in images.squeeze(3) if images.shape[3] == 1 else images:
        data = pyfd.encode(image, tables, subsampling=subsampling, baseline=False)
        pixels = pyfd.decode(data, tables, mode="L" if image.ndim == 2 else "RGB")
        defended.append(pixels.reshape(images.shape[1:]))
    return levels_of(np.stack(defended))


def waves(channels: int) -> np.ndarray:
    """Return images of the largest coefficients: the signs of each basis function, as levels."""
    signs = np.sign(BASIS).astype(int)
    blocks = np.einsum("uy,vx->uvyx", signs, signs).reshape(64, 8, 8)
    blocks = np.concatenate([blocks, -blocks]) > 0
    images = np.zeros((128, 8, 8, channels), np.uint8)
    images[..., :] = blocks[..., None] * np.uint8(255)
    if channels == 3:  # largest in chroma, too
        images[::3, ..., 0] = 255 - images[::3, ..., 2]
        images[1::3, ..., 1] = 255 - images[1::3, ..., 2]
    return images.repeat(2, 1).repeat(2, 2) if channels == 3 else images


def noise(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (8, 19, 26, channels), dtype=np.uint8)


def tables() -> dict[str, QTables]:
    rng = np.random.default_rng(0)
    largest = np.abs(BASIS).sum(1)[:, None] * np.abs(BASIS).sum(1) / 2**26 / 8 * 128
    return {
        "ones": QTables.uniform(1),
        "thirds": QTables.uniform(3),
        "8191": QTables.uniform(8191),
        "any": QTables(rng.integers(1, 8192, (3, 8, 8))),
        "small": QTables(rng.integers(1, 100, (3, 8, 8))),
        # Just below twice the largest coefficients, which are rounded up to twice as much
        "doubling": QTables((2 * largest - rng.integers(1, 60, (3, 8, 8))).astype(int)),
    }


@pytest.mark.parametrize("name", tables())
@pytest.mark.parametrize("kind", [waves, noise])
@pytest.mark.parametrize(
    ("channels", "subsampling"), [(1, "4:4:4"), *((3, subsampling) for subsampling in SUBSAMPLINGS)]
)
def test_gives_the_codecs_pixels_without_64_bits(monkeypatch, channels, subsampling, kind, name):
    images = kind(channels)
    module = FeatureDistillation(tables()[name], subsampling=subsampling)
    batch = levels_of(images).float() / 255
    with like_mps(monkeypatch):
        found = module(batch)
    expected = by_codec(images, tables()[name], subsampling)
    assert torch.equal(found, expected.float() / 255)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("gradient", ["straight-through", "soft", "none"])
@pytest.mark.parametrize(
    ("channels", "subsampling"), [(1, "4:2:0"), *((3, subsampling) for subsampling in SUBSAMPLINGS)]
)
def test_gradients_need_no_64_bits(monkeypatch, channels, subsampling, gradient, dtype):
    module = FeatureDistillation("fd-cvpr2019", subsampling=subsampling, gradient=gradient)
    images = (levels_of(noise(channels)).float() / 255).to(dtype).requires_grad_()
    with like_mps(monkeypatch):
        found = module(images)
        if gradient != "none":
            found.sum().backward()
            assert images.grad.dtype == dtype
            assert images.grad.abs().max() > 0
    torch.testing.assert_close(found, module(images), rtol=0, atol=1e-2)


def test_the_default_type_does_not_matter():
    module = FeatureDistillation("fd-cvpr2019", subsampling="4:2:0")
    images = levels_of(noise(3)).float() / 255
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float16, torch.float64):
            torch.set_default_dtype(dtype)
            assert torch.equal(module._in_tensors(images), module(images))
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("gradient", ["soft", "none"])
def test_rgb_refuses_a_device_without_float64(monkeypatch, gradient):
    module = FeatureDistillation("fd-2018", color="rgb", gradient=gradient)
    with (
        like_mps(monkeypatch),
        pytest.raises(ValueError, match=r'color="rgb" needs float64, which cpu lacks'),
    ):
        module(torch.zeros(1, 3, 8, 8, requires_grad=True))


# ---- the bounds -----------------------------------------------------------------


class Largest(TorchDispatchMode):
    """Notes the largest size of the integers that occur."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.int64 and result.numel():
            self.size = max(self.size, int(result.abs().max()))
        return result


@pytest.mark.parametrize("name", tables())
def test_integers_stay_below_their_bound(name):
    """With 64 bits, where nothing wraps, the largest integer is below 2³⁰."""
    module = FeatureDistillation(tables()[name])
    steps, basis = module.steps.long(), module.basis.long()
    for levels in (levels_of(waves(3)).long(), levels_of(noise(3)).long()):
        with Largest() as largest:
            stages.by_integer_dct(levels, steps, basis, (1, 1), stages.EXACT)
        assert 2**24 < largest.size < 2**30


def test_the_basis_is_as_the_bounds_assume():
    matrix = BASIS.astype(np.float64)
    assert np.abs(matrix).sum(1).max() <= 2**16
    assert np.abs(np.linalg.svd(matrix)[1] / (2**13 * np.sqrt(8)) - 1).max() < 1e-4


def test_the_quantizer_rounds_as_the_codec():
    """Every half, and its neighbors, are the only places where rounding can go wrong."""
    for step in (*range(1, 2**12), 8191, 65535):
        halves = np.arange(4 * step, 2**14, 8 * step)
        sizes = np.concatenate([halves - 1, halves, halves + 1, [0, 1, 2**14]])
        scaled = np.concatenate([sizes, -sizes])
        expected = np.sign(scaled) * ((2 * np.abs(scaled) + 8 * step) // (16 * step))
        grid = torch.tensor([step], dtype=torch.int32)
        for worse in (1 - 2**-22, 1, 1 + 2**-22):  # as if a device divided badly
            found = stages._in_steps(torch.tensor(scaled, dtype=torch.int32), grid) * worse
            np.testing.assert_array_equal(stages.EXACT.quantize(found).numpy(), expected)
