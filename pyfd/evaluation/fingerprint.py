"""Fingerprints of everything that determines what a model, a defence or an attack computes.

An object's fingerprint is a digest of its attributes and of its class's code: weights
and other tensors, arrays, plain values, containers, other objects; the bytecode of
methods and functions, their defaults and closures, and, as far as they lie outside of
installed packages, the functions, classes and global values that they name. Installed
packages are taken as a whole: by version and by the checksums in their installer's
record. Fingerprints are the same in every process with the same Python version.

A fingerprint does not see:

- code that is reached by computed names (`getattr`, `importlib`), and the imports of
  modules that are themselves attributes of an object;
- files, environment variables, servers and the clock, and torch's global settings;
- C extensions outside of installed packages, and patches of installed packages;
- the state of objects that cannot be pickled, such as locks and open files, and of a
  scripted module more than its code and its tensors;
- objects nested more than 100 levels deep.

State that changes while an object is used (a counter, a cache) changes its fingerprint;
a new process starts with the same state again.
"""

from __future__ import annotations

import copyreg
import dis
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pyfd._core.extras import missing

try:
    import torch
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

#: The content of a digest: bytes, or buffers that need no copy.
_Parts: TypeAlias = "Iterator[bytes | memoryview]"

_DEEPEST = 100  # levels of nested objects

#: Attributes of classes that Python and torch derive from others.
_DERIVED = {"_abc_impl", "_backward_cls"}

#: Attributes of modules that hold hooks, by numbers that count all hooks of the process.
_HOOKS = {name for name in vars(nn.Module()) if "_hooks" in name}

_ATOMS = (type(None), bool, int, float, complex, bytes, type(...), type(NotImplemented), range)
_BUILTIN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)

_CACHED = type(functools.cache(len))
_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}


class Fingerprints:
    """Fingerprints of several objects, and of the installed packages that they use."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, bytes]] = {}  # with the object, to keep its id
        self._open: dict[int, int] = {}
        self._packages = {"torch", "numpy", "art", "foolbox", "PIL"}

    def of(self, thing: object) -> str:
        """Return the fingerprint of an object, in hexadecimal digits."""
        return self._digest(thing).hex()

    def packages(self) -> dict[str, str]:
        """Return the versions, with checksums, of the packages in all fingerprints so far.

        pyfd, torch, numpy, Pillow, ART and foolbox are always among them.
        """
        python = ".".join(map(str, sys.version_info[:2]))
        installed = {name: _installed(name) for name in sorted(self._packages)}
        return {"python": python, "pyfd": _pyfd(), **installed}

    def _digest(self, thing: object) -> bytes:
        key = id(thing)
        if key in self._known:
            return self._known[key][1]
        if key in self._open:  # a cycle
            return _hash([b"again", b"%d" % self._open[key]])
        if len(self._open) >= _DEEPEST:
            return _hash([b"deep", type(thing).__qualname__.encode()])
        self._open[key] = len(self._open)
        try:
            found = _hash(self._parts(thing))
        finally:
            del self._open[key]
        self._known[key] = thing, found
        return found

    def _each(self, things: Iterable[object]) -> Iterator[bytes]:
        return map(self._digest, things)

    def _parts(self, thing: Any) -> _Parts:
        """Yield the content of an object's digest."""
        match thing:
            case str():
                yield from (b"str", thing.encode("utf-8", "surrogatepass"))
            case Tensor():
                yield from _tensor(thing)
            case _ if type(thing) in (np.ndarray, np.memmap) and not thing.dtype.hasobject:
                yield from _array(thing)
            case nn.Module():
                yield from self._module(thing)
            case RemovableHandle():  # it holds the number of a hook
                yield b"handle"
            case types.CodeType():
                yield from self._code(thing)
            case types.FunctionType():
                yield from self._function(thing)
            case types.MethodType():
                yield from (b"method", *self._each((thing.__self__, thing.__func__)))
            case types.ModuleType():
                yield from self._python_module(thing)
            case type():
                yield from self._class(thing)
            case _ if isinstance(thing, _BUILTIN):
                yield from self._builtin(thing)
            case _ if type(thing) in _ATOMS:
                yield repr((type(thing).__name__, thing)).encode()
            case _ if type(thing) in (list, tuple):
                yield from (type(thing).__name__.encode(), *self._each(thing))
            case _ if type(thing) in (set, frozenset):
                yield from (b"set", *sorted(self._each(thing)))
            case _ if type(thing) is dict:
                yield from (b"dict", *self._each(part for pair in thing.items() for part in pair))
            case _:
                yield from self._object(thing)

    # ---- code ----

    def _function(self, function: types.FunctionType) -> _Parts:
        if self._is_installed(function):
            yield from _address(function)
            return
        yield from (b"function", self._digest(function.__code__))
        yield from self._each((function.__defaults__, function.__kwdefaults__))
        yield from self._each(map(_contents, function.__closure__ or ()))
        yield self._digest(vars(function))
        if not self._is_stable(str(function.__globals__.get("__name__"))):
            yield from self._globals(function)

    def _code(self, code: types.CodeType) -> _Parts:
        arguments = code.co_argcount + code.co_kwonlyargcount
        signature = (code.co_posonlyargcount, code.co_varnames[:arguments], code.co_flags)
        table = getattr(code, "co_exceptiontable", b"")  # before Python 3.11 it is in the code
        yield from (b"code", code.co_code, table, repr((code.co_names, signature)).encode())
        yield from self._each(code.co_consts)

    def _globals(self, function: types.FunctionType) -> _Parts:
        """Yield the values of the global names and the imports of a function."""
        instructions = [i for code in _codes(function.__code__) for i in dis.get_instructions(code)]
        attributes = {name for code in _codes(function.__code__) for name in code.co_names}
        for name in sorted({i.argval for i in instructions if i.opname in _GLOBAL}):
            if name in function.__globals__:
                yield name.encode()
                yield from self._global(function.__globals__[name], attributes)
        package = function.__globals__.get("__package__")
        for name in sorted(set(_imports(instructions))):
            yield from self._imported(name, package, attributes)

    def _global(self, value: object, attributes: set[str]) -> _Parts:
        """Yield a global value: of a module that is not installed, the attributes that are used."""
        if not isinstance(value, types.ModuleType) or self._is_stable(value.__name__):
            yield self._digest(value)
            return
        yield value.__name__.encode()
        for name in sorted(attributes & vars(value).keys()):
            attribute = vars(value)[name]
            yield name.encode()
            if isinstance(attribute, types.ModuleType) and attribute is not value:
                yield from self._global(attribute, attributes - {name})
            else:
                yield self._digest(attribute)

    def _imported(self, name: str, package: str | None, attributes: set[str]) -> _Parts:
        """Yield a module that a function imports when it runs, as if it were a global value."""
        try:
            name = importlib.util.resolve_name(name, package)
            spec = importlib.util.find_spec(name.partition(".")[0])
            if spec is None or self._is_stable(spec.name, spec):
                return
            module = importlib.import_module(name)
        except Exception:  # the function may never get there
            return
        yield from self._global(module, attributes)

    def _python_module(self, module: types.ModuleType) -> _Parts:
        yield from (b"python module", module.__name__.encode())
        if not self._is_stable(module.__name__):
            yield _file(getattr(module, "__file__", None))

    def _class(self, kind: type) -> _Parts:
        if self._is_installed(kind):
            yield from _address(kind)
            return
        yield from (b"class", kind.__qualname__.encode(), *self._each(kind.__bases__))
        yield self._digest(type(kind))
        for name, value in sorted(vars(kind).items()):
            special = name.startswith("__") and name != "__slots__"
            if name not in _DERIVED and not (special and not _is_method(value)):
                yield from (name.encode(), self._digest(value))

    def _builtin(self, function: Any) -> _Parts:
        yield from (b"builtin", function.__qualname__.encode())
        owner = getattr(function, "__self__", None) or getattr(function, "__objclass__", None)
        if not isinstance(owner, types.ModuleType):
            yield self._digest(owner)

    # ---- objects ----

    def _module(self, module: nn.Module) -> _Parts:
        for name, part in module.named_modules(remove_duplicate=False):
            yield from (b"module", name.encode(), self._digest(type(part)))
            if type(part).__module__.startswith("torch._dynamo"):  # the original module comes next
                continue
            if isinstance(part, torch.jit.ScriptModule):
                yield from self._script(part)
                continue
            for key, value in sorted(vars(part).items()):
                if key in _HOOKS and isinstance(value, Mapping):
                    value = list(value.values())
                is_derived = key == "_graph" and isinstance(part, torch.fx.GraphModule)
                if key != "_modules" and not is_derived:
                    yield from (key.encode(), self._digest(value))

    def _script(self, module: torch.jit.ScriptModule) -> _Parts:
        graph = re.sub(r"#.*", "", str(module.inlined_graph))  # comments name the source's path
        yield from (b"script", graph.encode(), self._digest(dict(module.state_dict())))

    def _object(self, thing: Any) -> _Parts:
        """Yield the class and the state of any other object, as pickle would write it."""
        yield from (b"object", self._digest(type(thing)))
        match thing:
            case property():
                yield from self._each((thing.fget, thing.fset, thing.fdel))
            case staticmethod() | classmethod():
                yield self._digest(thing.__func__)
            case functools.cached_property():
                yield self._digest(thing.func)
            case functools.partialmethod():
                yield from self._each((thing.func, thing.args, thing.keywords))
            case _ if isinstance(thing, _CACHED):
                yield self._digest(thing.__wrapped__)
            case _:
                yield from self._state(thing)

    def _state(self, thing: Any) -> _Parts:
        reduce = copyreg.dispatch_table.get(type(thing))
        reduced: Any
        try:
            reduced = reduce(thing) if reduce is not None else thing.__reduce_ex__(4)
        except Exception:  # the object cannot be pickled, or its own code fails
            reduced = (None, (), getattr(thing, "__dict__", None))
        if isinstance(reduced, str):
            yield reduced.encode()
            return
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        yield from self._each((make, arguments))
        for part in state if isinstance(state, tuple) else (state,):
            is_attributes = isinstance(part, dict) and all(isinstance(key, str) for key in part)
            # The order of attributes does not matter
            yield self._digest(sorted(part.items()) if is_attributes else part)
        yield from self._each((list(items or ()), list(pairs or ())))

    # ---- installed packages ----

    def _is_installed(self, thing: Any) -> bool:
        """Return whether a function or class can be found by its name in an installed package."""
        module = getattr(thing, "__module__", None)
        if not (isinstance(module, str) and self._is_stable(module)):
            return False
        found: Any = sys.modules.get(module)
        for name in thing.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is thing

    def _is_stable(self, name: str, spec: Any = None) -> bool:
        """Return whether a module is pyfd's, the standard library's or an installed package's."""
        top = name.partition(".")[0]
        if top == "pyfd":
            return True
        module = sys.modules.get(name)
        origin = getattr(spec or getattr(module, "__spec__", None), "origin", None)
        if origin in ("built-in", "frozen"):
            return True
        path = getattr(module, "__file__", None) or origin
        if not isinstance(path, str):
            return False
        if {"site-packages", "dist-packages"} & set(Path(path).parts):
            self._packages.add(top)
            return True
        return Path(path).is_relative_to(Path(os.__file__).parent)


def _hash(parts: Iterable[bytes | memoryview]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _tensor(tensor: Tensor) -> _Parts:
    if nn.parameter.is_lazy(tensor):
        yield b"lazy tensor"
        return
    yield repr(("tensor", str(tensor.dtype), tuple(tensor.shape))).encode()
    plain = tensor.detach()
    try:
        if plain.is_quantized:
            plain = plain.dequantize()
        if plain.layout is not torch.strided:
            plain = plain.to_dense()
        flat = plain.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().data
    except (RuntimeError, TypeError):  # a tensor without values
        yield b"no values"


def _array(array: np.ndarray[Any, Any]) -> _Parts:
    yield repr(("array", array.dtype.descr, array.shape)).encode()
    yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _address(thing: Any) -> _Parts:
    yield from (b"installed", f"{thing.__module__}:{thing.__qualname__}".encode())


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a function's code and the code of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _imports(instructions: Sequence[dis.Instruction]) -> Iterator[str]:
    """Yield the names of modules that are imported; those of relative imports begin with dots."""
    plain = [i for i in instructions if i.opname != "EXTENDED_ARG"]
    for level, wanted, found in zip(plain, plain[1:], plain[2:], strict=False):
        if found.opname == "IMPORT_NAME":  # follows its level and the names to import from it
            name = "." * level.argval + found.argval
            yield name
            for attribute in wanted.argval or ():  # it may be a module too
                yield f"{name}{'' if name.endswith('.') else '.'}{attribute}"


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return "empty"


def _is_method(value: object) -> bool:
    return isinstance(value, types.FunctionType | property | staticmethod | classmethod)


def _file(path: object) -> bytes:
    return Path(path).read_bytes() if isinstance(path, str) and Path(path).is_file() else b""


@functools.cache
def _installed(package: str) -> str:
    """Return an installed package's versions, and a digest of its installers' checksums."""
    found = []
    for name in sorted(set(_distributions().get(package, ()))):
        distribution = importlib.metadata.distribution(name)
        record = (distribution.read_text("RECORD") or "").splitlines()
        code = sorted(line for line in record if line.partition(",")[0].endswith((".py", ".so")))
        found.append(f"{distribution.version} {_hash([repr(code).encode()]).hex()[:16]}")
    return ", ".join(found)


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@functools.cache
def _pyfd() -> str:
    """Return pyfd's version, and a digest of its files, which change between versions too."""
    import pyfd

    folder = Path(pyfd.__file__).parent
    parts = []
    for path in sorted([*folder.rglob("*.py"), *folder.glob("_core/*.so")]):
        name = path.relative_to(folder)
        if not {"cli", "report"} & set(name.parts):  # they do not affect results
            parts += [str(name).encode(), path.read_bytes()]
    return f"{pyfd.__version__} {_hash(parts).hex()[:16]}"
