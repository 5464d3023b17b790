"""`pyfd calibrate`: its results, and the inputs that it refuses."""

from __future__ import annotations

import sys

from PIL import Image

import pyfd
from pyfd._core.files import RegularFile
from tests.cli.samples import damage
from tests.jpegs import encode_with_pillow, picture


def test_calibrate(run, photos_here, tmp_path):
    target = tmp_path / "new" / "stats.json"
    code, out, err = run("calibrate", photos_here, "-o", target, "--workers", 2)
    assert (code, err) == (0, "")
    expected = pyfd.calibrate(sorted(photos_here.rglob("*.jpg")))
    found = pyfd.FrequencyStatistics.load(target)
    assert found == expected
    luma, blue, red = expected.blocks
    assert out == f"3 images, {luma} blocks of Y, {blue} of Cb, {red} of Cr: {target}\n"


def test_calibrate_names_damaged_files_and_counts_the_others(run, photos_here, tmp_path):
    good = pyfd.calibrate(sorted(photos_here.rglob("*.jpg")))
    bad = damage(photos_here)
    rgb = photos_here / "rgb.jpg"
    rgb.write_bytes(encode_with_pillow(picture(16, 16), keep_rgb=True))
    code, out, err = run("calibrate", photos_here, "-o", tmp_path / "stats.json")
    assert code == 1
    first, second = err.splitlines()
    assert first.startswith(f"pyfd: {bad}: ")
    assert second.startswith(f"pyfd: {rgb}: a RGB file")
    assert out.startswith("3 images")
    assert pyfd.FrequencyStatistics.load(tmp_path / "stats.json") == good


def test_calibrate_on_nothing_good(run, photos_here, tmp_path):
    target = tmp_path / "stats.json"
    code, out, err = run("calibrate", damage(photos_here), tmp_path / "missing.jpg", "-o", target)
    assert (code, out) == (1, "")
    assert err.startswith("pyfd: calibrate: no source could be read")
    assert "missing.jpg: No such file" in err
    (tmp_path / "empty").mkdir()
    code, _, err = run("calibrate", tmp_path / "empty", "-o", target)
    assert code == 1
    assert "no files in it" in err
    assert not target.exists()


def test_calibrate_passes_its_options_on(run, photos_here, tmp_path, monkeypatch):
    seen = {}
    found = pyfd.calibrate([picture(8, 8)])

    def calibrate(sources, **options):
        seen.update(options, sources=list(sources))
        return found

    monkeypatch.setattr(pyfd, "calibrate", calibrate)
    options = ("--workers", 3, "--max-pixels", 99)
    assert run("calibrate", photos_here, "-o", tmp_path / "s.json", *options)[0] == 0
    names = [RegularFile(str(photos_here / "deep" / f"{n}.jpg")) for n in range(3)]
    limits = pyfd.Limits(max_pixels=99)
    assert seen == {"sources": names, "workers": 3, "progress": False, "limits": limits}
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run("calibrate", photos_here, "-o", tmp_path / "s.json")[0] == 0
    assert seen["progress"]
    assert seen["workers"] is None


def test_calibrate_plots(run, photos_here, tmp_path):
    plot = tmp_path / "stats.png"
    assert run("calibrate", photos_here, "-o", tmp_path / "s.json", "--plot", plot)[0] == 0
    with Image.open(plot) as image:
        assert image.format == "PNG"


def test_calibrate_that_cannot_write(run, photos_here):
    target = photos_here / "deep" / "0.jpg" / "s.json"
    code, _, err = run("calibrate", photos_here, "-o", target)
    assert code == 1
    assert f"cannot write {target}: " in err
