"""What makes an evaluation unsound: checks after the lists of those who broke defences.

Carlini et al., "On Evaluating Adversarial Robustness", 2019; Tramèr et al., "On Adaptive Attacks
to Adversarial Example Defenses", 2020; Croce et al., "Evaluating the Adversarial Robustness of
Adaptive Test-time Defenses", 2022. docs/soundness.md goes through their lists point by point.

`probe` looks at the model and the defences before the attacks, `findings` at what they left. What
cannot be a result at all is an exception elsewhere: a perturbation larger than ε
(``pyfd.evaluation.work``) and a broken certificate (``pyfd.evaluation.proof``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pyfd.evaluation.soundness.comparisons import LARGE, compare
from pyfd.evaluation.soundness.finding import Finding, Level, finding
from pyfd.evaluation.soundness.outcomes import Results, left, outcomes
from pyfd.evaluation.soundness.planned import TOO_FEW, base_set, planned, unequal
from pyfd.evaluation.soundness.probes import Probed, blind, noise, probe
from pyfd.evaluation.work import Work

__all__ = ["Finding", "Level", "Probed", "findings", "left", "probe"]

#: What a smoke run's own plan lacks so that it ends soon.
_MEAGER = ("one-attack", "few-steps")


def findings(
    work: Work,
    entries: Sequence[dict[str, Any]],
    probed: Probed,
    *,
    finished: bool = True,
    quick: bool = False,
) -> list[Finding]:
    """Return everything that makes an evaluation unsound or easy to misread, errors first.

    Args:
        work: The evaluation.
        entries: The entries of its log.
        probed: What `probe` returned for it.
        finished: Whether all attacks are done. If so, noise is tried, which takes one forward
            pass for each defence and ε, on 50 images.
        quick: Whether it is a smoke run. If so, and if its base set says nothing, what is too
            few is only said once.
    """
    results = Results.of(work, entries, probed.classes)
    if finished:
        noisy, more = noise(work)
        tried = [*results.noise, *outcomes(noisy, more)]
        results = dataclasses.replace(results, noise=tried)
    found = list(probed.findings)
    plan = planned(work, results, LARGE)
    if quick and len(work.images) < TOO_FEW:
        reason = "This is a smoke run (--quick): it has too few images to conclude anything."
        found.append(finding("warning", "smoke", reason))
        found += [f for f in plan if f["check"] not in _MEAGER]
    else:
        found += [*base_set(work), *plan]
    stands = {defence.name: results.stands(defence) for defence in results.defences}
    for chain in probed.chains:
        relied_on = chain.defence is not None and stands.get(chain.defence, True)
        found += blind(chain, stands=relied_on)
    found += [*compare(results), *unequal(results)]
    return sorted(found, key=lambda f: f["level"] != "error")
