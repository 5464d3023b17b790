"""Attacks against what can be computed: the robust accuracy of a linear model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfd.evaluation.attacks import ATTACKS, Target
from pyfd.evaluation.attacks.library import ARTAttack
from tests.evaluation.oracles import MARGINS, Known, Nothing, attacked, known_images, robust
from tests.evaluation.test_strength import few
from tests.evaluation.toys import cell, labels_of

pytestmark = pytest.mark.usefixtures("undrawn")

#: Attacks that search without gradients, or at random, and FAB, which stops so near to an image
#: that rounding may lead back.
INEXACT = ("noise", "square", "fab-t", "bpda-fab-t")

#: The attacks that are run, other than sequences of others.
BOUNDED = [
    a.name
    for a in ATTACKS.values()
    if a.bounded and not a.needs & {"tables", "surrogate"} and "autoattack" not in a.name
]
EXACT = [n for n in BOUNDED if n not in INEXACT and ATTACKS[n].threat != "black-box"]
EPSILONS = (1, 2, 4, 64)


def test_the_images_have_the_margins_that_they_should():
    images, labels = known_images(40)
    assert labels_of(Known(), images) == labels.tolist()
    for epsilon in range(10):
        expected = [MARGINS[i % len(MARGINS)] > epsilon for i in range(40)]
        assert robust(images, labels, epsilon).tolist() == expected


@pytest.mark.parametrize("name", BOUNDED)
def test_attacks_report_the_robust_accuracy(tmp_path, name):
    """No less, because nothing within ε leaves less; and no more, unless they search."""
    images, labels = known_images(20)
    attack = few(ATTACKS[name])
    options = {"defences": ("none", Nothing()), "epsilons": (1, 4)}
    found = attacked(tmp_path, 20, attacks=(attack,), **options)
    for epsilon in (1, 4):
        left = robust(images, labels, epsilon).sum()
        for defence in ("none", "nothing"):
            if (defence, attack.threat) != ("none", "adaptive"):
                correct = cell(found, defence, name, epsilon)["correct"]
                assert left <= correct <= (left if name in EXACT else 20)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**32), st.sampled_from(BOUNDED))
def test_no_attack_does_what_is_impossible(epsilon, seed, name):
    """In each image that is robust, the answer stays, whatever the seed and the strength."""
    images, labels = known_images(10)
    target = Target(Known(), defence=Nothing())
    moved = few(ATTACKS[name]).perturb(target, images, labels, epsilon, seed)
    right = np.array(labels_of(Known(), moved)) == labels
    assert right[robust(images, labels, epsilon)].all()


# ---- what is sound --------------------------------------------------------------------


def long(name: str, kind: str) -> ARTAttack:
    return ARTAttack(name, "", "", kind, {"max_iter": 100})


def test_nothing_is_found_where_nothing_is_wrong(tmp_path):
    attacks = (long("long-bim", "BasicIterativeMethod"), long("long", ATTACKS["pgd"].kind))
    found = attacked(tmp_path, 100, attacks=attacks, epsilons=EPSILONS)
    assert found["findings"] == found["warnings"] == []
    assert cell(found, "none", "long", 4)["correct"] == 60


def test_no_error_is_found_where_attacks_are_right(tmp_path):
    options = {"attacks": ("pgd", "bpda"), "defences": ("none", Nothing()), "epsilons": EPSILONS}
    found = attacked(tmp_path, 100, **options)["findings"]
    assert {(f["level"], f["check"]) for f in found} == {
        ("warning", "one-attack"),
        ("warning", "few-steps"),
    }
