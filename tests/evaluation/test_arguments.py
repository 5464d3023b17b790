"""Arguments of `evaluate` that make no sense: the error comes first, and names the argument."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pyfd.evaluation import arguments, evaluate
from tests.evaluation.toys import Texture, images, run

PICTURES = images(2)


def changed(change) -> dict:
    """Return two pictures, the second one changed: what is said of it must not need a model."""
    return {"pictures": [PICTURES[0], change(PICTURES[1])]}


def meta() -> nn.Module:
    return nn.Sequential(Texture(), nn.Linear(2, 2).to("meta"))


WRONG = {
    "float images": (changed(lambda x: x / 255), ValueError, "image 1 must be uint8 H×W×3, not fl"),
    "C×H×W": (changed(lambda x: x.transpose(2, 0, 1)), ValueError, "image 1 must be .* 3×"),
    "gray": (changed(lambda x: x[..., 0]), ValueError, "image 1 must be .* uint8 ..×..$"),
    "no pixels": (changed(lambda x: x[:0]), ValueError, "image 1 must be"),
    "tensors": (changed(torch.tensor), TypeError, "image 1 must be a numpy array, not Tensor"),
    "a generator": ({"pictures": iter(PICTURES), "truth": [0]}, TypeError, "images must be a seq"),
    "float labels": ({"truth": [0.7, 1.0]}, TypeError, "labels must be integers, not float64"),
    "names": ({"truth": ["cat", "dog"]}, TypeError, "labels must be integers, not <U3"),
    "huge labels": ({"truth": [2**70, 0]}, TypeError, "labels must be integers, not object"),
    "one-hot": ({"truth": np.eye(2)}, ValueError, "2 images need as many labels"),
    "a defence": ({"defences": "none"}, TypeError, "defences must be a sequence, not str"),
    "no defence": ({"defences": (3,)}, TypeError, "a defence must be a name or a Defence, not i"),
    "an attack": ({"attacks": "pgd"}, TypeError, "attacks must be a sequence, not str"),
    "no attack": ({"attacks": (None,)}, TypeError, "an attack must be a name or an Attack"),
    "an ε": ({"epsilons": 4}, TypeError, "epsilons must be a sequence, not int"),
    "ε as text": ({"epsilons": ("4",)}, ValueError, "epsilon must be a whole number .* not 4"),
    "ε twice": ({"epsilons": (4, 4.0)}, ValueError, "each epsilon must be given only once"),
    **{
        f"ε {value!s:.9}": ({"epsilons": (value,)}, ValueError, "epsilon must be a whole number")
        for value in (0, 1.5, True, 256, float("nan"), float("inf"), None, 10**400)
    },
    "no workers": ({"workers": 0}, ValueError, "workers must be at least 1, not 0"),
    "fewer workers": ({"workers": -1}, ValueError, "workers must be at least 1, not -1"),
    "part of a batch": ({"batch_size": 1.5}, TypeError, "batch_size must be an integer, not float"),
    "no batch": ({"batch_size": -1}, ValueError, "batch_size must be at least 1, not -1"),
    "a seed below 0": ({"seed": -1}, ValueError, "seed must be 0...2147483647, not -1"),
    "a huge seed": ({"seed": 2**31}, ValueError, "seed must be 0...2147483647"),
    "quality 0": ({"attacker_quality": 0}, ValueError, "attacker_quality must be 1...100, not 0"),
    "quality": ({"attacker_quality": "75"}, TypeError, "attacker_quality must be an integer"),
    "a name": ({"class_names": "ab"}, TypeError, "class_names must be a sequence, not str"),
    "numbers": ({"class_names": [1, 2]}, TypeError, "class_names must be names, not int"),
    "a mapping": ({"class_names": {0: "a", 1: "b"}}, TypeError, "class_names must be a sequence"),
    "an empty name": ({"class_names": ["a", " "]}, ValueError, "class_names must not be empty: 1"),
    "a surrogate": ({"surrogate": "resnet"}, TypeError, "surrogate must be a sequence, not str"),
    "surrogates": ({"surrogate": [Texture(), 3]}, TypeError, "a surrogate must be a torch.nn.Mod"),
    "an idle one": (
        {"surrogate": Texture()},
        ValueError,
        r"no attack uses a surrogate \(--surrogate, surrogate=\): 'transfer' does",
    ),
    "a path": ({"setting": {"x": Path("x")}}, TypeError, "setting must be what JSON can hold"),
    "infinite": ({"setting": {"x": float("nan")}}, TypeError, "setting must be what JSON can"),
    "n": ({"setting": {"n": 7}}, ValueError, "setting must not have 'n'"),
    "no model": ({"setting": {"model": 3}}, TypeError, "setting must have a text as 'model'"),
    "a function": ({"model": len}, TypeError, "the model must be a torch.nn.Mod"),
    "a class": ({"model": Texture}, TypeError, "not the class Texture"),
    "no values": ({"model": meta()}, ValueError, 'on the device "meta"'),
}


@pytest.mark.parametrize(("options", "kind", "match"), WRONG.values(), ids=WRONG)
def test_nothing_is_written_for_wrong_arguments(options, kind, match, tmp_path):
    given = {"model": Texture(), "pictures": PICTURES, "truth": [0, 0], "attacks": ("noise",)}
    model, pictures, truth, *rest = (given | options).items()
    with pytest.raises(kind, match=match):
        evaluate(model[1], pictures[1], truth[1], output=tmp_path / "out", **dict(rest))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("output", "kind", "match"),
    [
        ("", ValueError, "output must be the path of a folder, not empty"),
        (None, TypeError, "output must be a path, not NoneType"),
        ("file", ValueError, "output must be a folder, and file is a file"),
        ("file/sub", ValueError, "file/sub/report.json cannot be written: Not a directory"),
        ("folder", ValueError, "folder/report.html cannot be written: Is a directory"),
        ("links", ValueError, "links/report.json cannot be written: a symbolic link"),
    ],
)
def test_outputs_that_cannot_be_written_come_first(output, kind, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder", "report.html").mkdir(parents=True)
    Path("links").mkdir()
    Path("links", "report.json").symlink_to("none")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=match):
        evaluate(Texture(), PICTURES, [0, 0], output=output, attacks=("noise",))
    assert sorted(tmp_path.rglob("*")) == before


def test_numbers_of_numpy_are_numbers(tmp_path):
    """A report holds them as Python's."""
    numpy = {"epsilons": np.array([4]), "seed": np.int64(0), "batch_size": np.int32(2)}
    found = run(tmp_path, attacks=("noise",), class_names=np.array(["a", "b"]), **numpy)
    assert found["cells"][-1]["epsilon"] == 4
    assert type(found["setting"]["seed"]) is int


@pytest.mark.parametrize("names", [3, "ab", {0: "a"}, [1, 2], ["", "b"]])
def test_names_that_a_model_has(names):
    model = Texture()
    model.class_names = names
    with pytest.raises(ValueError, match="the model's attribute class_names must"):
        arguments.names_of(model)
