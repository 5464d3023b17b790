"""Classifiers of other libraries, with weights from disk; nothing is ever downloaded."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from pyfd._core import text_files
from pyfd.evaluation.callables import called
from pyfd.evaluation.models import pipelines, weights
from pyfd.evaluation.models.classifier import Classifier


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or name).partition(".")[0]
        raise ImportError(f"{package} is missing: pip install {package}", name=package) from error


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Turn whatever a library raises into an error that names the model."""
    try:
        yield
    except Exception as error:  # libraries and users' code may raise anything
        if isinstance(error, ImportError) and error.name:  # and not what a configuration asks for
            raise
        kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
        raise ValueError(f'no model from "{name}": {kind}{error}') from error


# ---- Hugging Face --------------------------------------------------------------

_WEIGHTS = (".safetensors", ".bin")
_MOST_BYTES = 64 << 20  # of config.json
_LONGEST_SIDE = 4096  # of what an image processor makes

#: The attention that torch has. A configuration may name another, whose code comes from the hub.
_ATTENTION = (None, "eager", "sdpa")


def hugging_face(folder: str) -> Classifier:
    """Return transformers' image classifier of a folder, behind a copy of its image processor.

    Args:
        folder: It has config.json, preprocessor_config.json and the weights, as
            ``save_pretrained`` writes them. Code in it does not run.

    Raises:
        ValueError: A part is missing, weights too, or the image processor has no copy.
        ImportError: transformers is missing.
    """
    path = Path(folder)
    with _named(f"hf:{folder}"):
        for file in ("config.json", "preprocessor_config.json"):
            if not (path / file).is_file():
                raise ValueError(
                    f"no {path / file}. Give a folder that save_pretrained wrote; "
                    "hf download NAME --local-dir FOLDER gets one from the hub"
                )
        transformers = _library("transformers")
        size = sum(file.stat().st_size for file in path.iterdir() if file.suffix in _WEIGHTS)
        if not size:
            raise ValueError(f"no weights: {path} has no file of {' or '.join(_WEIGHTS)}")
        _refuse_claims(text_files.read_json(path / "config.json", _MOST_BYTES, "JSON"), size)
        kind = transformers.AutoModelForImageClassification
        here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with _quiet(transformers.utils.logging):
            processor = transformers.AutoImageProcessor.from_pretrained(path, backend="pil", **here)
            sides = _sides(processor)
            if max(sides, default=0) > _LONGEST_SIDE:
                raise ValueError(f"its image processor resizes to {max(sides):.0f} pixels")
            _refuse_larger(kind, transformers.AutoConfig.from_pretrained(path, **here), size)
            network, report = kind.from_pretrained(
                path, dtype=torch.float32, output_loading_info=True, **here
            )
        lacking = sorted({*report["missing_keys"], *map(str, report["mismatched_keys"])})
        if lacking:
            raise ValueError(f"there are no weights for {', '.join(lacking[:4])}")

        def pipeline(image: Image.Image) -> Any:
            return np.asarray(processor(image, return_tensors="np")["pixel_values"][0])

        return pipelines.copy(
            network,
            pipeline,
            sides,
            rounded=False,
            class_names=_labels(network.config),
        )


def _refuse_claims(config: Any, size: int) -> None:
    """Refuse a configuration with more classes or layers than there are bytes of weights."""
    parts = [config]
    while parts:
        part = parts.pop()
        if not isinstance(part, dict):
            raise ValueError("config.json must hold an object")
        if part.get("quantization_config"):
            raise ValueError("its weights are quantized, which have no gradients")
        for key, value in part.items():
            if key.endswith("attn_implementation") and value not in _ATTENTION:
                raise ValueError(f"config.json has {key} {value!r}: pyfd runs none but torch's own")
            numbers = value if isinstance(value, list) else [value]
            if re.search("num_labels|layers|depth|block", key) and any(
                isinstance(number, int) and number > size for number in numbers
            ):
                raise ValueError(f"config.json has {key} {value}, but {size} bytes of weights")
        parts += [value for value in part.values() if isinstance(value, dict)]


def _refuse_larger(kind: Any, config: Any, size: int) -> None:
    """Refuse a network that has more weights than there are bytes of them, before it is made."""
    with torch.device("meta"):
        network = kind.from_config(config, trust_remote_code=False)
    count = max(
        sum(value.numel() for value in values)
        for values in (network.parameters(), network.buffers())
    )
    if count > size:
        raise ValueError(f"config.json asks for {count} weights, but there are {size} bytes")


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Keep transformers' bar and its table of weights off the terminal."""
    bar, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _sides(processor: Any) -> list[float]:
    """Return the lengths in an image processor's configuration, and what some make of them."""
    found: list[float] = []
    for size in (getattr(processor, "size", None), getattr(processor, "crop_size", None)):
        for name in ("shortest_edge", "height", "width"):
            length = getattr(size, name, None)
            if isinstance(length, int):
                found.append(length)
    share = getattr(processor, "crop_pct", None) or 224 / 256
    return [*found, *(length / share for length in found), *(256 / 224 * n for n in found)]


def _labels(config: Any) -> list[str] | None:
    """Return the names of a configuration's classes; None for transformers' placeholders."""
    names = [str(config.id2label.get(number, "")) for number in range(config.num_labels)]
    if all(re.fullmatch(r"LABEL_\d+", name) for name in names) or not all(names):
        return None
    return names


# ---- timm ------------------------------------------------------------------------


def timm(name: str) -> Classifier:
    """Return a classifier of timm, behind a copy of its transforms.

    Args:
        name: "NAME@FILE", a model's name and its weights; "NAME", with the weights that timm
            has downloaded before; or a folder that ``timm.models.save_for_hf`` wrote.

    Raises:
        ValueError: There is no such model, it has no weights here, or its transforms have no
            copy.
        ImportError: timm is missing.
    """
    with _named(f"timm:{name}"):
        library, data = _library("timm"), _library("timm.data")
        if Path(name).is_dir():
            network = library.create_model(f"local-dir:{Path(name)}", pretrained=True)
            usual = True
        else:
            kind, _, file = name.partition("@")
            if not library.is_model(kind):
                raise ValueError(f"timm has no model {kind!r}")
            path = Path(file) if file else _cached(library, kind)

            def make(**options: Any) -> nn.Module:
                made: nn.Module = library.create_model(kind, pretrained=False, **options)
                return made

            network, usual = weights.fitted(make, weights.read(path), path)
        config = data.resolve_model_data_config(network)
        transform = data.create_transform(**config, is_training=False)
        size, share = config["input_size"][-1], config["crop_pct"]
        return pipelines.copy(
            network,
            lambda image: transform(image).numpy(),
            [size, size / share],
            rounded=True,
            class_names=_timm_names(data, network) if usual else None,
        )


def _cached(library: ModuleType, kind: str) -> Path:
    """Return the weights that timm has downloaded before."""
    config = library.get_pretrained_cfg(kind)
    hub = _library("huggingface_hub")
    if config is not None and config.hf_hub_id:
        for file in (config.hf_hub_filename, "model.safetensors", "pytorch_model.bin"):
            found = file and hub.try_to_load_from_cache(config.hf_hub_id, file)
            if isinstance(found, str):
                return Path(found)
    raise ValueError(
        f"its weights are not on this machine, and pyfd downloads none. Give a file, "
        f"timm:{kind}@FILE, or download them once: "
        f"python -c \"import timm; timm.create_model('{kind}', pretrained=True)\""
    )


def _timm_names(data: ModuleType, network: Any) -> Sequence[str] | None:
    config = network.pretrained_cfg
    if config.get("label_descriptions") or config.get("label_names"):
        names = config.get("label_names")
        described = config.get("label_descriptions") or names
        return [described[n] for n in names] if isinstance(described, dict) else list(described)
    subset = data.infer_imagenet_subset(network)
    return None if subset is None else list(data.ImageNetInfo(subset).label_descriptions())


# ---- torchvision -----------------------------------------------------------------


def torchvision(name: str) -> Classifier:
    """Return a classifier of torchvision, behind a copy of its weights' transforms.

    Args:
        name: "NAME@FILE", a model's name and its weights; or "NAME", with weights that
            torchvision has downloaded before. A file with the name of published weights gets
            their transforms, any other those of the first published ones, which are a resize
            to 256 and a crop to 224 pixels for most models.

    Raises:
        ValueError: There is no such model, or it has no weights here.
        ImportError: torchvision is missing.
    """
    with _named(f"torchvision:{name}"):
        models = _library("torchvision.models")
        kind, _, file = name.partition("@")
        if kind not in models.list_models(module=models):
            raise ValueError(f"torchvision.models has no classifier {kind!r}")
        published = list(models.get_model_weights(kind))
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        places = [cache / weight.url.rpartition("/")[2] for weight in published]
        path = Path(file) if file else next((p for p in places if p.is_file()), None)
        if path is None:
            raise ValueError(
                f"its weights are not on this machine, and pyfd downloads none. Give a file, "
                f'torchvision:{kind}@FILE, or download them once: python -c "import torchvision; '
                f"torchvision.models.get_model('{kind}', weights='DEFAULT')\""
            )
        alike = (w for w, place in zip(published, places, strict=True) if place.name == path.name)
        chosen = next(alike, published[0])

        def make(**options: Any) -> nn.Module:
            made: nn.Module = models.get_model(kind, weights=None, **options)
            return made

        network, usual = weights.fitted(make, weights.read(path), path)
        transform = chosen.transforms()
        return pipelines.copy(
            network,
            lambda image: transform(image).numpy(),
            [*transform.resize_size, *transform.crop_size],
            rounded=True,
            class_names=chosen.meta["categories"] if usual else None,
        )


# ---- any other --------------------------------------------------------------------


def made_by(address: str) -> nn.Module:
    """Return what a callable, "module:callable", makes without arguments.

    Raises:
        ValueError: As in `pyfd.evaluation.callables.called`, or it makes no module.
    """
    model = called(address, "model", nn.Module)
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise ValueError(f'"{address}" must return a torch.nn.Module, not {kind}')
    return model
