"""Checks that compare what attacks left: with each other, with noise, and along ε."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from pyfd.evaluation.defences import Defence
from pyfd.evaluation.results import interval
from pyfd.evaluation.soundness.finding import Finding, finding, listed
from pyfd.evaluation.soundness.outcomes import FALLEN, Outcome, Results, stronger, together
from pyfd.evaluation.soundness.planned import steps, who

#: From this strength on, in 8-bit levels, everything must have fallen: a quarter of the range.
LARGE = 64

#: Attacks that know the model but use answers only, as black boxes do.
_WITHOUT_GRADIENTS = ("square",)

#: Attacks that take a single step. Parameters without a number of steps do not tell.
_ONE_STEP = ("fgsm",)


def compare(results: Results) -> Iterator[Finding]:
    """Yield what the comparison of outcomes finds."""
    yield from _powerless(results)
    for defence in results.defences:
        by_epsilon = results.by_epsilon(defence)
        for found in by_epsilon.values():
            yield from _weaker_than_noise(results, found)
            yield from _weaker_than_black_boxes(found)
            yield from _weaker_than_unaware(found)
            yield from _weaker_than_one_step(found)
        yield from _rising(results, defence)
        yield from _unfallen(results, defence)


def _powerless(results: Results) -> Iterator[Finding]:
    """Yield a finding for each attack that never succeeds without a defence.

    It is an error at the largest ε that the attack was run with. Black boxes may fail.
    """
    undefended = [o for o in results.attacked if o.defence.kind == "none" and o.complete]
    by_attack: dict[str, list[Outcome]] = {}
    for outcome in undefended:
        by_attack.setdefault(outcome.trial.attack.name, []).append(outcome)
    for name, found in by_attack.items():
        vain = [o for o in found if o.right.all()]
        if not vain:
            continue
        largest = max(found, key=lambda o: o.epsilon or 0)
        sure = largest in vain and largest.threat == "gray-box"
        epsilons = [o.epsilon for o in vain if o.epsilon is not None]
        strength = f", ε = {listed(epsilons)}," if epsilons else ""
        yield finding(
            "error" if sure else "warning",
            "powerless",
            f"{name}{strength} never succeeds on the undefended model: its results against "
            "defences say nothing.",
        )


def _weaker_than_noise(results: Results, found: Sequence[Outcome]) -> Iterator[Finding]:
    """Yield an error for each attack that leaves more than random signs of the same ε."""
    first = found[0]
    noise = [
        o
        for o in results.noise
        if o.defence.name == first.defence.name and o.epsilon == first.epsilon
    ]
    for outcome in found if noise else ():
        if outcome.knows and stronger(noise[0], outcome):
            yield finding(
                "error",
                "noise",
                f"{outcome.trial.name} is weaker than random noise of the same strength "
                f"{_against(outcome)}: it does not work.",
            )


def _weaker_than_black_boxes(found: Sequence[Outcome]) -> Iterator[Finding]:
    """Yield an error for each black box that leaves less than all that know more together."""
    blind = [o for o in found if _blind(o)]
    seeing = [o for o in found if o.knows and not _blind(o)]
    for outcome in blind if seeing else ():
        if stronger(outcome, together(seeing)):
            yield finding(
                "error",
                "black-box",
                f"{outcome.trial.name}, which follows no gradient of what it attacks, is "
                f"stronger than {_names(seeing)} {_against(outcome)}: gradients are masked there.",
            )


def _weaker_than_unaware(found: Sequence[Outcome]) -> Iterator[Finding]:
    """Yield an error for each attack that ignores a defence and does better than those that know.

    This is about defences, and not about the undefended model.
    """
    unaware = [o for o in found if o.threat == "gray-box" and o.defence.kind != "none"]
    adaptive = [o for o in found if o.threat == "adaptive"]
    for outcome in unaware if adaptive else ():
        if stronger(outcome, together(adaptive)):
            yield finding(
                "error",
                "adaptive",
                f"{outcome.trial.name}, which ignores the defence, is stronger than "
                f"{_names(adaptive)} {_against(outcome)}: the adaptive attacks are misguided.",
            )


def _weaker_than_one_step(found: Sequence[Outcome]) -> Iterator[Finding]:
    """Yield an error for each single step that does better than all attacks that iterate."""
    seeing = [o for o in found if o.knows and not _blind(o)]
    iterated = [o for o in seeing if steps(o.trial) > 1]
    once = [o for o in seeing if o.trial.attack.name in _ONE_STEP]
    for outcome in once if iterated else ():
        if stronger(outcome, together(iterated)):
            yield finding(
                "error",
                "one-step",
                f"{outcome.trial.name}, a single step, is stronger than {_names(iterated)} "
                f"{_against(outcome)}: attacks that iterate do not work there.",
            )


def _rising(results: Results, defence: Defence) -> Iterator[Finding]:
    """Yield a finding for each attack that leaves more at a larger ε, on the same images.

    It is an error for attacks that iterate and know everything; a single long step may overshoot,
    and who ignores the defence may provoke it.
    """
    by_attack: dict[str, list[Outcome]] = {}
    for found in results.by_epsilon(defence).values():
        for outcome in found:
            by_attack.setdefault(outcome.trial.attack.name, []).append(outcome)
    for name, rising in by_attack.items():
        for small, large in itertools.combinations(rising, 2):
            if stronger(small, large):
                sure = large.knows and steps(large.trial) > 1
                yield finding(
                    "error" if sure else "warning",
                    "rises",
                    f"{name} leaves more at ε = {large.epsilon} than at ε = {small.epsilon} "
                    f"{_against(large)}: an attacker who may do more cannot achieve less.",
                )
                break


def _unfallen(results: Results, defence: Defence) -> Iterator[Finding]:
    """Yield an error if a defence does not fall at the largest ε, and that is large.

    Without a proof, more than `FALLEN` of the base set is left beyond the interval. If the
    defence is random, answers by chance do not count, provided that fewer are right than without
    an attack.
    """
    found = [
        together(whole)
        for epsilon, outcomes in results.by_epsilon(defence).items()
        if epsilon >= LARGE and (whole := [o for o in outcomes if o.complete])
    ]
    if not found:
        return
    last = found[-1]
    left = results.claimed(defence, [last])
    n = len(last.right)
    chance = 0.0
    if defence.random and any(
        stronger(last, benign) for benign in results.benign if benign.defence.name == defence.name
    ):
        chance = 1 / results.classes
    if interval(round(left * n), n)[0] > FALLEN + chance:
        yield finding(
            "error",
            "unfallen",
            f"{left:.0%} of the images stay right {_against(last)} at ε = {last.epsilon}, where "
            "an attacker can paint another picture: accuracy does not fall to 0 at large ε, so "
            "that the attacks are too weak for smaller ones, too.",
        )


def _blind(outcome: Outcome) -> bool:
    name = outcome.trial.attack.name
    return outcome.threat == "black-box" or (outcome.knows and name in _WITHOUT_GRADIENTS)


def _names(found: Sequence[Outcome]) -> str:
    return listed(dict.fromkeys(o.trial.attack.name for o in found))


def _against(outcome: Outcome) -> str:
    return f"against {who(outcome.defence)}"
