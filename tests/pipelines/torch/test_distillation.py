"""FeatureDistillation, compared with the codec and scipy, and as a module of torch's."""

import copy
import pickle
import sys

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import pyfd
from pyfd import QTables
from pyfd.torch import FeatureDistillation
from tests.jpegs import picture

SUBSAMPLINGS = ["4:4:4", "4:2:2", "4:2:0", "4:4:0"]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# The codec itself; tensor operations, as in an exported program; and these on a GPU
WAYS = ["codec", "tensors", pytest.param("cuda", marks=pytest.mark.cuda)]
TABLES = {
    "fd-cvpr2019": QTables.preset("fd-cvpr2019"),
    "fd-2018": QTables.preset("fd-2018"),
    "annex-k": QTables.annex_k(60),
    "ones": QTables.uniform(1),
    "large": QTables(np.random.default_rng(0).integers(1, 8192, (3, 8, 8))),
}


def as_batch(image: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(image).permute(2, 0, 1)[None].to(dtype) / 255


def as_image(batch: torch.Tensor) -> np.ndarray:
    return (batch[0].double() * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def by_codec(image: np.ndarray, tables: QTables, subsampling: str = "4:4:4") -> np.ndarray:
    data = pyfd.encode(image, tables, subsampling=subsampling, baseline=False)
    return pyfd.decode(data, tables, mode="L" if image.ndim == 2 else "RGB")


def defended(module: FeatureDistillation, batch: torch.Tensor, way: str) -> torch.Tensor:
    if way == "tensors":
        return module._in_tensors(batch)
    device = "cuda" if way == "cuda" else "cpu"
    return module.to(device)(batch.to(device)).cpu()


def texture(height: int, width: int, kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "stripes":  # these have the largest possible coefficients
        return np.repeat(rng.integers(0, 2, (height, width, 1), dtype=np.uint8) * 255, 3, 2)
    top, left = rng.integers(0, 40, 2)
    return picture(128, 128)[top : top + height, left : left + width]


# ---- the codec's twin -------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    kind=st.sampled_from(["noise", "stripes", "photo"]),
    name=st.sampled_from(sorted(TABLES)),
    seed=st.integers(0, 1000),
)
def test_gives_the_codecs_pixels(way, subsampling, height, width, kind, name, seed):
    image = texture(height, width, kind, seed)
    module = FeatureDistillation(TABLES[name], subsampling=subsampling)
    got = as_image(defended(module, as_batch(image), way))
    np.testing.assert_array_equal(got, by_codec(image, TABLES[name], subsampling))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_gives_the_codecs_pixels_of_photographs(subsampling, way):
    from skimage import data

    tables = TABLES["fd-cvpr2019"]
    module = FeatureDistillation(tables, subsampling=subsampling)
    for name in ("astronaut", "chelsea", "coffee"):
        image = getattr(data, name)()[:, :-3]
        got = as_image(defended(module, as_batch(image), way))
        np.testing.assert_array_equal(got, by_codec(image, tables, subsampling))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_gray_is_a_grayscale_file(subsampling, way):
    image = texture(19, 26, "photo", 0)[..., 0]
    module = FeatureDistillation(TABLES["large"], subsampling=subsampling)
    got = defended(module, torch.tensor(image)[None, None] / 255, way)
    expected = by_codec(image, TABLES["large"])
    assert torch.equal(got, torch.tensor(expected)[None, None] / 255)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("color", ["ycbcr", "rgb"])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_image_is_as_a_batch_of_one(channels, color, way):
    image = torch.rand(channels, 19, 26)
    module = FeatureDistillation("fd-2018", color=color)
    if way == "tensors":
        pytest.raises(ValueError, module._in_tensors, image)
    got = module(image) if way != "cuda" else module.to(way)(image.to(way)).cpu()
    assert got.shape == image.shape
    assert torch.equal(got, module.cpu()(image[None])[0])


@pytest.mark.parametrize("gradient", ["straight-through", "soft", "none"])
def test_a_batch_of_none_is_one_of_none(gradient):
    images = torch.zeros(0, 3, 9, 9, requires_grad=True)
    result = FeatureDistillation("fd-2018", subsampling="4:2:0", gradient=gradient)(images)
    assert result.shape == images.shape
    assert result is not images
    assert result.requires_grad == (gradient != "none")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_keeps_dtype_and_levels(dtype, way):
    image = texture(24, 31, "photo", 0)
    module = FeatureDistillation("fd-cvpr2019").to(dtype)  # the tables stay integers
    result = defended(module, as_batch(image, dtype), way)
    assert result.dtype == dtype
    np.testing.assert_array_equal(as_image(result), by_codec(image, TABLES["fd-cvpr2019"]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_levels_are_the_nearest_floats(dtype, way):
    levels = (torch.arange(256, dtype=torch.float64) / 255).to(dtype)
    flat = levels[:, None, None, None].expand(-1, 3, 2, 2)
    assert torch.equal(defended(FeatureDistillation(QTables.uniform(1)), flat, way), flat)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_wraps_at_the_ends(way):
    ends = torch.tensor([-0.5 / 255, 255.5 / 255]).nextafter(torch.tensor(0.5))
    flat = ends[:, None, None, None].expand(-1, 3, 8, 8)
    result = defended(FeatureDistillation(QTables.uniform(1)), flat, way)
    assert torch.equal(result, torch.tensor([0.0, 1.0])[:, None, None, None].expand_as(flat))


@pytest.mark.parametrize("way", WAYS)
def test_any_strides_work(way):
    batch = torch.cat([as_batch(texture(24, 31, "photo", seed)) for seed in range(3)])
    module = FeatureDistillation("fd-2018", subsampling="4:2:0")
    expected = module(batch)
    assert expected.is_contiguous()
    last = batch.to(memory_format=torch.channels_last)
    assert module(last).is_contiguous(memory_format=torch.channels_last)
    for same in (last, batch.repeat_interleave(2, 3)[..., ::2], batch.mT.contiguous().mT):
        assert torch.equal(defended(module, same, way), expected)
    assert torch.equal(
        defended(module, batch[:1].expand(2, -1, -1, -1), way), expected[:1].expand(2, -1, -1, -1)
    )


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_do_not_matter(monkeypatch, threads):
    batch = torch.cat([as_batch(texture(20, 20, "noise", seed)) for seed in range(5)])
    module = FeatureDistillation("fd-2018")
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(module(batch), module._in_tensors(batch))


@pytest.mark.parametrize("way", WAYS)
def test_autocast_does_not_matter(way):
    batch = as_batch(texture(20, 20, "noise", 0))
    module = FeatureDistillation("fd-2018", subsampling="4:2:0")
    with torch.autocast("cuda" if way == "cuda" else "cpu", dtype=torch.bfloat16):
        result = defended(module, batch, way)
    assert torch.equal(result, module(batch))


def test_items_of_a_batch_are_independent():
    batch = torch.cat([as_batch(texture(33, 17, kind, 1)) for kind in ("noise", "stripes")])
    module = FeatureDistillation("fd-2018", subsampling="4:2:0")
    for i in range(2):
        assert torch.equal(module(batch)[i : i + 1], module(batch[i : i + 1]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_between_levels_are_rounded(dtype, way):
    image = texture(16, 16, "photo", 0)
    module = FeatureDistillation("fd-cvpr2019")
    nudged = as_batch(image, dtype) + 0.49 / 255 * torch.sign(torch.randn(1, 3, 16, 16))
    assert torch.equal(defended(module, nudged, way), module(as_batch(image, dtype)))


@pytest.mark.parametrize("way", WAYS[1:])
def test_all_values_are_rounded_alike(way):
    module = FeatureDistillation(QTables.uniform(1))
    for dtype in DTYPES:
        batch = torch.rand(4, 3, 40, 40, dtype=torch.float64).to(dtype)
        ties = ((batch.double() * 254).floor() + 0.5) / 255  # an attack's steps may end on ties
        for images in (batch, ties.to(dtype)):
            assert torch.equal(defended(module, images, way), module.cpu()(images))


@given(seed=st.integers(0, 100), height=st.integers(1, 20), width=st.integers(1, 20))
def test_rgb_is_the_papers_arithmetic(seed, height, width):
    image = np.random.default_rng(seed).random((height, width, 3))
    tables = TABLES["fd-2018"]
    margins = ((0, -height % 8), (0, -width % 8))
    expected = np.empty_like(image)
    for i in range(3):
        padded = np.pad(image[..., i] * 255, margins, mode="edge")
        blocks = padded.reshape(padded.shape[0] // 8, 8, -1, 8).swapaxes(1, 2)
        coefficients = scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho")
        quantized = np.round(coefficients / tables[i]) * tables[i]
        restored = scipy.fft.idctn(quantized, axes=(2, 3), norm="ortho")
        expected[..., i] = restored.swapaxes(1, 2).reshape(padded.shape)[:height, :width]
    got = FeatureDistillation(tables, color="rgb")(torch.tensor(image).permute(2, 0, 1)[None])
    np.testing.assert_allclose(
        got[0].permute(1, 2, 0).numpy(), expected.clip(0, 255) / 255, atol=1e-9
    )


# ---- gradients --------------------------------------------------------------


def gradient(module, batch: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    batch = batch.clone().requires_grad_()
    (module(batch) * weights).sum().backward()
    return batch.grad


def test_straight_through_is_the_identity():
    weights = torch.randn(1, 3, 19, 22)
    module = FeatureDistillation("fd-cvpr2019")
    assert torch.equal(gradient(module, as_batch(texture(19, 22, "photo", 0)), weights), weights)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS[1:])
def test_straight_through_is_the_derivative_of_the_subsampling(subsampling):
    """With steps of 1 the codec is nearly linear, so its differences are the derivative."""
    image = np.full((16, 16, 3), (130, 120, 110), np.uint8)
    module = FeatureDistillation(QTables.uniform(1), subsampling=subsampling)
    weights = torch.zeros(1, 3, 16, 16)
    weights[0, 2, 6, 7] = 1  # a blue sample depends on chroma
    found = gradient(module, as_batch(image), weights)[0].permute(1, 2, 0).numpy()
    for y, x in ((6, 7), (6, 6), (7, 7), (6, 8), (5, 7), (12, 3)):
        moved = [image.copy(), image.copy()]
        moved[0][y, x] += 80
        moved[1][y, x] -= 80
        high, low = (by_codec(m, QTables.uniform(1), subsampling)[6, 7, 2] for m in moved)
        assert found[y, x].sum() == pytest.approx((int(high) - int(low)) / 160, abs=0.02)


def test_soft_gradient_vanishes_on_the_grid_and_not_beside_it():
    module = FeatureDistillation(QTables.uniform(40), gradient="soft")
    flat = torch.full((1, 3, 8, 8), 128 / 255)  # every coefficient is 0
    weights = torch.randn(1, 3, 8, 8)
    assert gradient(module, flat, weights).abs().max() < 1e-6
    beside = flat + 2 / 255  # DC is 16, two fifths of a step
    assert gradient(module, beside, weights).abs().max() > 1e-3


def test_soft_gradient_of_rgb_is_that_of_the_papers_arithmetic():
    basis = torch.tensor(scipy.fft.dct(np.eye(8), axis=0, norm="ortho"))
    steps = torch.tensor(TABLES["fd-2018"].array[0].astype(np.float64))

    def softly(images):
        sizes = basis @ (images * 255) @ basis.T / steps
        nearest = sizes.detach().round()
        restored = basis.T @ ((nearest + (sizes - nearest) ** 3) * steps) @ basis
        return restored.clamp(0, 255) / 255

    images, weights = torch.rand(2, 2, 3, 8, 8, dtype=torch.float64)
    module = FeatureDistillation("fd-2018", color="rgb", gradient="soft")
    torch.testing.assert_close(
        gradient(module, images, weights), gradient(softly, images, weights), rtol=1e-6, atol=1e-9
    )


def test_soft_and_straight_through_give_the_same_pixels():
    batch = as_batch(texture(20, 20, "photo", 0)).requires_grad_()
    expected = FeatureDistillation("fd-2018", gradient="none")(batch)
    for kind in ("soft", "straight-through"):
        result = FeatureDistillation("fd-2018", gradient=kind)(batch)
        assert result.requires_grad
        torch.testing.assert_close(result.detach(), expected, rtol=0, atol=1e-6)


def test_none_has_no_gradient():
    batch = as_batch(texture(8, 8, "photo", 0)).requires_grad_()
    assert not FeatureDistillation("fd-2018", gradient="none")(batch).requires_grad


# ---- as a module ------------------------------------------------------------


def test_is_a_well_behaved_module():
    module = FeatureDistillation("fd-2018", subsampling="4:2:0")
    batch = as_batch(texture(9, 9, "photo", 0))
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(batch), module(batch))
    assert module.state_dict() == {}  # tables are configuration, not weights
    assert "fd-2018" in repr(module)
    assert "4:2:0" in repr(module)


def compile_whole(function):
    torch.compiler.reset()  # the number of recompilations is limited
    return torch.compile(function, backend="aot_eager", fullgraph=True)


@pytest.mark.parametrize("way", ["codec", "tensors"])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_is_one_graph_for_the_compiler(subsampling, way):
    module = FeatureDistillation("fd-cvpr2019", subsampling=subsampling)
    compiled = compile_whole(module if way == "codec" else module._in_tensors)
    batch = as_batch(texture(24, 40, "photo", 0))
    for same in (batch, batch.to(memory_format=torch.channels_last)):
        assert torch.equal(compiled(same), module(batch))


def test_compiled_has_the_gradient_and_the_check():
    module = FeatureDistillation("fd-cvpr2019", subsampling="4:2:0")
    compiled = compile_whole(module)
    batch, weights = as_batch(texture(24, 40, "photo", 0)), torch.randn(1, 3, 24, 40)
    expected = gradient(module, batch, weights)
    torch.testing.assert_close(gradient(compiled, batch, weights), expected)
    with pytest.raises(ValueError, match=r"in \[0, 1\], not in \[nan, nan\]"):
        compiled(torch.full_like(batch, float("nan")))


def test_exports_tensor_operations():
    module = FeatureDistillation("fd-cvpr2019", subsampling="4:2:0")
    batch = as_batch(texture(24, 40, "photo", 0))
    program = torch.export.export(module, (batch,))
    assert "pyfd" not in str(program.graph)
    assert torch.equal(program.module()(batch), module(batch))


def test_exports_for_any_number_of_images():
    module = FeatureDistillation("fd-cvpr2019", subsampling="4:2:0")
    batch = torch.rand(5, 3, 24, 40)
    number = {0: torch.export.Dim("number", min=2)}
    program = torch.export.export(module, (batch[:3],), dynamic_shapes={"images": number})
    assert torch.equal(program.module()(batch), module(batch))


@pytest.mark.parametrize("channels", [1, 3])
def test_maps_over_images(channels):
    batch = torch.rand(3, channels, 20, 20)
    module = FeatureDistillation("fd-2018", subsampling="4:2:0")
    assert torch.equal(torch.vmap(module)(batch), module(batch))


@pytest.mark.parametrize("kind", ["straight-through", "soft"])
def test_functional_gradient_is_the_same(kind):
    module = FeatureDistillation("fd-2018", subsampling="4:2:0", gradient=kind)
    batch, weights = as_batch(texture(20, 20, "photo", 0)), torch.randn(1, 3, 20, 20)
    found = torch.func.grad(lambda images: (module(images) * weights).sum())(batch)
    torch.testing.assert_close(found, gradient(module, batch, weights))


def test_torch_finds_no_fault_with_the_operator():
    module = FeatureDistillation("fd-2018")
    batch = as_batch(texture(9, 9, "photo", 0)).to(memory_format=torch.channels_last)
    torch.library.opcheck(torch.ops.pyfd.through_codec.default, (batch, module.steps, "4:2:0"))


def _defended(image: np.ndarray) -> torch.Tensor:
    return FeatureDistillation("fd-2018")(as_batch(image))[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork in a process with threads
def test_works_in_a_data_loader():
    images = [texture(16, 16, "photo", seed) for seed in range(4)]
    loader = DataLoader(
        images,
        collate_fn=lambda items: [_defended(i) for i in items],
        num_workers=1,
        multiprocessing_context="fork",
    )
    for got, image in zip(loader, images, strict=True):
        assert torch.equal(got[0], _defended(image))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((1, 3, 8, 8)), TypeError, "must be a tensor, not ndarray"),
        (torch.zeros(8, 8), ValueError, r"not 8×8: add the missing axes"),
        (torch.tensor(0.0), ValueError, "add the missing axes"),
        (torch.zeros(1, 2, 8, 8), ValueError, "N×C×H×W or C×H×W with C = 3 or 1, not 1×2×8×8"),
        (torch.zeros(1, 4, 8, 8), ValueError, "groups of 3 or 1 channels"),
        (torch.zeros(1, 5, 8, 8), ValueError, "groups of 3 or 1 channels"),
        (torch.zeros(1, 0, 8, 8), ValueError, "groups of 3 or 1 channels"),
        (torch.zeros(4, 8, 8), ValueError, "groups of 3 or 1 channels"),
        (torch.zeros(1, 8, 8, 3), ValueError, r"images\.movedim\(-1, -3\)"),
        (torch.zeros(8, 8, 1), ValueError, r"images\.movedim\(-1, -3\)"),
        (torch.zeros(2, 4, 3, 8, 8), ValueError, r"images\.flatten\(0, -4\)"),
        (torch.zeros(1, 3, 0, 8), ValueError, "must have pixels, unlike 1×3×0×8"),
        (torch.zeros(0, 3, 8, 0), ValueError, "must have pixels"),
        (
            torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
            TypeError,
            r"uint8: use images.float\(\) / 255",
        ),
        (torch.zeros(3, 8, 8, dtype=torch.int64), TypeError, r"use images.float\(\) / 255"),
        (torch.ones(3, 8, 8, dtype=torch.bool), TypeError, r"bool: a mask is no image, unless"),
        (torch.ones(3, 8, 8, dtype=torch.complex64), TypeError, "not torch.complex64$"),
        (torch.ones(3, 8, 8).to_sparse(), TypeError, r"sparse_coo: use images\.to_dense\(\)$"),
        (torch.ones(3, 8, 8, device="meta"), ValueError, 'on the device "meta", they have none'),
        (torch.full((1, 3, 8, 8), 255.0), ValueError, r"\[255, 255\]: divide levels by 255"),
        (torch.full((1, 3, 8, 8), -2.1), ValueError, r"\[-2.1, -2.1\].* before you normalize"),
        (torch.full((1, 1, 8, 8), -0.1), ValueError, r"in \[0, 1\]"),
        (torch.full((1, 3, 8, 8), float("nan")), ValueError, r"in \[0, 1\]"),
        (torch.full((3, 8, 8), float("inf")), ValueError, r"in \[0, 1\]"),
    ],
)
@pytest.mark.parametrize("color", ["ycbcr", "rgb"])
def test_bad_images_are_refused(images, error, message, color):
    with pytest.raises(error, match=message):
        FeatureDistillation("fd-2018", color=color)(images)


def test_the_hints_help():
    module = FeatureDistillation("fd-2018")
    batch = as_batch(texture(9, 9, "photo", 0))
    levels = (batch * 255).round().byte()
    assert torch.equal(module(levels.float() / 255), module(batch))
    last = batch.movedim(-3, -1)
    assert torch.equal(module(last.movedim(-1, -3)), module(batch))
    video = batch.expand(2, 2, 3, 9, 9)
    assert torch.equal(module(video.flatten(0, -4)), module(batch).expand(4, -1, -1, -1))
    five = torch.rand(2, 5, 9, 9)
    groups = [module(group) for group in five.split([3, 1, 1], 1)]
    assert torch.cat(groups, 1).shape == five.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": "lab"}, "color must be one of ycbcr, rgb, not 'lab'"),
        ({"subsampling": "4:1:1"}, "subsampling must be one of 4:4:4"),
        ({"gradient": "exact"}, "gradient must be one of straight-through"),
        ({"color": "rgb", "subsampling": "4:2:0"}, "no chroma"),
        ({"qtables": QTables.uniform(8192)}, r"1\.\.\.8191 here"),
        ({"qtables": "fd"}, "fd"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FeatureDistillation(**{"qtables": "fd-2018", **options})


def test_missing_torch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "pyfd.torch")
    with pytest.raises(ImportError, match=r"pip install 'pyfd-jpeg\[torch\]'"):
        import pyfd.torch  # noqa: F401
