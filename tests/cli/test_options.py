"""Options that several commands share."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd._core.reading import Reading
from pyfd.cli import options
from tests.cli.samples import jpeg, picture

# ---- tables -------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("fd-1999", "'fd-1999' is neither a preset"),
        ("", "'' is neither a preset"),
        ("0", "steps must be in 1...65535, not 0"),
        ("9" * 30, "steps must be integers"),
        ("annex-k:0", "quality must be in 1...100, not 0"),
        ("annex-k:x", "'annex-k:x' is neither"),
        ("evil\x1b[31m", "'evil\\x1b[31m' is neither"),
        ("{tmp}", "Is a directory"),
        ("{tmp}/empty", "not 0 words"),
        ("{tmp}/broken.json", "is not a table file"),
        ("{tmp}/noise", "the text must hold"),
    ],
)
def test_tables_that_make_no_sense_are_a_usage_error(run_binary, png, tmp_path, option, reason):
    (tmp_path / "empty").write_text("")
    (tmp_path / "broken.json").write_text('{"format": ')
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    outcome = run_binary("encode", png, "-o", tmp_path / "x.jpg", "-q", option.format(tmp=tmp_path))
    assert outcome.code == 2
    assert "Invalid value for '-q' / '--qtables'" in outcome.err
    assert reason in outcome.err
    assert "\x1b" not in outcome.err


# ---- limits -------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [("max-bytes", 500), ("max-pixels", 99), ("max-memory", 600), ("max-scans", 2)],
)
def test_limits(run_binary, tmp_path, option, value):
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg(progressive=True))
    for command in ("decode", "requantize"):
        refused = run_binary(command, path, "-o", "-", f"--{option}", value)
        assert refused[:2] == (1, b"")
        assert f"{option.replace('-', '_')} is {value}, but" in refused.err
        assert len(refused.lines) == 1
    refused = run_binary("inspect", path, "-q", 16, f"--{option}", value)
    assert refused[:2] == (1, b"")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".tif", ".webp", ".bmp"])
@pytest.mark.parametrize(
    ("option", "value"), [("max-bytes", 50), ("max-pixels", 99), ("max-memory", 600)]
)
def test_limits_on_pictures(run_binary, tmp_path, suffix, option, value):
    path, out = tmp_path / f"x{suffix}", tmp_path / "out.jpg"
    Image.fromarray(picture()).save(path, **({"progressive": True} if suffix == ".jpg" else {}))
    for command in (("encode", path, "-o", out), ("certify", path, "--json")):
        refused = run_binary(*command, f"--{option}", value)
        assert refused[:2] == (1, b"")
        name = option.replace("-", "_")
        (line,) = refused.lines
        assert re.fullmatch(
            rf"pyfd: {path}: {name} is {value}, but the file (has|needs) (at least )?[0-9]+", line
        )
        assert not out.exists()
    for allowing in ((f"--{option}", 10**6), ("--no-limits",)):
        assert run_binary("encode", path, "-o", out, *allowing).code == 0
        assert run_binary("certify", path, *allowing).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "{}", "-o", "-"),
        ("decode", "{}", "-o", "-"),
        ("requantize", "{}", "-o", "-"),
        ("certify", "{}", "--json"),
        ("inspect", "{}"),
        ("tables", "compare", "16", "--on", "{}"),
    ],
)
def test_files_that_look_large_are_not_read(run_binary, tmp_path, arguments):
    """A sparse file of 200 GB takes no space, and in an archive a few bytes."""
    path = tmp_path / "x.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    os.truncate(path, 200 << 30)
    outcome = run_binary(*(part.format(path) for part in arguments))
    assert outcome.code == 1
    assert outcome.lines == [f"pyfd: {path}: max_bytes is 67108864, but the file has {200 << 30}"]


@pytest.mark.parametrize("command", [("encode", "-o", "-"), ("certify",)])
def test_streams_without_end_are_not_read_to_it(run_binary, command):
    outcome = run_binary(*command, "/dev/zero")
    assert outcome.code == 1
    assert outcome.lines == [
        "pyfd: /dev/zero: max_bytes is 67108864, but the file has at least 67108865"
    ]


def test_no_limits(run_binary, photo, monkeypatch):
    limits = []
    monkeypatch.setattr(
        pyfd, "requantize", lambda *_, **options: limits.append(options["limits"]) or b""
    )
    run_binary("requantize", photo, "-o", "-")
    run_binary("requantize", photo, "-o", "-", "--no-limits", "--max-scans", 7)
    assert limits[0] == pyfd.Limits()
    assert limits[1].max_scans == 7
    assert limits[1].max_pixels == pyfd.Limits.unlimited().max_pixels


@pytest.mark.parametrize("value", ["-1", "x", str(1 << 64)])
def test_limits_that_make_no_sense(run_binary, photo, value):
    assert run_binary("decode", photo, "-o", "-", "--max-pixels", value).code == 2


# ---- reading ------------------------------------------------------------


def test_every_field_of_reading_is_an_option_of_decode(run_binary):
    shown = " ".join(run_binary("decode", "--help").out.decode().split())
    described = [item for item in fields(Reading) if "help" in item.metadata]
    assert {"mode", "scale", "strict"} <= {item.name for item in described}
    for item in described:
        assert f" {item.metadata.get('off', f'--{item.name}')} " in shown
        assert item.metadata["help"] in shown


def test_the_defaults_of_decode_are_those_of_reading(run_binary, photo, monkeypatch):
    seen = decoded_with(monkeypatch)
    assert run_binary("decode", photo, "-o", "-").code == 0
    assert seen == vars(Reading())


@dataclass(frozen=True)
class Wider(Reading):
    """`Reading` with a future field."""

    upright: bool = field(default=False, metadata={"help": "Turn the picture."})
    bit_depth: int = field(default=8, metadata={"help": "Bits per sample."})
    corner: tuple[int, ...] | None = field(
        default=None,
        metadata={
            "help": "Where to start.",
            "parse": lambda text: tuple(int(number) for number in text.split(",")),
        },
    )
    inner: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bit_depth > 16:
            raise ValueError("bit_depth must be in 1...16")


def decoded_with(monkeypatch) -> dict[str, object]:
    """The arguments with which `pyfd.decode` is called from now on."""
    seen = {}

    def decode(_data, _tables, **options):
        seen.clear()
        seen.update(options)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(pyfd, "decode", decode)
    return seen


@pytest.fixture
def decode_command(monkeypatch) -> Callable[..., int]:
    """Return `pyfd decode` as it is if `Reading` has more fields."""
    monkeypatch.setattr(options, "Reading", Wider)
    spec = importlib.util.find_spec("pyfd.cli.decode")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*arguments: object) -> int:
        with pytest.raises(SystemExit) as stop:
            module.decode.main([str(argument) for argument in arguments], prog_name="pyfd decode")
        return stop.value.code

    return call


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {}),
        (["--upright"], {"upright": True}),
        (["--bit-depth", "12"], {"bit_depth": 12}),
        (["--corner", "3,4"], {"corner": (3, 4)}),
        (["--lenient", "--scale", "2"], {"strict": False, "scale": 2}),
    ],
)
def test_a_new_field_of_reading_is_an_option(
    decode_command, photo, tmp_path, monkeypatch, given, expected
):
    seen = decoded_with(monkeypatch)
    assert decode_command(photo, "-o", tmp_path / "x.png", *given) == 0
    defaults = {**vars(Reading()), "upright": False, "bit_depth": 8, "corner": None}
    assert seen == {**defaults, **expected}


def test_the_help_of_a_new_field_of_reading(decode_command, capsys):
    assert decode_command("--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--upright Turn the picture." in shown
    assert "--bit-depth INTEGER Bits per sample. [default: 8]" in shown
    assert "--inner" not in shown


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["--bit-depth", "17"], "bit_depth must be in 1...16"),
        (["--bit-depth", "x"], "'x' is not a valid integer"),
        (["--corner", "x"], "Invalid value for '--corner'"),
        (["--inner", "3"], "No such option"),
    ],
)
def test_a_new_field_of_reading_is_checked(decode_command, photo, capsys, given, reason):
    assert decode_command(photo, "-o", "-", *given) == 2
    assert reason in capsys.readouterr().err
