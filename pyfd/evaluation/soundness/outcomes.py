"""What attacks left of defences, image by image, and how two outcomes compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyfd.evaluation.defences import Defence
from pyfd.evaluation.plan import Trial
from pyfd.evaluation.proof import within
from pyfd.evaluation.results import share
from pyfd.evaluation.work import Work

#: The name of the attack that is random noise, which no attack may be weaker than.
NOISE = "noise"

#: At most this share of the base set is left of a defence that has fallen.
FALLEN = 0.05

#: An outcome is stronger than another on the same images if, were both equally strong, a
#: difference like theirs had at most this probability: 8 images to none, 11 to 1, 20 to 6. The
#: reports' intervals of 95 % would be crossed by chance in one of 40 comparisons.
SURE = 0.005

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """Which images of the base set a model gets right behind a defence under an attack."""

    trial: Trial
    defence: Defence
    right: Flags
    done: Flags
    """Which images were attacked; in a report that is not finished, some were not yet."""

    @property
    def threat(self) -> str:
        """The attacker's knowledge."""
        return self.trial.attack.threat

    @property
    def epsilon(self) -> int | None:
        """The attack's strength in 8-bit levels."""
        return self.trial.epsilon

    @property
    def complete(self) -> bool:
        """Whether all images were attacked."""
        return bool(self.done.all())

    @property
    def knows(self) -> bool:
        """Whether the attacker knows everything: the model, and the defence if there is one."""
        return self.threat == ("gray-box" if self.defence.kind == "none" else "adaptive")


def outcomes(work: Work, entries: Iterable[dict[str, Any]]) -> list[Outcome]:
    """Return what the entries of a log say, in the order of the trials and their defences."""
    n = len(work.images)
    found: dict[tuple[int, str], Outcome] = {}
    for entry in sorted(entries, key=lambda entry: (entry["place"], entry["chunk"])):
        trial, chosen = work.trials[entry["place"]], work.chunks[entry["place"]][entry["chunk"]]
        for defence in trial.judged:
            blank = Outcome(trial, defence, np.zeros(n, bool), np.zeros(n, bool))
            outcome = found.setdefault((entry["place"], defence.name), blank)
            outcome.right[chosen] = [digit == "1" for digit in entry["right"][defence.name]]
            outcome.done[chosen] = True
    return list(found.values())


def proved(work: Work, entries: Iterable[dict[str, Any]]) -> dict[str, Flags]:
    """Return which images are right and certified, by the names of the defences that promise it."""
    found: dict[str, Flags] = {}
    for entry in entries:
        for name, proofs in entry["certified"].items():
            flags = found.setdefault(name, np.zeros(len(work.images), bool))
            flags[work.chunks[entry["place"]][entry["chunk"]]] = [proof == "1" for proof in proofs]
    return found


def together(found: Sequence[Outcome]) -> Outcome:
    """Return what all of several attacks leave: the images that are right under each of them."""
    right = np.logical_and.reduce([outcome.right for outcome in found])
    done = np.logical_and.reduce([outcome.done for outcome in found])
    return Outcome(found[0].trial, found[0].defence, right, done)


def stronger(one: Outcome, other: Outcome) -> bool:
    """Return whether one attack leaves fewer of the same images than another, beyond chance.

    This is the exact one-sided sign test of the images that only one of them leaves (McNemar,
    1947), at the level `SURE`.
    """
    from scipy.stats import binomtest  # type: ignore[import-untyped]  # workers start without it

    both = one.done & other.done
    gains = int((both & ~one.right & other.right).sum())
    losses = int((both & one.right & ~other.right).sum())
    if gains <= losses:
        return False
    return bool(binomtest(gains, gains + losses, alternative="greater").pvalue <= SURE)


@dataclass(frozen=True)
class Results:
    """Everything that was attacked, and what was proved."""

    attacked: Sequence[Outcome]
    """What attacks left, without the noise."""
    noise: Sequence[Outcome]
    benign: Sequence[Outcome]
    proofs: dict[str, Flags]
    defences: Sequence[Defence]
    classes: int
    """The number of the model's classes."""

    @classmethod
    def of(cls, work: Work, entries: Sequence[dict[str, Any]], classes: int) -> Results:
        """Return the results that the entries of a log say."""
        found = outcomes(work, entries)
        benign = [o for o in found if o.threat == "benign"]
        noise = [o for o in found if o.trial.attack.name == NOISE]
        attacked = [o for o in found if o.threat != "benign" and o.trial.attack.name != NOISE]
        defences = {d.name: d for trial in work.trials for d in trial.judged}
        return cls(attacked, noise, benign, proved(work, entries), list(defences.values()), classes)

    def against(self, defence: Defence) -> list[Outcome]:
        """Return the outcomes of a defence, in the order of the attacks."""
        return [o for o in self.attacked if o.defence.name == defence.name]

    def by_epsilon(self, defence: Defence) -> dict[int, list[Outcome]]:
        """Return the outcomes of a defence under attacks that have a strength, by strength."""
        return _by_epsilon(self.against(defence))

    def claimed(self, defence: Defence, found: Sequence[Outcome]) -> float:
        """Return the share of images that attacks of one strength leave without a proof."""
        left = together(found)
        unproved = left.right & left.done
        if defence.name in self.proofs and within(found[0].epsilon, defence):
            unproved &= ~self.proofs[defence.name]
        return float(unproved.sum() / max(1, left.done.sum()))

    def stands(self, defence: Defence) -> bool:
        """Return whether attacks leave more than `FALLEN` of a defence, at any strength.

        What is proved does not count: no attack can change it.
        """
        unbounded = [o for o in self.against(defence) if o.epsilon is None]
        groups = [*self.by_epsilon(defence).values(), *([unbounded] if unbounded else [])]
        return any(self.claimed(defence, group) > FALLEN for group in groups)


def _by_epsilon(found: Iterable[Outcome]) -> dict[int, list[Outcome]]:
    groups: dict[int, list[Outcome]] = {}
    for outcome in found:
        if outcome.epsilon is not None:
            groups.setdefault(outcome.epsilon, []).append(outcome)
    return dict(sorted(groups.items()))


def left(work: Work, entries: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what all attacks of one strength together leave of a defence, as report.json has it.

    An image counts if the model gets it right under each of them, noise included: the mean over
    the images of the worst case, where the lowest cell is the worst case of the means.
    """
    everything = outcomes(work, entries)
    for defence in {d.name: d for trial in work.trials for d in trial.judged}.values():
        against = [o for o in everything if o.defence.name == defence.name]
        for epsilon, found in _by_epsilon(against).items():
            all_of_them = together(found)
            if n := int(all_of_them.done.sum()):
                yield {
                    "defence": defence.name,
                    "epsilon": epsilon,
                    "attacks": [outcome.trial.attack.name for outcome in found],
                    **share(int((all_of_them.right & all_of_them.done).sum()), n),
                }
