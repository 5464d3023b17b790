"""The base class of defences."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.qtables import QTables

if TYPE_CHECKING:
    from torch import nn

#: With "two-pass", the camera cooperates: it wrote the image in a way that the classifier's side
#: knows. With "one-pass", only the classifier's side has the tables.
Kind: TypeAlias = Literal["none", "one-pass", "two-pass", "transformation"]


class Defence:
    """A defence that does nothing, and the base class of all others.

    A defence of your own overrides `name`, `kind`, `defend` and, if it can be
    differentiated, `module`. If it draws random numbers, it sets `random` to True. If its
    camera cooperates, it overrides `camera` and `file`, and if it proves something, `epsilon`
    and `certifies`. With more than one worker, its class must be importable, so that it can
    be pickled.
    """

    description: str = "no defence"
    """A phrase for the command's help."""
    libraries: ClassVar[Mapping[str, str]] = {}
    """The modules that it imports, and the names under which people install them."""
    patterns: ClassVar[tuple[str, ...]] = ("none",)
    """The names under which `parse` makes it. What begins with a capital stands for an
    argument: "jpeg:QUALITY"."""
    argument: ClassVar[tuple[str, str] | None] = None
    """The word for the argument, and its values if the word does not tell them."""
    random: ClassVar[bool] = False
    """Whether it draws random numbers: an attacker then needs the expectation over them."""

    name: str = "none"
    """The name in reports: the one that `parse` was given."""
    kind: Kind = "none"
    qtables: QTables | None = None
    """The quantization tables, if there is one set of them."""
    subsampling: str | None = None
    """The chroma subsampling of the pixels that the tables quantize: "4:4:4", "4:2:0"."""
    epsilon: int | None = None
    """The strength, in 8-bit levels, that it promises to withstand: no perturbation within
    ±`epsilon` of an image that it `certifies` changes what the classifier sees. None: it
    promises nothing. An evaluation stops with an error if an attack breaks the promise."""

    @classmethod
    def parsed(cls, name: str, argument: str) -> Defence:  # noqa: ARG003
        """Make the defence from the two sides of the colon in one of `patterns`.

        Raises:
            ValueError: The argument is invalid.
        """
        return cls()

    def camera(self, images: Sequence[Pixels]) -> list[Pixels]:
        """Return images as the camera's encoder leaves them, from which an attacker starts."""
        return [image.copy() for image in checked(images)]

    def file(self, image: Pixels) -> bytes | None:  # noqa: ARG002
        """Return the file that the camera sends; None if the defence leaves that to the camera."""
        return None

    def certifies(self, image: Pixels) -> bool:  # noqa: ARG002
        """Return whether it is proved that `epsilon` is withstood.

        Args:
            image: An image as `camera` returns it.
        """
        return False

    def __call__(self, images: Sequence[Pixels], seed: int = 0) -> list[Pixels]:
        """Return images as the classifier sees them.

        The same images and seed give the same result. Images are defended one after
        the other, without threads, so that times can be compared.

        Args:
            images: C-contiguous ``uint8`` arrays, H×W×3 RGB; their sizes may differ.
            seed: The seed of the random numbers.

        Returns:
            New arrays of the same shapes.

        Raises:
            TypeError: An image is not an array.
            ValueError: An image has another shape or dtype.
        """
        return [
            self.defend(image, np.random.default_rng([seed, index]))
            for index, image in enumerate(checked(images))
        ]

    def receive(self, files: Sequence[bytes], seed: int = 0) -> list[Pixels]:
        """Return JPEG files from an attacker as the classifier sees them, as pixels."""
        return self([pyfd.decode(file) for file in files], seed)

    def defend(self, image: Pixels, rng: np.random.Generator) -> Pixels:  # noqa: ARG002
        """Return one image defended, as a new array."""
        return image.copy()

    def service_call(self, image: Pixels) -> Callable[[], object]:
        """Return what a service does for an image; its time is the defence's cost."""
        return functools.partial(self, [image])

    def module(self) -> nn.Module | None:
        """Return a differentiable stand-in for adaptive attackers (BPDA: Athalye et al., 2018).

        Its forward pass maps N×3×H×W floats in [0, 1] to the same, as the defence
        does; its backward pass is an estimate. None if there is no stand-in, or if
        one would be too slow for every step of an attack.
        """
        return None


def checked(images: Sequence[Pixels]) -> Sequence[Pixels]:
    """Return images; refuse arrays of another shape or dtype than ``uint8`` H×W×3."""
    for image in images:
        if not isinstance(image, np.ndarray):
            raise TypeError(f"images must be arrays, not {type(image).__name__}")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            shape = "×".join(map(str, image.shape))
            raise ValueError(f"images must be uint8 H×W×3, not {image.dtype} {shape}")
    return images


def whole_number(text: str) -> int:
    """Return a name's argument as a number.

    Raises:
        ValueError: The argument is not a whole number of at most nine digits.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)
