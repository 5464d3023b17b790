"""The direction of imports, and the names that are private to a package."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "pyfd"

#: The layers from the bottom up: a module imports from its own layer and from those below.
LAYERS = (
    ("pyfd.errors", "pyfd.limits"),
    ("pyfd._core",),
    ("pyfd.analysis",),
    ("pyfd.codec", "pyfd.many", "pyfd.qtables", "pyfd.coefficients", "pyfd.header"),
    (
        "pyfd.calibration",
        "pyfd.refinement",
        "pyfd.certificate",
        "pyfd.coverage",
        "pyfd.plots",
        "pyfd.config",
        "pyfd",
    ),
    ("pyfd.pillow", "pyfd.opencv", "pyfd.art", "pyfd.ray", "pyfd.torch"),
    ("pyfd.evaluation",),
    ("pyfd.cli", "pyfd.__main__"),
)


class Import(NamedTuple):
    """One name that a module imports."""

    importer: str
    module: str
    name: str | None

    def __str__(self) -> str:
        return f"{self.importer} imports {self.name or ''} from {self.module}"


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports() -> Iterator[Import]:
    """Return every import of pyfd's own modules, including those inside functions.

    Relative imports are not among them: there are none.
    """
    for importer, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield from imported(importer, node)


def imported(importer: str, node: ast.AST) -> Iterator[Import]:
    """Return the imports of a statement."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] == "pyfd":
                yield Import(importer, alias.name, None)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        module = node.module or ""
        for alias in node.names if module.partition(".")[0] == "pyfd" else ():
            whole = f"{module}.{alias.name}"
            if whole in MODULES:
                yield Import(importer, whole, None)
            else:
                yield Import(importer, module, alias.name)


IMPORTS = list(imports())


def layer(module: str) -> int:
    """Return the place of a module's layer: that of the longest prefix that is listed."""
    places = {name: place for place, names in enumerate(LAYERS) for name in names}
    while module not in places:
        module = module.rpartition(".")[0]
    return places[module]


def package(module: str) -> str:
    """Return the package that a module is in, which is the module itself if it is one."""
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


def test_the_graph_is_seen():
    assert len(MODULES) > 50
    assert Import("pyfd._core.binding.reading", "pyfd._core._libpyfd", "lib") in IMPORTS
    assert sum(item.importer.startswith("pyfd.cli") for item in IMPORTS) > 20


def test_no_import_is_relative():
    relative = [
        f"{module}: {ast.unparse(node)}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_every_module_has_a_layer_of_its_own_name():
    named = {name for names in LAYERS for name in names}
    top = {".".join(module.split(".")[:2]) for module in MODULES}
    assert top == named


def test_imports_run_one_way():
    upwards = [item for item in IMPORTS if layer(item.module) > layer(item.importer)]
    assert [str(item) for item in upwards if item.importer != "pyfd"] == []


def test_the_package_itself_imports_no_integration():
    """``import pyfd`` imports only the codec and the design tools."""
    first = layer("pyfd.pillow")
    assert [
        str(item) for item in IMPORTS if item.importer == "pyfd" and layer(item.module) >= first
    ] == []


def test_private_names_stay_in_their_package():
    crossing = [
        str(item)
        for item in IMPORTS
        if item.name is not None
        and item.name.startswith("_")
        and not item.name.startswith("__")
        and package(item.importer) != item.module.rpartition(".")[0]
        and package(item.importer) != item.module
    ]
    assert crossing == []


def test_private_attributes_of_modules_are_left_alone():
    """No ``module._name`` for a module of the package that is imported by name."""
    found = []
    for importer, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        known = {
            item.module.rpartition(".")[2]
            for item in IMPORTS
            if item.importer == importer and item.name is None
        }
        for name in known - {"pyfd"}:
            found += [
                f"{importer}: {match[0]}"
                for match in re.finditer(rf"(?<![\w.]){name}\._[a-z]\w*", text)
            ]
    assert found == []


def running_code(path: Path) -> Iterator[ast.AST]:
    """Yield the nodes of a module that run, which excludes those for type checkers."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def importers(library: str) -> set[str]:
    """Return the modules that import a library when they run."""
    found = set()
    for module, path in MODULES.items():
        for node in running_code(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {module for name in names if name.partition(".")[0] == library}
    return found


def test_the_command_line_alone_imports_click():
    users = importers("click")
    assert users
    assert [user for user in users if not user.startswith("pyfd.cli")] == []


def test_one_package_alone_calls_c():
    """It is the only one whose types mypy cannot check."""
    users = {item.importer for item in IMPORTS if item.module == "pyfd._core._libpyfd"}
    assert users
    assert {package(user) for user in users} == {"pyfd._core.binding"}
    assert importers("cffi") == set()


def test_one_function_alone_imports_tqdm():
    assert importers("tqdm") == {"pyfd._core.progress"}


def loaded_with(module: str) -> set[str]:
    """Return the modules of the package that are imported when one of them is."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in MODULES and name not in found:
            found.add(name)
            waiting.append(name.rpartition(".")[0])
            nodes: list[ast.stmt] = []
            for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body:
                nodes += node.body if isinstance(node, ast.Try) else [node]
            waiting += [item.module for node in nodes for item in imported(name, node)]
    return found


def test_workers_of_an_evaluation_load_no_report():
    """Each of them would take most of a second for matplotlib, pydantic and jinja2."""
    loaded = loaded_with("pyfd.evaluation.processes")
    assert "pyfd.evaluation.work" in loaded
    assert [name for name in loaded if name.startswith("pyfd.evaluation.report")] == []


def test_importing_pyfd_brings_no_optional_library():
    program = "import sys, pyfd; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    optional = {
        "PIL",
        "art",
        "click",
        "cv2",
        "foolbox",
        "jinja2",
        "matplotlib",
        "ray",
        "torch",
        "tqdm",
    }
    assert optional & set(loaded) == set()
