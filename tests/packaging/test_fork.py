"""The compiled extension and the fork in it."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyfd
from pyfd._core import _libpyfd

ROOT = Path(__file__).parents[2]
FORK = ROOT / "third_party" / "libjpeg-turbo"


def test_the_fork_is_the_pinned_one():
    pin = json.loads((FORK / "pin.json").read_text())
    digest = hashlib.sha256((FORK / "pin.json").read_bytes() + (FORK / "series").read_bytes())
    for name in (FORK / "series").read_text().split():
        digest.update((FORK / "patches" / name).read_bytes())
    expected = f"{pin['version']}+pyfd.{digest.hexdigest()[:8]}"
    assert pyfd.libjpeg_turbo_version() == expected


def test_every_patch_is_in_the_series_and_says_why():
    series = (FORK / "series").read_text().split()
    assert sorted(series) == sorted(path.name for path in (FORK / "patches").iterdir())
    for name in series:
        head = (FORK / "patches" / name).read_text().partition("\n---\n")[0]
        assert head.startswith("Description: ")
        assert "Touched:" in head
        assert "Forwarded:" in head


def changes_of(name: str) -> list[str]:
    """What a patch does to each file, from the file's name on."""
    return (FORK / "patches" / name).read_text().split("\ndiff --git a/")[1:]


def test_every_patch_names_the_files_that_it_touches():
    """The licenses want changes to be indicated, and the heads of the patches do that."""
    for name in (FORK / "series").read_text().split():
        head = (FORK / "patches" / name).read_text().partition("\n---\n")[0]
        for change in changes_of(name):
            path = Path(change.split()[0])
            assert path.name in head, (name, path)


def test_no_patch_touches_a_copyright_line_of_upstreams():
    """Such lines change with nearly every release, and a hunk there would then not apply."""
    created = set()
    for name in (FORK / "series").read_text().split():
        for change in changes_of(name):
            path = change.split()[0]
            if "\n--- /dev/null\n" in change:
                created.add(path)
            lines = [line for line in change.splitlines() if line.startswith(("+", "-"))]
            if path not in created:
                assert not [line for line in lines if "copyright" in line.lower()], (name, path)


def test_nothing_of_upstreams_is_committed():
    command = ["git", "ls-files", "third_party"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    names = {Path(line).suffix for line in listed.stdout.split()}
    assert names <= {".md", ".json", ".patch", ""}


def dynamic_symbols(*options: str) -> list[str]:
    command = ["nm", "-D", *options, _libpyfd.__file__]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split()[-1] for line in output.splitlines()]


def test_the_extension_exports_its_init_symbol_alone():
    assert dynamic_symbols("--defined-only") == ["PyInit__libpyfd"]


def test_the_extension_takes_no_jpeg_from_elsewhere():
    assert not [name for name in dynamic_symbols("--undefined-only") if "jpeg" in name.lower()]


def test_the_extension_uses_the_limited_api():
    if sys.version_info >= (3, 13) and not sys._is_gil_enabled():
        assert ".abi3." not in _libpyfd.__file__
    else:
        assert _libpyfd.__file__.endswith(".abi3.so")


def readelf(option: str) -> str:
    command = ["readelf", "-W", option, _libpyfd.__file__]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_extension_is_hardened():
    """Full RELRO, no executable stack, stack protector, FORTIFY_SOURCE."""
    segments, dynamic = readelf("--segments"), readelf("--dynamic")
    assert "GNU_RELRO" in segments
    assert "BIND_NOW" in dynamic
    assert "TEXTREL" not in dynamic
    (stack,) = [line for line in segments.splitlines() if "GNU_STACK" in line]
    assert "RWE" not in stack
    undefined = {name.partition("@")[0] for name in dynamic_symbols("--undefined-only")}
    assert "__stack_chk_fail" in undefined
    assert any(name.endswith("_chk") for name in undefined)


# Every instruction set gives the same results: decoding, re-quantizing and encoding,
# on photographs or what stands in for them.
DIGESTS = """
import hashlib, sys
from pathlib import Path
import pyfd
from tests.conftest import PHOTOS
from tests.jpegs import encode_with_pillow, picture
files = [path.read_bytes() for path in sorted(PHOTOS.glob("*.JPEG"))[::8]]
files += [encode_with_pillow(picture(90 + n, 70, seed=n), progressive=n % 2 == 1) for n in range(9)]
digest = hashlib.sha256()
for data in files:
    for qtables in (None, "fd-cvpr2019", "fd-2018", pyfd.QTables.annex_k(30)):
        for scale in (1, 2, 4, 8):
            digest.update(pyfd.decode(data, qtables, scale=scale))
    digest.update(pyfd.requantize(data, "fd-cvpr2019"))
    digest.update(pyfd.encode(pyfd.decode(data), "fd-cvpr2019", subsampling="4:2:0"))
print(len(files), digest.hexdigest())
"""


@pytest.fixture(scope="module")
def digest() -> str:
    return run_digests({})


def run_digests(environment: dict[str, str]) -> str:
    result = subprocess.run(
        [sys.executable, "-c", DIGESTS],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


@pytest.mark.parametrize("variable", ["JSIMD_FORCENONE", "JSIMD_FORCESSE2"])
def test_other_vectors_give_the_same_results(digest, variable):
    assert run_digests({variable: "1"}) == digest
