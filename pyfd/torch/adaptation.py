"""Adapting a model to defended images, without labels."""

from __future__ import annotations

import copy
import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

import pyfd
from pyfd._core.pixels import Pixels
from pyfd._core.progress import bar
from pyfd.codec import Subsampling
from pyfd.qtables import QTables, QTablesLike, as_qtables
from pyfd.torch.answers import answer
from pyfd.torch.checkpoint import Checkpoint, State
from pyfd.torch.passes import through_codec
from pyfd.torch.scoring import device_of

_SAVED_EVERY = 60.0  # seconds
_SAME = 1e-3  # the relative difference that another number of threads may make to a loss


def adapt(
    model: nn.Module,
    images: Sequence[Pixels],
    qtables: QTablesLike,
    *,
    radius: int | None = None,
    subsampling: Subsampling = "4:4:4",
    crop: int | None = None,
    steps: int = 500,
    batch_size: int = 12,
    learning_rate: float = 1e-4,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> nn.Module:
    """Teach a copy of a model to answer on defended images as the model does on plain ones.

    This is self-distillation: the model is the teacher of its copy, and nobody needs
    labels. In each step both see the same random crops, half of them mirrored: the teacher as
    they are, the copy after ``decode(encode(crop, qtables, radius=radius), qtables)``. The
    loss is the Kullback-Leibler divergence of the copy's probabilities from the teacher's. The
    optimizer is AdamW; its rate falls linearly to 0. Both models stay in evaluation mode,
    so that batch statistics are frozen and dropout is off.

    What `pyfd.certify` proves is about pixels, and holds for every model behind them.

    Args:
        model: A module from N×3×H×W floats in [0, 1] to N×K logits. It stays as it is. The
            copy is trained on the model's device.
        images: H×W×3 ``uint8`` arrays of any sizes, at the scale at which the codec will
            see images: for images that are resized to 224×224 before they are encoded,
            resize these to about 256 pixels on the shorter side.
        qtables: The tables of the defence.
        radius: As in `pyfd.encode`: a strength ε if the camera will write certified files.
        subsampling: As in `pyfd.encode`.
        crop: The side of the square crops in pixels. By default it is the model's
            attribute ``input_size``, or without one, the shortest side of all images.
        steps: The number of steps. 500 are 15 passes over 400 images.
        batch_size: The crops of a step.
        learning_rate: The optimizer's rate in the first step.
        seed: The seed of the crops.
        checkpoint: A file to which the training's state is written every minute and at the
            end. The same call resumes from there, after a crash or a kill too, and returns
            the same weights as without a break; on a CPU they are the same bit for bit.
            The file holds three times the weights, and is never unpickled. A damaged one is
            refused; whoever can write the file decides on the weights.
        progress: Show a progress bar with the loss on stderr (needs tqdm).

    Returns:
        The copy, in evaluation mode, its parameters with the flags ``requires_grad`` of the
        model's.

    Raises:
        CertificateError: As in `pyfd.encode`, with subsampled chroma.
        TypeError: An argument is of another type, an image is not an array, the model does not
            return N×K logits, or its parameters are not ``float32``.
        ValueError: An argument is out of range, an image has another shape or dtype or is
            smaller than a crop, the model has nothing to train or its answers have no
            gradient, the loss is not finite, or `checkpoint` is the file of another run.
        OSError: The checkpoint cannot be read or written.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"the model must be a torch.nn.Module, not {type(model).__name__}")
    _check_whole("steps", steps, 1)
    _check_whole("batch_size", batch_size, 1)
    _check_whole("seed", seed, 0)
    _check_rate(learning_rate)
    tables = as_qtables(qtables)
    defend = partial(through_codec, qtables=tables, subsampling=subsampling, radius=radius)
    defend(np.full((8, 8, 3), 128, np.uint8))  # refuses invalid options
    crops = _Crops(images, _side(model, images, crop), batch_size, seed)
    training = _Training(model, crops, defend, steps, learning_rate)
    if checkpoint is not None:
        options = (radius, subsampling, steps, batch_size, learning_rate, seed)
        key = _digest(model, crops, tables, options)
        training.resume(Checkpoint(checkpoint, key, steps, len(training.parameters)))
    training.run(progress)
    for ours, theirs in zip(training.student.parameters(), model.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad).grad = None
    return training.student


class _Crops:
    """Random crops of images. Each step has a generator of its own, whatever came before."""

    def __init__(self, images: Sequence[Any], side: int, batch_size: int, seed: int) -> None:
        for number, image in enumerate(images):
            if not isinstance(image, np.ndarray):
                kind = type(image).__name__
                raise TypeError(f"image {number} must be a numpy array, not {kind}")
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                found = f"{image.dtype} {_times(image.shape)}"
                raise ValueError(f"image {number} must be uint8 H×W×3, not {found}")
            if min(image.shape[:2]) < side:
                raise ValueError(
                    f"image {number} is {_times(image.shape)}, smaller than the crops of "
                    f"{side}×{side}: leave it out, or pass a smaller crop"
                )
        self.images = images
        self.side = side
        self.batch_size = batch_size
        self.seed = seed

    def of(self, step: int) -> list[Pixels]:
        """Return the crops of a step: side×side×3."""
        rng = np.random.default_rng([self.seed, step])
        count = len(self.images)
        chosen = rng.choice(count, self.batch_size, replace=count < self.batch_size)
        return [self._crop(self.images[int(i)], rng) for i in chosen]

    def _crop(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = image.shape[:2]
        top, left = (int(rng.integers(side - self.side + 1)) for side in (height, width))
        part = image[top : top + self.side, left : left + self.side]
        return np.ascontiguousarray(part[:, ::-1] if rng.integers(2) else part)


def _side(model: nn.Module, images: Sequence[Pixels], crop: int | None) -> int:
    if not len(images):
        raise ValueError("there are no images")
    if crop is not None:
        _check_whole("crop", crop, 1)
        return int(crop)
    side = getattr(model, "input_size", None)
    if side is None:
        side = min(min(np.shape(image)[:2], default=0) for image in images)
    _check_whole("the model's input_size, or the shortest side of all images,", side, 1)
    return int(side)


def _check_rate(value: object) -> None:
    if not isinstance(value, int | float):
        raise TypeError(f"learning_rate must be a number, not {type(value).__name__}")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"learning_rate must be a number above 0, not {value}")


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


class _Training:
    """The training of a copy of a model, the student, by the model, the teacher."""

    def __init__(
        self,
        model: nn.Module,
        crops: _Crops,
        defend: Callable[[Pixels], Pixels],
        steps: int,
        learning_rate: float,
    ) -> None:
        self.teacher = copy.deepcopy(model).eval().requires_grad_(False)
        self.student = copy.deepcopy(self.teacher)
        self.parameters = [p for p in self.student.parameters() if p.is_floating_point()]
        if not self.parameters:
            raise ValueError("the model has no parameters that could be trained")
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=learning_rate)
        self.device = device_of(model)
        self.crops = crops
        self.defend = defend
        self.steps = steps
        self.learning_rate = learning_rate
        self.checkpoint: Checkpoint | None = None
        self.state = State(step=0, first_loss=None, updates=[0] * len(self.parameters))

    def run(self, progress: bool) -> None:
        """Do the steps that are left, and save the state now and then."""
        shown = None
        if progress:
            shown = bar(total=self.steps, initial=self.state.step, unit="step", desc="adapt")
        saved = time.monotonic()
        try:
            for step in range(self.state.step, self.steps):
                loss = self._step(step)
                last = step + 1 == self.steps
                if self.checkpoint and (last or time.monotonic() - saved >= _SAVED_EVERY):
                    self._save(self.checkpoint)
                    saved = time.monotonic()
                if shown is not None:
                    shown.set_postfix_str(f"loss {loss:.3f}", refresh=False)
                    shown.update()
        finally:
            if shown is not None:
                shown.close()

    def _step(self, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * (1 - step / self.steps)
        self.optimizer.zero_grad()
        with torch.enable_grad():
            loss = self._loss(self.student, step)
            if not loss.requires_grad:
                raise ValueError("the model's answers have no gradient: does it run in no_grad?")
            loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        if not (math.isfinite(value) and all(p.isfinite().all() for p in self._gradients())):
            raise ValueError(
                f"the loss or its gradient is not finite in step {step}: the model's answers are "
                "not, or the learning_rate is too large"
            )
        self.optimizer.step()
        updates = [
            count + (parameter.grad is not None)
            for count, parameter in zip(self.state.updates, self.parameters, strict=True)
        ]
        first = value if self.state.first_loss is None else self.state.first_loss
        self.state = State(step + 1, first, updates)
        return value

    def _gradients(self) -> Iterator[Tensor]:
        return (p.grad for p in self.parameters if p.grad is not None)

    def _loss(self, student: nn.Module, step: int) -> Tensor:
        """Return the mean divergence of a student's answers in a step from the teacher's."""
        plain = self.crops.of(step)
        with ThreadPoolExecutor() as pool:
            defended = list(pool.map(self.defend, plain))
        with torch.no_grad():
            taught = self._log_probabilities(self.teacher, plain)
        learned = self._log_probabilities(student, defended)
        return kl_div(learned, taught, reduction="batchmean", log_target=True)

    def _log_probabilities(self, model: nn.Module, images: Sequence[Pixels]) -> Tensor:
        batch = torch.from_numpy(np.stack(images)).to(self.device)
        logits = answer(model, batch.permute(0, 3, 1, 2).float() / 255)
        if not logits.is_floating_point():
            raise TypeError(f"the model must return floating-point logits, not {logits.dtype}")
        return logits.log_softmax(1)

    # ---- the checkpoint ----

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take over the state of an earlier run, and save to the same file from now on."""
        self.checkpoint = checkpoint
        momenta = [torch.zeros_like(p) for p in self.parameters for _ in range(2)]
        with torch.no_grad():
            state = checkpoint.load([*self.parameters, *momenta])
        if state is None:
            self._save(checkpoint)  # an error of the file comes now, not in an hour
            return
        self._check_the_code(state)
        self.state = state
        for i, parameter in enumerate(self.parameters):
            if state.updates[i]:
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(state.updates[i])),
                    "exp_avg": momenta[2 * i],
                    "exp_avg_sq": momenta[2 * i + 1],
                }

    def _check_the_code(self, state: State) -> None:
        """Refuse a state of another model's code, which the file's key does not see."""
        if state.first_loss is None:
            return
        with torch.no_grad():
            now = float(self._loss(self.teacher, 0))
        if not math.isclose(now, state.first_loss, rel_tol=_SAME, abs_tol=1e-6):
            raise ValueError(
                f"{self.checkpoint and self.checkpoint.path} is of another model: the first loss "
                f"was {state.first_loss:.6f} and is {now:.6f}. Choose another file"
            )

    def _save(self, checkpoint: Checkpoint) -> None:
        tensors: list[Tensor] = [parameter.detach() for parameter in self.parameters]
        for parameter in self.parameters:
            state = self.optimizer.state.get(parameter, {})
            for name in ("exp_avg", "exp_avg_sq"):
                tensors.append(state[name] if name in state else torch.zeros_like(parameter))
        checkpoint.save(self.state, tensors)


def _digest(model: nn.Module, crops: _Crops, qtables: QTables, options: tuple[object, ...]) -> str:
    """Return a digest of all that decides the result, but for the model's code."""
    device = device_of(model).type
    digest = hashlib.sha256()

    def add(what: object, array: np.ndarray | None = None) -> None:
        data = b"" if array is None else np.ascontiguousarray(array).tobytes()
        digest.update(f"{what!r} {len(data)} ".encode() + data)

    add((pyfd.__version__, torch.__version__, device, str(model), options, crops.side))
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        add((name, tensor.dtype, tuple(tensor.shape)), raw)
    add("qtables", np.stack([qtables[component] for component in range(3)]))
    for image in crops.images:
        add(image.shape, image)
    return digest.hexdigest()


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
