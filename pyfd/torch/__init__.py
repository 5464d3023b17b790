"""The defence for PyTorch: a differentiable twin of the codec, decoding to tensors, scoring.

Needs torch: ``pip install 'pyfd[torch]'``.
"""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("torch is missing: pip install 'pyfd[torch]'", name=error.name) from error

from pyfd.codec import Subsampling
from pyfd.torch.decoding import decode, decode_many
from pyfd.torch.distillation import Color, FeatureDistillation, Gradient
from pyfd.torch.scoring import accuracy, batches, device_of, predict

__all__ = [
    "Color",
    "FeatureDistillation",
    "Gradient",
    "Subsampling",
    "accuracy",
    "batches",
    "decode",
    "decode_many",
    "device_of",
    "predict",
]
