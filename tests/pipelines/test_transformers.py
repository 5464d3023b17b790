"""Hugging Face's image loading, processors and pipelines with `pyfd.pillow` registered.

These tests hold with torchvision and without; `make test` runs them without.
"""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, ViTConfig, ViTForImageClassification, pipeline
from transformers.image_utils import load_image, load_images
from transformers.utils import is_torchvision_available

import pyfd
import pyfd.pillow
from tests.attacks import ATTACKS
from tests.jpegs import encode_with_pillow, picture

PRESET = "fd-cvpr2019"
PHOTO = encode_with_pillow(picture(96, 64))
DEFENDED = pyfd.decode(PHOTO, PRESET)
BOMB = next(attack for attack in ATTACKS if attack.name == "color 65500² progressive").make()

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True)
def registered():
    pyfd.pillow.register(PRESET)
    yield
    pyfd.pillow.unregister()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the photograph, a bomb, and the settings of a processor."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "photo.jpg").write_bytes(PHOTO)
    (folder / "bomb.jpg").write_bytes(BOMB)
    settings = {"do_resize": False, "do_rescale": False, "do_normalize": False}
    text = json.dumps({"image_processor_type": "ViTImageProcessor", **settings})
    (folder / "preprocessor_config.json").write_text(text)
    return folder


@pytest.fixture(scope="module")
def site(folder) -> Iterator[str]:
    """The address of a server of the folder's files."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield "http://{}:{}".format(*server.server_address)
        server.shutdown()
        thread.join()


def sources(folder: Path, site: str, name: str) -> dict[str, str]:
    text = base64.b64encode((folder / name).read_bytes()).decode()
    return {
        "path": str(folder / name),
        "base64": text,
        "data URL": f"data:image/jpeg;base64,{text}",
        "URL": f"{site}/{name}",
    }


def test_images_are_defended(folder, site):
    named = sources(folder, site, "photo.jpg")
    for kind, source in named.items():
        assert np.array_equal(np.asarray(load_image(source)), DEFENDED), kind
    images = load_images([*named.values()])
    assert all(np.array_equal(np.asarray(image), DEFENDED) for image in images)
    assert np.array_equal(np.asarray(load_image(Image.open(folder / "photo.jpg"))), DEFENDED)
    pyfd.pillow.unregister()
    assert not np.array_equal(np.asarray(load_image(named["path"])), DEFENDED)


def test_orientation_is_applied_to_defended_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    path.write_bytes(encode_with_pillow(picture(96, 64), exif=exif))
    assert np.array_equal(np.asarray(load_image(str(path))), np.rot90(DEFENDED, -1))


@pytest.mark.parametrize("kind", ["path", "base64", "data URL", "URL"])
def test_bombs_are_refused(kind, folder, site, caplog):
    """For base64, transformers replaces the error, and the log keeps the reason."""
    error = Image.DecompressionBombError if kind in ("path", "URL") else ValueError
    with pytest.raises(error, match="max_pixels is 67108864, but the file has 4290250000"):
        load_image(sources(folder, site, "bomb.jpg")[kind])
    records = [record for record in caplog.records if record.name == "pyfd"]
    assert [(record.source, record.limit) for record in records] == [("pillow", "max_pixels")]


def test_limits_of_the_registration_hold(folder):
    pyfd.pillow.register(PRESET, limits=pyfd.Limits(max_pixels=96 * 64 - 1))
    with pytest.raises(Image.DecompressionBombError, match="max_pixels is 6143"):
        load_image(str(folder / "photo.jpg"))


def is_defended(inputs: object) -> bool:
    return np.array_equal(inputs["pixel_values"][0].permute(1, 2, 0), DEFENDED)


@pytest.mark.parametrize("options", [{}, {"backend": "pil"}], ids=["default", "pil"])
def test_processors(options, folder, site):
    """The one for torchvision reads paths and URLs with torchvision, as the page says."""
    processor = AutoImageProcessor.from_pretrained(folder, **options)
    by_torchvision = is_torchvision_available() and not options
    assert type(processor).__name__ == "ViTImageProcessor" + "Pil" * (not by_torchvision)
    for source in sources(folder, site, "photo.jpg").values():
        assert is_defended(processor(load_image(source), return_tensors="pt"))
        assert is_defended(processor(source, return_tensors="pt")) == (not by_torchvision)
        if not by_torchvision:
            assert np.array_equal(np.asarray(processor.fetch_images([source])[0]), DEFENDED)


@pytest.mark.parametrize("options", [{}, {"backend": "pil"}], ids=["default", "pil"])
def test_pipelines(options, folder, site):
    """A classifier sees the defended pixels, whatever kind of source its user gives."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=(64, 96),
        patch_size=8,
        num_labels=3,
    )
    classify = pipeline(
        "image-classification",
        model=ViTForImageClassification(config),
        image_processor=AutoImageProcessor.from_pretrained(folder, **options),
    )
    named = sources(folder, site, "photo.jpg")
    wanted = classify(Image.fromarray(DEFENDED))
    for kind, source in named.items():
        assert classify(source) == wanted, kind
    with pytest.raises(Image.DecompressionBombError):
        classify(str(folder / "bomb.jpg"))
    pyfd.pillow.unregister()
    assert classify(named["path"]) != wanted
