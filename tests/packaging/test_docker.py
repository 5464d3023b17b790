"""The Dockerfile, as far as it can be read; `make test-docker` builds and uses the image."""

import ast
import fnmatch
import re
from pathlib import Path

import pytest

from examples.service import app
from tests.packaging.sources import ROOT

IGNORE = re.findall(r"(?m)^[^#\n].*", (ROOT / ".dockerignore").read_text())
TEXT = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
RUNS = [line.split(None, 1) for line in TEXT.rpartition("FROM")[2].splitlines()[1:] if line]


def is_sent(path: Path) -> bool:
    """Return whether docker gets a file of this folder: the last pattern that matches decides."""
    sent = True
    for pattern in IGNORE:
        plain = pattern.removeprefix("!")
        names = [path, *path.parents]
        tried = [name.name for name in names] if plain.startswith("**/") else map(str, names)
        if any(fnmatch.fnmatchcase(name, plain.removeprefix("**/")) for name in tried):
            sent = pattern.startswith("!")
    return sent


@pytest.mark.usefixtures("build")  # a copy of what a build takes, in tmp_path
def test_docker_gets_what_a_build_takes_and_nothing_made(tmp_path):
    made = ("pyfd/_core/_libpyfd.abi3.so", "pyfd/native/lib/libpyfd.a", ".venv/pyvenv.cfg", "a.jpg")
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    files = {path for path in files if "__pycache__" not in path.parts}
    assert {str(path) for path in files if not is_sent(path)} == set(made)
    for name in ("README.md", "LICENSE", "examples/service.py", "requirements-dev.txt"):
        assert is_sent(Path(name)), name


def test_what_runs_has_no_privileges_and_is_asked_for_its_health():
    instructions = dict(RUNS)
    assert int(instructions["USER"]) > 0  # no name, which Kubernetes could not judge
    assert f"--uid {instructions['USER']} " in instructions["RUN"]
    assert [name for name, _ in RUNS][-4:] == ["USER", "EXPOSE", "HEALTHCHECK", "CMD"]
    command = ast.literal_eval(instructions["HEALTHCHECK"].partition("CMD ")[2])
    path = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", command[-1])
    assert path == ["/healthz"]
    assert path[0] in {route.path for route in app.routes}


def test_the_modes_of_files_here_do_not_matter():
    """A umask of 077 here must not make a service that its user cannot read."""
    assert [value for name, value in RUNS if name == "COPY" and "--from=builder" not in value] == []
    assert "install -D --mode 644 examples/service.py /app/service.py" in TEXT


def test_its_libraries_are_pinned():
    found = re.findall(r"grep -E '(.*?)' requirements-dev", TEXT)
    pins = re.findall(f"(?m){found[0]}.*", (ROOT / "requirements-dev.txt").read_text())
    assert len(found) == 1
    assert sorted(pins) == ["starlette", "uvicorn"]
