"""benchmarks/growth.py: sizes, folders of links, and the page."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from PIL import Image

import pyfd
from benchmarks import commands, folders, growth, memory, pages
from benchmarks.files import Files
from benchmarks.folders import Run
from tests.jpegs import picture


def test_the_steps_span_what_the_page_says():
    assert (growth.MEGAPIXELS[0], growth.MEGAPIXELS[-1]) == (0.01, 100)
    assert (growth.COUNTS[0], growth.COUNTS[-1]) == (1, 100_000)


def test_names_share_few_files(tmp_path):
    made = [bytes([n]) for n in range(3)]
    folder = growth.links(made, 8, tmp_path / "links")
    paths = sorted(folder.iterdir())
    assert [path.read_bytes()[0] for path in paths] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert len({path.stat().st_ino for path in paths}) == 3
    assert len(list(growth.links(made, 1, tmp_path / "one").iterdir())) == 1


def test_each_number_is_a_median():
    assert growth.middle([Run(1, 9, 5), Run(3, 2, 6), Run(2, 8, 1)]) == Run(2, 8, 5)
    assert len(growth.rounds(1_000)) == 3
    assert len(growth.rounds(100_000)) == 1


def test_coefficients_of_progressive_files_take_memory():
    """They are held, 2 bytes each: 1.5 samples a pixel."""
    image = picture(1200, 900)
    data = pyfd.encode(image, "fd-cvpr2019", subsampling="4:2:0")
    held = pyfd.encode(image, "fd-cvpr2019", subsampling="4:2:0", progressive=True)
    passed = memory.beyond("requantize", data, "fd-cvpr2019")
    assert passed < 1.5
    assert memory.beyond("requantize", held, "fd-cvpr2019") > 2.5 > passed


class Still:
    """A meter of a cluster that does not exist."""

    def seconds(self) -> float:
        return 0.0

    def forget(self) -> None: ...

    def peak(self) -> float:
        return 321.0


def test_a_small_run_fills_the_page(tmp_path, monkeypatch):
    """The command runs; Ray, which starts slowly, and calls in fresh processes do not."""

    @contextmanager
    def ray_of(_: int):
        yield Still()

    real = folders.run

    def run(place, options, cluster):
        options = ["-q", growth.NAME] if "ray" in options else options
        return real(place, options, cluster)

    monkeypatch.setattr(growth, "COUNTS", (2, 5))
    monkeypatch.setattr(growth, "rounds", lambda _: range(1))
    monkeypatch.setattr(folders, "ray_of", ray_of)
    monkeypatch.setattr(folders, "run", run)
    monkeypatch.setattr(memory, "beyond", lambda what, data, _: len(what) + len(data) / 1e9)
    page, output = tmp_path / "page.md", tmp_path / "output"
    arguments = ["--megapixels", "0.03", "--files", "2"]
    monkeypatch.setattr(
        "sys.argv", ["growth", *arguments, "--output", str(output), "--write", str(page)]
    )
    growth.main()
    kept = json.loads((output / "growth.json").read_text())
    assert [entry["megapixels"] for entry in kept["pixels"]] == [0.01, 0.03]
    assert [entry["files"] for entry in kept["files"]] == [2]
    text = page.read_text()
    assert text.startswith(f"<!-- made by {growth.MAKER} -->")
    assert text.endswith(pages.END)
    assert "| 0.03 | 6.00 | 6.00 | 6.00 | 10.00 | 10.00 |" in text
    assert text.count("| 2 | 2 threads | ") == text.count("| 2 | 2 workers of Ray | ") == 1
    assert "| 321 |" in text
    for name in growth.PICTURES:
        assert f"(images/{name})" in text
        for folder in (output, tmp_path / "images"):
            with Image.open(folder / name) as drawn:
                assert min(drawn.size) > 200


def test_a_failure_keeps_what_was_measured(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "scratch")

    monkeypatch.setattr(growth, "by_pixels", lambda *_: [{"megapixels": 0.01}])
    monkeypatch.setattr(growth, "by_files", fail)
    monkeypatch.setattr("sys.argv", ["growth", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^scratch: No space left on device$"):
        commands.run(growth.main)
    assert json.loads((tmp_path / "growth.json").read_text())["pixels"] == [{"megapixels": 0.01}]


@pytest.mark.parametrize(
    "arguments", [["--files", "0"], ["--files", "x"], ["--megapixels", "0.001"]]
)
def test_what_cannot_be_measured_is_refused(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["growth", *arguments])
    with pytest.raises(SystemExit) as end:
        growth.main()
    assert end.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_ray_is_needed_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(growth, "find_spec", lambda _: None)
    monkeypatch.setattr("sys.argv", ["growth"])
    with pytest.raises(SystemExit, match="needs Ray"):
        growth.main()


@pytest.mark.parametrize("name", growth.OPERATIONS)
def test_calls_do_what_they_are_called(name):
    files = Files()
    made = {kind: files.of("64×64", kind)[0] for kind in (growth.BASELINE, growth.PROGRESSIVE)}
    done = growth.calls(made)[name]()
    what, kind = growth.OPERATIONS[name]
    if what == "decode":
        assert (done == pyfd.decode(made[kind], growth.PRESET)).all()
    elif what == "requantize":
        assert done == pyfd.requantize(made[kind], growth.PRESET)
    else:
        assert pyfd.probe(done).subsampling == "4:2:0"


def test_the_meter_sees_memory():
    """A child that holds 40 MiB is seen, also after it has ended."""
    code = "import sys, time; held = b'x' * (40 << 20); print(flush=True); sys.stdin.read()"
    meter = folders.Meter()
    meter.stop()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        process.stdout.readline()
        assert meter.peak() > 40
        process.stdin.close()
    assert meter.peak() > 40
    meter.forget()
    assert meter.peak() < 40
