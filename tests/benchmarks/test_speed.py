"""The speed benchmark: verdicts, files and the page. No test depends on a clock."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from PIL import Image

from benchmarks import instructions, pages, speed, speed_page, speed_plots
from benchmarks.cases import Case, Row, UnmeasuredError
from benchmarks.files import BASELINE, OWN
from benchmarks.timing import Bounds, Effort, Measurement

ONCE = Effort(seconds=0, rounds=1)


# ---- verdicts -----------------------------------------------------------------


def case_of(label: str, value: float, bounds: Bounds = Bounds(1.02)) -> Case:  # noqa: B008
    found = Measurement(value, value - 0.01, value + 0.01, 9, 0.001, 0.002)
    return Case(label, bounds, lambda _: found)


def judged(*cases: Case) -> list[str]:
    return speed_page.judged([speed.measure(case, ONCE) for case in cases])


def test_worst_case_decides():
    assert judged(case_of("a", 0.9), case_of("b", 1.02), case_of("c", 0.8)) == [
        "0.900",
        "1.020",
        "1.010 to 1.030",
        "b",
        "met",
    ]
    *_, name, verdict = judged(case_of("a", 1.2), case_of("b", 1.02), case_of("c", 1.1))
    assert (name, verdict) == ("a", "**not met** in 2 of 3")


def test_worst_case_of_a_floor_is_the_smallest():
    least = Bounds(at_least=100, digits=0)
    *_, name, verdict = judged(case_of("a", 500, least), case_of("b", 99, least))
    assert (name, verdict) == ("b", "**not met** in 1 of 2")


def test_no_verdict_without_a_target():
    assert judged(case_of("a", 7.0, Bounds())) == ["7.000", *["–"] * 4]
    assert speed_page.line(speed.measure(case_of("a", 7.0, Bounds()), ONCE))[-1] == "–"


def test_what_is_not_measured_is_said():
    def refuse(_: Effort) -> Measurement:
        raise UnmeasuredError("needs 2 cores")

    missing = Case("b", Bounds(1.02), refuse)
    assert judged(missing)[-2:] == ["needs 2 cores", "not measured"]
    assert judged(case_of("a", 1.0), missing)[-1] == "met, 1 not measured"


def test_a_library_that_is_missing_is_not_measured():
    def refuse(_: Effort) -> Measurement:
        raise ModuleNotFoundError("No module named 'kornia'", name="kornia")

    assert judged(Case("b", Bounds(1.02), refuse))[-2:] == ["needs kornia", "not measured"]


def test_rows_in_which_another_library_is_ahead_are_listed():
    made = [
        Row("a", "`decode` / simplejpeg's decode", [case_of("x", 1.2), case_of("y", 1.3)]),
        Row("b", "`encode` / OpenCV's encode", [case_of("x", 1.004), case_of("y", 0.7)]),
        Row("c", "`decode` / `decode`", [case_of("x", 1.5)]),  # not of another library
        Row("d", "`encode` / Pillow's `save`", [case_of("x", 1.006), case_of("y", 0.7)]),
        Row("e", "ART's minimization / `decode`", [case_of("x", 400), case_of("y", 500)]),
        Row("f", "planes / RGB, or simplejpeg's planes", [case_of("x", 0.7), case_of("y", 1.04)]),
    ]
    assert speed_page.ahead([speed.run(row, ONCE) for row in made]) == (
        "- `decode` / simplejpeg's decode: in 2 of 2 cases, up to 1.300 (y)\n"
        "- `encode` / Pillow's `save`: in 1 of 2 cases, up to 1.006 (x)\n"
        "- planes / RGB, or simplejpeg's planes: in 1 of 2 cases, up to 1.040 (y)"
    )
    assert speed_page.ahead([]) == "In no case that was measured."


# ---- files and the page --------------------------------------------------------


def content() -> dict:
    curves = {
        "by_size": {"sides": [64, 128], "milliseconds": {"a": [1, 2], "b": [2, 3]}},
        "by_workers": {"workers": [1, 2], "files_per_second": {"a": [9, 18]}},
        "by_pixels": {"megapixels": [1, 4], "nanoseconds_per_pixel": {"a": [5, 5]}},
    }
    times = {part: 1.0 + i for i, part in enumerate(speed_page.PARTS)}
    costs = Counter({"decode_mcu": 650, "jsimd_idct_islow_avx2": 230, "pyfd_decode": 7})
    return {
        "curves": curves,
        "floor": [{"kind": str(BASELINE[0]), "size": OWN, "milliseconds": times}],
        "instructions": [instructions.record(BASELINE[0], "plain", costs, 10)],
    }


def run_main(monkeypatch, made: list[Row], *arguments: object) -> None:
    monkeypatch.setattr(speed, "rows", lambda *_: made)
    monkeypatch.setattr(speed, "around", lambda *_: content())
    monkeypatch.setattr("sys.argv", ["speed", *map(str, arguments)])
    speed.main()


def test_page_goes_between_its_marks(tmp_path, monkeypatch, capsys):
    """The rest of the page, which a person wrote, stays."""
    page, output = tmp_path / "page.md", tmp_path / "made" / "here"
    page.write_text(f"before\n\n<!-- made by {speed.MAKER} -->\nold{pages.END}\n\nafter\n")
    made = [Row("fast", "ours / theirs", [case_of("small", 0.5), case_of("large", 1.0101)])]
    results = tmp_path / "results.jsonl"
    for _ in range(2):
        run_main(monkeypatch, made, "--output", output, "--write", page, "--results", results)
    text = page.read_text()
    assert text.startswith(f"before\n\n<!-- made by {speed.MAKER} -->\n")
    assert text.endswith(f"{pages.END}\n\nafter\n")
    assert "old" not in text
    assert "| ours / theirs | ≤ 1.02 | 1.010 | 1.010 | 1.000 to 1.020 | large | met |" in text
    assert "| own size, q75 4:2:0 baseline | 1.00 | 2.00 | 3.00 | 4.00 | 5.00 | 6.00 |" in text
    assert "| q75 4:2:0 baseline | plain | 65 | 0 | 23 | 1 | 89 |" in text
    assert "| small | ≤ 1.02 | 0.500 |" in (output / "report.md").read_text()
    assert "| small | ≤ 1.02 | 0.500 |" in capsys.readouterr().out
    (run, _) = map(json.loads, results.read_text().splitlines())
    assert run["ratios"] == {"fast": {"≤ 1.02": [1.01, 1.01]}}
    kept = json.loads((output / "speed.json").read_text())
    assert kept["rows"][0]["cases"][1]["value"] == 1.0101
    assert kept["machine"]["packages"]["simplejpeg"]
    assert "Their wheels bring libjpeg-turbo: simplejpeg 3." in text
    for folder in (output, tmp_path / "images"):
        for name in ("time-by-size.png", "throughput.png", "scaling.png"):
            with Image.open(folder / name) as picture:
                assert min(picture.size) > 200


def test_only_some_rows(tmp_path, monkeypatch):
    made = [Row(key, key, [case_of("x", 0.5)]) for key in ("a", "b")]
    results = tmp_path / "results.jsonl"
    for some in (["--only", "b"], ["--quick"], ["--only", "b", "--quick"]):
        run_main(monkeypatch, made, "--output", tmp_path, "--results", results, *some)
    assert not results.exists()  # it has whole runs
    kept = json.loads((tmp_path / "speed.json").read_text())
    assert [row["key"] for row in kept["rows"]] == ["b"]
    assert "curves" not in kept
    assert "A quick run" in (tmp_path / "report.md").read_text()
    with pytest.raises(SystemExit, match="there are a, b"):
        run_main(monkeypatch, made, "--output", tmp_path, "--only", "c")


def test_failure_keeps_what_was_measured(tmp_path, monkeypatch):
    def fail(_: Effort) -> Measurement:
        raise ZeroDivisionError

    page = tmp_path / "page.md"
    made = [Row("a", "a", [case_of("x", 0.5)]), Row("b", "b", [Case("y", Bounds(), fail)])]
    with pytest.raises(ZeroDivisionError):
        run_main(
            monkeypatch,
            made,
            *("--output", tmp_path / "made", "--write", page, "--results", tmp_path / "results"),
        )
    assert not (tmp_path / "results").exists()
    kept = json.loads((tmp_path / "made" / "speed.json").read_text())
    assert [row["key"] for row in kept["rows"]] == ["a"]
    assert not page.exists()


def test_memory_has_no_times():
    found = Measurement(0.2, 0.1, 0.3, 3, float("nan"), float("nan"))
    measured = speed.measure(Case("x", Bounds(4.0, digits=1), lambda _: found), ONCE)
    assert measured["ours"] is None
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    assert speed_page.line(measured)[-3:] == ["–", "–", "met"]


def test_lines_are_told_apart():
    figure = speed_plots.lines([1, 2], {str(i): [i, i] for i in range(5)}, "x", "y")
    looks = {(c.get_linestyle(), c.get_marker(), c.get_color()) for c in figure.axes[0].lines}
    assert len(looks) == 5
