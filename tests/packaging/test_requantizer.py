"""The requantizer of the fork, for C programs, against its definition."""

import os
import subprocess
from pathlib import Path

import pytest

from pyfd._core import native

#: tests/arm64.sh compiles and runs it, too.
SOURCE = Path(__file__).with_name("requantizer.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    program = tmp_path_factory.mktemp("requantizer") / "requantizer"
    headers = native.FOLDER / "include" / "libjpeg"
    library = native.FOLDER / "lib" / "libjpeg-pyfd.a"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", SOURCE, f"-I{headers}", library]
    subprocess.run([*command, "-o", program], check=True)
    return program


@pytest.mark.parametrize("variable", ["", "JSIMD_FORCESSE2", "JSIMD_FORCENONE"])
def test_all_coefficients_and_products_are_the_definitions(program, variable):
    environment = {**os.environ, variable: "1"} if variable else None
    subprocess.run([program, "4", "1"], env=environment, check=True)
