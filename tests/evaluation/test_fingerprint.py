"""Fingerprints: equal in every process, and different for anything that computes differently."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pyfd import QTables
from pyfd.evaluation import attacks
from pyfd.evaluation.defences import Defence, parse
from pyfd.evaluation.fingerprint import Fingerprints
from tests.evaluation.test_fingerprint_kinds import KINDS
from tests.evaluation.toys import run_here, run_there


def of(thing: object) -> str:
    return Fingerprints().of(thing)


# ---- the same in every process ----------------------------------------------------

#: Objects whose order, number or address differs from process to process.
SCRIPT = """
import collections, enum, functools, itertools, logging, re, sys, threading, warnings
warnings.simplefilter("ignore")
import numpy as np
import torch
from torch import nn
from pyfd.evaluation import attacks
from pyfd.evaluation.defences import Defence, parse
from pyfd.evaluation.fingerprint import Fingerprints

if sys.argv[1] == "busy":  # numbers and addresses differ from those of an idle process
    class Earlier(torch.autograd.Function): pass
    nn.Linear(1, 1).register_forward_hook(print)
    kept = [object() for _ in range(1000)]

WORDS = {"one", "two", "three", ("four", 4)}
TABLE = {word: len(word) for word in sorted(map(str, WORDS))}

def helper(x, *, words=frozenset("abc")):
    import json
    return x if str(x) in {"p", "q", "r"} else [w for w in WORDS if w in words]

class Color(enum.Enum):
    RED, GREEN = 1, 2

class Round(torch.autograd.Function):
    @staticmethod
    def forward(context, x): return x.round()
    @staticmethod
    def backward(context, gradient): return gradient

Pair = collections.namedtuple("Pair", "a b")

class Model(nn.Module):
    kinds = {"x", "y", "z"}

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 3)
        self.words = set(WORDS)
        self.plain = [1, 1.5, "a", b"b", None, True, 1j, ..., range(3), slice(1, 2), Color.RED]
        self.arrays = [np.arange(3), np.float32(1), np.array([object, "x"], object), np.dtype("f4")]
        self.torchs = [torch.float16, torch.device("cpu"), torch.Size([1]), torch.empty(0)]
        self.rngs = [np.random.default_rng(1), torch.Generator().manual_seed(1)]
        self.functions = [lambda x: helper(x), functools.partial(helper, 1), helper, print, len]
        self.cached = functools.lru_cache(helper)
        self.odd = [object(), threading.Lock(), (x for x in "a"), open("/dev/null"), Pair(1, 2)]
        self.named = [re.compile("a"), logging.getLogger("a"), np, np.sin, nn.ReLU, list[int]]
        self.me = [self]
        self.bound = self.forward
        self.handle = self.layer.register_forward_hook(lambda module, given, result: result + 1)
        self.counter = itertools.count()

    def forward(self, x):
        return Round.apply(self.layer(x)) + super().__getattribute__("plain")[0]

class Own(Defence):
    name, kind = "own", "transformation"
    def defend(self, image, rng): return helper(image)

prints = Fingerprints()
things = [Model(), Own(), torch.compile(nn.Sequential(nn.ReLU()))]
things += [torch.fx.symbolic_trace(nn.Sequential(*[nn.ReLU()] * 100)), nn.DataParallel(nn.ReLU())]
things += [torch.jit.script(nn.ReLU()), *attacks.ATTACKS.values(), Model]
things += map(parse, ("two-pass:16", "jpeg:75", "bits:3", "tvm", "shield"))
for thing in things:
    print(prints.of(thing), type(thing).__name__)
print(prints.packages())
things[0].odd[3].close()

from tests.evaluation import test_fingerprint_kinds as kinds
kinds.show(sys.argv[1])
"""


def test_every_process_computes_the_same():
    """In this one, with all that pytest and other tests have done in it, and in a new one."""
    first, second = run_here(SCRIPT, "idle"), run_there(SCRIPT, "busy")
    assert first == second
    assert len(set(first)) == len(first) == 13 + len(attacks.ATTACKS) + len(KINDS)


# ---- different for different code --------------------------------------------------

SOURCE = """
import functools
from torch import nn
import torch
from pyfd.evaluation.defences import Defence

FACTOR = 2
TABLE = {"a": [1, 2]}
UNUSED = 1

def unused():
    return UNUSED

def inner(x):
    return x + 1

def outer(x, more=3):
    return inner(x) * FACTOR + more

def decorated(function):
    limit = 7
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments) + limit
    return wrapper

class Base:
    def base(self):
        return 11

class Mixed(Base):
    scale = 13
    __slots__ = ("slot",)

    def __init__(self):
        self.slot = 17

    @property
    def shown(self):
        return 19

    @staticmethod
    def static():
        return 23

    @classmethod
    def of_class(cls):
        return 29

    @functools.cached_property
    def cached(self):
        return 31

    @decorated
    def call(self, x):
        # a comment
        return [outer(y) for y in x if y in {37, 41}] + TABLE["a"]

    @functools.lru_cache
    def remembered(self):
        return 43

class Own(Defence):
    def __init__(self):
        self.mixed = Mixed()
        self.partial = functools.partial(outer, 47)
        self.callback = lambda x: (lambda y: y * 53)(x)
        self.method = self.mixed.of_class
"""


def made(*change: str) -> object:
    assert not change or change[0] in SOURCE
    namespace = {"__name__": "somewhere"}
    exec(SOURCE.replace(*change) if change else SOURCE, namespace)
    return namespace["Own"]()


@pytest.mark.parametrize(
    "change",
    [
        ("FACTOR = 2", "FACTOR = 4"),
        ("FACTOR = 2", "FACTOR = 2.0"),
        ("[1, 2]", "[2, 1]"),
        ("x + 1", "x - 1"),
        ("more=3", "more=4"),
        ("* FACTOR + more", "* FACTOR - more"),
        ("limit = 7", "limit = 8"),
        ("return 11", "return 12"),
        ("scale = 13", "scale = 14"),
        ("slot = 17", "slot = 18"),
        ("return 19", "return 20"),
        ("return 23", "return 24"),
        ("return 29", "return 30"),
        ("return 31", "return 32"),
        ("37, 41", "37, 42"),
        ('TABLE["a"]', 'TABLE["b"]'),
        ("if y in", "if y not in"),
        ("return 43", "return 44"),
        ("(outer, 47)", "(outer, 48)"),
        ("y * 53", "y * 54"),
        ("Mixed(Base)", "Mixed(Base, str)"),
        ("self.mixed.of_class", "self.mixed.base"),
    ],
    ids=" → ".join,
)
def test_code_that_computes_otherwise(change):
    assert of(made()) != of(made(*change))


@pytest.mark.parametrize(
    "change",
    [
        ("# a comment", "# another comment\n"),
        ("UNUSED = 1", "UNUSED = 2"),
        ("return UNUSED", "return 0"),
        ("FACTOR = 2\n", "\n\n\nFACTOR = 1 + 1\n"),
        ("import torch\n", ""),
    ],
)
def test_code_that_computes_the_same(change):
    assert of(made()) == of(made(*change))


def test_code_of_equal_length_is_told_apart():
    assert of(lambda x: x + 1) == of(lambda x: x + 1)
    assert of(lambda x: x + 1) != of(lambda x: x - 1)
    assert of(lambda x: x + 1) != of(lambda x: x + True)
    assert of(lambda x: x[0:1]) != of(lambda x: x[0:2])
    assert of(lambda *, a, b: a + b) != of(lambda *, b, a: a + b)


# ---- other modules ------------------------------------------------------------------

PACKAGE = {
    "fp_package/__init__.py": "",
    "fp_package/model.py": """
import fp_helper
import fp_package.deep.part
from . import sibling
from fp_named import named

def call(x):
    return fp_helper.used(x) + fp_package.deep.part.used() + sibling.used() + named()

def late(x):
    import fp_late
    from .deep import lately
    from ..nowhere import nothing
    from fp_package.later import used as renamed
    import fp_missing, json, torch.nn.functional
    return fp_late.used() + lately.used() + renamed()

class Own:
    def __init__(self):
        self.backend = fp_helper
    __call__ = call
    late = late
""",
    "fp_package/sibling.py": "def used(): return 101\ndef unused(): return 0",
    "fp_package/later.py": "def used(): return 103",
    "fp_package/deep/__init__.py": "",
    "fp_package/deep/part.py": "def used(): return 107",
    "fp_package/deep/lately.py": "def used(): return 109",
    "fp_helper.py": "def used(x): return 113\n",
    "fp_late.py": "def used(): return deeper()\ndef deeper(): return 127",
    "fp_named.py": "def named(): return 131",
}


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch, *change: str) -> object:
    """Return an object of `Own`, imported anew from files in a folder."""
    for name, text in PACKAGE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(*change) if change else text)
    for name in [name for name in sys.modules if name.startswith("fp_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(folder)
    from fp_package.model import Own  # type: ignore[import-not-found]

    return Own()


def test_functions_of_other_modules(tmp_path, monkeypatch):
    first = of(imported(tmp_path, monkeypatch))
    assert of(imported(tmp_path, monkeypatch)) == first
    for number in (101, 103, 107, 109, 113, 127, 131):
        changed = imported(tmp_path, monkeypatch, f"return {number}", f"return {number + 1}")
        assert of(changed) != first, number
    unused = imported(tmp_path, monkeypatch, "def unused(): return 0", "def unused(): return 1")
    assert of(unused) == first


def test_installed_packages_count_as_a_whole():
    prints = Fingerprints()
    prints.of(lambda: np.linalg.norm)
    prints.of(binned)
    packages = prints.packages()
    assert {"python", "pyfd", "torch", "numpy", "PIL", "art", "foolbox", "sklearn"} <= set(packages)
    assert packages["numpy"].startswith(np.__version__)
    assert packages["torch"].startswith(torch.__version__)


def binned() -> object:
    from sklearn.preprocessing import KBinsDiscretizer

    return KBinsDiscretizer


# ---- values ------------------------------------------------------------------------


class Plain:
    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


VALUES = [
    *(0, 1, 1.0, True, None, "1", b"1", "", (), [], {}, set(), float("nan"), 0.0, -0.0, 1j),
    *([1, 2], [2, 1], (1, 2), {1, 2}, [[1], 2], [1, [2]]),
    *({1: 2}, {2: 1}, {1: 2, 3: 4}, {3: 4, 1: 2}),
    *(np.zeros(2), np.zeros((1, 2)), np.zeros(2, "f4"), np.ones(2), np.float64(0)),
    *(torch.zeros(2), torch.zeros(1, 2), torch.zeros(2, dtype=torch.bfloat16), torch.ones(2)),
    *(torch.zeros(2).to_sparse(), torch.zeros(2, device="meta"), torch.tensor(1 + 1j)),
    *(QTables.uniform(8), QTables.uniform(9), QTables(QTables.uniform(8).array, name="x")),
    *(Plain(), Plain(a=1), Plain(a=2), Plain(b=1), Defence(), parse("two-pass:8")),
    *(parse("one-pass:8"), parse("two-pass:9"), parse("jpeg:8"), parse("jpeg:9"), parse("bits:8")),
    *(attacks.find("grid"), attacks.find("bim"), attacks.find("pgd"), attacks.Grid(11)),
    *(np.random.default_rng(1), np.random.default_rng(2), Path("a"), Path("b"), int, float),
    *(functools.partial(print, 1), functools.partial(print, 2), range(2), range(3), slice(1)),
]  # fmt: skip


def test_different_values_differ():
    found = [of(value) for value in VALUES]
    same = {i for i, digest in enumerate(found) if found.count(digest) > 1}
    dense, sparse = (
        next(
            i
            for i, value in enumerate(VALUES)
            if isinstance(value, torch.Tensor) and value.layout == layout
        )
        for layout in (torch.strided, torch.sparse_coo)
    )
    assert same == {dense, sparse}  # of equal values


def test_the_order_of_attributes_and_of_sets_decides_nothing():
    assert of(Plain(a=1, b=2)) == of(Plain(b=2, a=1))
    assert of({"a", "b", "c"}) == of({"c", "b", "a"})
    shared = [1]
    assert of([shared, shared]) == of([[1], [1]])


class Layers(nn.Module):
    def __init__(self, *, dropout: float = 0.5, width: int = 3, act: type = nn.ReLU) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(width, 3, generator=generator))
        self.register_buffer("hidden", torch.zeros(1), persistent=False)
        self.layers = nn.Sequential(nn.Dropout(dropout), act())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x @ self.weight.T)


def changed(change) -> nn.Module:
    model = Layers()
    change(model)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.weight.data.__setitem__((0, 0), 9),
        lambda model: model.hidden.fill_(1),
        lambda model: setattr(model, "plain", 1),
        lambda model: setattr(model, "_graph", 1),
        lambda model: setattr(model, "_orig_mod", 1),
        lambda model: setattr(model, "my_hooks", {1: 2}),
        lambda model: setattr(model.layers[0], "p", 0.25),
        lambda model: setattr(model, "forward", lambda x: x),
        lambda model: model.eval(),
        lambda model: model.double(),
        lambda model: model.layers.append(nn.Identity()),
        lambda model: model.layers.register_forward_hook(lambda *_: None),
        lambda model: setattr(model, "layers", nn.Sequential(model.layers[1], model.layers[0])),
        lambda model: setattr(model, "layers", nn.Sequential(model.layers[0], nn.GELU())),
        lambda model: setattr(model, "layers", torch.jit.script(model.layers)),
        lambda model: setattr(model, "listed", [nn.Linear(1, 1)]),
        lambda model: nn.utils.parametrizations.weight_norm(model),
    ],
)
def test_models_that_differ(change):
    assert of(Layers()) == of(Layers())
    assert of(changed(change)) != of(Layers())


def test_a_dictionary_that_is_called_hooks():
    first, second = (
        changed(lambda model, key=key: setattr(model, "my_hooks", {key: 1})) for key in (1, 2)
    )
    assert of(first) != of(second)


def test_what_evaluation_and_attacks_leave_behind_does_not_count():
    """Gradients, removed hooks, and whether weights need gradients do not matter."""
    model = Layers()
    before = of(model)
    model.register_forward_hook(print).remove()
    model(torch.ones(1, 3)).sum().backward()
    model.requires_grad_(False)
    assert of(model) == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize:UserWarning")
def test_scripted_quantized_and_lazy_models():
    def scripted(kind: type, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return torch.jit.script(nn.Sequential(nn.Linear(2, 2), kind()))

    assert of(scripted(nn.ReLU, 0)) == of(scripted(nn.ReLU, 0))
    assert of(scripted(nn.ReLU, 0)) != of(scripted(nn.ReLU, 1))
    assert of(scripted(nn.ReLU, 0)) != of(scripted(nn.GELU, 0))
    scale = [torch.quantize_per_tensor(torch.ones(2), s, 0, torch.quint8) for s in (0.1, 0.1, 0.3)]
    assert of(scale[0]) == of(scale[1]) != of(scale[2])
    assert of(nn.LazyLinear(2)) == of(nn.LazyLinear(2)) != of(nn.LazyLinear(3))


def test_deep_and_cyclic_objects_end():
    chain: list = []
    for _ in range(5000):
        chain = [chain]
    assert of(chain) == of([chain])
    ring: list = [1]
    ring.append(ring)
    assert of(ring) != of([1, [1]])


class Awkward:
    """An object that cannot be pickled, and that has an attribute of every name."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __getattr__(self, name: str) -> object:
        return lambda *_: 1 / 0

    def __reduce_ex__(self, _protocol: object) -> str:
        raise RuntimeError("never")


def test_objects_that_cannot_be_pickled():
    assert of(Awkward(1)) == of(Awkward(1)) != of(Awkward(2))
