"""The plan of an evaluation: its trials, each one attack and the defences judged on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pyfd.evaluation.attacks import Attack, Benign
from pyfd.evaluation.defences import Defence

#: A part of an evaluation: the index of a trial, and of a chunk of its images.
Task: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Trial:
    """One attack on the images, and the defences that are judged on the result."""

    attack: Attack
    epsilon: int | None
    """The strength in 8-bit levels; None for attacks that need none."""
    start: Defence
    """The defence from whose camera the attack starts."""
    judged: tuple[Defence, ...]
    through: Defence | None = None
    """The defence that the attack is aimed at, if it is aimed at one."""

    @property
    def name(self) -> str:
        """The attack and its strength."""
        return self.attack.name + ("" if self.epsilon is None else f", ε = {self.epsilon}")


def plan(
    defences: Sequence[Defence], attacks: Sequence[Attack], epsilons: Sequence[int]
) -> list[Trial]:
    """Return the trials, benign ones first.

    Attacks that are not aimed at one defence run once for all that start from the same
    images: once for each two-pass defence, and once for all others together.
    """
    single = tuple(d for d in defences if d.kind != "two-pass")
    groups = [single] if single else []
    groups += [(d,) for d in defences if d.kind == "two-pass"]
    starts = {d.name: group[0] for group in groups for d in group}
    found = [Trial(Benign(), None, group[0], group) for group in groups]
    for attack in attacks:
        for epsilon in epsilons if attack.bounded else (None,):
            if attack.aimed:
                aims = filter(attack.applies_to, defences)
                found += [Trial(attack, epsilon, starts[d.name], (d,), d) for d in aims]
            else:
                found += [Trial(attack, epsilon, group[0], group) for group in groups]
    return found
