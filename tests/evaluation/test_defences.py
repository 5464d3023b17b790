"""Defences, compared with other encoders, other decoders and plain arithmetic."""

import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import pyfd
from pyfd import QTables
from pyfd.evaluation import defences
from pyfd.evaluation.defences import parse
from tests.jpegs import decode_with_pillow, encode_with_pillow, picture

NAMES = (
    *("none", "one-pass:fd-2018", "two-pass:16", "two-pass:annex-k:50", "jpeg:75", "bits:3"),
    *("tvm", "shield", "certified:2", "two-pass:pixel-2"),
)
RANDOM = {"tvm", "shield"}
PRESETS = ", ".join(pyfd.PRESETS)


def gentle(width: int = 64, height: int = 48) -> np.ndarray:
    """Far from black and white, where nothing is clipped."""
    return (picture(width, height, seed=3) // 2 + 64).astype(np.uint8)


def noisy(image: np.ndarray, epsilon: int) -> np.ndarray:
    signs = np.random.default_rng(0).choice((-epsilon, epsilon), image.shape)
    return (image + signs).astype(np.uint8)


def through_pillow(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """A stock encoder and a stock decoder, with one table for all components."""
    data = encode_with_pillow(image, qtables=[table.ravel().tolist()], subsampling=0)
    return decode_with_pillow(data)


def blocks(image: np.ndarray) -> list[np.ndarray]:
    height, width = image.shape[:2]
    places = [(y, x) for y in range(0, height, 8) for x in range(0, width, 8)]
    return [image[y : y + 8, x : x + 8] for y, x in places]


# ---- all of them ------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_kept_and_arrays_are_new(name):
    sizes = ((1, 1), (7, 9), (64, 48), (33, 1))
    images = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    originals = [image.copy() for image in images]
    defence = parse(name)
    for result in (defence.camera(images), defence(images)):
        for before, after in zip(images, result, strict=True):
            assert after.shape == before.shape
            assert after.dtype == np.uint8
            assert after.flags.c_contiguous
            assert not np.shares_memory(before, after)
    assert all(map(np.array_equal, images, originals))
    assert defence([]) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name):
    images = [picture(40, 33), picture(40, 33)]
    defence = parse(name)
    first, again, other = defence(images, 1), defence(images, seed=1), defence(images, 2)
    assert all(map(np.array_equal, first, again))
    same = [np.array_equal(first[0], other[0]), np.array_equal(first[0], first[1])]
    assert same == [name not in RANDOM] * 2
    assert defence.random == (name in RANDOM)


@pytest.mark.parametrize("name", NAMES)
def test_names_kinds_and_cameras(name):
    defence = parse(name)
    assert defence.name == name
    kinds = {kind: kind for kind in ("none", "one-pass", "two-pass")} | {"certified": "two-pass"}
    assert defence.kind == kinds.get(name.split(":")[0], "transformation")
    image = picture(40, 33)
    camera = defence.camera([image])[0]
    assert np.array_equal(camera, image) == (defence.kind != "two-pass")


@pytest.mark.parametrize("name", NAMES)
def test_cameras_that_cooperate_send_the_image_that_they_leave(name):
    defence = parse(name)
    file = defence.file(image := picture(40, 33))
    assert (file is None) == (defence.kind != "two-pass")
    if file is not None:
        with Image.open(io.BytesIO(file)) as opened:
            assert np.array_equal(opened.convert("RGB"), defence.camera([image])[0])
            assert opened.format == ("WEBP" if "pixel" in name else "JPEG")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("image", "kind", "reason"),
    [
        (np.zeros((8, 8), np.uint8), ValueError, "not uint8 8×8"),
        (np.zeros((8, 8, 4), np.uint8), ValueError, "not uint8 8×8×4"),
        (np.zeros((8, 8, 3)), ValueError, "not float64 8×8×3"),
        (Image.new("RGB", (8, 8)), TypeError, "must be arrays, not Image"),
    ],
)
def test_other_images_are_refused(name, image, kind, reason):
    defence = parse(name)
    for call in (defence, defence.camera):
        with pytest.raises(kind, match=reason):
            call([image])


# ---- each of them -----------------------------------------------------------


def test_none():
    image = picture(40, 33)
    assert np.array_equal(parse("none")([image])[0], image)
    assert parse("none").module() is None


@pytest.mark.parametrize("text", ["fd-cvpr2019", "fd-2018", "16", "255"])
def test_distillation_is_what_stock_codecs_do(text):
    table = (QTables.uniform(int(text)) if text.isdigit() else QTables.preset(text))[0]
    image = picture(83, 61, seed=1)
    stock = through_pillow(image, table)
    one, two = parse(f"one-pass:{text}"), parse(f"two-pass:{text}")
    assert np.array_equal(one([image])[0], stock)
    assert np.array_equal(two([image])[0], stock)
    assert np.array_equal(two.camera([image])[0], stock)
    assert np.array_equal(one.qtables[0], table)


def test_two_passes_undo_what_one_does_not():
    one, two = parse("one-pass:40"), parse("two-pass:40")
    image = gentle()
    written = two.camera([image])[0]
    assert np.array_equal(two([noisy(written, 1)])[0], written)
    assert not np.array_equal(one([noisy(image, 1)])[0], one([image])[0])


def test_steps_beyond_255():
    image = picture(40, 33)
    assert len(np.unique(parse("one-pass:4000")([image])[0].reshape(-1, 3), axis=0)) < 10


def test_tables_from_a_file(tmp_path):
    tables = QTables([np.full((8, 8), 9), np.full((8, 8), 30)], name="mine")
    tables.save(tmp_path / "t.json")
    defence = parse(f"two-pass:{tmp_path / 't.json'}")
    assert defence.qtables == tables
    assert defence.name == f"two-pass:{tmp_path / 't.json'}"
    made = defences.Distillation(tables, two_pass=True)
    assert made.name == "two-pass:mine"
    image = picture(40, 33)
    assert np.array_equal(made([image])[0], defence([image])[0])


@pytest.mark.parametrize("quality", [1, 50, 75, 100])
def test_jpeg_is_what_opencv_does(quality):
    image = picture(83, 61, seed=1)
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    theirs = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    defence = parse(f"jpeg:{quality}")
    assert np.array_equal(defence([image])[0], theirs)
    assert defence.qtables == QTables.annex_k(quality)


@pytest.mark.parametrize("bits", range(1, 9))
def test_bits(bits):
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    levels = np.array([round(255 * i / (2**bits - 1)) for i in range(2**bits)])
    nearest = np.abs(image[..., np.newaxis] - levels).min(-1)
    squeezed = parse(f"bits:{bits}")([image])[0].astype(int)
    assert set(squeezed.ravel()) == set(levels)
    assert np.array_equal(np.abs(squeezed - image), nearest)


def test_total_variation():
    image = noisy(gentle(), 30)
    state = np.random.get_state()[1].copy()
    smooth = parse("tvm")([image])[0]
    variations = [
        np.abs(np.diff(x.astype(int), axis=0)).sum() + np.abs(np.diff(x.astype(int), axis=1)).sum()
        for x in (image, smooth)
    ]
    assert variations[1] < variations[0] / 2
    assert np.allclose(smooth.mean((0, 1)), image.mean((0, 1)), atol=3)
    assert np.array_equal(np.random.get_state()[1], state)


def test_shield_takes_each_block_from_a_quality():
    image = picture(83, 61, seed=1)
    qualities = [parse(f"jpeg:{q}")([image])[0] for q in (20, 40, 60, 80)]
    counts = sources(parse("shield")([image])[0], qualities)
    assert len(counts) == 4
    assert min(counts) > 0.1 * 11 * 8  # a quarter of the blocks each, on average


def sources(mixed: np.ndarray, candidates: list[np.ndarray]) -> list[int]:
    """Return the number of an image's blocks from each candidate; all are from one of them."""
    of_candidates = zip(*map(blocks, candidates), strict=True)
    matches = np.array(
        [
            [np.array_equal(block, candidate) for candidate in choices]
            for block, choices in zip(blocks(mixed), of_candidates, strict=True)
        ]
    )
    assert matches.any(1).all()
    return np.bincount(matches.argmax(1), minlength=len(candidates)).tolist()


# ---- stand-ins ----------------------------------------------------------------


def as_tensor(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def as_pixels(tensor: torch.Tensor) -> list[np.ndarray]:
    return list((tensor.detach() * 255).round().byte().permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("name", [n for n in NAMES if n not in RANDOM and parse(n).module()])
def test_stand_ins_do_what_the_defence_does(name):
    images = [picture(83, 61, seed=1), picture(83, 61, seed=2)]
    batch = as_tensor(*images).requires_grad_()
    defence = parse(name)
    defended = defence.module()(batch)
    off = np.abs(np.stack(as_pixels(defended)).astype(int) - np.stack(defence(images)))
    assert (off <= 2).mean() >= 0.999
    assert off.mean() <= 0.1
    defended.sum().backward()
    assert batch.grad.abs().mean().item() == pytest.approx(1, abs=0.3)


def test_shields_stand_in_mixes_afresh():
    images = [picture(83, 61, seed=1), picture(83, 61, seed=1)]
    batch = as_tensor(*images).requires_grad_()
    module = parse("shield").module()
    torch.manual_seed(0)
    defended = module(batch)
    first, second = as_pixels(defended)
    assert not np.array_equal(first, second)
    assert not torch.equal(module(batch), defended)
    torch.manual_seed(0)
    assert torch.equal(module(batch), defended)
    qualities = [as_pixels(parse(f"jpeg:{q}").module()(batch))[0] for q in (20, 40, 60, 80)]
    assert min(sources(first, qualities)) > 0
    defended.sum().backward()
    assert batch.grad.abs().mean().item() == pytest.approx(1, abs=0.3)


def test_no_stand_in_for_what_is_solved_or_needs_none():
    without = {name for name in NAMES if parse(name).module() is None}
    assert without == {"none", "tvm", "two-pass:pixel-2"}


# ---- mistakes -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "gray", "none:1", "tvm:", "shield:2", "one-pass", "two-pass", "jpeg", "bits", "JPEG:75"],
)
def test_unknown_names(text):
    with pytest.raises(ValueError, match="there are none, one-pass:T, two-pass:T"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("jpeg:0", "quality must be in 1...100, not 0"),
        ("jpeg:101", "quality must be in 1...100, not 101"),
        ("jpeg:-5", "'-5' is not a whole number"),
        ("jpeg:", "'' is not a whole number"),
        ("bits:0", "bits must be in 1...8, not 0"),
        ("bits:9", "bits must be in 1...8, not 9"),
        ("bits:x", "'x' is not a whole number"),
        ("bits:" + "9" * 5000, "is not a whole number"),
        ("two-pass:", f"it needs tables: {PRESETS}, a step"),
        ("two-pass:fd-1999", f"neither a preset .{PRESETS}"),
        ("one-pass:0", "steps must be in 1...65535, not 0"),
        ("one-pass:8192", "steps must be in 1...8191 here, not 8192"),
        ("one-pass:annex-k:0", "quality must be in 1...100, not 0"),
        ("certified:", "'' is not a whole number"),
        ("certified:-1", "'-1' is not a whole number"),
        ("certified:fd-cvpr2019", "'fd-cvpr2019' is not a whole number"),
        ("certified:40@", "'' is not a whole number"),
        ("certified:fd-1999@2", f"'fd-1999' is neither a preset .{PRESETS}"),
        ("certified:8192@2", "steps must be in 1...8191 here, not 8192"),
        ("certified:40@4", "(radius|step)"),
        ("two-pass:pixel-", "'' is not a whole number"),
        ("two-pass:pixel-0", "strength of a grid on pixels must be in 1...127, not 0"),
        ("two-pass:pixel-128", "strength of a grid on pixels must be in 1...127, not 128"),
    ],
)
def test_bad_values(text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        parse(text)
    assert str(caught.value).startswith(f"'{text}': ")


def test_a_table_file_that_cannot_be_read(tmp_path):
    with pytest.raises(OSError, match="directory"):
        parse(f"two-pass:{tmp_path}")


@pytest.mark.parametrize(
    ("missing", "statement", "name"),
    [
        ("torch", "from pyfd.evaluation import evaluate", "torch"),
        ("torch", "parse('shield').module()", "torch"),
        ("PIL", "pass", "pillow"),
        ("art", "parse('jpeg:75'); parse('tvm')", "adversarial-robustness-toolbox"),
    ],
)
def test_missing_libraries(missing, statement, name):
    code = f"import sys; sys.modules[{missing!r}] = None; import pyfd\n"
    code += f"from pyfd.evaluation.defences import parse; {statement}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    reason = f"ImportError: {name} is missing: pip install 'pyfd-jpeg[evaluate]'"
    assert reason in done.stderr


def test_each_kind_says_what_it_is_and_needs():
    for kind in defences.DEFENCES:
        assert kind.description
        assert kind.patterns
    libraries = {name: "".join(parse(name).libraries) for name in NAMES}
    assert libraries == dict.fromkeys(NAMES[:4], "") | {
        **dict.fromkeys(("jpeg:75", "shield", "two-pass:pixel-2"), "PIL"),
        "certified:2": "",
        **dict.fromkeys(("bits:3", "tvm"), "art"),
    }
    assert [parse(name).subsampling for name in NAMES] == [
        *(None, "4:4:4", "4:4:4", "4:4:4", "4:2:0", None, None, None, "4:4:4", None)
    ]


def test_presets_are_listed():
    assert all(preset in defences.KNOWN for preset in pyfd.PRESETS)
