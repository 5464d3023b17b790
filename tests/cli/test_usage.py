"""Usage errors, the version and the help."""

from __future__ import annotations

import shlex

import pytest

import pyfd
from pyfd.cli import cli
from tests.cli.samples import files


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("explode",), "No such command"),
        (("decode",), "Missing argument 'FILE...'"),
        (("decode", "{photo}"), "Say where to write"),
        (("decode", "{tree}", "-o", "-"), "need an output directory"),
        (("decode", "{photo}", "{png}", "-o", "{photo}"), "is not a directory"),
        (("decode", "{tree}", "-o", "{photo}"), "is not a directory"),
        (("decode", "{photo}", "-o", "x.png", "--scale", "3"), "'3' is not one of"),
        (("encode", "{png}", "-o", "x.png"), "The output is a JPEG file"),
        (("encode", "{png}", "-o", "x.jpg", "--subsampling", "4:1:1"), "is not one of"),
        (("requantize", "{photo}", "-o", "x.webp"), "The output is a JPEG file"),
        (("inspect",), "Missing argument"),
        (("inspect", "{photo}", "-q", "40000"), "at most 32767 is allowed here"),
        (("demo", "--epsilon", "0"), "0 is not in the range"),
        (("demo", "--output", "{photo}"), "is a file"),
        (("demo", "--output", ""), "the name of the folder is empty"),
        (("evaluate", "--images", "foolbox", "-o", ""), "the name of the folder is empty"),
        (("evaluate", "--images", "foolbox", "-o", "{photo}"), "is a file"),
        (("demo", "-q", "256"), "at most 255 is allowed here"),
    ],
)
def test_usage_errors(run_binary, photo, png, tree, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    named = [argument.format(photo=photo, png=png, tree=tree) for argument in arguments]
    outcome = run_binary(*named)
    assert (outcome.code, outcome.out) == (2, b"")
    assert reason in outcome.err
    assert files(tmp_path) == before


def test_version(run_binary):
    text = f"pyfd {pyfd.__version__} (libjpeg-turbo {pyfd.libjpeg_turbo_version()})\n"
    assert run_binary("--version") == (0, text.encode(), "")


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help_has_examples_that_work(run_binary, name):
    outcome = run_binary(name, "--help")
    assert outcome.code == 0
    examples = outcome.out.decode().partition("Examples:\n")[2].splitlines()
    assert examples
    for example in examples:
        program, command, *arguments = shlex.split(example.replace("|", "<").partition("<")[0])
        assert (program, command) == ("pyfd", name)
        cli.commands[name].make_context(name, arguments)
