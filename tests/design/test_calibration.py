"""`calibrate`, compared with numpy and scipy in float64."""

import io
import math
import random
import time

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import FrequencyStatistics
from pyfd._core import binding
from tests.jpegs import encode_with_pillow, gray, picture, read_with_jpeglib, real_jpegs

SPACES = "L YCbCr"


def oracle(values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the deviation over blocks (…, 8, 8) in float64."""
    blocks = np.concatenate([v.reshape(-1, 8, 8) for v in values]).astype(np.float64)
    return blocks.mean(axis=0), blocks.std(axis=0)


@given(st.lists(real_jpegs(SPACES), min_size=1, max_size=4))
def test_files_are_jpeglibs_coefficients(tmp_path_factory, files):
    path = tmp_path_factory.mktemp("jpeglib") / "x.jpg"
    found: list[list[np.ndarray]] = [[], [], []]
    for data in files:
        planes, steps = read_with_jpeglib(path, data)
        for i, (plane, step) in enumerate(zip(planes, steps, strict=True)):
            dequantized = plane.astype(np.int64) * step.astype(np.int64)
            found[i].append(dequantized.clip(-32767, 32767))
    statistics = pyfd.calibrate(files)
    assert statistics.images == len(files)
    assert not statistics.failures
    for i, values in enumerate(found):
        assert statistics.blocks[i] == sum(v.size // 64 for v in values)
        if values:
            mean, std = oracle(values)
            assert np.allclose(statistics.mean[i], mean, rtol=1e-12, atol=1e-9)
            assert np.allclose(statistics.std[i], std, rtol=1e-9, atol=1e-6)
        else:
            assert np.isnan(statistics.mean[i]).all()
            assert np.isnan(statistics.std[i]).all()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 99), st.sampled_from([1, 3]))
def test_arrays_are_scipys_dct(width, height, seed, channels):
    image = picture(width, height, seed, channels)
    statistics = pyfd.calibrate([image])
    planes = [image.astype(float)]
    if channels == 3:
        red, green, blue = np.moveaxis(image.astype(float), 2, 0)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        planes = [luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128]
    for i, plane in enumerate(planes):
        padded = np.pad(plane - 128, ((0, -height % 8), (0, -width % 8)), mode="edge")
        blocks = padded.reshape(padded.shape[0] // 8, 8, -1, 8).swapaxes(1, 2)
        mean, std = oracle([scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho")])
        assert np.allclose(statistics.mean[i], mean, atol=1e-4)
        assert np.allclose(statistics.std[i], std, atol=1e-2)


def test_large_coefficients_are_clamped_and_counted():
    """Steps of 65535 make products beyond 16 bits, beside ordinary blocks."""
    rng = np.random.default_rng(0)
    plane = rng.integers(-1023, 1024, (40, 50, 8, 8)).astype(np.int16)
    plane[::2] //= 300
    steps = rng.integers(1, 65536, (8, 8))
    steps[:, ::2] = rng.integers(1, 40, (8, 4))
    data = pyfd.write_coefficients(
        pyfd.Coefficients([plane], pyfd.QTables(steps), ((1, 1),), 400, 320, "L")
    )
    mean, std = oracle([(plane.astype(np.int64) * steps).clip(-32767, 32767)])
    statistics = pyfd.calibrate([data])
    assert np.allclose(statistics.mean[0], mean, rtol=1e-12)
    assert np.allclose(statistics.std[0], std, rtol=1e-9)


@pytest.mark.parametrize(
    "sampling", [((1, 1),), ((2, 2),), ((2, 2), (1, 1), (1, 1)), ((1, 1), (4, 1), (1, 2))]
)
@pytest.mark.parametrize(("width", "height"), [(8, 8), (70, 41), (271, 90)])
def test_all_ways_through_a_file_are_one(sampling, width, height):
    """Files are streamed or read whole, with and without large coefficients."""
    rng = np.random.default_rng(width)
    wide, high = (max(factor[i] for factor in sampling) for i in (0, 1))
    planes, found = [], []
    steps = pyfd.QTables([rng.integers(1, 256, (8, 8)) for _ in sampling])
    for i, (h, v) in enumerate(sampling if len(sampling) > 1 else ((wide, high),)):
        rows = math.ceil(math.ceil(height * v / high) / 8)
        columns = math.ceil(math.ceil(width * h / wide) / 8)
        plane = rng.integers(-90, 91, (rows, columns, 8, 8))
        plane *= np.where(rng.random((rows, columns, 1, 1)) < 0.01, 11, 1)
        planes.append(plane.astype(np.int16))
        found.append((plane.astype(np.int64) * steps[i]).clip(-32767, 32767))
    space = "L" if len(sampling) == 1 else "YCbCr"
    coefficients = pyfd.Coefficients(planes, steps, sampling, width, height, space)
    baseline = pyfd.calibrate([pyfd.write_coefficients(coefficients)])
    assert baseline == pyfd.calibrate([pyfd.write_coefficients(coefficients, progressive=True)])
    for i, values in enumerate(found):
        mean, std = oracle([values])
        assert baseline.blocks[i] == values.size // 64
        assert np.allclose(baseline.mean[i], mean, rtol=1e-12, atol=1e-9)
        assert np.allclose(baseline.std[i], std, rtol=1e-9, atol=1e-6)


def test_more_blocks_than_32_bit_sums_hold():
    """300 × 300 blocks of ±255 carry several times into the 64-bit sums."""
    plane = np.full((300, 300, 8, 8), 255, np.int16)
    plane[:, ::2] = -255
    plane[:, ::3, 1, 1] = 17
    data = pyfd.write_coefficients(
        pyfd.Coefficients([plane], pyfd.QTables.uniform(3), ((1, 1),), 2400, 2400, "L")
    )
    mean, std = oracle([plane.astype(np.int64) * 3])
    statistics = pyfd.calibrate([data])
    assert np.allclose(statistics.mean[0], mean, rtol=1e-12, atol=1e-12)
    assert np.allclose(statistics.std[0], std, rtol=1e-12)


def test_merging_is_exact_and_in_any_order(tmp_path):
    samples = [encode_with_pillow(picture(40 + n, 30, seed=n)) for n in range(6)]
    samples += [picture(33, 20, seed=n) for n in range(3)]
    whole = pyfd.calibrate(samples, workers=3)
    parts = [pyfd.calibrate([sample]) for sample in samples]
    for seed in range(5):
        random.Random(seed).shuffle(parts)
        total = FrequencyStatistics()
        for part in parts:
            total = part.merge(total)
        assert total == whole
        assert total.digest == whole.digest
    whole.save(tmp_path / "s.json")
    assert FrequencyStatistics.load(tmp_path / "s.json") == whole


def test_damaged_and_other_files_are_named_and_left_out(tmp_path):
    good = encode_with_pillow(picture(30, 30))
    (tmp_path / "bad.jpg").write_bytes(good[:200])
    sources = [
        good,
        tmp_path / "bad.jpg",
        tmp_path / "none.jpg",
        encode_with_pillow(picture(30, 30), keep_rgb=True),
        encode_with_pillow(picture(30, 30, channels=4)),
        np.zeros((8, 8, 4), np.uint8),
        Image.new("RGBA", (8, 8)),
        b"",
    ]
    statistics = pyfd.calibrate(sources)
    assert statistics.images == 1
    assert statistics == pyfd.calibrate([good])
    assert len(statistics.failures) == 7
    assert "past the end" in statistics.failures[str(tmp_path / "bad.jpg")]
    assert statistics.failures[str(tmp_path / "none.jpg")] == "No such file or directory"
    assert "RGB file" in statistics.failures["source 3"]
    assert "alpha" in statistics.failures["source 5"]


def test_sources_of_all_kinds(tmp_path):
    data = gray(16, 16)
    (tmp_path / "x.jpg").write_bytes(data)
    sources = [data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)]
    sources += [tmp_path / "x.jpg", str(tmp_path / "x.jpg"), io.BytesIO(data)]
    sources += [np.full((16, 16), 128, np.uint8), Image.new("L", (16, 16), 128)]
    statistics = pyfd.calibrate(iter(sources))
    assert statistics.images == len(sources)
    assert statistics.blocks == (4 * len(sources), 0, 0)
    assert (statistics.std[0] == 0).all()


def test_limits_hold():
    with pytest.raises(ValueError, match="max_pixels is 10"):
        pyfd.calibrate([gray(8, 8)], limits=pyfd.Limits(max_pixels=10))


def test_workers_share_one_memory_limit(monkeypatch):
    """Progressive files whose coefficients fit only one at a time are read one at a time."""
    data = encode_with_pillow(picture(200, 200), progressive=True, subsampling=0)
    gather, running, most = binding.gather_statistics, [], []

    def watched(*arguments):
        running.append(1)
        most.append(len(running))
        time.sleep(0.01)
        result = gather(*arguments)
        running.pop()
        return result

    monkeypatch.setattr(binding, "gather_statistics", watched)
    enough = len(data) + 3 * 25 * 25 * 128
    limits = pyfd.Limits(max_memory=enough)
    assert pyfd.calibrate([data] * 8, workers=4, limits=limits).images == 8
    assert max(most) == 1
    most.clear()
    assert pyfd.calibrate([data] * 8, workers=4).images == 8
    assert max(most) > 1
    with pytest.raises(ValueError, match=f"max_memory is {enough - 1}, .* needs {enough}"):
        pyfd.calibrate([data], limits=pyfd.Limits(max_memory=enough - 1))


@pytest.mark.parametrize("sources", [[], [b"junk"]])
def test_nothing_readable_is_an_error(sources):
    with pytest.raises(ValueError, match="no source could be read"):
        pyfd.calibrate(sources)


def test_misuse_is_an_error():
    with pytest.raises(TypeError, match="iterable"):
        pyfd.calibrate("photos/")
    with pytest.raises(ValueError, match="workers"):
        pyfd.calibrate([gray()], workers=0)


def test_two_band_protects_the_largest_deviations():
    statistics = pyfd.calibrate([picture(200, 150, seed=n) for n in range(3)])
    tables = statistics.two_band(step=40, protected_step=5, protected=12)
    assert len(tables) == 3
    for table, std in zip(tables, statistics.std, strict=True):
        assert (table == 5).sum() == 12
        assert std[table == 5].min() >= std[table == 40].max()
    assert len(pyfd.calibrate([gray()]).two_band(step=9, protected_step=2, protected=3)) == 1
    with pytest.raises(ValueError, match="no blocks"):
        FrequencyStatistics().two_band(step=9, protected_step=2, protected=3)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"version": 2},
        {"unit_bits": 20},
        {"sums": [1]},
        {"sums": None},
        {"blocks": [1, 2, "3"]},
        {"squares": [-1] * 192},
        {"images": 1.5},
        {"failures": []},
    ],
)
def test_load_refuses_other_files(tmp_path, change):
    import json

    path = tmp_path / "s.json"
    pyfd.calibrate([gray()]).save(path)
    content = json.loads(path.read_text()) | change
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"s\.json|must"):
        FrequencyStatistics.load(path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"s\.json"):
        FrequencyStatistics.load(path)
