"""Certificates, compared with the codec's behavior under perturbations."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyfd
from pyfd import QTables, analysis
from pyfd.cli.certify import certify as command
from pyfd.header import SUBSAMPLING
from tests.jpegs import picture

FD = QTables.preset("fd-cvpr2019")
MIXED = QTables([np.full((8, 8), 24), np.arange(20, 84).reshape(8, 8), QTables.annex_k(50)[1]])


def coefficients(image: np.ndarray, qtables: QTables, subsampling: str) -> tuple[np.ndarray, ...]:
    """Return the codec's coefficients of an image."""
    data = pyfd.encode(image, qtables, subsampling=subsampling, baseline=False)
    return tuple(pyfd.read_coefficients(data).components)


def on_grid(image: np.ndarray, qtables: QTables, subsampling: str = "4:4:4") -> np.ndarray:
    return pyfd.decode(pyfd.encode(image, qtables, subsampling=subsampling), qtables, mode=None)


# ---- attempts to break it -------------------------------------------------

SIGNS = np.sign(np.cos(np.outer(np.arange(8), 2 * np.arange(8) + 1) * np.pi / 16))
"""The signs of the one-dimensional DCT's basis functions: (frequency, sample)."""

PUSHES = ((1, 1, 1), (-1, -1, 1), (1, -1, -1))
"""The signs of R, G and B that raise Y, Cb and Cr."""


def per_pixel(field: np.ndarray, subsampling: str, component: int, image: np.ndarray) -> np.ndarray:
    """Repeat a component's numbers per block for every pixel and channel."""
    across, down = SUBSAMPLING[subsampling] if component else (1, 1)
    field = field.repeat(8 * down, 0).repeat(8 * across, 1)
    field = field[: image.shape[0], : image.shape[1]]
    return field.reshape(field.shape + (1,) * (image.ndim - 2))


def worst(u: int, v: int, component: int, subsampling: str, image: np.ndarray) -> np.ndarray:
    """Return the signs that raise a component's coefficient (u, v) the most, in all blocks."""
    across, down = SUBSAMPLING[subsampling] if component else (1, 1)
    signs = np.outer(SIGNS[u], SIGNS[v]).repeat(down, 0).repeat(across, 1)
    height, width = image.shape[:2]
    repeats = (-(-height // signs.shape[0]), -(-width // signs.shape[1]))
    pattern = np.tile(signs, repeats)[:height, :width]
    return pattern if image.ndim == 2 else pattern[:, :, np.newaxis] * PUSHES[component]


def changed(
    own: tuple[np.ndarray, ...], image: np.ndarray, e: np.ndarray, tables: QTables, subsampling: str
) -> list[np.ndarray]:
    """Return, for each component, whether e changes each block's coefficients."""
    moved = (image + e).clip(0, 255).astype(np.uint8)
    theirs = coefficients(moved, tables, subsampling)
    return [(a != b).any(axis=(2, 3)) for a, b in zip(own, theirs, strict=True)]


def images(subsampling: str) -> dict[str, tuple[np.ndarray, QTables]]:
    """Return images on and off the grid, clipped, padded and gray, with their tables."""
    photo = picture(32, 48)
    calm = (photo / 2 + 60).astype(np.uint8)
    return {
        "calm, on the grid": (on_grid(calm, FD, subsampling), FD),
        "clipped, on the grid": (on_grid(photo, MIXED, subsampling), MIXED),
        "off the grid": (photo, QTables.uniform(60)),
        "posterized": (photo // 128 * 255, QTables.uniform(120)),
        "padded": (on_grid(picture(37, 43), FD, subsampling), FD),
        "gray": (on_grid(picture(48, 32, channels=1), FD), FD),
    }


@pytest.mark.parametrize("kind", images("4:4:4"))
@pytest.mark.parametrize("subsampling", SUBSAMPLING)
def test_the_worst_pattern_changes_nothing_below_the_radius(subsampling, kind):
    """A pattern whose strength is exactly the radius changes a block.

    In padded blocks the radius is only a lower bound.
    """
    image, tables = images(subsampling)[kind]
    own = coefficients(image, tables, subsampling)
    found = pyfd.certify(image, tables, subsampling=subsampling)
    for component, radii in enumerate(found.radii):
        at = per_pixel(radii.clip(max=256), subsampling, component, image)
        broken = np.zeros(radii.shape, bool)
        for u, v in np.ndindex(8, 8):
            signs = worst(u, v, component, subsampling, image)
            for e in (signs, -signs):
                below = changed(own, image, e * (at - 1), tables, subsampling)
                assert not below[component].any()
                broken |= changed(own, image, e * at, tables, subsampling)[component]
        assert not broken[np.isinf(radii)].any()
        if kind != "padded":
            assert broken[np.isfinite(radii)].all()


@pytest.mark.parametrize("kind", images("4:4:4"))
@pytest.mark.parametrize("subsampling", SUBSAMPLING)
def test_random_perturbations_change_nothing_below_the_radius(subsampling, kind):
    rng = np.random.default_rng(1)
    image, tables = images(subsampling)[kind]
    own = coefficients(image, tables, subsampling)
    found = pyfd.certify(image, tables, subsampling=subsampling)
    below = per_pixel(found.blocks.clip(max=256) - 1, subsampling, 0, image)
    for signs in (True, False) * 30:
        e = rng.uniform(-1, 1, image.shape)
        e = below * np.sign(e) if signs else np.rint(below * e)
        assert not any(blocks.any() for blocks in changed(own, image, e, tables, subsampling))


def test_a_radius_does_not_depend_on_other_blocks():
    """A block's radius is valid however strong the perturbation of other blocks is."""
    image = on_grid(picture(64, 64, 3), FD)
    found = pyfd.certify(image, FD)
    quiet = np.add.outer(np.arange(8), np.arange(8)) % 2 == 0
    below = per_pixel(found.blocks - 1, "4:4:4", 0, image)
    e = np.random.default_rng(2).integers(-255, 256, image.shape)
    e = np.where(per_pixel(quiet, "4:4:4", 0, image), e.clip(-below, below), e)
    own = coefficients(image, FD, "4:4:4")
    moved = np.any(changed(own, image, e, FD, "4:4:4"), axis=0)
    assert not moved[quiet].any()
    assert moved[~quiet].all()


# ---- known answers --------------------------------------------------------


@pytest.mark.parametrize("step", [1, 16, 17, 32, 40, 48, 49, 255, 2031, 2032])
def test_a_flat_gray_image(step):
    """All coefficients are 0; ±ε with the signs of (4, 4) makes one 8ε, so ε ≥ Q/16 moves it."""
    image = np.full((16, 24), 128, np.uint8)
    found = pyfd.certify(image, QTables.uniform(step))
    expected = math.ceil(step / 16)
    assert found.radii[0].tolist() == [[expected] * 3] * 2
    assert found.radius == expected
    assert found.share(expected - 1) == 1
    assert found.share(expected - 0.5) == 1
    assert found.share(expected) == 0


def test_white_cannot_be_made_whiter():
    """DC is 1016 = 25.4 · 40 and can only fall: by 36, which takes 5 levels."""
    white = np.full((8, 8), 255, np.uint8)
    assert pyfd.certify(white, QTables.uniform(40)).radius == 5
    assert pyfd.certify(white - 60, QTables.uniform(40)).radius == 1  # 536 = 13.4 · 40


def test_steps_that_no_image_can_leave():
    found = pyfd.certify(picture(20, 20), QTables.uniform(8191))
    assert found.radius == math.inf
    assert found.share(255) == 1


def test_the_formula_of_the_method_on_a_gray_image():
    """(Q/2 - |x/8 - kQ| ∓ 3/8) / gain bounds the radius from both sides."""
    image = (picture(96, 80, channels=1) / 2 + 60).astype(np.uint8)
    step = 150
    blocks = image.reshape(10, 8, 12, 8).swapaxes(1, 2) - 128.0
    place = np.arange(8)
    basis = np.cos(np.outer(place, 2 * place + 1) * np.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    (k,) = coefficients(image, QTables.uniform(step), "4:4:4")
    margin = step / 2 - np.abs(basis @ blocks @ basis.T - k * float(step))
    allowance = 3 / 8 + 0.05  # the integer basis differs slightly from the real one
    at_least, at_most = (
        ((margin + slack) / analysis.gains()).min(axis=(2, 3)) for slack in (-allowance, allowance)
    )
    (radii,) = pyfd.certify(image, QTables.uniform(step)).radii
    assert (radii >= np.ceil(at_least)).all()
    assert (radii <= np.floor(at_most) + 1).all()
    assert len(np.unique(radii)) > 5


def test_photographs_on_the_grid_are_mostly_certified(photos):
    image = on_grid(pyfd.decode(photos[0]), QTables.uniform(40))
    assert pyfd.certify(image, QTables.uniform(40)).share(1) > 0.8
    assert pyfd.certify(pyfd.decode(photos[0]), QTables.uniform(40)).share(2) < 0.2


# ---- the result -----------------------------------------------------------


def test_blocks_are_independent_however_many_there_are():
    image = on_grid(picture(200, 160, 5), FD)
    found = pyfd.certify(image, FD)
    for component, radii in enumerate(found.radii):
        assert radii.shape == (20, 25)
        part = pyfd.certify(image[24:64, 104:200], FD).radii[component]
        assert np.array_equal(part, radii[3:8, 13:])


@pytest.mark.parametrize("subsampling", SUBSAMPLING)
def test_the_map_of_all_components(subsampling):
    image = picture(83, 45)
    found = pyfd.certify(image, MIXED, subsampling=subsampling)
    expected = coefficients(image, MIXED, subsampling)
    assert [radii.shape for radii in found.radii] == [plane.shape[:2] for plane in expected]
    across, down = SUBSAMPLING[subsampling]
    luma, *chroma = found.radii
    for (row, column), least in np.ndenumerate(found.blocks):
        covering = [radii[row // down, column // across] for radii in chroma]
        assert least == min(luma[row, column], *covering)
    assert found.blocks.shape == (6, 11)
    assert found.radius == found.blocks.min()
    assert found.share(1) == np.mean(found.blocks > 1)


def test_what_it_holds():
    image = picture(19, 10)
    found = pyfd.certify(Image.fromarray(image), "fd-cvpr2019", subsampling="4:2:0")
    assert (found.width, found.height) == (19, 10)
    assert found.subsampling == "4:2:0"
    assert found.qtables == FD
    assert isinstance(found, pyfd.Certificate)
    assert all(radii.dtype == np.float64 for radii in found.radii)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.width = 20
    with pytest.raises(ValueError, match="read-only"):
        found.radii[0][0, 0] = 9
    gray = pyfd.certify(image[:, :, 0], FD, subsampling="4:2:0")
    assert len(gray.radii) == 1
    assert np.array_equal(gray.blocks, gray.radii[0])


@pytest.mark.parametrize("epsilon", [-1, 256, math.nan, math.inf])
def test_shares_of_nonsense(epsilon):
    found = pyfd.certify(picture(8, 8), FD)
    with pytest.raises(ValueError, match="8-bit levels"):
        found.share(epsilon)


@pytest.mark.parametrize(
    ("image", "options", "match"),
    [
        (picture(8, 8) / 255, {}, "uint8"),
        (np.zeros((8, 8, 4), np.uint8), {}, "alpha"),
        (picture(8, 8), {"subsampling": "4:1:1"}, "subsampling must be one of 4:4:4"),
        (picture(8, 8), {"qtables": QTables.uniform(8192)}, r"1\.\.\.8191 here, not 8192"),
    ],
)
def test_refusals(image, options, match):
    with pytest.raises(ValueError, match=match):
        pyfd.certify(image, **{"qtables": FD, **options})


# ---- the command line -----------------------------------------------------


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    path = tmp_path / "a photo.jpg"
    path.write_bytes(pyfd.encode(picture(40, 56), FD))
    return path


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "flat.png"
    Image.fromarray(np.full((16, 8), 128, np.uint8)).save(path)
    return path


def test_command_certifies_pixels_of_any_file(run, jpeg, png):
    code, out, err = run("certify", jpeg, png, "--epsilon", 0, "--epsilon", "1")
    assert (code, err) == (0, "")
    titles, first, second, both = out.splitlines()
    assert titles.split("   ")[-1] == "file"
    assert titles.split()[:6] == ["radius", "file", "radius", "epsilon", "0", "epsilon"]
    found = pyfd.certify(pyfd.decode(jpeg), FD)
    share = math.floor(1000 * found.share(1)) / 10
    assert first.split()[:3] == [f"{found.radius:g}", f"{found.file_radius}", "100.0"]
    assert first.endswith(f"{share:.1f} %   {jpeg}")
    assert second.split() == ["2", "2", "100.0", "%", "100.0", "%", str(png)]
    assert both.split()[:2] == [f"{min(found.radius, 2):g}", f"{min(found.file_radius, 2)}"]
    blocks = found.blocks.size
    pooled = math.floor(1000 * (found.share(1) * blocks + 2) / (blocks + 2)) / 10
    assert both.endswith(f"{pooled:.1f} %   all 2 images")


def test_command_passes_its_options_on(run, jpeg):
    options = ("-q", 40, "--subsampling", "4:2:0", "--epsilon", 1.5, "--json")
    code, out, err = run("certify", jpeg, *options)
    assert (code, err) == (0, "")
    tables = QTables.uniform(40)
    found = pyfd.certify(pyfd.decode(jpeg), tables, subsampling="4:2:0")
    assert json.loads(out) == {
        "file": str(jpeg),
        "width": 40,
        "height": 56,
        "qtables": "uniform-40",
        "subsampling": "4:2:0",
        "blocks": 35,
        "file_radius": 0,
        "radius": found.radius,
        "shares": {"1.5": found.share(1.5)},
        "components": [
            {
                "component": component,
                "blocks": radii.size,
                "radius": radii.min(),
                "shares": {"1.5": (radii > 1.5).mean()},
            }
            for component, radii in zip(("Y", "Cb", "Cr"), found.radii, strict=True)
        ],
    }


def test_command_shows_the_radius_for_files(run, png):
    tables = ("-q", "certified-files:3")
    code, out, _ = run("certify", png, *tables)
    assert code == 0
    assert out.splitlines()[1].split()[1] == "4"
    assert json.loads(run("certify", png, *tables, "--json")[1])["file_radius"] == 4


def test_command_writes_json_by_the_standard(run, png):
    code, out, _ = run("certify", png, "-q", 5000, "--json")
    assert code == 0
    facts = json.loads(out, parse_constant=pytest.fail)
    assert facts["radius"] is None
    assert facts["shares"] == {"1": 1, "2": 1, "4": 1}
    assert [component["component"] for component in facts["components"]] == ["Y"]


def test_command_plots_one_image(run, jpeg, png, tmp_path):
    target = tmp_path / "new" / "radii.png"
    assert run("certify", jpeg, "--plot", target)[0] == 0
    with Image.open(target) as image:
        assert image.format == "PNG"
    code, out, err = run("certify", jpeg, png, "--plot", target)
    assert (code, out) == (2, "")
    assert "--plot is for one image, not 2" in err


def test_command_names_what_it_refuses_and_does_the_others(run, jpeg, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(jpeg.read_bytes()[:300])
    code, out, err = run("certify", tmp_path / "missing.png", bad, jpeg)
    assert code == 1
    first, second = err.splitlines()
    assert first.startswith(f"pyfd: {tmp_path / 'missing.png'}: No such file")
    assert second.startswith(f"pyfd: {bad}: ")
    assert [line.split("   ")[-1] for line in out.splitlines()] == ["file", str(jpeg)]


def test_command_has_no_use_for_exif(run, tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(picture(8, 8)).save(path, exif=b"Exif\0\0nonsense")
    assert "metadata left out: EXIF" in run("encode", path, "-o", tmp_path / "x.jpg")[2]
    code, out, err = run("certify", path)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 2


def test_command_searches_directories(run, jpeg, png, tmp_path):
    (tmp_path / "notes.txt").write_text("not a picture")
    code, out, err = run("certify", tmp_path, "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line)["file"] for line in out.splitlines()] == [str(jpeg), str(png)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epsilon", "-1"), "8-bit levels, 0...255, not -1"),
        (("--epsilon", "nan"), "8-bit levels, 0...255, not nan"),
        (("-q", "8192"), "The largest step is 8192, but at most 8191 is allowed here."),
        (("--plot", "x.jpg"), "must end in .png, .svg or .pdf"),
        (("--subsampling", "4:1:1"), "'4:1:1' is not one of"),
    ],
)
def test_command_usage(run, png, options, message):
    code, out, err = run("certify", png, *options)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


def test_command_help(run):
    code, out, _ = run("certify", "--help")
    assert code == 0
    assert "not about .jpg files that an attacker hands to the decoder" in " ".join(out.split())
    assert all(line in out for line in command.epilog.splitlines())
