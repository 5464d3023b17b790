"""What a model and defences show before any attack: their draws, and their gradients."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from pyfd._core.pixels import Pixels
from pyfd.evaluation.attacks import Grid, Noise, to_batch
from pyfd.evaluation.defences import Defence
from pyfd.evaluation.plan import Trial
from pyfd.evaluation.soundness.finding import Finding, finding
from pyfd.evaluation.soundness.outcomes import NOISE
from pyfd.evaluation.soundness.planned import who
from pyfd.evaluation.standins import standin
from pyfd.evaluation.work import Work
from pyfd.torch import device_of
from pyfd.torch.scoring import judging

#: A function of logits and labels, whose gradient attacks follow.
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

#: The images whose gradients are looked at; one of them is 5 %.
IMAGES = 20

#: The share of images without a gradient that is more than an accident.
BLIND = 0.05

#: The images on which noise is tried, at least, if there are as many.
_NOISY = 50

#: The differences of logits that are more than rounding, as shares of the largest.
_ROUNDING = 1e-4

#: The same between batches of different sizes on a GPU, which may take other kernels for them,
#: with the 10 bits of TF32.
_KERNELS = 1e-2


@dataclass(frozen=True)
class Chain:
    """The gradients of the loss through a model, behind a defence or not, on the first images."""

    through: str
    """What they go through, for a sentence."""
    defence: str | None
    """The name of the defence that attacks aim at so; None for a surrogate."""
    images: int
    zero: int
    """The images whose gradient is zero, or does not exist."""
    broken: int
    """The images with a gradient that is not finite."""


@dataclass(frozen=True)
class Probed:
    """What the model and the defences show before any attack."""

    findings: Sequence[Finding]
    chains: Sequence[Chain]
    classes: int
    """The number of logits."""


def probe(work: Work) -> Probed:
    """Look at the model and the defences, with a few forward and backward passes."""
    chunk = next(work.batches())
    batch = to_batch([work.images[i] for i in chunk]).to(device_of(work.model))
    with _quietly(work):
        with judging(work.model), torch.no_grad():
            first, again = work.model(batch), work.model(batch)
            alone = torch.cat([work.model(batch[i : i + 1]) for i in range(min(2, len(batch)))])
        found = list(_of_model(first, again, alone))
        for defence in {d.name: d for t in work.trials for d in t.judged}.values():
            found += _of_defence(defence, [work.images[i] for i in chunk[:2]], work.seed)
        chains = [*_aimed(work), *_surrogates(work)]
    return Probed(found, chains, first.shape[1])


@contextmanager
def _quietly(work: Work) -> Iterator[None]:
    """Leave torch's and numpy's generators as they were."""
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(work.seed)
        try:
            yield
        finally:
            np.random.set_state(state)


def _of_model(first: Tensor, again: Tensor, alone: Tensor) -> Iterator[Finding]:
    if _differ(first, again):
        yield finding(
            "error",
            "random-model",
            "The model gives different answers to the same images: it draws random numbers, and "
            "no attack averages over them.",
        )
        return
    tolerance = _ROUNDING if first.device.type == "cpu" else _KERNELS
    if _differ(first[: len(alone)], alone, tolerance):
        yield finding(
            "error",
            "batch",
            "The model's answer to an image depends on the other images of the batch: what an "
            "attack achieves in one batch says nothing about another.",
        )

    if _probabilities(first):
        yield finding(
            "warning",
            "probabilities",
            "The model seems to return probabilities instead of logits: the losses of attacks are "
            "flat there.",
        )


def _probabilities(logits: Tensor) -> bool:
    return bool((logits >= 0).all() and ((logits.sum(1) - 1).abs() < _ROUNDING).all())


def _differ(one: Tensor, other: Tensor, tolerance: float = _ROUNDING) -> bool:
    return not bool((one - other).abs().max() <= tolerance * one.abs().max())


def _of_defence(defence: Defence, images: list[Pixels], seed: int) -> Iterator[Finding]:
    """Yield an error if a defence draws random numbers that it does not own up to."""
    first, again = defence(images, seed), defence(images, seed)
    other = first if defence.random else defence(images, seed + 1)
    if not all(map(np.array_equal, first, again)):
        reason = "does not always return the same for the same image and seed"
    elif not all(map(np.array_equal, first, other)):
        reason = "depends on the seed, but does not say that it is random"
    else:
        return
    yield finding(
        "error",
        "hidden-draws",
        f"{defence.name} {reason}: no attack averages over its draws.",
    )


def _followed(work: Work) -> list[tuple[Defence, Loss]]:
    """Return the defences through which attacks follow gradients; "none" for the model alone.

    The loss is the cross-entropy, or the margin where all of them follow that.
    """
    found: dict[str, tuple[Defence, Loss]] = {}
    for trial in work.trials:
        if trial.attack.threat == "gray-box" and trial.attack.name != NOISE:
            found["none"] = Defence(), _cross_entropy
        elif trial.through is not None and "gradients" in trial.attack.needs:
            defence, loss = found.get(trial.through.name, (trial.through, _margin))
            if not isinstance(trial.attack, Grid):  # it lowers the margin, whatever its name
                loss = _cross_entropy
            found[defence.name] = defence, loss
    return list(found.values())


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, labels, reduction="sum")


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    own = nn.functional.one_hot(labels, logits.shape[1]).bool()
    return (logits[own] - logits.masked_fill(own, -math.inf).amax(1)).sum()


def _aimed(work: Work) -> Iterator[Chain]:
    """Yield the gradients that attacks follow through defences; one draw of random ones."""
    for defence, loss in _followed(work):
        model = work.model
        if defence.kind != "none":
            model = nn.Sequential(standin(defence, model, work.seed), model)
        yield Chain(who(defence), defence.name, *_counted(work, model, loss))


def _surrogates(work: Work) -> Iterator[Chain]:
    """Yield the gradients through each of the surrogates."""
    for number, model in enumerate(work.surrogates, 1):
        name = f"surrogate {number}" if len(work.surrogates) > 1 else "the surrogate"
        yield Chain(name, None, *_counted(work, model, _cross_entropy))


def _counted(work: Work, model: nn.Module, loss: Loss) -> tuple[int, int, int]:
    """Look at the gradients of a loss, image by image: return the three counts of `Chain`."""
    images = zero = broken = 0
    with judging(model):
        for chunk in work.batches():
            gradients = _gradients(model, loss, work, chunk[: IMAGES - images]).flatten(1)
            images += len(gradients)
            broken += int((~gradients.isfinite()).any(1).sum())
            zero += int((gradients == 0).all(1).sum())
            if images == IMAGES:
                break
    return images, zero, broken


def _gradients(model: nn.Module, loss: Loss, work: Work, chosen: list[int]) -> Tensor:
    device = device_of(work.model)
    labels = torch.from_numpy(work.labels[chosen]).to(device)
    batch = to_batch([work.images[i] for i in chosen]).to(device).requires_grad_()
    with torch.enable_grad():
        try:
            value = loss(model(batch), labels)
        except Exception:  # the model refuses gradients: attacks that need some say so
            return torch.zeros_like(batch)
        if not value.requires_grad:
            return torch.zeros_like(batch)
        (gradients,) = torch.autograd.grad(value, batch, allow_unused=True)
    return torch.zeros_like(batch) if gradients is None else gradients


def blind(chain: Chain, *, stands: bool) -> Iterator[Finding]:
    """Yield a finding if attackers get no gradient through a defence, for some images.

    It is an error if the defence stands: a weak attack on what has fallen does no harm.

    Args:
        chain: The gradients.
        stands: Whether attacks leave more than a little of the defence.
    """
    consequence = "attacks that follow them are blind"
    if chain.defence is None:  # there may be others, and their gradients are added up
        consequence = "transfer gains nothing by it"
    for count, kind in ((chain.zero, "zero"), (chain.broken, "not finite")):
        if count:
            share = "" if count == chain.images else f" for {count / chain.images:.0%} of images"
            yield finding(
                "error" if stands and count > BLIND * chain.images else "warning",
                "gradients",
                f"Gradients through {chain.through} are {kind}{share}: {consequence}.",
            )


def noise(work: Work) -> tuple[Work, list[dict[str, Any]]]:
    """Try noise at each ε that has an attack but no noise, on the first images.

    Returns:
        Work with the trials of noise alone, and its entries, as of the log.
    """
    epsilons = {t.epsilon for t in work.trials} - {None}
    epsilons -= {t.epsilon for t in work.trials if t.attack.name == NOISE}
    groups = [t for t in work.trials if t.attack.threat == "benign"]
    trials = [
        Trial(Noise(tries=1), epsilon, group.start, group.judged)
        for epsilon in sorted(epsilons, key=int)  # type: ignore[arg-type]
        for group in groups
    ]
    noisy = dataclasses.replace(work, trials=trials)
    entries, images = [], 0
    for chunk, chosen in enumerate(work.batches() if trials else ()):
        if images >= _NOISY:
            break
        images += len(chosen)
        entries += [noisy.do(place, chunk) for place in range(len(trials))]
    return noisy, entries
