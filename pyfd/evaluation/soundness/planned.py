"""Checks of what was planned: the base set, the attacks, their parameters, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyfd.evaluation.defences import Defence
from pyfd.evaluation.plan import Trial
from pyfd.evaluation.soundness.finding import Finding, finding, listed
from pyfd.evaluation.soundness.outcomes import NOISE, Results
from pyfd.evaluation.work import Work

#: Below this, a 95 % interval is up to 40 points wide, and no number says anything.
TOO_FEW = 25

#: Below this, a 95 % interval is up to 20 points wide.
FEW = 100

#: The draws of a random defence that an adaptive attacker must average, at least.
DRAWS = 20

#: The steps after which AutoAttack's attacks are taken to have converged.
STEPS = 100

#: The difference of benign accuracies that makes a comparison of tables unfair.
_UNEQUAL = 0.02

#: The parameters that count steps.
_STEPS = ("max_iter", "steps", "n_iter", "iterations")


def who(defence: Defence) -> str:
    """Return a defence's name for a sentence."""
    return "the undefended model" if defence.kind == "none" else defence.name


def steps(trial: Trial) -> int:
    """Return the steps of a trial's attack by its parameters; 1 if they name none."""
    return max([1, *_values(trial.attack.parameters_against(trial.through), _STEPS)])


def _values(parameters: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[int]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _values(value, names)
        elif name in names and isinstance(value, int):
            yield value


def base_set(work: Work) -> Iterator[Finding]:
    """Yield a finding if the base set is small."""
    n = len(work.images)
    if n < FEW:
        reason = f"The base set has {n} images: below {FEW} the intervals are wide"
        if n < TOO_FEW:
            yield finding("error", "base-set", f"{reason}, below {TOO_FEW} they say nothing.")
        else:
            yield finding("warning", "base-set", f"{reason}.")


def planned(work: Work, results: Results, largest: int) -> Iterator[Finding]:
    """Yield what is missing in the plan of an evaluation.

    Args:
        work: The evaluation.
        results: Its results so far. Attacks that are missing matter for a defence that stands.
        largest: The strength that must have been tried, in 8-bit levels.
    """
    trials = [t for t in work.trials if t.attack.threat != "benign" and t.attack.name != NOISE]
    if not trials:
        return
    if not any(defence.kind == "none" for defence in results.defences):
        yield finding(
            "warning",
            "undefended",
            "The undefended model is not among the defences: that the attacks work is not shown.",
        )
    standing = [defence for defence in results.defences if results.stands(defence)]
    yield from _attackers([(d, [t for t in trials if _knows(t, d)]) for d in standing])
    if work.attacker_quality is not None:
        unproved = ""
        if any(defence.epsilon is not None for defence in results.defences):
            unproved = (
                " Nothing is reported as certified, because the files' pixels may lie farther "
                "from what the camera wrote than the ε of a certificate."
            )
        yield finding(
            "warning",
            "attacker-quality",
            f"No attack takes into account that the attacker's files have quality "
            f"{work.attacker_quality}: those that would are stronger.{unproved}",
        )
    epsilons = [t.epsilon for t in trials if t.epsilon is not None]
    if epsilons and max(epsilons) < largest and len(work.images) >= FEW:
        yield finding(
            "warning",
            "no-large-epsilon",
            f"No ε of {largest} or more was tried: that accuracy falls to 0 there is not shown.",
        )


def _attackers(known: Sequence[tuple[Defence, Sequence[Trial]]]) -> Iterator[Finding]:
    """Yield what is missing among the attacks on the defences that stand.

    Args:
        known: Each of these defences, with the trials of attacks that know everything about it.
    """
    if unknown := [d for d, trials in known if not trials and d.kind != "none"]:
        yield finding(
            "error",
            "no-adaptive",
            f"No attack knows {_each(unknown)}: what is left is no robust accuracy. Add an "
            "adaptive attack, such as bpda.",
        )
    draws = [(d, max(map(_draws, trials))) for d, trials in known if trials and d.random]
    if noisy := [(d, count) for d, count in draws if count < DRAWS]:
        yield finding(
            "error",
            "few-draws",
            f"Attacks average at most {max(count for _, count in noisy)} draws of "
            f"{_each([d for d, _ in noisy])}: below {DRAWS}, the gradients through a random "
            "defence are noise.",
        )
    if lonely := [d for d, trials in known if len({t.attack.name for t in trials}) == 1]:
        yield finding(
            "warning",
            "one-attack",
            f"Only one attack knows {_each(lonely)}: others may be stronger.",
        )
    most = [(d, max(map(steps, trials))) for d, trials in known if trials]
    if short := [(d, count) for d, count in most if count < STEPS]:
        count = max(count for _, count in short)
        yield finding(
            "warning",
            "few-steps",
            f"No attack that knows {_each([d for d, _ in short])} takes more than "
            f"{'one step' if count == 1 else f'{count} steps'}: fewer than {STEPS} may be too few.",
        )


def _each(defences: Sequence[Defence]) -> str:
    return listed(map(who, defences))


def _knows(trial: Trial, defence: Defence) -> bool:
    """Return whether a trial is of an attack that knows everything about a defence."""
    threat = "gray-box" if defence.kind == "none" else "adaptive"
    return trial.attack.threat == threat and defence.name in {d.name for d in trial.judged}


def _draws(trial: Trial) -> int:
    return max([1, *_values(trial.attack.parameters_against(trial.through), ("draws",))])


def unequal(results: Results) -> Iterator[Finding]:
    """Yield a warning if tables cost unequal benign accuracy.

    Certified defences are left out: what they cost and what they prove is one number.
    """
    kinds = ("one-pass", "two-pass")
    benign = {
        o.defence.name: float(o.right[o.done].mean())
        for o in results.benign
        if o.complete and o.defence.kind in kinds and o.defence.epsilon is None
    }
    if benign and max(benign.values()) - min(benign.values()) > _UNEQUAL:
        low, high = min(benign, key=lambda d: benign[d]), max(benign, key=lambda d: benign[d])
        yield finding(
            "warning",
            "unequal",
            f"Tables are compared at unequal benign accuracy: {low} keeps "
            f"{benign[low]:.1%}, {high} {benign[high]:.1%}.",
        )
