"""Defences that certify images: what they prove, and the evaluation's check that it is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import QTables
from pyfd._core.pixels import Pixels
from pyfd.cli import cli
from pyfd.evaluation import BrokenCertificateError, defences, report
from pyfd.evaluation.attacks import Attack
from pyfd.evaluation.defences import Certified, Defence, PixelGrid, parse
from pyfd.evaluation.defences.pixels import levels
from tests.evaluation.toys import (
    GRID,
    OneWorker,
    Texture,
    cell,
    images,
    labels_of,
    run,
    without_times,
)
from tests.jpegs import picture

STRENGTHS = range(1, 128)


@st.composite
def pictures(draw: st.DrawFn) -> Pixels:
    """Pictures with many samples at and near both ends."""
    height, width = draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    wild = rng.normal(128, draw(st.sampled_from((0, 5, 60, 300))), (height, width, 3))
    return np.clip(wild, 0, 255).astype(np.uint8)


def moved(image: Pixels, epsilon: int, seed: int) -> Pixels:
    """Return an image with each sample moved by ε, or by anything up to it."""
    rng = np.random.default_rng(seed)
    least = epsilon if seed % 2 else 0
    distance = rng.integers(least, epsilon + 1, image.shape) * rng.choice((-1, 1), image.shape)
    return np.clip(image + distance, 0, 255).astype(np.uint8)


# ---- what they prove ----------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(pictures(), st.sampled_from((1, 2, 4)), st.integers(0, 99))
@pytest.mark.parametrize("form", ["certified:{}", "certified:72@{}", "two-pass:pixel-{}"])
def test_every_image_is_certified_and_comes_back(form, image, epsilon, seed):
    defence = parse(form.format(epsilon))
    assert defence.epsilon == epsilon
    (written,) = defence.camera([image])
    assert defence.certifies(written)
    expected, seen = defence([written, moved(written, epsilon, seed)])
    assert np.array_equal(expected, written)
    assert np.array_equal(seen, written)


@pytest.mark.parametrize("name", ["certified:2", "certified:40@2", "two-pass:pixel-2"])
def test_not_everything_is_certified(name):
    defence, image = parse(name), picture(40, 33)
    assert not defence.certifies(image)
    assert not np.array_equal(*defence([image, moved(image, 2, 1)]))


@pytest.mark.parametrize("name", ["none", "one-pass:40", "two-pass:40", "jpeg:75", "bits:3"])
def test_others_promise_nothing(name):
    defence = parse(name)
    assert defence.epsilon is None
    assert not defence.certifies(defence.camera([picture(40, 33)])[0])


@pytest.mark.parametrize(
    ("defence", "tables"),
    [
        (parse("certified:2"), QTables.certified(2)),
        (Certified(2), QTables.certified(2)),
        (parse("certified:40@2"), QTables.uniform(40)),
        (parse("certified:20"), QTables.certified(20, baseline=False)),
    ],
)
def test_a_certified_defence_is_the_codec(defence, tables):
    image = picture(40, 33)
    file = pyfd.encode(image, tables, radius=defence.epsilon, baseline=False)
    (written,) = defence.camera([image])
    assert defence.qtables == tables
    assert np.array_equal(written, pyfd.decode(file))
    again = pyfd.encode(image, tables, baseline=False)
    assert np.array_equal(defence([image])[0], pyfd.decode(again, tables))
    assert len(defence.file(image)) < len(file)  # its Huffman tables are the image's own


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("certified:", "'' is not a whole number"),
        ("certified:@2", "names no tables before the @"),
        ("certified:40@", "'' is not a whole number"),
        ("two-pass:pixel-x", "'x' is not a whole number"),
    ],
)
def test_names_that_say_too_little(name, message):
    with pytest.raises(ValueError, match=message):
        parse(name)


def test_names_of_certified_defences(tmp_path):
    path = tmp_path / "my@tables.json"
    QTables.uniform(40).save(path)
    assert parse(f"certified:{path}@2").qtables == QTables.uniform(40)
    assert Certified(2).name == "certified:2"
    assert Certified(2, QTables.uniform(40)).name == "certified:uniform-40@2"
    assert Certified(2, QTables(np.full((8, 8), 40))).name == "certified:tables@2"
    assert PixelGrid(3).name == "two-pass:pixel-3"


def test_files_of_an_attacker_are_decoded_and_encoded():
    """A decode with the tables would not do: the proof is about pixels."""
    file = defences.as_jpeg(picture(40, 33), 80)
    for defence in (parse("certified:2"), parse("two-pass:pixel-2")):
        (seen,) = defence.receive([file])
        assert np.array_equal(seen, defence([pyfd.decode(file)])[0])
    tables = QTables.certified(2)
    assert not np.array_equal(parse("certified:2").receive([file])[0], pyfd.decode(file, tables))


@pytest.mark.parametrize("name", ["certified:2", "two-pass:pixel-2"])
def test_a_service_decodes_what_the_camera_wrote(name):
    defence, image = parse(name), picture(40, 33)
    served = defence.service_call(image)()
    assert np.array_equal(np.squeeze(served), defence.camera([image])[0])


# ---- the grid on pixels ---------------------------------------------------------


@pytest.mark.parametrize("epsilon", STRENGTHS)
def test_the_levels_of_the_grid(epsilon):
    """Every perturbed level is rounded back, and no sample is farther than ε from a level."""
    found = levels(epsilon).astype(int)
    assert (np.diff(found) == 2 * epsilon + 1).all()
    assert np.abs(np.arange(256)[:, None] - found).min(1).max() <= epsilon
    reached = np.clip(found + np.arange(-epsilon, epsilon + 1)[:, None], 0, 255)
    image = np.repeat(reached[..., None], 3, 2).astype(np.uint8)
    wanted = np.broadcast_to(found[:, None], image.shape)
    assert np.array_equal(PixelGrid(epsilon)([image])[0], wanted)


@pytest.mark.parametrize("epsilon", STRENGTHS)
def test_the_check_of_the_grid_is_exact(epsilon):
    defence = PixelGrid(epsilon)
    samples = np.arange(256)[:, None] + np.arange(-epsilon, epsilon + 1)
    (rounded,) = defence([np.clip(samples, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)])
    same = (rounded == rounded[:, :1]).all((1, 2))
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 1, 1, 3)
    assert [defence.certifies(pixel) for pixel in pixels] == same.tolist()


# ---- the evaluation ---------------------------------------------------------------

CERTIFIED = ("certified:1", "certified:72@4", "two-pass:pixel-4")
DEFENCES = ("none", "one-pass:16", "two-pass:16", *CERTIFIED)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certified")
    options = {"attacks": ("pgd", "bpda", GRID, "deepfool"), "epsilons": (1, 4)}
    return run(folder, pictures=images(), defences=DEFENCES, batch_size=2, **options)


def test_the_column_is_right_and_certified(content):
    pictures = images()
    truth = np.array(labels_of(Texture(), pictures))
    assert list(content["certified"]) == list(CERTIFIED)
    for name, found in content["certified"].items():
        defence = parse(name)
        written = defence.camera(pictures)
        right = np.array(labels_of(Texture(), defence(written))) == truth
        assert all(map(defence.certifies, written))
        assert (found["correct"], found["n"]) == (right.sum(), len(pictures))
        assert found["epsilon"] == defence.epsilon
        assert found["interval"][0] <= found["accuracy"] == right.mean() <= found["interval"][1]


def test_no_attack_within_the_strength_does_anything(content):
    for name, found in content["certified"].items():
        attacked = [c for c in content["cells"] if c["defence"] == name and c["epsilon"]]
        within = [c["correct"] for c in attacked if c["epsilon"] <= found["epsilon"]]
        assert within
        assert set(within) == {found["correct"]}
    assert cell(content, "none", "pgd", 4)["correct"] < 6


def test_the_rates_are_those_of_the_files(content):
    sent = ("two-pass:16", *CERTIFIED)
    assert list(content["rates"]) == list(sent)
    for name in sent:
        bits = [8 * len(parse(name).file(p)) / (p.shape[0] * p.shape[1]) for p in images()]
        assert content["rates"][name] == pytest.approx(np.mean(bits))


def test_the_table_has_both_columns(content):
    head, _, *lines = report.text(content).splitlines()
    titles = [title.strip() for title in head.strip("|").split("|")]
    assert titles[:3] == ["defence", "benign", "certified"]
    assert titles[-1] == "bits per pixel"
    for name, line in zip(DEFENCES, lines, strict=True):
        _, _, certified, *_, rate = (part.strip() for part in line.strip("|").split("|"))
        found = content["certified"].get(name)
        assert (certified == "–") == (found is None)
        assert (rate == "–") == (name not in content["rates"])
        if found:
            share = f"{100 * found['accuracy']:.1f}"
            assert re.fullmatch(rf"{share} \(\d+–\d+\) at ε = {found['epsilon']}", certified)


def test_certified_defences_need_no_equal_benign_accuracy(tmp_path):
    """What they cost and what they prove is one number."""
    noise = np.random.default_rng(0).normal(128, 24, (4, 24, 24, 3))
    options = {"pictures": list(noise.clip(0, 255).astype(np.uint8)), "attacks": ()}
    certified = run(tmp_path / "1", defences=("certified:255@2", "two-pass:1"), **options)
    assert cell(certified, "certified:255@2", "benign")["accuracy"] == 0
    assert not any("unequal" in warning for warning in certified["warnings"])


def test_a_resumed_evaluation_says_the_same(content, tmp_path):
    options = {"attacks": (), "defences": DEFENCES, "pictures": images(), "batch_size": 2}
    first = run(tmp_path, **options)
    path = tmp_path / "progress.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[::2]) + "\n")
    again = run(tmp_path, **options)
    assert without_times(again) == without_times(first)
    assert again["certified"] == first["certified"] == content["certified"]
    assert again["rates"] == first["rates"] == content["rates"]


@pytest.mark.parametrize(
    "change",
    [
        {"certified": {}},
        {"certified": {"two-pass:pixel-4": 0}},
        {"certified": {"two-pass:pixel-4": "00"}},
        {"certified": {"two-pass:pixel-4": "2"}},
        {"certified": {"two-pass:pixel-4": "0", "none": "0"}},
        {"rates": {}},
        {"rates": {"two-pass:pixel-4": "1"}},
        {"rates": {"two-pass:pixel-4": 1.0, "none": 1.0}},
        {"rates": {"two-pass:pixel-4": -1.0}},
    ],
)
def test_entries_that_do_not_fit_are_skipped(tmp_path, change):
    options = {"defences": ("two-pass:pixel-4",), "attacks": ()}
    first = run(tmp_path, **options)
    path = tmp_path / "progress.jsonl"
    entry = json.loads(path.read_text().splitlines()[1])
    with path.open("a") as file:
        file.write(json.dumps({**entry, "right": {"two-pass:pixel-4": "0"}, **change}) + "\n")
    again = run(tmp_path, **options)
    assert again["cells"][0]["correct"] == first["cells"][0]["correct"]
    assert (again["certified"], again["rates"]) == (first["certified"], first["rates"])


# ---- a promise that is not kept -------------------------------------------------------


class Liar(Defence):
    """A defence that certifies everything and does nothing."""

    name, kind = "liar", "transformation"
    patterns = ("liar",)
    epsilon = 2

    def certifies(self, image: Pixels) -> bool:  # noqa: ARG002
        return True


class Honest(Liar):
    """A defence that does nothing, and certifies nothing at its strength."""

    name = "honest"

    def certifies(self, image: Pixels) -> bool:  # noqa: ARG002
        return False


class Careless(PixelGrid):
    """A grid whose classifier forgets to round; it certifies what a grid would."""

    def __call__(self, images: Sequence[Pixels], seed: int = 0) -> list[Pixels]:  # noqa: ARG002
        return [image.copy() for image in images]

    def camera(self, images: Sequence[Pixels]) -> list[Pixels]:
        return PixelGrid(self.epsilon)(images)


class Nudge(Attack):
    """An attack that moves a sample of the last image, by ``by`` levels, and has no ε."""

    name = "nudge"
    needs = frozenset()
    by = 1
    where: object = (0, 0, 0)

    def perturb(self, target, images, labels, epsilon, seed):  # noqa: ARG002
        found = [image.copy() for image in images]
        found[-1][self.where] ^= self.by
        return found


MESSAGE = (
    r"image 1 is certified behind 'liar', and nudge moves no sample of it by more than 2, but "
    r"changes what the classifier sees: a bug.*\. .*broken-certificate\.npz holds the pixels"
)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broken_promise_stops_the_evaluation(tmp_path, monkeypatch, workers):
    """The image has the number that the caller knows: the first one is not in the base set."""
    monkeypatch.setattr("pyfd.evaluation.processes.ProcessPoolExecutor", OneWorker)
    pictures = images(2)
    truth = labels_of(Texture(), pictures)
    truth[0] = 1 - truth[0]
    options = {"pictures": pictures, "truth": truth, "workers": workers, "attacks": (Nudge(),)}
    with pytest.raises(BrokenCertificateError, match=MESSAGE) as caught:
        run(tmp_path, defences=("none", Liar()), **options)
    assert not (tmp_path / "report.json").exists()
    with np.load(tmp_path / "broken-certificate.npz") as file:
        found = dict(file)
    assert str(found.pop("message")) in str(caught.value)
    assert found.keys() == {"camera", "adversarial", "expected", "seen"}
    assert all(np.array_equal(found[name], caught.value.pixels[name]) for name in found)
    assert np.array_equal(found["camera"], pictures[1])
    assert np.array_equal(found["expected"], Liar()([found["camera"]])[0])
    assert np.array_equal(found["seen"], Liar()([found["adversarial"]])[0])
    assert np.abs(found["adversarial"].astype(int) - found["camera"]).sum() == 1


def test_the_attack_is_run_again_when_the_evaluation_is_resumed(tmp_path):
    for _ in range(2):
        with pytest.raises(BrokenCertificateError):
            run(tmp_path, defences=(Liar(),), attacks=(Nudge(),))
    assert (
        len((tmp_path / "progress.jsonl").read_text().splitlines()) == 2
    )  # the benign one before it


def test_a_camera_counts_and_the_attacks_own_strength_does_not(tmp_path):
    """The image is compared with what the camera left, under attacks of any kind."""
    options = {"defences": (Careless(9),), "epsilons": (16, 1)}
    for number, (attack, said) in enumerate((("pgd", "pgd, ε = 1 "), (Nudge(), "nudge "))):
        with pytest.raises(BrokenCertificateError, match=f"'two-pass:pixel-9', and {said}"):
            run(tmp_path / f"{number}", attacks=(attack,), **options)


@pytest.mark.parametrize(("defence", "by"), [(Liar(), 4), (Honest(), 1), (Honest(), 4)])
def test_what_was_not_promised_is_not_checked(tmp_path, defence, by):
    attack = Nudge()
    attack.by = by
    found = run(tmp_path, defences=(defence,), attacks=(attack,))
    assert len(found["cells"]) == 2
    assert found["certified"][defence.name]["correct"] == (2 if defence.name == "liar" else 0)
    assert found["rates"] == {}


def test_files_of_an_attacker_are_checked_as_the_pixels_that_they_decode_to(tmp_path):
    """At quality 40 they are far from the images that the camera left; at 100 they are near."""
    attack = Nudge()
    options = {"attacker_quality": 40, "attacks": (attack,), "defences": (Liar(),)}
    assert run(tmp_path / "far", **options)["finished"]
    flat = [np.full((16, 16, 3), level, np.uint8) for level in (90, 160)]
    options |= {"attacker_quality": 100, "pictures": flat}
    attack.by, attack.where = 2, ...
    with pytest.raises(BrokenCertificateError, match="nudge moves no sample"):
        run(tmp_path / "near", **options)


def test_the_command_says_it_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(defences, "DEFENCES", [*defences.DEFENCES, Liar])
    folder = tmp_path / "photos"
    folder.mkdir()
    (image,) = images(1)
    Image.fromarray(image).save(folder / "0.png")
    truth = labels_of(Texture(), [image])[0]
    (tmp_path / "labels.csv").write_text(f"file,label\n0.png,{truth}\n")
    arguments = ["evaluate", "--model", "tests.evaluation.toys:texture", "--images", folder]
    arguments += ["--labels", tmp_path / "labels.csv", "-o", tmp_path / "out", "--workers", "1"]
    arguments += ["-d", "liar", "-a", "pgd", "-e", "2"]
    refused = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    assert refused.exit_code == 1
    (said,) = [line for line in refused.stderr.splitlines() if line.startswith("Error: ")]
    assert "image 0 is certified behind 'liar', and pgd, ε = 2 moves" in said
    assert Path(tmp_path / "out/broken-certificate.npz").exists()
