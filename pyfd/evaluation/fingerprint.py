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
- files, environment variables, servers and the clock, torch's global settings, and the
  global random generators of Python, NumPy and torch;
- C extensions outside of installed packages, and patches of pyfd's or installed code;
- the state of objects that cannot be pickled, such as locks, open files, generators,
  memory views and context variables, and the attributes that an installed package's
  class leaves out when it is pickled;
- of a scripted module that `torch.jit.save` refuses, more than its graph and tensors;
- objects nested more than 100 levels deep.

State that changes while an object is used (a counter, a cache) changes its fingerprint;
a new process starts with the same state again.

No library computes such a digest. ``cloudpickle`` and ``joblib.hash`` take classes and
functions of imported modules by name, so that a change of their code goes unnoticed.
The bytes that cloudpickle writes for a script's class differ from process to process,
and joblib's hash of a tensor differs from call to call.
"""

from __future__ import annotations

import contextlib
import copyreg
import functools
import hashlib
import importlib.util
import io
import os
import random
import re
import sys
import types
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pyfd._core.extras import missing
from pyfd.evaluation import bytecode, packages

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
_DERIVED = {"_abc_impl", "_backward_cls", "__dict__", "__weakref__"}

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

#: Attributes of objects that pickle refuses.
_CONTENTS = {
    types.MethodType: ("__self__", "__func__"),
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    type(functools.cache(len)): ("__wrapped__",),
}

#: State of the whole process: a fingerprint takes only its class.
_SHARED: tuple[Any, ...] = (os.environ, sys.argv, sys.path, sys.modules, torch.default_generator)
_SHARED += (vars(random)["_inst"], vars(np.random.mtrand)["_rand"])
_MANGLED = r"\.___torch_mangle_\d+"  # a part of scripted classes' names that counts them


class Fingerprints:
    """Fingerprints of several objects, and of the installed packages that they use."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, bytes]] = {}  # with the object, to keep its id
        self._open: dict[int, int] = {}
        self._packages = {"torch", "numpy", "art", "foolbox", "pyautoattack", "PIL"}

    def of(self, thing: object) -> str:
        """Return the fingerprint of an object, in hexadecimal digits."""
        return self._digest(thing).hex()

    def packages(self) -> dict[str, str]:
        """Return the versions, with checksums, of the packages in all fingerprints so far.

        pyfd, torch, numpy, Pillow, ART, foolbox and pyautoattack are always among them.
        """
        return packages.versions(sorted(self._packages))

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
            case _ if any(thing is shared for shared in _SHARED):
                yield from (b"shared", self._digest(type(thing)))
            case Tensor():
                yield from self._tensor(thing)
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
                # By name first, because digests of cycles depend on where they begin
                members = sorted(thing, key=lambda member: getattr(member, "__qualname__", ""))
                yield from (b"set", *sorted(self._each(members)))
            case _ if type(thing) in (dict, types.MappingProxyType):
                yield from (b"dict", *self._each(part for pair in thing.items() for part in pair))
            case _:
                yield from self._object(thing)

    # ---- code ----

    def _function(self, function: types.FunctionType) -> _Parts:
        if self._is_installed(function):
            yield from _address(function)
            return
        yield from (b"function", self._digest(function.__code__))
        yield from self._each((function.__defaults__, function.__kwdefaults__, vars(function)))
        yield from self._each(map(_contents, function.__closure__ or ()))
        if not self._is_stable(function.__globals__):
            yield from self._globals(function)

    def _code(self, code: types.CodeType) -> _Parts:
        arguments = code.co_argcount + code.co_kwonlyargcount
        signature = (code.co_posonlyargcount, code.co_varnames[:arguments], code.co_flags)
        table = getattr(code, "co_exceptiontable", b"")  # before Python 3.11 it is in the code
        yield from (b"code", code.co_code, table, repr((code.co_names, signature)).encode())
        yield from self._each(code.co_consts)

    def _globals(self, function: types.FunctionType) -> _Parts:
        """Yield the values of the global names and the imports of a function."""
        attributes = bytecode.attributes(function.__code__)
        for name in sorted(bytecode.global_names(function.__code__)):
            if name in function.__globals__:
                yield name.encode()
                yield from self._global(function.__globals__[name], attributes)
        package = function.__globals__.get("__package__")
        for name in sorted(bytecode.imports(function.__code__)):
            yield from self._imported(name, package, attributes)

    def _global(self, value: object, attributes: set[str]) -> _Parts:
        """Yield a global value: of a module that is not installed, the attributes that are used."""
        if not isinstance(value, types.ModuleType) or self._is_stable(vars(value)):
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
            if spec is None or self._is_stable({"__name__": spec.name, "__spec__": spec}):
                return
            module = importlib.import_module(name)
        except Exception:  # the function may never get there
            return
        yield from self._global(module, attributes)

    def _python_module(self, module: types.ModuleType) -> _Parts:
        yield from (b"python module", module.__name__.encode())
        if not self._is_stable(vars(module)):
            path = Path(getattr(module, "__file__", None) or "")
            yield path.read_bytes() if path.is_file() else b""

    def _class(self, kind: type) -> _Parts:
        if self._is_installed(kind):
            yield from _address(kind)
            return
        yield from (b"class", kind.__qualname__.encode(), *self._each(kind.__bases__))
        yield self._digest(type(kind))
        for name, value in sorted(vars(kind).items()):
            special = name.startswith("__") and name != "__slots__"
            is_code = callable(value) or hasattr(type(value), "__get__")
            if name not in _DERIVED and (is_code or not special):
                yield from (name.encode(), self._digest(value))

    def _builtin(self, function: Any) -> _Parts:
        yield from (b"builtin", function.__qualname__.encode())
        owner = getattr(function, "__self__", getattr(function, "__objclass__", None))
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
        """Yield a scripted module's code, and its attributes and constants as torch saves them."""
        yield self._digest(dict(module.state_dict()))
        for name in sorted(module._c._method_names()):
            graph = str(module._c._get_method(name).inlined_graph)
            yield re.sub(f"{_MANGLED}|#.*", "", graph).encode()  # comments name the source's path
        saved = io.BytesIO()
        try:
            torch.jit.save(module, saved)
        except RuntimeError:  # an attribute that torch cannot save
            return
        with zipfile.ZipFile(saved) as files:
            for name in sorted(files.namelist()):
                if name.split("/")[1].startswith(("data", "constants")):
                    yield re.sub(_MANGLED.encode(), b"", files.read(name))

    def _tensor(self, tensor: Tensor) -> _Parts:
        with torch._C.DisableTorchFunctionSubclass():
            values = list(_values(tensor))
            hooks = list((tensor._backward_hooks or {}).values())
        yield from (b"tensor", *values)
        yield from self._each((type(tensor), hooks))
        yield from self._attributes(tensor)

    def _object(self, thing: Any) -> _Parts:
        """Yield the class and the state of any other object."""
        yield from (b"object", self._digest(type(thing)))
        for kind, names in _CONTENTS.items():
            if isinstance(thing, kind):
                yield from self._each(getattr(thing, name) for name in names)
                return
        if not self._is_installed(type(thing)):  # its own methods may hide attributes from pickle
            yield from self._attributes(thing)
        yield from self._pickled(thing)

    def _attributes(self, thing: Any) -> _Parts:
        """Yield all attributes of an object, those in slots too."""
        attributes = getattr(thing, "__dict__", None) or {}
        found = {str(name): value for name, value in attributes.items()}
        for kind in (kind for kind in type(thing).__mro__ if "__slots__" in vars(kind)):
            for name, slot in vars(kind).items():
                if isinstance(slot, types.MemberDescriptorType):
                    with contextlib.suppress(AttributeError):  # it has no value yet
                        found[name] = slot.__get__(thing)
        yield from self._items(found)

    def _items(self, attributes: Mapping[str, object]) -> _Parts:
        """Yield attributes, in whatever order they were set."""
        for name, value in sorted(attributes.items()):
            if not name.startswith("_dynamo_"):  # torch.compile leaves these behind
                yield from (name.encode(), self._digest(value))

    def _pickled(self, thing: Any) -> _Parts:
        """Yield the state of an object, as pickle would write it."""
        reduce = copyreg.dispatch_table.get(type(thing))
        reduced: Any
        try:
            reduced = reduce(thing) if reduce else thing.__reduce_ex__(4)
        except Exception:  # the object cannot be pickled, or its own code fails
            reduced = (None, (), getattr(thing, "__dict__", None))
        if isinstance(reduced, str):
            yield reduced.encode()
            return
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        yield from self._each((make, arguments, list(items or ()), list(pairs or ())))
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict) and all(isinstance(key, str) for key in part):
                yield from self._items(part)
            else:
                yield self._digest(part)

    # ---- installed packages ----

    def _is_installed(self, thing: Any) -> bool:
        """Return whether a function or class can be found by its name in an installed package."""
        found: Any = sys.modules.get(str(getattr(thing, "__module__", None)))
        if found is None or not self._is_stable(vars(found)):
            return False
        for name in thing.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is thing

    def _is_stable(self, names: Mapping[str, Any]) -> bool:
        """Return whether a module's global names belong to an installed package."""
        owner = packages.owner(names)
        if owner:
            self._packages.add(owner)
        return owner is not None


def _hash(parts: Iterable[bytes | memoryview]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _values(tensor: Tensor) -> _Parts:
    if nn.parameter.is_lazy(tensor):
        return
    try:
        yield repr((str(tensor.dtype), tuple(tensor.shape))).encode()
        plain = tensor.detach()
        if plain.is_quantized:
            plain = plain.dequantize()
        if plain.layout is not torch.strided:
            plain = plain.to_dense()
        flat = plain.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().data
    except Exception:  # a tensor without values, or a subclass whose own code fails
        yield b"no values"


def _array(array: np.ndarray[Any, Any]) -> _Parts:
    yield repr(("array", array.dtype.descr, array.shape)).encode()
    yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _address(thing: Any) -> _Parts:
    yield from (b"installed", thing.__module__.encode(), thing.__qualname__.encode())


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return "empty"
