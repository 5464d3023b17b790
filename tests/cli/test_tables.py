"""`pyfd tables`: the tables that it makes and shows, and the input that it refuses."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest

import pyfd
from pyfd import QTables, analysis
from pyfd.cli.tables import tables
from tests.cli.samples import damage

# ---- make -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--epsilon", 2), QTables.for_threat(2)),
        (("--epsilon", 0.5, "--protected", 6), QTables.for_threat(0.5, protected=6)),
        (
            ("--epsilon", 2, "--protected", 6, "--protected-step", 3),
            QTables.for_threat(2, protected=6, protected_step=3),
        ),
        (("--epsilon", 40, "--no-baseline"), QTables.for_threat(40, baseline=False)),
        (("--certified", 2), QTables.certified(2)),
        (("--certified", 1, "--slack", 0, "--files"), QTables.certified(1, slack=0, files=True)),
        (("--certified", 20, "--no-baseline"), QTables.certified(20, baseline=False)),
        (("--step", 16), QTables.uniform(16)),
        (("--quality", 50), QTables.annex_k(50)),
        (("--quality", 10), QTables.annex_k(10)),
        (("--quality", 10, "--no-baseline"), QTables.annex_k(10, baseline=False)),
    ],
)
def test_make(run, tmp_path, options, expected):
    assert run("tables", "make", *options, "-o", tmp_path / "t.json") == (0, "", "")
    made = QTables.load(tmp_path / "t.json")
    assert (made, made.name, made.origin) == (expected, expected.name, expected.origin)
    assert run("tables", "make", *options, "-o", tmp_path / "t.txt") == (0, "", "")
    assert (tmp_path / "t.txt").read_text() == expected.to_text()


def test_make_two_bands(run, tmp_path):
    arguments = ("tables", "make", "--step", 40, "--protected", 15, "-o")
    assert run(*arguments, tmp_path / "t.json")[0] == 0
    made = QTables.load(tmp_path / "t.json")
    assert made == QTables.preset("fd-2018")
    assert made.name == "two-band-40-protected-15"
    assert made.origin["method"] == "two_band"


@pytest.mark.parametrize("way", [("--epsilon", 2), ("--step", 16)])
def test_make_with_statistics(run, photos_here, tmp_path, way):
    found = pyfd.calibrate(sorted(photos_here.rglob("*.jpg")))
    found.save(tmp_path / "s.json")
    options = ("--statistics", tmp_path / "s.json", "--protected", 9, "-o", tmp_path / "t.json")
    assert run("tables", "make", *way, *options) == (0, "", "")
    made = QTables.load(tmp_path / "t.json")
    assert made == found.two_band(step=16, protected_step=1, protected=9)
    assert made.origin["statistics"] == found.digest
    assert made.origin["protected"] == 9


def test_make_to_stdout(run):
    code, out, _ = run("tables", "make", "--epsilon", 2, "-o", "-")
    assert code == 0
    assert json.loads(out)["name"] == "threat-2"


@pytest.mark.parametrize("content", [None, "{}", "words"])
def test_make_with_bad_statistics(run, tmp_path, content):
    path = tmp_path / "s.json"
    if content is not None:
        path.write_text(content)
    options = ("--epsilon", 2, "--statistics", path, "--protected", 3)
    code, out, err = run("tables", "make", *options, "-o", tmp_path / "t.json")
    assert (code, out) == (1, "")
    assert err.startswith(f"pyfd: {path}: ")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "t.json").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "Give one of --epsilon, --certified, --step and --quality"),
        (("--epsilon", 2, "--step", 3), "Give one of"),
        (("--epsilon", 0), "epsilon must be above 0"),
        (("--epsilon", "nan"), "epsilon must be above 0"),
        (("--epsilon", 40), "beyond 255; --no-baseline allows it"),
        (("--certified", 1, "--epsilon", 1), "Give one of"),
        (("--certified", 16), "beyond 255, as all from epsilon 16 on with a slack of 8; --no-base"),
        (("--certified", 1.5), "not a valid integer"),
        (("--certified", 256), "not in the range"),
        (("--certified", 1, "--slack", -1), "not in the range"),
        (("--certified", 255, "--slack", 8000, "--no-baseline"), "in 1...8191 here, not 10048"),
        (("--certified", 1, "--protected", 3), "--certified and --protected exclude each other"),
        (("--epsilon", 2, "--slack", 3), "--slack is for certified tables: add --certified E"),
        (("--step", 9, "--files"), "--files is for certified tables: add --certified E"),
        (("--step", 256), "at most 255 is allowed here; --no-baseline"),
        (("--step", 0), "not in the range"),
        (("--quality", 101), "not in the range"),
        (("--quality", 50, "--protected", 3), "exclude each other"),
        (("--epsilon", 2, "--protected-step", 3), "add --protected N"),
        (("--epsilon", 2, "--statistics", "s.json"), "add --protected N"),
        (("--epsilon", 2, "--protected", 65), "not in the range"),
        (("--epsilon", 2, "-o", "t.png"), "must end in .json"),
        (("--epsilon", 2, "-o", ""), "must end in .json"),
    ],
)
def test_make_refuses(run, tmp_path, monkeypatch, options, reason):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("tables", "make", "-o", "t.json", *options)
    assert (code, out) == (2, "")
    assert reason in " ".join(err.split())
    assert not list(tmp_path.iterdir())


# ---- show -----------------------------------------------------------------


def test_show(run, tmp_path):
    QTables.for_threat(4, protected=3).save(tmp_path / "t.json")
    code, out, err = run("tables", "show", tmp_path / "t.json", "annex-k:50")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:9] == [
        str(tmp_path / "t.json"),
        "  name    threat-4-protected-3",
        "  steps   1...32",
        "  origin  method: for_threat",
        "          epsilon: 4",
        "          survival: 0.0001",
        "          step: 32",
        "          protected: 3",
        "          protected_step: 1",
    ]
    assert lines[10:12] == ["  all components", "    1   1  32  32  32  32  32  32"]
    assert "annex-k:50" in lines
    row = next(line for line in lines if line.startswith("  Y  "))
    assert row.split() == ["Y", "Cb", "and", "Cr"]
    grid = lines[lines.index(row) + 1 :]
    assert grid[0].split()[8:] == ["17", "18", "24", "47", *["99"] * 4]
    assert len({len(line) for line in grid}) == 1


def test_show_goes_on_after_a_bad_file(run, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    code, out, err = run("tables", "show", tmp_path / "bad.json", "fd-2018", "nope", "9" * 30)
    assert code == 1
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [
        str(tmp_path / "bad.json"),
        "nope",
        "9" * 30,
    ]
    assert out.startswith("fd-2018\n")


def test_nothing_in_a_file_reaches_the_terminal(run, tmp_path):
    evil = "\x1b[31m\u202e\x07"
    path = tmp_path / "t.json"
    QTables(np.full((8, 8), 3), evil, origin={evil: evil, "deep": {evil: 1}}).save(path)
    for command in (("show", path), ("compare", path, path)):
        code, out, _ = run("tables", *command)
        assert code == 0
        assert all(letter == "\n" or letter.isprintable() for letter in out)


def test_show_plots(run, tmp_path):
    plot = tmp_path / "t.svg"
    assert run("tables", "show", "fd-2018", "--plot", plot)[0] == 0
    assert "<svg" in plot.read_text()
    code, _, err = run("tables", "show", "fd-2018", "--plot", tmp_path / "t.svg" / "x.png")
    assert code == 1
    assert "cannot write" in err


def test_plots_of_another_form(run, tmp_path):
    code, out, err = run("tables", "show", "fd-2018", "--plot", tmp_path / "t.gif")
    assert (code, out) == (2, "")
    assert "must end in .png, .svg or .pdf" in err


def test_plots_without_matplotlib():
    code = (
        "import sys; sys.modules['matplotlib'] = None; from pyfd.__main__ import main;"
        "sys.argv[1:] = ['tables', 'show', '9', '--plot', 'x.png']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"matplotlib is missing: pip install 'pyfd-jpeg[plots]'" in done.stderr


# ---- convert --------------------------------------------------------------


def test_convert_there_and_back(run, tmp_path):
    made = QTables(np.arange(1, 193).reshape(3, 8, 8), name="mine")
    made.save(tmp_path / "a.json")
    assert run("tables", "convert", tmp_path / "a.json", tmp_path / "b.txt") == (0, "", "")
    assert (tmp_path / "b.txt").read_text() == made.to_text()
    assert run("tables", "convert", tmp_path / "b.txt", tmp_path / "c.json") == (0, "", "")
    assert QTables.load(tmp_path / "c.json") == made
    assert run("tables", "convert", "fd-2018", "-")[1] == QTables.preset("fd-2018").to_json()


def test_convert_refuses(run, tmp_path):
    assert run("tables", "convert", "fd-2018", tmp_path / "x.png")[0] == 2
    code, _, err = run("tables", "convert", tmp_path / "no.json", tmp_path / "x.json")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


# ---- compare --------------------------------------------------------------


def test_compare(run, photos_here):
    pair = {name: QTables.preset(name) for name in ("fd-2018", "fd-cvpr2019")}
    options = ("--epsilon", 4, "--on", photos_here / "deep", "--on", photos_here / "deep/0.jpg")
    code, out, err = run("tables", "compare", *pair, *options)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "all components"
    assert lines[1].split() == list(pair)
    assert lines[2].split() == ["1"] * 5 + ["40"] * 3 + ["25"] * 4 + ["30"] * 4
    assert lines[11].strip() == "fd-cvpr2019 / fd-2018"
    assert lines[12].split() == ["25.00"] * 4 + ["30.00"] + ["0.75"] * 3
    assert " ".join(lines[21].split()) == "steps mean step moved at epsilon 4 bytes"
    files = [*(photos_here / "deep").iterdir(), photos_here / "deep" / "0.jpg"]
    for line, (name, item) in zip(lines[22:], pair.items(), strict=True):
        share = 100 * analysis.survival(item[0], 4).mean()
        size = sum(len(pyfd.requantize(file, item)) for file in files)
        steps = f"{item.array.min()}...{item.array.max()}"
        mean = f"{item.array.mean():.1f}"
        assert line.split() == [name, steps, mean, f"{share:.3g}", "%", f"{size:,}"]


def test_compare_tables_of_different_counts(run):
    _, out, _ = run("tables", "compare", "annex-k:50", "16", "annex-k:75", "--epsilon", 2)
    lines = out.splitlines()
    assert [line for line in lines if line in ("Y", "Cb and Cr")] == ["Y", "Cb and Cr"]
    luma, chroma = (analysis.survival(QTables.annex_k(50)[i], 2).mean() for i in (0, 1))
    (row,) = (line.split() for line in lines if line.startswith("annex-k:50 "))
    assert row[3] == f"{100 * (luma + 2 * chroma) / 3:.3g}"
    assert len({len(line) for line in lines[-4:]}) == 1


def test_compare_one_table_has_no_ratios(run):
    code, out, _ = run("tables", "compare", "16")
    assert code == 0
    assert "/" not in out
    assert "epsilon" not in out
    assert "bytes" not in out


def test_compare_leaves_out_what_is_refused(run, photos_here):
    good = photos_here / "deep" / "0.jpg"
    bad = damage(photos_here)
    code, out, err = run("tables", "compare", "16", "nope", "300", "--on", bad, "--on", good)
    assert code == 1
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["nope", str(bad)]
    sizes = [line.split()[-1].replace(",", "") for line in out.splitlines()[-2:]]
    for size, step in zip(sizes, (16, 300), strict=True):
        assert int(size) == len(pyfd.requantize(good, QTables.uniform(step), baseline=False))


@pytest.mark.parametrize("epsilon", [0, -1, "nan", 256, "x"])
def test_compare_refuses_epsilon(run, epsilon):
    code, out, err = run("tables", "compare", "16", "--epsilon", epsilon)
    assert (code, out) == (2, "")
    assert "epsilon" in err


# ---- help -----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(tables.commands))
def test_help_has_examples_that_work(run, name):
    code, out, _ = run("tables", name, "--help")
    assert code == 0
    examples = out.partition("Examples:\n")[2].splitlines()
    assert examples
    for example in examples:
        program, group, command, *arguments = shlex.split(example)
        assert (program, group, command) == ("pyfd", "tables", name)
        tables.commands[name].make_context(name, arguments)
