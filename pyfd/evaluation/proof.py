"""What a defence promises of images, and the check that no attack breaks the promise."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyfd._core.pixels import Pixels

if TYPE_CHECKING:
    from pyfd.evaluation.defences import Defence
    from pyfd.evaluation.work import Work


class BrokenCertificateError(RuntimeError):
    """An attack that changed what the classifier sees, at a strength that was certified.

    The defence, its certificate or the codec has a bug, and no number of the evaluation can be
    trusted. The message names the image, the attack and the defence.
    """

    pixels: Mapping[str, Pixels]
    """The image as the "camera" left it and as the attack handed it over, "adversarial", and
    what the classifier sees of them, "expected" and "seen"."""

    def __init__(self, message: str = "", *, pixels: Mapping[str, Pixels] | None = None) -> None:
        super().__init__(message)
        self.pixels = {} if pixels is None else pixels

    def as_npz(self) -> bytes:
        """Return `pixels` and the "message" in the format of ``numpy.savez``."""
        arrays: dict[str, Any] = {"message": np.array(str(self)), **self.pixels}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()


@dataclass(frozen=True)
class Promise:
    """What a defence promises of images from its camera; `promise` makes it."""

    defence: Defence
    epsilon: int
    images: Sequence[Pixels]
    certified: list[bool]
    """Whether each image is certified at ε."""
    expected: list[Pixels]
    """What the classifier sees of each, and of everything within ±ε of one that is certified."""

    def check(
        self, handed: Sequence[Pixels], seen: Sequence[Pixels], attack: str, numbers: Sequence[int]
    ) -> None:
        """Compare what the classifier sees with what was promised.

        Args:
            handed: The images that the attacker hands over.
            seen: What the classifier sees of them.
            attack: The attack, for the message.
            numbers: The images' numbers, for the message.

        Raises:
            BrokenCertificateError: A certified image was moved by at most ε, and the classifier
                sees something else.
        """
        for i, number in enumerate(numbers):
            far = np.abs(handed[i].astype(int) - self.images[i]).max() > self.epsilon
            if far or not self.certified[i] or np.array_equal(seen[i], self.expected[i]):
                continue
            raise BrokenCertificateError(
                f"image {number} is certified behind {self.defence.name!r}, and {attack} moves no "
                f"sample of it by more than {self.epsilon}, but changes what the classifier sees: "
                "a bug, so that no number of this evaluation can be trusted",
                pixels={
                    "camera": self.images[i],
                    "adversarial": handed[i],
                    "expected": self.expected[i],
                    "seen": seen[i],
                },
            )


def promise(defence: Defence, images: Sequence[Pixels], seed: int) -> Promise | None:
    """Return what a defence promises of images from its camera; None if it promises nothing.

    Args:
        defence: The defence.
        images: The images as its camera left them.
        seed: The seed with which it is judged.
    """
    if defence.epsilon is None:
        return None
    certified = [bool(defence.certifies(image)) for image in images]
    return Promise(defence, defence.epsilon, images, certified, defence(images, seed))


def compare(work: Work, entries: Iterable[Mapping[str, Any]]) -> None:
    """Compare what is certified with what attacks within the same strength left, image by image.

    `Promise.check` compares pixels, this the answers: no report may say that more is certified
    than an attack leaves. Where the attacker hands over files, nothing is certified
    (`Work.certifying`), and nothing is compared.

    Args:
        work: The evaluation.
        entries: The entries of its log so far.

    Raises:
        BrokenCertificateError: The answer to a certified image is another one under an attack.
    """
    entries = list(entries)
    proofs: dict[tuple[str, int], tuple[Defence, str]] = {}
    for entry in entries:
        start = work.trials[entry["place"]].start
        for name, found in entry["certified"].items():
            chosen = work.chunks[entry["place"]][entry["chunk"]]
            proofs |= {(name, i): (start, p) for i, p in zip(chosen, found, strict=True)}
    for entry in entries:
        trial = work.trials[entry["place"]]
        chosen = work.chunks[entry["place"]][entry["chunk"]]
        for defence in trial.judged:
            if not within(trial.epsilon, defence) or defence.random:
                continue
            for i, said in zip(chosen, entry["right"][defence.name], strict=True):
                start, proved = proofs.get((defence.name, i), (None, "-"))
                if start is trial.start and proved not in ("-", said):
                    raise BrokenCertificateError(_otherwise(work.numbers[i], defence, trial.name))


def within(epsilon: int | None, defence: Defence) -> bool:
    """Return whether a defence promises to withstand attacks of a strength."""
    return epsilon is not None and defence.epsilon is not None and epsilon <= defence.epsilon


def _otherwise(number: int, defence: Defence, attack: str) -> str:
    return (
        f"image {number} is certified behind {defence.name!r} at ε = {defence.epsilon}, but "
        f"under {attack} the model's answer to it is another one: either the model gives "
        "different answers to the same pixels, or this is a bug, and no number of this "
        "evaluation can be trusted"
    )
