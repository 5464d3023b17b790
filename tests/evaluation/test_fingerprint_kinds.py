"""Fingerprints of kinds of objects whose code or state is easily overlooked."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import random
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from os import environ
from pathlib import Path
from random import randint
from random import random as draw

import numpy as np
import pytest
import torch
from numpy.random import rand
from torch import nn
from torch.masked import masked_tensor

from pyfd.evaluation.defences import Defence
from pyfd.evaluation.fingerprint import Fingerprints


def of(thing: object) -> str:
    return Fingerprints().of(thing)


# ---- special methods that are not plain functions ------------------------------------


class Bound:
    """A decorator whose objects turn into methods."""

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __get__(self, owner: object, kind: type | None = None) -> Callable:
        return functools.partial(self.function, owner)


class Times:
    def __init__(self, value: int) -> None:
        self.value = value

    def __call__(self, x: int) -> int:
        return x * self.value


def special(make: Callable[[int], object]) -> Callable[[int], object]:
    """Return a function of a value that makes a defence with this `__call__`."""
    return lambda value: type("Own", (Defence,), {"__call__": make(value)})()


def times(value: int) -> Callable[..., int]:
    return lambda _self, x=1: x * value


# ---- states that pickle does not show --------------------------------------------------


class Hiding:
    """An object whose state for pickle lacks its attribute."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __getstate__(self) -> dict:
        return {}


class Slotted:
    __slots__ = ("unset", "value")

    def __init__(self, value: int) -> None:
        self.value = value

    def __getstate__(self) -> dict:
        return {}

    def __reduce__(self) -> tuple:
        return Slotted, (0,)


class Nested:
    def __init__(self, value: int, inner: object = None) -> None:
        self.value = value
        self.inner = inner


def nested(value: int) -> object:
    return functools.reduce(lambda inner, _: Nested(1, inner), range(60), Nested(value))


def constants(value: int) -> Callable[[], int]:
    table = types.MappingProxyType({"value": value})
    return lambda: table["value"]


# ---- tensors ---------------------------------------------------------------------------


def with_attribute(value: int) -> torch.Tensor:
    weight = nn.Parameter(torch.ones(3))
    weight.gain = value  # type: ignore[attr-defined]
    return weight


def with_hook(value: int) -> torch.Tensor:
    weight = nn.Parameter(torch.ones(3))
    weight.register_hook(lambda gradient: gradient * value)
    return weight


def with_code(value: int) -> torch.Tensor:
    class Own(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, kinds, arguments=(), options=None):
            found = super().__torch_function__(function, kinds, arguments, options or {})
            return found * value  # fails for what is not a tensor

    return torch.ones(3).as_subclass(Own)


class Quantized(torch.Tensor):
    """A tensor without values of its own, as quantization libraries make them."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=torch.float32)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, kinds, arguments=(), options=None):
        if function is torch.ops.aten.detach.default:
            return cls(arguments[0].inner)
        raise NotImplementedError


def masked(value: int) -> torch.Tensor:
    return masked_tensor(torch.full((2,), float(value)), torch.tensor([True, False]))


# ---- scripted modules ------------------------------------------------------------------


class Scaled(nn.Module):
    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.value


class Exporting(nn.Module):
    """A module without `forward`."""

    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = [torch.ones(1) * (1 + value * 1e-6)]

    @torch.jit.export
    def other(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.value[0]


def layers(*dropouts: float, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    parts = [nn.Sequential(nn.Linear(9, 9), nn.ReLU(), nn.Dropout(p)) for p in dropouts]
    return nn.Sequential(*parts)


def loaded(module: nn.Module, folder: Path) -> nn.Module:
    torch.jit.save(torch.jit.script(module), folder / "module.pt")
    return torch.jit.load(folder / "module.pt")


def frozen(value: int) -> nn.Module:
    return torch.jit.freeze(torch.jit.script(layers(0.5, seed=value).eval()))


def traced(value: int) -> nn.Module:
    return torch.jit.trace(layers(0.5, seed=value).eval(), torch.ones(1, 9))


#: Functions of a value; other values make objects that compute otherwise.
KINDS: dict[str, Callable[[int], object]] = {
    "cached": special(lambda value: functools.lru_cache(times(value))),
    "decorated": special(lambda value: Bound(times(value))),
    "partial": special(lambda value: functools.partial(max, value)),
    "partial method": special(lambda value: functools.partialmethod(times(1), value)),
    "dispatched": special(lambda value: functools.singledispatchmethod(times(value))),
    "vectorized": special(lambda value: np.vectorize(times(value))),
    "callable": special(Times),
    "mapping proxy": lambda value: types.MappingProxyType({1: value}),
    "mapping proxy in a closure": constants,
    "__getstate__": Hiding,
    "__reduce__": Slotted,
    "nested": nested,
    "own generator": lambda value: random.Random(value).random,
    "method of an array": lambda value: np.full(3, value).sum,
    "attribute of a tensor": with_attribute,
    "hook of a tensor": with_hook,
    "code of a tensor": with_code,
    "wrapped tensor": lambda value: Quantized(torch.full((3,), value)),
    "wrapped parameter": lambda value: nn.Parameter(Quantized(torch.full((3,), 1.0 * value))),
    "masked tensor": masked,
    "scripted": lambda value: torch.jit.script(Scaled(value)),
    "scripted without forward": lambda value: torch.jit.script(Exporting(value)),
    "scripted layers": lambda value: torch.jit.script(layers(0.1 * value, 0.25)),
    "swapped layers": lambda value: torch.jit.script(layers(*(0.1, 0.2)[:: (-1) ** value])),
    "frozen": frozen,
    "traced": traced,
    "names of global state": lambda value: lambda: (draw, randint, rand, environ, sys.argv, value),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_other_values_differ(make):
    assert of(make(2)) == of(make(2))
    assert of(make(2)) != of(make(3))


def show(how: str) -> None:
    """Print the fingerprints of all kinds, in a process with another past if it is "busy".

    test_fingerprint.py runs it, in processes that import torch anyway.
    """
    warnings.simplefilter("ignore")
    if how == "busy":
        for width in range(1, 4):  # torch counts the classes that it has scripted
            torch.jit.script(nn.Sequential(nn.Linear(width, 2), nn.ReLU()))
        environ["PYFD_TEST"] = how
        draw(), rand(), torch.rand(1)
    for name, make in KINDS.items():
        print(of(make(2)), name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_that_is_loaded(tmp_path):
    assert of(loaded(Scaled(2), tmp_path)) == of(loaded(Scaled(2), tmp_path))
    assert of(loaded(Scaled(2), tmp_path)) != of(loaded(Scaled(3), tmp_path))


# ---- state that is not the object's ------------------------------------------------------


@pytest.mark.parametrize("name", ["draw", "randint", "rand", "environ", "torch.default_generator"])
def test_global_state_decides_nothing(name, monkeypatch):
    using = eval(f"lambda: {name}", globals())
    before = of(using)
    monkeypatch.setenv("PYFD_TEST", "1")
    draw(), rand(), torch.rand(1)
    assert of(using) == before


def test_a_compiled_model_that_has_run():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    compiled = torch.compile(model, backend="eager")
    before = of(compiled), of(model)
    compiled(torch.ones(3, 2))
    assert (of(compiled), of(model)) == before


PROFILED = """
from pyfd.evaluation.fingerprint import Fingerprints

FACTOR = 2

def helper(x):
    return x * FACTOR

class Own:
    def __call__(self, x):
        return helper(x)

print("print:", Fingerprints().of(Own()))
"""


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Return what a script prints that is run as a profiler runs it.

    Its module is called "__main__", but another one stays in `sys.modules` under this name.
    """
    path = tmp_path / "script.py"

    def run(text: str) -> str:
        path.write_text(text)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(
                compile(text, str(path), "exec", dont_inherit=True),
                {"__name__": "__main__", "__file__": str(path)},
            )
        return printed.getvalue()

    return run


@pytest.mark.parametrize("change", [("* FACTOR", "+ FACTOR"), ("FACTOR = 2", "FACTOR = 3")])
def test_a_script_in_a_profiler(script, change):
    assert script(PROFILED) == script(PROFILED)
    assert script(PROFILED) != script(PROFILED.replace(*change))


def test_a_real_profiler(script, tmp_path):
    """It finds what `script` finds. One run is enough for that; importing torch takes seconds."""
    expected = script(PROFILED)
    done = subprocess.run(
        [sys.executable, "-m", "cProfile", str(tmp_path / "script.py")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(expected)
