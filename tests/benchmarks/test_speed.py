"""The speed benchmark: pairs, verdicts, counts and the page. No test looks at a clock."""

from __future__ import annotations

import io
import json
import subprocess
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn, idctn

from benchmarks import compare, instructions, pages, peers, speed, speed_page, speed_plots, timing
from benchmarks.files import BASELINE, FEW, OWN, Files, tiled
from benchmarks.rows import ROWS, Case, Row, UnmeasuredError, rows
from benchmarks.timing import Bounds, Effort, Measurement
from pyfd._core import native
from tests.jpegs import encode_with_pillow, picture

ONCE = Effort(seconds=0, rounds=1)


@pytest.fixture(scope="module")
def files() -> Files:
    return Files()


# ---- pairs --------------------------------------------------------------------


def test_each_side_comes_first_as_often():
    calls = []
    items = ["a", "b", "c", "d"]
    found = timing.interleaved(
        lambda item: calls.append(("ours", item)),
        lambda item: calls.append(("theirs", item)),
        items,
        Effort(seconds=0, rounds=2),
    )
    timed = calls[4:]  # the first two items warm up
    pairs = [tuple(timed[i : i + 2]) for i in range(0, len(timed), 2)]
    assert found.pairs == len(pairs) == 8
    assert all(first[1] == second[1] and first[0] != second[0] for first, second in pairs)
    for item in items:
        firsts = [first[0] for first, _ in pairs if first[1] == item]
        assert sorted(firsts) == ["ours", "theirs"]


def test_ratio_is_of_pairs_not_of_medians():
    found = timing.summary([1, 30, 2, 8, 5], [1, 10, 4, 4, 5])
    assert (found.value, found.low, found.high, found.pairs) == (1, 1, 2, 5)
    assert (found.ours, found.theirs) == (5, 4)


def test_inverse_turns_the_spread_around():
    found = timing.inverse(Measurement(0.01, 0.005, 0.02, 7, 1.0, 100.0))
    assert found == pytest.approx((100, 50, 200, 7, 1.0, 100.0))


def test_medians_of_several_calls():
    calls = {"a": 0, "b": 0}

    def call(name):
        calls[name] += 1

    found = timing.medians({n: lambda n=n: call(n) for n in calls}, Effort(0, 3))
    assert list(found) == ["a", "b"]
    assert calls == {"a": 4, "b": 4}  # one to warm up


# ---- verdicts -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "value", "met"),
    [
        (Bounds(1.02), 1.0249, True),  # 1.02, as the target is stated
        (Bounds(1.02), 1.026, False),
        (Bounds(at_least=1000, digits=0), 999.6, True),
        (Bounds(at_least=1000, digits=0), 999.4, False),
        (Bounds(at_least=0.85, at_most=1.15), 0.84, False),
        (Bounds(at_least=0.85, at_most=1.15), 1.16, False),
        (Bounds(at_least=0.85, at_most=1.15), 1.0, True),
    ],
)
def test_bounds(bounds, value, met):
    assert bounds.met(value) is met
    assert (bounds.excess(value) <= 1) is met


def test_bounds_say_what_they_are():
    shown = [Bounds(1.02), Bounds(at_least=1000, digits=0), Bounds(1.15, 0.85), Bounds()]
    assert [str(b) for b in shown] == ["≤ 1.02", "≥ 1,000", "0.85 to 1.15", "–"]


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


# ---- rows ---------------------------------------------------------------------


def test_rows_and_cases_have_names_of_their_own(files):
    made = rows(files)
    assert len({row.key for row in made}) == len(ROWS)
    for row in made:
        labels = [case.label for case in row.cases]
        assert len(set(labels)) == len(labels) > 1


def test_quick_keeps_a_case_of_each_bound(files):
    for whole, quick in zip(rows(files), rows(files, quick=True), strict=True):
        assert {c.bounds for c in quick.cases} == {c.bounds for c in whole.cases}
        assert len(quick.cases) <= 5


@pytest.mark.parametrize("make", ROWS, ids=lambda make: make.__name__)
@pytest.mark.filterwarnings("ignore")  # of ART and kornia, when they are imported
def test_first_case_of_a_row_can_be_measured(files, make):
    found = speed.measure(make(files).cases[0], ONCE)
    assert "unmeasured" in found or (found["value"] > 0 and found["low"] <= found["high"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tensors", [False, True])
def test_twin_runs_the_way_that_it_says(files, monkeypatch, tensors):
    import pyfd.torch
    from benchmarks import twin

    calls = []
    real = pyfd.torch.FeatureDistillation._in_tensors

    def spy(self, images):
        calls.append(len(images))
        return real(self, images)

    monkeypatch.setattr(pyfd.torch.FeatureDistillation, "_in_tensors", spy)
    variant = next(v for v in twin.variants() if v.tensors == tensors)
    twin.measure(variant, files.photos("224×224"), ONCE)
    assert bool(calls) is tensors


def test_files_are_what_their_kind_says(files):
    for kind in FEW:
        with Image.open(io.BytesIO(files.of("64×64", kind)[0])) as image:
            assert image.size == (64, 64)
            assert bool(image.info.get("progressive")) == kind.progressive


def test_tiles_repeat_the_photograph():
    image = Image.fromarray(picture(5, 3))
    pixels = np.asarray(tiled(image, (12, 7)))
    assert pixels.shape == (7, 12, 3)
    assert (pixels[3:6, 5:10] == np.asarray(image)).all()


def test_reference_is_the_papers_arithmetic():
    pixels = picture(24, 16, seed=3)
    steps = np.linspace(7, 31, 64).reshape(8, 8) * np.pi / 3  # no ties in rounding
    blocks = pixels.reshape(2, 8, 3, 8, 3).astype(float)
    coefficients = dctn(blocks, axes=(1, 3), norm="ortho")
    grid = steps[None, :, None, :, None]
    expected = idctn(np.round(coefficients / grid) * grid, axes=(1, 3), norm="ortho")
    expected = expected.round().clip(0, 255).astype(np.uint8).reshape(16, 24, 3)
    assert (peers.reference_arithmetic(pixels, steps) == expected).all()


# ---- instructions -------------------------------------------------------------

CALLGRIND = """\
# callgrind format
events: Ir
fl=(unknown)
fn=decode_mcu.part.0
0 600
calls=2 0
0 5000
0 50
fn=jsimd_idct_islow_avx2
0 200
fn=jsimd_idct_islow_avx2.columnloop
+3 30
fn=pyfd_decode
0 7
cfn=decode_mcu.part.0
calls=1 0
0 5850

totals: 887
"""


def test_callees_are_not_counted_twice():
    costs = instructions.by_function(CALLGRIND.splitlines())
    assert costs == {"decode_mcu": 650, "jsimd_idct_islow_avx2": 230, "pyfd_decode": 7}
    assert instructions.by_stage(costs) == {
        "entropy decoding": 650,
        "re-quantization and inverse DCT": 230,
        "upsampling and color": 0,
        "the rest": 7,
    }


@pytest.mark.parametrize(
    ("function", "stage"),
    [
        ("decode_mcu_AC_refine", "entropy decoding"),
        ("jpeg_fill_bit_buffer", "entropy decoding"),
        ("requant_idct_avx2", "re-quantization and inverse DCT"),
        ("jsimd_h2v2_fancy_upsample_avx2", "upsampling and color"),
        ("jsimd_ycc_extrgb_convert_avx2", "upsampling and color"),
        ("jpeg_idct_islow", "re-quantization and inverse DCT"),
        ("decompress_onepass", "the rest"),
        ("pyfd_decode", "the rest"),
        ("__memset_avx2_unaligned_erms", "the rest"),
    ],
)
def test_stages(function, stage):
    assert instructions.stage_of(function) == stage


def test_driver_does_each_operation(tmp_path):
    if not native.FOLDER.is_dir():
        return  # `make asan` builds no libraries
    program = instructions.build(native.FOLDER, tmp_path)
    file = tmp_path / "file.jpg"
    file.write_bytes(encode_with_pillow(picture(40, 24), quality=75))
    for operation in instructions.OPERATIONS:
        subprocess.run([program, operation, file, file], check=True)
    file.write_bytes(b"not a JPEG")
    assert subprocess.run([program, "plain", file], check=False).returncode == 1
    done = subprocess.run([program, "no-such", file], check=False, capture_output=True)
    assert done.returncode == 2
    nm = subprocess.run(["nm", program], check=True, capture_output=True, text=True)
    (address,) = (line.split()[0] for line in nm.stdout.splitlines() if line.endswith(" measured"))
    costs = Counter({f"0x{address}": 5, "measured": 2, "other": 1})
    assert instructions.named(costs, program) == {"measured": 7, "other": 1}


def test_blocks_of_all_components():
    assert instructions.blocks(encode_with_pillow(picture(33, 17), subsampling=2)) == 15 + 2 * 6


# ---- two commits --------------------------------------------------------------


def test_two_builds_are_asked_in_turn(tmp_path):
    (tmp_path / "file.jpg").write_bytes(encode_with_pillow(picture(16, 16)))
    with compare.workers([compare.ROOT] * 2, tmp_path) as (old, new):
        for operation in compare.OPERATIONS:
            found = compare.compare(old, new, operation, "file.jpg", 0)
            assert found.pairs == 5
            assert found.value > 0
    assert new.process.returncode == 0


def test_unknown_commit_is_refused():
    with pytest.raises(SystemExit, match="no-such-commit"):
        compare.commit_of("no-such-commit")


# ---- what is written ----------------------------------------------------------


def content() -> dict:
    curves = {
        "by_size": {"sides": [64, 128], "milliseconds": {"a": [1, 2], "b": [2, 3]}},
        "by_workers": {"workers": [1, 2], "files_per_second": {"a": [9, 18]}},
        "by_pixels": {"megapixels": [1, 4], "nanoseconds_per_pixel": {"a": [5, 5]}},
    }
    times = {part: 1.0 + i for i, part in enumerate(speed_page.PARTS)}
    costs = instructions.by_function(CALLGRIND.splitlines())
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
    """And leaves what a person wrote."""
    page, output = tmp_path / "page.md", tmp_path / "made" / "here"
    page.write_text(f"before\n\n<!-- made by {speed.MAKER} -->\nold{pages.END}\n\nafter\n")
    made = [Row("fast", "ours / theirs", [case_of("small", 0.5), case_of("large", 1.0101)])]
    run_main(monkeypatch, made, "--output", output, "--write", page)
    text = page.read_text()
    assert text.startswith(f"before\n\n<!-- made by {speed.MAKER} -->\n")
    assert text.endswith(f"{pages.END}\n\nafter\n")
    assert "old" not in text
    assert "| ours / theirs | ≤ 1.02 | 1.010 | 1.010 | 1.000 to 1.020 | large | met |" in text
    assert "| own size, q75 4:2:0 baseline | 1.00 | 2.00 | 3.00 | 4.00 | 5.00 | 6.00 |" in text
    assert "| q75 4:2:0 baseline | plain | 65 | 0 | 23 | 1 | 89 |" in text
    assert "| small | ≤ 1.02 | 0.500 |" in (output / "report.md").read_text()
    assert "| small | ≤ 1.02 | 0.500 |" in capsys.readouterr().out
    kept = json.loads((output / "speed.json").read_text())
    assert kept["rows"][0]["cases"][1]["value"] == 1.0101
    assert kept["machine"]["packages"]["simplejpeg"]
    for folder in (output, tmp_path / "images"):
        for name in ("time-by-size.png", "throughput.png", "scaling.png"):
            with Image.open(folder / name) as picture:
                assert min(picture.size) > 200


def test_only_some_rows(tmp_path, monkeypatch):
    made = [Row(key, key, [case_of("x", 0.5)]) for key in ("a", "b")]
    run_main(monkeypatch, made, "--output", tmp_path, "--only", "b", "--quick")
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
        run_main(monkeypatch, made, "--output", tmp_path / "made", "--write", page)
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
