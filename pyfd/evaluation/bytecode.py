"""The names that a function's bytecode uses: attributes, global names and imports."""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator

_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}


def attributes(code: types.CodeType) -> set[str]:
    """Return all names that are not local, the attributes of objects among them."""
    return {name for part in _codes(code) for name in part.co_names}


def global_names(code: types.CodeType) -> set[str]:
    """Return the names that are looked up in the function's module."""
    return {i.argval for i in _instructions(code) if i.opname in _GLOBAL}


def imports(code: types.CodeType) -> set[str]:
    """Return the names of modules that are imported; those of relative imports begin with dots."""
    found = set()
    plain = [i for i in _instructions(code) if i.opname != "EXTENDED_ARG"]
    for level, wanted, module in zip(plain, plain[1:], plain[2:], strict=False):
        if module.opname == "IMPORT_NAME":  # follows its level and the names to import from it
            name = "." * level.argval + module.argval
            found.add(name)
            for attribute in wanted.argval or ():  # it may be a module too
                found.add(f"{name}{'' if name.endswith('.') else '.'}{attribute}")
    return found


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    for part in _codes(code):
        yield from dis.get_instructions(part)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a function's code and the code of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
