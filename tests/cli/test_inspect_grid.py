"""`pyfd inspect --require`: whether files lie on the grid of tables, the test of an encoder."""

from __future__ import annotations

import json
import re

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyfd
from pyfd import QTables
from tests.cli.samples import DEFAULT, jpeg, picture
from tests.jpegs import encode_with_pillow


def test_a_file_with_the_tables_is_taken(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(pyfd.encode(picture(), DEFAULT, subsampling="4:2:0"))
    outcome = run_binary("inspect", path, "-q", DEFAULT.name, "--require")
    assert (outcome.code, outcome.err) == (0, "")
    line = "  100 % of the coefficients lie on the grid: the file has these tables"
    assert line in outcome.out.decode().splitlines()


def test_a_file_off_the_grid_is_refused_by_name(run_binary, photo):
    outcome = run_binary("inspect", photo, "-q", 16, "--require")
    assert outcome.code == 1
    dequantized = [pyfd.read_coefficients(photo).dequantized(i) for i in range(3)]
    off = [np.count_nonzero(array % 16) for array in dequantized]
    where = ", ".join(
        f"{count:,} of {array.size:,} coefficients of {name}"
        for name, count, array in zip(("Y", "Cb", "Cr"), off, dequantized, strict=True)
    )
    assert outcome.lines == [f"pyfd: {photo}: not on the grid of uniform-16: {where}"]
    total = sum(array.size for array in dequantized)
    assert f"  not on the grid: {sum(off):,} of {total:,} coefficients would change" in (
        outcome.out.decode()
    )
    assert run_binary("inspect", photo, "-q", 16).code == 0


def test_folders(run_binary, tmp_path):
    for name, qtables in (("a", DEFAULT), ("deep/b", "fd-2018"), ("deep/c", DEFAULT)):
        path = tmp_path / "in" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pyfd.encode(picture(), qtables))
    (tmp_path / "in" / "bad.jpg").write_bytes(jpeg()[:500])
    outcome = run_binary("inspect", tmp_path / "in", "-q", DEFAULT.name, "--require", "--json")
    assert outcome.code == 1
    found = [json.loads(line) for line in outcome.out.splitlines()]
    assert [item["effect"]["on_grid"] for item in found] == [True, False, True]
    refused = [line.split(": ")[1].rpartition("/")[2] for line in outcome.lines]
    assert refused == ["bad.jpg", "b.jpg"]


def test_a_picture_without_detail_proves_nothing_about_the_encoder(run_binary, tmp_path):
    """A gray picture lies on every grid; the line on stderr says that its tables are others."""
    path = tmp_path / "x.jpg"
    path.write_bytes(pyfd.encode(np.full((16, 16, 3), 128, np.uint8), [[[7] * 8] * 8]))
    outcome = run_binary("inspect", path, "-q", 16, "--require")
    assert outcome.code == 0
    assert outcome.lines == [
        f"pyfd: {path}: lies on the grid, but has other tables: another picture may not"
    ]
    assert "lie on the grid: in this picture; the file has other tables" in outcome.out.decode()


def test_steps_that_are_multiples(run_binary, tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(pyfd.encode(picture(), QTables.uniform(40)))
    outcome = run_binary("inspect", path, "-q", 20, "--require")
    assert (outcome.code, outcome.err) == (0, "")
    assert "on the grid: the file's steps are multiples of these" in outcome.out.decode()


def test_coefficients_that_saturate_are_off_the_grid(run_binary, tmp_path):
    """The grid ends at the largest multiple that a file can hold: 1023 steps."""
    blocks = np.zeros((1, 1, 8, 8), np.int16)
    blocks[0, 0, 0, 1] = 1000
    data = pyfd.write_coefficients(
        pyfd.Coefficients([blocks], QTables.uniform(2), [(1, 1)], 8, 8, "L")
    )
    (tmp_path / "x.jpg").write_bytes(data)
    outcome = run_binary("inspect", tmp_path / "x.jpg", "-q", 1, "--require")
    assert outcome.code == 1
    assert "1 of 64 coefficients of Y" in outcome.err


def test_it_needs_tables(run_binary, photo):
    outcome = run_binary("inspect", photo, "--require")
    assert (outcome.code, outcome.out) == (2, b"")
    assert "add -q T" in outcome.err


def test_limits_hold(run_binary, photo):
    outcome = run_binary("inspect", photo, "-q", 16, "--require", "--max-pixels", 100)
    assert (outcome.code, outcome.out) == (1, b"")
    assert "max_pixels" in outcome.err


def test_names_of_tables_reach_no_terminal(run_binary, photo, tmp_path):
    QTables(np.full((8, 8), 3), "\x1b[31m\nx").save(tmp_path / "t.json")
    outcome = run_binary("inspect", photo, "-q", tmp_path / "t.json", "--require")
    assert outcome.code == 1
    assert len(outcome.lines) == 1
    text = outcome.out.decode() + outcome.err
    assert all(letter == "\n" or letter.isprintable() for letter in text)


def held(multiples: np.ndarray) -> bool:
    """Return whether a file can hold the coefficients (ITU-T T.81, F.1.2)."""
    least = np.full((8, 8), -1023)
    least[0, 0] = -1024
    return bool((multiples >= least).all() and (multiples <= 1023).all())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3, 4]),
    st.booleans(),
    st.integers(1, 100),
    st.integers(1, 60),
)
def test_it_agrees_with_the_files_own_coefficients(
    run_binary, tmp_path_factory, width, height, channels, progressive, quality, step
):
    """Pillow's files on grids of any step, with numpy as the judge."""
    pixels = np.random.default_rng(step).integers(0, 256, (height, width, channels), np.uint8)
    data = encode_with_pillow(
        pixels[..., 0] if channels == 1 else pixels, quality=quality, progressive=progressive
    )
    path = tmp_path_factory.mktemp("grid") / "x.jpg"
    path.write_bytes(data)
    coefficients = pyfd.read_coefficients(data)
    values = [coefficients.dequantized(i) for i in range(channels)]
    expected = all(
        (array % step == 0).all() and abs(array).max() <= 1023 * step for array in values
    )
    outcome = run_binary("inspect", path, "-q", step, "--require", "--json")
    assert outcome.code == (0 if expected else 1)
    effect = json.loads(outcome.out)["effect"]
    assert effect["on_grid"] == expected
    for i, shares in enumerate(effect["components"].values()):
        table = coefficients.qtables[i]
        kind = "multiple" if (table % step == 0).all() else "other"
        assert shares["table"] == ("same" if (table == step).all() else kind)
    assert bool(re.search("not on the grid", outcome.err)) == (not expected)
