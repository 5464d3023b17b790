"""Models of other libraries: a differentiable copy of their preprocessing, and their weights.

transformers is the oracle here. timm and torchvision need another torch than the tests have;
stand-ins with their documented interface take their places.
"""

from __future__ import annotations

import json
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pyfd.evaluation import models
from pyfd.evaluation.models import pipelines, weights
from pyfd.evaluation.models.classifier import Resize
from tests.jpegs import picture

transformers = pytest.importorskip("transformers")

NAMES = {0: "cat", 1: "dog", 2: "cow"}
# Not so bright or dark that a filter's overshoot is clipped: Pillow clips it twice
PHOTO = (picture(150, 101) // 2 + 60).astype(np.uint8)


def vit(folder: Path, processor: str, **options) -> Path:
    """Save a tiny model with random weights, and an image processor."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=32, patch_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, id2label=NAMES,
    )  # fmt: skip
    transformers.utils.logging.disable_progress_bar()
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    getattr(transformers, f"{processor}ImageProcessorPil")(**options).save_pretrained(folder)
    return folder


def batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[np.newaxis].float() / 255


SQUARE, SHORT, CROP = {"height": 32, "width": 32}, {"shortest_edge": 36}, {"shortest_edge": 32}


@pytest.mark.parametrize(
    ("processor", "options", "resize"),
    [
        ("ViT", {"size": SQUARE}, Resize(32, squashed=True, filter="bilinear")),
        ("MobileNetV2", {"size": SHORT, "crop_size": SQUARE}, Resize(36, filter="bilinear")),
        ("CLIP", {"size": CROP, "crop_size": SQUARE}, Resize(32)),
        ("ConvNext", {"size": CROP}, Resize(36)),
        ("MobileViT", {"size": SHORT, "crop_size": SQUARE}, Resize(36)),
        (
            "EfficientNet",
            {"size": SQUARE, "resample": 0},
            Resize(32, squashed=True, filter="nearest"),
        ),
        ("Levit", {"size": CROP, "crop_size": SQUARE}, Resize(36)),
    ],
)
def test_hugging_face(processor, options, resize, tmp_path):
    """The logits are those behind the library's own image processor, but for its rounding."""
    folder = vit(tmp_path / "model", processor, **options)
    model = models.load(f"hf:{folder}")
    assert (model.input_size, model.class_names) == (32, ("cat", "dog", "cow"))
    assert model.resize == resize
    assert not any(part.training for part in model.modules())
    load = {"pretrained_model_name_or_path": folder, "backend": "pil"}
    theirs = transformers.AutoImageProcessor.from_pretrained(**load)(PHOTO, return_tensors="pt")
    found = model.normalized(batch(PHOTO)) - theirs["pixel_values"]
    assert (found.abs() * model.scale).max() < 2.5  # levels
    with torch.no_grad():
        logits = model.network(theirs["pixel_values"]).logits
    torch.testing.assert_close(model(batch(PHOTO)), logits, rtol=0, atol=0.01 * logits.std())


def test_the_scale_of_the_model(tmp_path):
    """A picture that is prepared once is left alone by the model, and seen as the original."""
    model = models.load(f"hf:{vit(tmp_path, 'ConvNext', size=CROP)}")
    small = models.at_input_size(model, PHOTO)
    assert (small.shape, small.dtype) == ((32, 32, 3), np.uint8)
    assert models.at_input_size(model, small) is small
    difference = model.normalized(batch(small)) - model.normalized(batch(PHOTO))
    assert (difference.abs() * model.scale).max() < 2.5
    with pytest.raises(ValueError, match='no attribute "input_size"'):
        models.at_input_size(nn.Identity(), PHOTO)


def test_gradients_reach_the_photograph(tmp_path):
    model = models.load(f"hf:{vit(tmp_path, 'MobileNetV2', size=SHORT, crop_size=SQUARE)}")
    inputs = batch(PHOTO).requires_grad_()
    model(inputs)[0, 0].backward()
    assert (inputs.grad != 0).float().mean() > 0.5
    models.check(model, PHOTO, [0, 2], model.class_names)


def test_a_processor_that_does_not_resize(tmp_path):
    folder = vit(tmp_path, "ConvNext", do_resize=False)
    model = models.load(f"hf:{folder}")
    assert model.input_size is None
    torch.testing.assert_close(model.normalized(batch(PHOTO)), batch(PHOTO) * 2 - 1)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": SQUARE, "resample": 1}, "none that pyfd has a differentiable copy of"),
        ({"size": {"height": 32, "width": 48}}, "its input is 32×48; pyfd knows square ones"),
    ],
)
def test_preprocessing_without_a_copy(options, match, tmp_path):
    folder = vit(tmp_path / "model", "ViT", **options)
    with pytest.raises(ValueError, match=rf'no model from "hf:.*model": .*{match}'):
        models.load(f"hf:{folder}")


def test_padding_has_no_copy(tmp_path):
    folder = vit(tmp_path, "CLIP", size={"shortest_edge": 20}, crop_size=SQUARE)
    with pytest.raises(ValueError, match="pads pictures"):
        models.load(f"hf:{folder}")


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        ("none", r"no .*config\.json.*save_pretrained.*--local-dir"),
        ("processor", r"no .*preprocessor_config\.json"),
        ("weights", "no weights: .* has no file of .safetensors or .bin"),
        ("cut", "header"),
        ("head", "no weights for classifier.bias, classifier.weight"),
        ("json", "Expecting property name"),
        ("code", "custom code"),
    ],
)
def test_folders_that_hold_no_model(damage, match, tmp_path):
    folder = vit(tmp_path / "model", "ViT", size=SQUARE)
    file, config = folder / "model.safetensors", folder / "config.json"
    if damage == "none":
        folder = tmp_path
    elif damage == "processor":
        (folder / "preprocessor_config.json").unlink()
    elif damage == "weights":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "head":
        model = transformers.ViTForImageClassification.from_pretrained(folder)
        model.vit.save_pretrained(folder)
    elif damage == "json":
        config.write_text("{")
    else:
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'victim')!r}, 'w')\nclass E: ...\n")
        code = {"AutoConfig": "evil.E", "AutoModelForImageClassification": "evil.E"}
        config.write_text(json.dumps({"model_type": "evil", "auto_map": code}))
    with pytest.raises(ValueError, match=f'(?s)no model from "hf:.*{match}'):
        models.load(f"hf:{folder}")
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("file", "change", "match"),
    [
        ("config", {"hidden_size": 60_000, "intermediate_size": 60_000}, "asks for 216.* weights"),
        ("config", {"image_size": 64_000}, "asks for .* weights, but there are .* bytes"),
        ("config", {"id2label": None, "num_labels": 10**9}, "num_labels 1000000000, but .* bytes"),
        ("config", {"num_hidden_layers": 10**9}, "num_hidden_layers 1000000000, but .* bytes"),
        ("config", {"parts": {"depths": [2, 10**9]}}, "depths .*1000000000.*, but .* bytes"),
        ("config", {"_attn_implementation": "who/code"}, "runs none but torch's own"),
        ("config", {"quantization_config": {"quant_method": "x"}}, "quantized"),
        ("config", {"model_type": "resnet"}, "asks for .* weights"),
        ("preprocessor_config", {"size": {"height": 40_000, "width": 40_000}}, "to .* pixels"),
    ],
)
def test_configurations_that_ask_for_gigabytes_or_code(file, change, match, tmp_path):
    """None of them takes the memory that it asks for, or a package that it names."""
    path = vit(tmp_path, "ViT", size=SQUARE) / f"{file}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=f'(?s)no model from "hf:.*{match}'):
        models.load(f"hf:{tmp_path}")


@pytest.mark.parametrize("text", ["[1]", "null", '{"a":' + "[" * 100_000, "\ud800"])
def test_configurations_that_are_no_objects(text, tmp_path):
    folder = vit(tmp_path, "ViT", size=SQUARE)
    (folder / "config.json").write_text(text, errors="surrogatepass")
    with pytest.raises(ValueError, match=r'no model from "hf:.*config\.json'):
        models.load(f"hf:{folder}")


def test_placeholders_are_no_names(tmp_path):
    folder = vit(tmp_path, "ViT", size=SQUARE)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {n: f"LABEL_{n}" for n in range(3)}
    (folder / "config.json").write_text(json.dumps(config))
    assert models.load(f"hf:{folder}").class_names is None


# ---- pipelines ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda x: np.sqrt(x), "more to colors than a mean and a divisor"),
        (lambda x: x.mean(0, keepdims=True), "gives .*, and not 3×H×W"),
        (lambda x: x[[1, 1, 1]], "more to colors"),
        (lambda x: x[:, ::-1], "none that pyfd has a differentiable copy of"),
        (lambda x: x[:, 3:, :-3], "none that pyfd has a differentiable copy of"),
        (lambda x: 0 * x, "more to colors"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_pipelines_without_a_copy(change, match):
    def pipeline(image):
        small = image.resize((40, 40), Image.Resampling.BILINEAR)
        return change(np.asarray(small, np.float32).transpose(2, 0, 1) / 255)

    with pytest.raises(ValueError, match=match):
        pipelines.copy(nn.Identity(), pipeline, [40], rounded=False, class_names=None)


# ---- weights --------------------------------------------------------------------------


def small(num_classes: int = 10) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))


def test_weights_from_checkpoints(tmp_path):
    state = small().state_dict()
    path = tmp_path / "x.pt"
    wrapped = {"module." + name: tensor for name, tensor in state.items()}
    for content in (state, {"epoch": 1, "state_dict": wrapped}, {"model": state, "args": {}}):
        torch.save(content, path)
        assert weights.read(path).keys() == state.keys()
    ema = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": ema}, path)
    assert torch.equal(weights.read(path)["2.bias"], ema["2.bias"])


def test_the_number_of_classes_is_that_of_the_weights(tmp_path):
    network, usual = weights.fitted(small, small(4).state_dict(), tmp_path)
    assert (network[2].out_features, usual) == (4, False)
    network, usual = weights.fitted(small, small().state_dict(), tmp_path)
    assert (network[2].out_features, usual) == (10, True)


def hostile(path: Path, victim: Path) -> None:
    class Evil:
        def __reduce__(self):
            return open, (str(victim), "w")

    torch.save({"state_dict": Evil()}, path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "no file of weights"),
        (b"", "is no file of weights"),
        (b"PK\x03\x04" + bytes(99), "is no file of weights"),
        (small, "holds more than weights, which could run code"),
        (hostile, "holds more than weights, which could run code"),
        ([1, 2], "holds no state_dict"),
        ({}, "holds no state_dict"),
        ({"a": 1}, "holds no state_dict"),
    ],
)
def test_files_that_hold_no_weights(content, match, tmp_path):
    path, victim = tmp_path / "x.pt", tmp_path / "victim"
    if content is hostile:
        hostile(path, victim)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content() if callable(content) else content, path)
    with pytest.raises(ValueError, match=match):
        weights.read(path)
    assert not victim.exists()


def packed(path: Path) -> None:
    """Pack a checkpoint, as torch does not: a megabyte of it may be a gigabyte of zeros."""
    plain = path.with_suffix(".plain")
    torch.save(small().state_dict(), plain)
    with zipfile.ZipFile(plain) as files, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in files.namelist():
            out.writestr(name, files.read(name))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: torch.zeros(1).expand(30_000_000, 3), "no value of its own for .* '2.weight'"),
        (lambda: torch.empty(30_000_000, 3, device="meta"), "no value of its own"),
        (lambda: torch.eye(3).to_sparse(), "no value of its own|is no file of weights"),
        (None, "it is packed"),
    ],
)
def test_weights_that_are_larger_than_their_file(make, match, tmp_path):
    """The number of classes comes from the weights: it must not be a mere claim."""
    path = tmp_path / "x.pt"
    if make is None:
        packed(path)
    else:
        torch.save({**small().state_dict(), "2.weight": make()}, path)
        assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match=rf"x\.pt .*{match}"):
        weights.read(path)


def test_weights_of_another_network(tmp_path):
    state = small().state_dict()
    with pytest.raises(
        ValueError, match=r"x\.pt does not fit the network: it lacks 2\.bias; it al"
    ):
        weights.fitted(small, {"2.weight": state["2.weight"], "z": state["2.bias"]}, Path("x.pt"))
    state["2.weight"] = state["2.weight"][:, :2]
    with pytest.raises(ValueError, match=r"it has other sizes of 2\.weight"):
        weights.fitted(small, state, tmp_path)


# ---- stand-ins of timm and torchvision ---------------------------------------------------


def transform(image: Image.Image) -> torch.Tensor:
    """What both libraries do: a resize to 36, a crop to 32, and ImageNet's normalization."""
    width, height = image.size
    short = min(width, height)
    size = tuple(36 if side == short else int(36 * side / short) for side in (width, height))
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - 32) / 2), round((size[1] - 32) / 2)
    pixels = np.asarray(image.crop((left, top, left + 32, top + 32)), np.float32) / 255
    return torch.from_numpy((pixels - 0.5) / 0.25).permute(2, 0, 1)


@pytest.fixture
def timm(monkeypatch):
    module, data = types.ModuleType("timm"), types.ModuleType("timm.data")
    config = types.SimpleNamespace(hf_hub_id="timm/tiny", hf_hub_filename=None)

    def create_model(name, pretrained, num_classes=10):
        if name.startswith("local-dir:"):
            assert pretrained
        made = small(num_classes)
        made.pretrained_cfg = {}
        return made

    module.create_model, module.data = create_model, data
    module.is_model = lambda name: name == "tiny"
    module.get_pretrained_cfg = lambda _: config
    data.resolve_model_data_config = lambda _: {"input_size": (3, 32, 32), "crop_pct": 32 / 36}
    data.create_transform = lambda **_: transform
    data.infer_imagenet_subset = lambda _: "tiny"
    info = types.SimpleNamespace(label_descriptions=lambda: [f"class {n}" for n in range(10)])
    data.ImageNetInfo = lambda _: info
    monkeypatch.setitem(sys.modules, "timm", module)
    monkeypatch.setitem(sys.modules, "timm.data", data)


@pytest.mark.usefixtures("timm")
def test_timm(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    torch.save(small().state_dict(), path)
    model = models.load(f"timm:tiny@{path}")
    assert (model.input_size, model.resize) == (32, Resize(36, rounded=True))
    assert model.class_names[3] == "class 3"
    assert model.mean.unique().item() == pytest.approx(127.5)
    torch.save(small(4).state_dict(), path)
    assert models.load(f"timm:tiny@{path}").class_names is None  # of other classes
    assert models.load(f"timm:{tmp_path}").input_size == 32
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(path))
    assert models.load("timm:tiny")(batch(PHOTO)).shape == (1, 4)


@pytest.mark.usefixtures("timm")
def test_timm_without_weights(monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(ValueError, match='"timm:tiny": its weights are not on this machine'):
        models.load("timm:tiny")
    with pytest.raises(ValueError, match="timm has no model 'huge'"):
        models.load("timm:huge@x.pt")
    with pytest.raises(ValueError, match=r"no file of weights none\.pt"):
        models.load("timm:tiny@none.pt")


@pytest.fixture
def torchvision(monkeypatch):
    module, inner = types.ModuleType("torchvision"), types.ModuleType("torchvision.models")
    transform.resize_size, transform.crop_size = [36], [32]
    meta = {"categories": [f"class {n}" for n in range(10)]}
    kinds = [
        types.SimpleNamespace(
            url=f"https://x/tiny-{n}.pth", transforms=lambda: transform, meta=meta
        )
        for n in range(2)
    ]
    inner.list_models = lambda **_: ["tiny"]
    inner.get_model_weights = lambda _: kinds
    inner.get_model = lambda _, num_classes=10, **__: small(num_classes)
    module.models = inner
    monkeypatch.setitem(sys.modules, "torchvision", module)
    monkeypatch.setitem(sys.modules, "torchvision.models", inner)


@pytest.mark.usefixtures("torchvision")
def test_torchvision(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match='"torchvision:tiny": its weights are not on this mach'):
        models.load("torchvision:tiny")
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "tiny-1.pth"
    torch.save(small().state_dict(), path)
    for name in ("torchvision:tiny", f"torchvision:tiny@{path}"):
        model = models.load(name)
        assert (model.input_size, model.resize) == (32, Resize(36, rounded=True))
        assert model.class_names[9] == "class 9"
    torch.save(small(2).state_dict(), path)
    assert models.load("torchvision:tiny").class_names is None
    with pytest.raises(ValueError, match="no classifier 'huge'"):
        models.load("torchvision:huge@x")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("timm:x@y", "timm"),
        ("timm:x@y", "timm.data"),
        ("torchvision:x@y", "torchvision"),
        ("torchvision:x@y", "torchvision.models"),
    ],
)
def test_without_the_library(name, module, monkeypatch):
    """The message has the package's name, whichever of its modules is missing."""
    library = name.partition(":")[0]
    for loaded in [m for m in sys.modules if f"{m}.".startswith(f"{library}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    if module != library:
        monkeypatch.setitem(sys.modules, library, types.ModuleType(library))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"^{library} is missing: pip install {library}$"):
        models.load(name)


def test_weights_without_their_library(tmp_path, monkeypatch):
    (tmp_path / "x.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r"^safetensors is missing: pip install safetensors$"):
        weights.read(tmp_path / "x.safetensors")


def test_without_transformers(monkeypatch, tmp_path):
    for file in ("config.json", "preprocessor_config.json"):
        (tmp_path / file).write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="transformers is missing: pip install transformers"):
        models.load(f"hf:{tmp_path}")
