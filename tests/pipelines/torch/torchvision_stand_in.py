"""A stand-in for the part of torchvision that a transform uses, where it is not installed.

It follows torchvision's rules: a sample is any nesting of containers; `Transform.transform`
gets its leaves that are PIL images or tensors of torchvision's own types. If there is
no image among these, it gets the first plain tensor. The tests use torchvision where it is
installed.
"""

import sys
from types import ModuleType

import PIL.Image
import torch
from torch.utils._pytree import tree_flatten, tree_unflatten


class TVTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():  # so that results are plain tensors
            return func(*args, **kwargs or {})


class Image(TVTensor):
    pass


class Video(TVTensor):
    pass


class Mask(TVTensor):
    pass


def wrap(wrappee, *, like):
    return wrappee.as_subclass(type(like))


class Transform(torch.nn.Module):
    def forward(self, *inputs):
        leaves, spec = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        explicit = any(isinstance(leaf, Image | Video | PIL.Image.Image) for leaf in leaves)
        results = []
        for leaf in leaves:
            plain = isinstance(leaf, torch.Tensor) and not isinstance(leaf, TVTensor)
            if isinstance(leaf, TVTensor | PIL.Image.Image) or (plain and not explicit):
                explicit = explicit or plain
                results.append(self.transform(leaf, {}))
            else:
                results.append(leaf)
        return tree_unflatten(results, spec)


def install(monkeypatch) -> None:
    """Install the stand-in as torchvision until the test is over."""
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.v2")
    package, transforms, v2 = (ModuleType(name) for name in names)
    package.transforms, package.tv_tensors = transforms, sys.modules[__name__]
    transforms.v2, v2.Transform = v2, Transform
    for name, module in zip(names, (package, transforms, v2), strict=True):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "torchvision.tv_tensors", sys.modules[__name__])
