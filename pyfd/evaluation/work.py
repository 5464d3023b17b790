"""The work of an evaluation: one trial on one chunk of the images at a time."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

import pyfd
from pyfd._core.pixels import Pixels
from pyfd.evaluation import examples
from pyfd.evaluation.attacks import Target
from pyfd.evaluation.defences import Defence, as_jpeg
from pyfd.evaluation.plan import Task, Trial
from pyfd.evaluation.proof import BrokenCertificateError, Promise, promise
from pyfd.torch import batches
from pyfd.torch.scoring import NotFiniteError, not_finite, predict_named


@dataclass
class Work:
    """Everything that a process needs to do any part of an evaluation."""

    model: nn.Module
    surrogates: tuple[nn.Module, ...]
    images: list[Pixels]
    """The base set: the images that the undefended model gets right."""
    labels: npt.NDArray[np.int64]
    numbers: list[int]
    """The images' places among all images that were given."""
    trials: list[Trial]
    seed: int
    batch_size: int
    attacker_quality: int | None
    chunks: list[list[list[int]]] = field(init=False)
    """For each trial, lists of indices of images of one size that are attacked together."""

    def __post_init__(self) -> None:
        sizes = [
            min(trial.attack.together or self.batch_size, self.batch_size) for trial in self.trials
        ]
        by_size = {size: list(self.batches(size)) for size in set(sizes)}
        self.chunks = [by_size[size] for size in sizes]

    def batches(self, size: int | None = None) -> Iterator[list[int]]:
        """Yield lists of indices of images of one size, `batch_size` at most or another number."""
        yield from batches([image.shape for image in self.images], size or self.batch_size)

    def tasks(self) -> dict[Task, int]:
        """Return the number of images of each part of the work, by trial and chunk.

        They are in the order in which they should be done: everything on the first images
        before anything on the next, so that a report of what is done is of use early. At
        first, one trial of each attack comes before the others, so that all have been timed.
        """
        first: dict[str, int] = {}
        for place, trial in enumerate(self.trials):
            first.setdefault(trial.attack.name, place)
        found = [(p, c) for p, chunks in enumerate(self.chunks) for c in range(len(chunks))]

        def turn(task: Task) -> tuple[Fraction, int, int]:
            place, chunk = task
            attack = self.trials[place].attack
            kind = 0 if attack.threat == "benign" else 1 if first[attack.name] == place else 2
            return Fraction(chunk, len(self.chunks[place])), kind, place

        return {(p, c): len(self.chunks[p][c]) for p, c in sorted(found, key=turn)}

    @property
    def certifying(self) -> bool:
        """Whether what defences promise speaks about what is judged.

        An attacker's files decode to pixels that may lie farther than ε from what the camera
        wrote, so that their share would be one of other images.
        """
        return self.attacker_quality is None

    def pickled(self) -> bytes:
        """Return the work as bytes, for other processes.

        Raises:
            ValueError: The model, an attack or a defence cannot be pickled.
        """
        try:
            return pickle.dumps(self)
        except Exception as error:  # objects may raise any error when they are pickled
            reason = f"the model, an attack or a defence cannot be sent to a worker: {error}"
            raise ValueError(f"{reason}; it can be evaluated with workers=1") from error

    def do(self, place: int, chunk: int) -> dict[str, Any]:
        """Attack one chunk, and judge the defences on it.

        Args:
            place: The index of a trial.
            chunk: The index of a chunk.

        Returns:
            An entry of the log, which JSON can hold.

        Raises:
            BrokenCertificateError: The attack breaks what a defence promises.
            RuntimeError: The attack failed.
            ValueError: The model's answer to an image is not finite.
        """
        began = time.perf_counter()
        trial = self.trials[place]
        chosen = self.chunks[place][chunk]
        seed = self.seed + chosen[0]
        labels = self.labels[chosen]
        numbers = [self.numbers[i] for i in chosen]
        photographs = [self.images[i] for i in chosen]
        images = trial.start.camera(photographs)
        before = time.perf_counter()
        moved = self._attacked(trial, images, labels, numbers, seed)
        seconds = time.perf_counter() - before
        pairs = zip(moved, images, strict=True)
        distances = [float(np.linalg.norm((a - 1.0 * b) / 255)) for a, b in pairs]
        handed, seen = self._seen(trial.judged, moved, seed)
        promises = [p for d in trial.judged if (p := promise(d, images, seed))]
        for p in promises:
            p.check(handed, seen[p.defence.name], trial.name, numbers)
        classes = {name: self._said(given, trial, name, numbers) for name, given in seen.items()}
        entry: dict[str, Any] = {
            "place": place,
            "chunk": chunk,
            "right": {name: digits(said == labels) for name, said in classes.items()},
            "l2": sum(distances),
            "seconds": seconds,
            "whole_seconds": 0.0,
            "certified": {},
            "rates": {},
            "examples": [],
        }
        if trial.attack.threat == "benign":
            if self.certifying:
                entry["certified"] = self._certified(promises, trial, labels, numbers)
            entry["rates"] = {d.name: _bits(d, photographs) for d in trial.judged}
        if trial.attack.threat != "benign":
            shown_in, index = examples.shown(place, self.chunks[place])
            if chunk == shown_in:
                name = trial.judged[examples.judge(place, self.trials)].name
                pictures = images[index], moved[index], seen[name][index]
                said = self._said(pictures, trial, name, [numbers[index]] * 3).tolist()
                found = (trial.name, name, numbers[index], pictures, said, int(labels[index]))
                entry["examples"] = [examples.example(*found)]
        entry["whole_seconds"] = time.perf_counter() - began
        return entry

    def _attacked(
        self,
        trial: Trial,
        images: list[Pixels],
        labels: npt.NDArray[np.int64],
        numbers: Sequence[int],
        seed: int,
    ) -> list[Pixels]:
        surrogates = self.surrogates if "surrogate" in trial.attack.needs else ()
        target = Target(self.model, surrogates, trial.through)
        try:
            moved = trial.attack.perturb(target, images, labels, trial.epsilon, seed)
        except NotFiniteError as error:  # an attack knows neither its name nor the images'
            few = f"image {numbers[0]}" if len(numbers) == 1 else f"images {numbers}"
            asked = "a surrogate" if surrogates else "the model"
            raise not_finite(f"what {trial.name} made of {few}", asked) from error
        except (ValueError, ImportError, MemoryError, BrokenCertificateError):  # say enough
            raise
        except (Exception, SystemExit) as error:  # the model's code, the attack's or the library's
            raise RuntimeError(
                f"the attack {trial.name} on {trial.start.name!r} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        _check(trial, images, moved)
        return moved

    def _seen(
        self, judged: Sequence[Defence], moved: list[Pixels], seed: int
    ) -> tuple[list[Pixels], dict[str, list[Pixels]]]:
        """Return the pixels that the attacker hands over, and what the model sees of them.

        The attacker may hand them over as files. The model sees them behind each defence.
        """
        if self.attacker_quality is None:
            return moved, {d.name: d(moved, seed) for d in judged}
        files = [as_jpeg(image, self.attacker_quality) for image in moved]
        handed = [pyfd.decode(file) for file in files]
        return handed, {d.name: d.receive(files, seed) for d in judged}

    def _said(
        self, seen: Sequence[Pixels], trial: Trial, defence: str, numbers: Sequence[int]
    ) -> npt.NDArray[np.int64]:
        """Return the classes that the model gives to what it sees of images behind a defence."""
        attack = "" if trial.attack.threat == "benign" else f" under {trial.name}"
        names = [f"image {number} behind {defence!r}{attack}" for number in numbers]
        return predict_named(self.model, seen, names)

    def _certified(
        self,
        promises: Sequence[Promise],
        trial: Trial,
        labels: npt.NDArray[np.int64],
        numbers: Sequence[int],
    ) -> dict[str, str]:
        """Return what each defence that promises something proves of the images.

        For each image this is "1" (right and certified), "0" (wrong and certified) or "-" (not
        certified).
        """
        found = {}
        for p in promises:
            right = digits(self._said(p.expected, trial, p.defence.name, numbers) == labels)
            held = zip(right, p.certified, strict=True)
            found[p.defence.name] = "".join(d if certified else "-" for d, certified in held)
        return found


def digits(flags: npt.NDArray[np.bool_]) -> str:
    """Return one digit for each flag, as the log holds them: "1" if it is true, else "0"."""
    return "".join("1" if flag else "0" for flag in flags)


def _bits(defence: Defence, photographs: Sequence[Pixels]) -> float | None:
    """Return the sum of the bits per pixel that the camera sends; None if any file will do."""
    bits = 0.0
    for image in photographs:
        file = defence.file(image)
        if file is None:
            return None
        bits += 8 * len(file) / (image.shape[0] * image.shape[1])
    return bits


def _check(trial: Trial, images: Sequence[Pixels], moved: Sequence[Pixels]) -> None:
    """Refuse results that are not images, or differ from the originals by more than ε."""
    name, epsilon = trial.attack.name, trial.epsilon
    kinds = [[(image.dtype, image.shape) for image in part] for part in (images, moved)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"the attack {name!r} must return uint8 images of the shapes it was given")
    for before, after in zip(images, moved, strict=True):
        if epsilon is not None and np.abs(after.astype(int) - before).max() > epsilon:
            raise ValueError(f"the attack {name!r} moved a sample by more than ε = {epsilon}")
