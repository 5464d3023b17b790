"""The libraries of today beside ours: what they do is the same, and their versions are named."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from benchmarks import bundled, peer_rows, peers, speed
from benchmarks.cases import UnmeasuredError
from benchmarks.files import FEW, WAYS, Files, Kind, write
from benchmarks.timing import Effort
from tests.jpegs import picture

ONCE = Effort(seconds=0, rounds=1)

#: Enough of torchvision for its worker, on top of Pillow
STAND_IN = """
import io, numpy, torch
from PIL import Image

class ImageReadMode:
    RGB = "RGB"

def decode_jpeg(data, mode):
    pixels = numpy.asarray(Image.open(io.BytesIO(data.numpy().tobytes())).convert(mode))
    return torch.tensor(pixels).permute(2, 0, 1)

def encode_jpeg(pixels, quality):
    assert pixels.shape[0] == 3 and pixels.permute(1, 2, 0).is_contiguous()
    buffer = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
"""


@pytest.fixture
def environment(tmp_path, monkeypatch) -> Path:
    """A folder that stands for an environment, in which there is no torchvision yet."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv(peers.VARIABLE, sys.executable)
    for cached in (peers.torchvision, peers.bundled_beside):
        cached.cache_clear()
    yield folder
    for cached in (peers.torchvision, peers.bundled_beside):
        cached.cache_clear()


@pytest.fixture
def torchvision(environment) -> Path:
    """The same with a stand-in of torchvision, whose library states a version."""
    (environment / "torchvision").mkdir()
    (environment / "torchvision" / "__init__.py").touch()
    (environment / "torchvision" / "io.py").write_text(STAND_IN)
    (environment / "torchvision.libs").mkdir()
    library = environment / "torchvision.libs" / "libjpeg.so.8"
    library.write_bytes(b"\0\1libjpeg-turbo version 9.8.7 (build 20300101)\0")
    record = environment / "torchvision-1.2.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 1.2\n")
    (record / "RECORD").write_text("torchvision.libs/libjpeg.so.8,,\n")
    return environment


@pytest.mark.parametrize("kind", [*FEW, Kind(90, "4:2:0")], ids=str)
def test_all_decode_to_the_same_pixels(kind):
    data = write(Image.fromarray(picture(45, 70, seed=1)), kind)
    expected = pyfd.decode(data)
    assert (peers.simplejpeg_decode(data) == expected).all()
    assert (peers.imagecodecs_decode(data) == expected).all()
    assert (peers.opencv_decode(data)[..., ::-1] == expected).all()
    assert (np.asarray(peers.pillow_decode(data)) == expected).all()


def test_the_fast_ways_have_other_pixels():
    """That is why they have no target."""
    data = write(Image.fromarray(picture(45, 70, seed=1)), Kind(90, "4:2:0"))
    for option in ("fastdct", "fastupsample"):
        assert (peers.simplejpeg_decode(data, **{option: True}) != pyfd.decode(data)).any()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "encode", [peers.simplejpeg_encode, peers.imagecodecs_encode, peers.opencv_encode]
)
def test_all_encode_with_the_same_tables_and_sampling(encode, way):
    header = pyfd.probe(bytes(encode(Kind(90, way))(picture(32, 48))))
    expected = pyfd.QTables.annex_k(90)
    assert all((header.qtables[i] == expected[i]).all() for i in range(3))
    assert header.subsampling == way


def test_the_wheels_name_their_libraries():
    found = peers.libraries()
    assert found.keys() >= {"simplejpeg", "pillow", "imagecodecs", "OpenCV"}
    assert all(int(version.partition(".")[0]) >= 3 for version in found.values())


@pytest.mark.usefixtures("torchvision")
def test_versions_are_asked_of_another_python():
    command = [sys.executable, bundled.__file__, "torchvision", "no-such-distribution"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    expected = {"version": "1.2", "libjpeg_turbo": "9.8.7"}
    assert found == {"torchvision": expected, "no-such-distribution": None}
    assert peers.libraries()["torchvision"] == "9.8.7"


@pytest.mark.usefixtures("torchvision")
def test_torchvision_is_measured_in_its_own_environment():
    files = Files()
    for make in (peer_rows.over_torchvision, peer_rows.encode_over_torchvision):
        found = speed.measure(make(files).cases[0], ONCE)
        assert found["value"] > 0
        assert found["theirs"] > 0
    peers.torchvision().close()


def test_a_torchvision_that_fails_is_not_measured(torchvision):
    (torchvision / "torchvision" / "io.py").write_text(f"{STAND_IN}\nraise SystemExit(5)")
    found = speed.measure(peer_rows.over_torchvision(Files()).cases[0], ONCE)
    assert found["unmeasured"] == "torchvision's process ended with exit code 5"


def test_the_variable_must_name_a_python(environment, monkeypatch):
    for name in (environment / "none", environment):
        monkeypatch.setenv(peers.VARIABLE, str(name))
        with pytest.raises(SystemExit, match=f"^{peers.VARIABLE} names no Python: "):
            peers.bundled_beside()


def test_memory_that_has_been_used_is_written_to():
    data = write(Image.fromarray(picture(45, 70, seed=1)), FEW[0])
    for decode, name in ((peers.simplejpeg_decode, "buffer"), (peers.imagecodecs_decode, "out")):
        out = np.zeros((70, 45, 3), np.uint8)
        decode(data, **{name: out})
        assert (out == pyfd.decode(data)).all()


@pytest.mark.usefixtures("environment")
def test_without_torchvision_a_row_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(peers, "bundled_beside", cache(dict))
    with pytest.raises(UnmeasuredError, match="PYFD_TORCHVISION"):
        peers.torchvision()


def test_pixels_and_files_are_stored_for_the_worker(tmp_path):
    assert Path(peer_rows.stored(b"data", tmp_path / "a")).read_bytes() == b"data"
    pixels = picture(8, 8)
    assert (np.load(peer_rows.stored(pixels, tmp_path / "b")) == pixels).all()
