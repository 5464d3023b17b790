"""Attacks against what can be computed: the robust accuracy of a linear model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfd.evaluation.attacks import ATTACKS, Target
from pyfd.evaluation.attacks.library import ARTAttack
from tests.evaluation.oracles import MARGINS, Known, Nothing, attacked, known_images, robust
from tests.evaluation.toys import cell, labels_of

#: Attacks that search without gradients, or not at all: they may leave more.
SEARCHES = {"noise", "square"}

BOUNDED = [a.name for a in ATTACKS.values() if a.bounded and a.threat in ("gray-box", "adaptive")]
EXACT = [n for n in BOUNDED if n not in SEARCHES and not ATTACKS[n].needs & {"tables", "4:4:4"}]
EPSILONS = (1, 2, 4, 64)


def test_the_images_have_the_margins_that_they_should():
    images, labels = known_images(40)
    assert labels_of(Known(), images) == labels.tolist()
    for epsilon in range(10):
        expected = [MARGINS[i % len(MARGINS)] > epsilon for i in range(40)]
        assert robust(images, labels, epsilon).tolist() == expected


@pytest.mark.parametrize("name", EXACT)
def test_attacks_report_the_robust_accuracy(tmp_path, name):
    """No less, because nothing within ε leaves less; and no more."""
    images, labels = known_images(20)
    found = attacked(tmp_path, 20, attacks=(name,), defences=("none", Nothing()), epsilons=EPSILONS)
    for epsilon in EPSILONS:
        left = robust(images, labels, epsilon).sum()
        for defence in ("none", "nothing"):
            if (defence, ATTACKS[name].threat) != ("none", "adaptive"):
                assert cell(found, defence, name, epsilon)["correct"] == left


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**32), st.sampled_from(sorted(EXACT)))
def test_no_attack_does_what_is_impossible(epsilon, seed, name):
    """In each image that is robust, the answer stays, whatever the seed and the strength."""
    images, labels = known_images(10)
    target = Target(Known(), defence=Nothing())
    moved = ATTACKS[name].perturb(target, images, labels, epsilon, seed)
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
