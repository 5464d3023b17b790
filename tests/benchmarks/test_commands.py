"""benchmarks/commands.py: what a command says when it cannot go on."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import commands

ROOT = Path(__file__).parents[2]


def fail_with(error: BaseException) -> str | int | None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        commands.run(main)
    return end.value.code


def test_what_a_user_can_mend_is_a_sentence(tmp_path):
    assert fail_with(KeyboardInterrupt()) == "interrupted"
    assert fail_with(MemoryError()) == "not enough memory"
    assert fail_with(MemoryError("Unable to allocate 9 GiB")) == (
        "not enough memory: Unable to allocate 9 GiB"
    )
    assert fail_with(ModuleNotFoundError("No module named 'ray'")) == (
        "No module named 'ray': requirements-dev.txt has what benchmarks need"
    )
    assert fail_with(OSError(28, "No space left on device", "a")) == "a: No space left on device"
    assert fail_with(OSError("a has no photographs")) == "a has no photographs"
    with pytest.raises(OSError, match="none") as found:
        list(Path(tmp_path, "none").iterdir())
    assert fail_with(found.value) == f"{tmp_path}/none: No such file or directory"


def test_a_program_that_failed_is_quoted():
    command = [sys.executable, "-c", "import sys; print('a'); sys.exit('first\\nlast')"]
    with pytest.raises(subprocess.CalledProcessError) as found:
        subprocess.run(command, check=True, capture_output=True, text=True)
    assert str(fail_with(found.value)).endswith(": last")
    error = subprocess.CalledProcessError(3, ["a program", Path("x")])
    assert fail_with(error) == "'a program' x: it ended with exit code 3"


def test_errors_of_the_program_itself_are_shown_whole():
    with pytest.raises(ZeroDivisionError):
        commands.run(lambda: 1 / 0)
    commands.run(lambda: None)


@pytest.mark.parametrize(
    "name",
    [
        "calls",
        "compare",
        "folders",
        "growth",
        "instructions",
        "loaders",
        "memory",
        "speed",
        "tracking",
        "worst",
    ],
)
def test_the_commands_of_speed_end_like_this(name):
    text = (ROOT / "benchmarks" / f"{name}.py").read_text()
    _, _, end = text.partition('if __name__ == "__main__":')
    assert end.rstrip().endswith("    commands.run(main)")


def test_whole_numbers_from_one_on():
    assert commands.positive("12") == 12
    for text in ("0", "-1", "1.5", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            commands.positive(text)
