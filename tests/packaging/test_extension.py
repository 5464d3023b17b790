"""The compiled extension and the fork in it."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

import pyfd
from pyfd._core import _libpyfd
from tests.packaging.sources import FORK, ROOT


def test_the_fork_is_the_pinned_one():
    folder = ROOT / FORK
    pin = json.loads((folder / "pin.json").read_text())
    digest = hashlib.sha256((folder / "pin.json").read_bytes() + (folder / "series").read_bytes())
    for name in (folder / "series").read_text().split():
        digest.update((folder / "patches" / name).read_bytes())
    expected = f"{pin['version']}+pyfd.{digest.hexdigest()[:8]}"
    assert pyfd.libjpeg_turbo_version() == expected


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


# The results of decoding, requantizing and encoding, which must not depend on the
# instruction set.
DIGESTS = """
import hashlib
import pyfd
from tests.conftest import photographs
from tests.jpegs import encode_with_pillow, picture
files = photographs()[::8]
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
