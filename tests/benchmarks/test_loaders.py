"""benchmarks/loaders.py: the same crops for all, and the table."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import pyfd
from benchmarks import commands, loaders, loading, pages, peers
from benchmarks.files import Kind, write
from benchmarks.loaders import Run, Way
from tests.jpegs import picture

OURS = [name for name in loading.DECODERS if name != "torchvision"]
SMALL = write(Image.fromarray(picture(400, 300, seed=2)), Kind(90, "4:2:0"))
LARGE = write(Image.fromarray(picture(1300, 1100, seed=2)), Kind(90, "4:2:0"))


def test_crops_are_drawn_as_random_resized_crops_are():
    boxes = [loading.crop(number, 500, 375) for number in range(200)]
    assert boxes == [loading.crop(number, 500, 375) for number in range(200)]
    assert len(set(boxes)) > 190
    for left, top, width, height in boxes:
        assert 0 <= left <= 500 - width
        assert 0 <= top <= 375 - height
        assert 0.07 < width * height / (500 * 375) <= 1
        assert 0.74 < width / height < 1.35
    assert loading.crop(0, 10_000, 1) == (0, 0, 10_000, 1)  # no part of it has the aspect


def test_the_scale_leaves_as_many_pixels_as_the_crop_needs():
    sides = {223: 1, 224: 1, 447: 1, 448: 2, 895: 2, 896: 4, 1792: 8, 9000: 8}
    assert {side: loading.scale_for((0, 0, side, 2 * side)) for side in sides} == sides


@pytest.mark.parametrize("name", OURS)
def test_all_take_the_same_part(name):
    tables = pyfd.QTables.preset("fd-cvpr2019") if name == "pyfd" else None
    whole = pyfd.decode(SMALL, tables)
    for number in range(3):
        expected = loading.part(whole, loading.crop(number, 400, 300))
        crop = loading.DECODERS[name]()(SMALL, number)
        assert crop.dtype == np.uint8
        assert (crop == expected).all()


@pytest.mark.parametrize("name", OURS)
def test_of_a_large_file_all_decode_the_part_at_the_same_size(name):
    decode = loading.DECODERS[name]()
    for number in range(4):
        box = loading.crop(number, 1300, 1100)
        scale = loading.scale_for(box)
        crop = decode(LARGE, number)
        assert crop.shape == (box[3] // scale, box[2] // scale, 3)
        expected = loading.part(pyfd.decode(LARGE, scale=scale), loading.scaled(box, scale))
        assert abs(crop.astype(int) - expected).mean() < 12  # tables move pixels, too
    assert any(loading.scale_for(loading.crop(n, 1300, 1100)) > 1 for n in range(4))


def test_a_sample_has_the_networks_size():
    crop, seconds = loading.sample(loading.pyfd_crop(), SMALL, 0)
    assert (crop.shape, crop.dtype) == ((3, 224, 224), torch.uint8)
    assert seconds > 0
    assert loading.resized(torch.full((50, 60, 3), 7, dtype=torch.uint8)).unique() == 7


def test_a_quick_run_fills_the_page(tmp_path, monkeypatch):
    """The loaders run in this process instead of one of their own each."""
    page = tmp_path / "page.md"
    monkeypatch.setattr(peers, "bundled_beside", dict)
    monkeypatch.setattr(
        loaders,
        "run",
        lambda way, place, batch: Run(
            **loading.measure(way.decoder, way.source, place, way.workers, batch)
        ),
    )
    monkeypatch.setattr("sys.argv", ["loaders", "--quick", "--rounds", "1", "--write", str(page)])
    loaders.main()
    text = page.read_text()
    assert text.startswith(f"<!-- made by {loaders.MAKER} -->")
    assert text.endswith(pages.END)
    for source in loading.SOURCES:
        for name in OURS:
            assert f"| own size | {source} | 1 | {name} | " in text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_both_sources_hold_all_files(tmp_path):
    places = loaders.write([SMALL, LARGE], 9, tmp_path)
    seen = {}
    for source, load in loading.SOURCES.items():
        sizes = []
        data = load(places[source], lambda data, number, sizes=sizes: record(sizes, data, number))
        assert len([data[i] for i in range(len(data))] if source == "folder" else list(data)) == 9
        seen[source] = sorted(sizes)
    assert seen["folder"] == seen["shards"]
    assert seen["folder"] == [(i, len(LARGE if i % 2 else SMALL)) for i in range(9)]
    del data
    gc.collect()  # WebDataset leaves its files to it


def record(sizes: list, data: bytes, number: int) -> np.ndarray:
    sizes.append((number, len(data)))
    return np.zeros((8, 8, 3), np.uint8)


def test_torchvision_takes_part_where_its_environment_has_what_it_needs(monkeypatch):
    def sources() -> set[str]:
        chosen = loaders.ways(["a"], [1])
        return {way.source for way in chosen if way.decoder == "torchvision"}

    for there, expected in (
        ([], set()),
        (["torchvision"], {"folder"}),
        (["torchvision", "webdataset"], {"folder", "shards"}),
    ):
        monkeypatch.setattr(
            peers, "bundled_beside", lambda there=there: {name: {} for name in there}
        )
        assert sources() == expected


def test_each_worker_has_work():
    """Otherwise, four of them would be measured like fewer."""
    for material in loaders.MATERIALS.values():
        for workers in loaders.WORKERS:
            assert material.count / material.batch / workers >= 2
            assert loaders.SHARDS / workers >= 2


def test_the_ways_take_turns(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(peers, "bundled_beside", dict)
    monkeypatch.setattr(
        loaders, "run", lambda way, _, batch: asked.append((way, batch)) or Run(1, 1, 1, 1, 1)
    )
    materials = {"a": loaders.QUICK}
    places = {"a": dict.fromkeys(loading.SOURCES, tmp_path)}
    found = loaders.measure(materials, places, [1], 2)
    assert len(asked) == 2 * len(found) == 2 * 2 * len(OURS)
    assert asked == asked[::-1]
    assert all(len(runs) == 2 for runs in found.values())
    assert {batch for _, batch in asked} == {loaders.QUICK.batch}


def test_a_loader_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["loaders", "--quick", "--photos", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="none: No such file or directory"):
        commands.run(loaders.main)
    failing = tmp_path / "loading.py"
    failing.write_text("raise ImportError('no decoder')")
    monkeypatch.setattr(loaders, "LOADING", failing)
    with pytest.raises(SystemExit, match=r"loading\.py pyfd folder .*: ImportError: no decoder$"):
        commands.run(lambda: loaders.run(Way("a", "folder", 1, "pyfd"), tmp_path, 8))


def test_memory_is_that_of_the_peak():
    """A child that has held 40 MiB more than it holds now."""
    code = "import sys; x = b'x' * (40 << 20); del x; print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        process.stdout.readline()
        assert 40 < loading.mebibytes(process.pid) < 80
        process.stdin.close()


def test_the_worst_case_decides():
    def runs(rate: float) -> list[Run]:
        return [Run(100, 100 / r, 0.2, 0.05, 300) for r in (rate - 1, rate, rate + 50)]

    found = {
        Way("a", "folder", 1, "pyfd"): runs(230),
        Way("a", "folder", 1, "Pillow"): runs(100),
        Way("a", "folder", 1, "OpenCV"): runs(200),
        Way("a", "shards", 2, "pyfd"): runs(300),
        Way("a", "shards", 2, "Pillow"): runs(100),
    }
    text = loaders.report(found)
    assert "2.08 typically, 1.15 at worst (against OpenCV: a, folder, workers: 1)" in text
    assert text.splitlines()[0].endswith("target ≥ 1.15: met.")
    assert "| a | folder | 1 | OpenCV | 200 | 1.15 | 2.00 | 25% | 300 |" in text
    assert loaders.gains(found)[Way("a", "folder", 1, "Pillow")] == pytest.approx(2.3)  # of rounds
    found[Way("a", "shards", 2, "OpenCV")] = runs(290)
    assert "target ≥ 1.15: **not met**." in loaders.report(found)
