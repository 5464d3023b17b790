"""The defence for PyTorch: a differentiable twin of the codec, data, decoding, scores, adaptation.

Needs torch: the extra ``torch``.
"""

from pyfd._core.extras import missing

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise missing("torch", "torch", module=error.name) from error

from pyfd.codec import Subsampling
from pyfd.torch.adaptation import adapt
from pyfd.torch.data import JPEGFolder
from pyfd.torch.decoding import Decode, decode, decode_many
from pyfd.torch.distillation import Color, FeatureDistillation, Gradient
from pyfd.torch.quantizer import SoftQuantizer
from pyfd.torch.scoring import accuracy, batches, device_of, predict

__all__ = [
    "Color",
    "Decode",
    "FeatureDistillation",
    "Gradient",
    "JPEGFolder",
    "SoftQuantizer",
    "Subsampling",
    "accuracy",
    "adapt",
    "batches",
    "decode",
    "decode_many",
    "device_of",
    "predict",
]
