"""The page of public names says what is public, and nothing else."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pipelines.torch import torchvision_stand_in

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| \[`(pyfd[\w.]*)`[^|]*\| (.*) \|$", re.MULTILINE)
#: Modules whose `__all__` is what is public
EXPORTING = ("pyfd", "pyfd.torch", "pyfd.evaluation")
EXPORTING += tuple(
    f"pyfd.evaluation.{name}" for name in ("attacks", "defences", "models", "report")
)
#: Modules all of whose names without an underscore are public
WHOLE = ("analysis", "plots", "config", "pillow", "opencv", "art", "ray", "torch.transforms")


def listed() -> dict[str, set[str]]:
    """The names by module."""
    found: dict[str, set[str]] = {}
    for module, names in ROW.findall((ROOT / "docs/api/index.md").read_text()):
        found.setdefault(module, set()).update(re.findall(r"`(\w+)`", names))
    return found


LISTED = listed()


def defined(module: str) -> set[str]:
    """The names without an underscore that a module's source defines."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    names: list[str] = []
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
            case ast.Assign(targets=targets):
                names += [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.append(name)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("module", EXPORTING)
def test_all(module):
    assert LISTED[module] == set(importlib.import_module(module).__all__)


@pytest.mark.parametrize("module", [f"pyfd.{name}" for name in WHOLE])
def test_whole_modules(module):
    assert LISTED[module] == defined(module)


@pytest.mark.parametrize("module", sorted(LISTED))
def test_can_be_imported(module, monkeypatch):
    if module == "pyfd.torch.transforms" and find_spec("torchvision") is None:
        torchvision_stand_in.install(monkeypatch)
        monkeypatch.delitem(sys.modules, module, raising=False)
    found = importlib.import_module(module)
    if module == "pyfd.torch.transforms":
        del sys.modules[module]  # it may hold the stand-in
    assert [name for name in LISTED[module] if not hasattr(found, name)] == []
