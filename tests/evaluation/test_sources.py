"""Labelled images of other sources: folders of classes, .npz files, data sets of torch."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import pyfd
from pyfd.cli import cli
from pyfd.evaluation import dataset, models
from tests.evaluation import toys
from tests.jpegs import encode_with_pillow, picture

PETS = ("cat", "dog", "Guinea pig")


# ---- names in a CSV file ---------------------------------------------------------


@pytest.fixture
def listed(tmp_path):
    """A function from labels to the folder and the CSV file of so many pictures."""

    def write(*labels: str) -> tuple[Path, Path]:
        folder, table = tmp_path / "photos", tmp_path / "labels.csv"
        folder.mkdir()
        for n in range(len(labels)):
            Image.fromarray(picture(12, 8, seed=n)).save(folder / f"{n}.png")
        table.write_text("file,label\n" + "".join(f"{n}.png,{x}\n" for n, x in enumerate(labels)))
        return folder, table

    return write


def test_names_of_the_model(listed):
    found = dataset.load(*listed("dog", "guinea_pig", "dog"), class_names=PETS)
    assert (found.labels.tolist(), found.class_names) == ([1, 2, 1], PETS)
    assert found.labelling == "labels are names of the model's classes"


def test_names_in_sorted_order(listed):
    found = dataset.load(*listed("zebra", "ant", "zebra"), limit=2)
    assert (found.names, found.labels.tolist()) == (["0.png", "1.png"], [1, 0])
    assert found.class_names == ("ant", "zebra")
    assert "sorted order: 'ant' = 0, 'zebra' = 1" in found.labelling


def test_numbers_go_with_the_models_names(listed):
    found = dataset.load(*listed("2", "0"), class_names=PETS)
    assert (found.labels.tolist(), found.class_names) == ([2, 0], PETS)
    assert found.labelling == ""


def test_names_and_numbers_are_not_mixed(listed):
    with pytest.raises(ValueError, match=r"labels\.csv, line 3: label is a number, '7', but thos"):
        dataset.load(*listed("cat", "7"))


def test_unknown_names(listed):
    with pytest.raises(ValueError, match=r"no name of the model's 3 classes: 'cow'"):
        dataset.load(*listed("cat", "cow"), class_names=PETS)


# ---- folders of classes -----------------------------------------------------------


@pytest.fixture
def tree(tmp_path) -> Path:
    """Folders as torchvision's ImageFolder has them, with what else lies around."""
    for n, name in enumerate(
        ("dog/b.png", "dog/sub/c.png", "dog/a.jpg", "cat/z.png", "ox/1.PNG", "ox/2.png")
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jpg":
            path.write_bytes(encode_with_pillow(picture(12, 8, seed=n)))
        else:
            Image.fromarray(picture(12, 8, seed=n)).save(path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "dog" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "dog" / "notes.txt").write_text("x")
    (tmp_path / "README").write_text("x")
    return tmp_path


def test_a_folder_for_each_class(tree):
    """Classes are numbered as ImageFolder does, and take turns."""
    found = dataset.load(tree)
    expected = ["cat/z.png", "dog/a.jpg", "ox/1.PNG", "dog/b.png", "ox/2.png", "dog/sub/c.png"]
    assert found.names == expected
    assert found.labels.tolist() == [0, 1, 2, 1, 2, 1]
    assert found.class_names == ("cat", "dog", "ox")
    assert np.array_equal(found.pixels[1], pyfd.decode(tree / "dog/a.jpg"))
    assert dataset.load(str(tree), limit=3).labels.tolist() == [0, 1, 2]


def test_folders_are_matched_with_the_models_names(tree):
    names = ("ox, bull", "bird", "Dog", "cat")
    found = dataset.load(tree, class_names=names)
    assert found.labels[:3].tolist() == [3, 2, 0]
    assert found.class_names == names
    with pytest.raises(ValueError, match="3 labels are no names of the model's 2 classes: 'cat'"):
        dataset.load(tree, class_names=("a", "b"))


def test_folders_with_numbers(tree):
    """A number is a class number: 10 is not the class after 1."""
    for old, new in (("cat", "2"), ("dog", "10"), ("ox", "0")):
        (tree / old).rename(tree / new)
    assert sorted(dataset.load(tree).labels.tolist()) == [0, 0, 2, 10, 10, 10]


def test_folders_with_wordnets_numbers(tree):
    for old, new in (("cat", "n02123045"), ("dog", "n02099601"), ("ox", "n02403003")):
        (tree / old).rename(tree / new)
    found = dataset.load(tree, class_names=models.load("efficientnet-lite0").class_names)
    assert found.labels[:3].tolist() == [207, 281, 345]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("loose", r"the picture x\.png is in no folder of a class: give a CSV file"),
        ("empty", "cow is the folder of a class, but has no picture"),
        ("parts", "has the parts train and val of a data set: give one of them"),
        ("nothing", "no labels: give a CSV file .*, or sort the pictures into a folder"),
        ("damaged", r"ox.1\.PNG: "),
        ("broken link", r"dog.sub.d\.jpg: No such file"),
        ("cycle", "loop is a link to a folder above it"),
    ],
)
def test_what_is_no_tree(change, match, tree):
    if change == "loose":
        (tree / "ox/2.png").rename(tree / "x.png")
    elif change == "empty":
        (tree / "cow").mkdir()
    elif change == "parts":
        for name in ("train", "val"):
            (tree / "set" / name).mkdir(parents=True)
        tree = tree / "set"
    elif change == "nothing":
        tree = tree / ".cache"
    elif change == "broken link":
        (tree / "dog/sub/d.jpg").symlink_to("nowhere.jpg")
    elif change == "cycle":
        (tree / "loop").symlink_to(".")
    else:
        (tree / "ox/1.PNG").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=match):
        dataset.load(tree)


# ---- .npz files ---------------------------------------------------------------------

CIFAR = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)


def saved(path: Path, **arrays) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def test_npz(tmp_path):
    path = saved(tmp_path / "cifar.npz", images=CIFAR, labels=np.array([3, 0, 9, 3, 1], np.uint8))
    found = dataset.load(path)
    assert (found.names, found.labels.tolist()) == (list("01234"), [3, 0, 9, 3, 1])
    assert (found.class_names, found.labelling) == (None, "")
    assert np.array_equal(np.stack(found.pixels), CIFAR)
    assert all(x.flags.writeable and x.flags.c_contiguous for x in found.pixels)
    few = dataset.load(str(path), limit=2)
    assert (few.labels.tolist(), len(few.pixels)) == ([3, 0], 2)


def test_npz_with_names(tmp_path):
    labels, names = np.array([1, 0, 1, 1, 0]), np.array(["dog", "cat"])
    path = saved(tmp_path / "x.npz", images=CIFAR, labels=labels, class_names=names)
    found = dataset.load(path)
    assert (found.labels.tolist(), found.class_names) == ([1, 0, 1, 1, 0], ("dog", "cat"))
    assert dataset.load(path, class_names=PETS).labels.tolist() == [0, 1, 0, 0, 1]
    path = saved(tmp_path / "y.npz", images=CIFAR, labels=names[labels])
    assert dataset.load(path).labels.tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"images": CIFAR}, "no array 'labels', only images"),
        ({"x_test": CIFAR, "y_test": [1]}, "no array 'images', only x_test, y_test"),
        ({"images": CIFAR[0]}, "must be N×H×W×3, not 32×32×3"),
        ({"images": CIFAR.transpose(0, 3, 1, 2)}, r"not 5×3×32×32: images\.transpose\(0, 2, 3"),
        ({"images": CIFAR / 255}, r"uint8, not float64: np\.rint\(images \* 255\)"),
        ({"images": CIFAR.astype(int)}, "uint8, not int64$"),
        ({"images": CIFAR[:0]}, "has the shape"),
        ({"images": np.asfortranarray(CIFAR)}, "Fortran order: save np.ascontiguousarray"),
        ({"images": np.array([None])}, "holds Python objects, which could run code"),
        ({"labels": np.array([None] * 5)}, "holds Python objects"),
        ({"labels": [0.5] * 5}, "labels must be N integers or names, not 5 of float64"),
        ({"labels": [[0]] * 5}, "not 5×1 of int64"),
        ({"labels": [0, 1]}, "2 labels for 5 images"),
        ({"labels": [0] * 6}, "6 labels for 5 images"),
        ({"labels": [0, 1, -1, 0, 0]}, "integers from 0 to 999999999, not -1"),
        ({"labels": [5_000_000_000] * 5}, "integers from 0 to 999999999, not 5000000000"),
        (
            {"labels": np.full(5, 2**64 - 1, np.uint64)},
            "999999999, not 1844674407370955161",
        ),
        ({"labels": np.full(5, 2**32 - 1, np.uint32).view("U1")}, "letters that Unicode does not"),
        ({"class_names": ["a"]}, "there is a label 3, but 1 names"),
        ({"labels": ["a", "b", "c", "a", "b"], "class_names": ["a", "b"]}, "'c' is not among"),
    ],
)
def test_npz_with_other_arrays(arrays, match, tmp_path):
    whole = {"images": CIFAR, "labels": [0, 1, 2, 3, 0]}
    if "labels" not in arrays or "images" in arrays:
        whole = arrays if len(arrays) == 2 or match.startswith("no array") else {**whole, **arrays}
    else:
        whole |= arrays
    path = saved(tmp_path / "x.npz", **whole)
    with pytest.raises(ValueError, match=rf"x\.npz: .*{match}"):
        dataset.load(path)


def header(shape: str, kind: str = "|u1") -> bytes:
    """Return an array's header without the array."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (header("(1, 99999, 99999, 3)"), "max_pixels is 67108864, but the file has 9999800001"),
        (header("(999999, 999, 999, 3)"), "max_memory is 805306368, but the file has"),
        (header("(2, 32, 32, 3)") + bytes(100), "images is cut: 100 of 6144 bytes"),
        (header("(2, -32, 32, 3)"), "has the shape"),
        (header("(2, 32, 32, 3") + bytes(6144), "damaged"),
        (header("(" * 400 + ")" * 400), "damaged"),
        (b"\x93NUMPY\x07\x00" + header("(2,)")[8:], "version"),
        (b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + bytes(9), "version"),
        (b"", "damaged"),
    ],
)
def test_hostile_arrays(images, match, tmp_path):
    """Nothing is read before the header has been compared with the limits."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", images)
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(2, int))
        archive.writestr("labels.npy", buffer.getvalue())
    with pytest.raises(ValueError, match=rf"x\.npz.*({match})"):
        dataset.load(path)


@pytest.mark.parametrize(
    ("shape", "kind"), [("(999999999,)", "<i8"), ("(5,)", "<U999999999"), ("(5, 5)", "<i8")]
)
def test_hostile_labels(shape, kind, tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header("(1, 8, 8, 3)") + bytes(192))
        archive.writestr("labels.npy", header(shape, kind))
    with pytest.raises(ValueError, match=r"x\.npz.*(labels |damaged)"):
        dataset.load(path)


def test_npz_cut_and_spoilt(tmp_path):
    path = saved(tmp_path / "x.npz", images=CIFAR, labels=np.zeros(5, int))
    whole = path.read_bytes()
    for data in (whole[:-9], whole[:400], b"", whole[:300] + bytes(99) + whole[399:]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"x\.npz is damaged, or no \.npz file"):
            dataset.load(path)


# ---- data sets of torch -----------------------------------------------------------------


class Items:
    """A data set as torch.utils.data.Dataset has it."""

    def __init__(self, *items, classes=None):
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def forms() -> dict[str, object]:
    levels = CIFAR[0]
    tensor = torch.from_numpy(levels).permute(2, 0, 1)
    return {
        "pillow": Image.fromarray(levels),
        "uint8 tensor": tensor,
        "float tensor": tensor / 255,
        "double tensor": tensor.double() / 255,
        "half tensor": (tensor / 255).half(),
        "bfloat16 tensor": (tensor / 255).bfloat16(),
        "uint8 array": levels,
        "float array": (levels / 255).astype(np.float32),
        "tensor with a gradient": (tensor / 255).requires_grad_(),
    }


@pytest.mark.parametrize("form", forms())
@pytest.mark.parametrize("label", [7, np.int64(7), torch.tensor(7)])
def test_data_sets(form, label):
    found = dataset.load(Items((forms()[form], label)))
    assert np.array_equal(found.pixels[0], CIFAR[0])
    assert (found.names, found.labels.tolist()) == (["0"], [7])


def test_gray():
    gray = CIFAR[0, ..., 0]
    for image in (gray, gray[..., None], torch.from_numpy(gray)[None], Image.fromarray(gray)):
        found = dataset.load(Items((image, 0)))
        assert np.array_equal(found.pixels[0], np.stack([gray] * 3, 2))


def test_classes_of_a_data_set():
    items = [(CIFAR[n], n % 2) for n in range(4)]
    whole = Items(*items, classes=["dog", "cat"])
    found = dataset.load(whole, limit=3)
    assert (found.labels.tolist(), found.class_names) == ([0, 1, 0], ("dog", "cat"))
    assert "numbered in the data set's order: 'dog' = 0, 'cat' = 1" in found.labelling
    subset = torch.utils.data.Subset(torch.utils.data.Subset(whole, [1, 2, 3]), [0, 1])
    found = dataset.load(subset, class_names=PETS)
    assert (found.labels.tolist(), found.class_names) == ([0, 1], PETS)
    pairs = Items(*items, classes=[("dog", "hound"), ("cat",)])
    assert dataset.load(pairs).class_names == ("dog, hound", "cat")


def test_a_function_that_returns_a_data_set(tmp_path, monkeypatch):
    (tmp_path / "pyfd_test_data.py").write_text(
        "import numpy as np\n"
        "def pictures():\n"
        "    return [(np.full((8, 8, 3), n, np.uint8), n) for n in range(3)]\n"
        "def number():\n"
        "    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "pyfd_test_data", raising=False)
    found = dataset.load("pyfd_test_data:pictures", limit=2)
    assert [int(x.max()) for x in found.pixels] == found.labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"pyfd_test_data:number must be a data set .*not int"):
        dataset.load("pyfd_test_data:number")
    with pytest.raises(ValueError, match='no data set from "pyfd_test_data:none"'):
        dataset.load("pyfd_test_data:none")
    with pytest.raises(ValueError, match="has labels of its own: leave labels out"):
        dataset.load("pyfd_test_data:pictures", "labels.csv")


@pytest.mark.parametrize(
    ("item", "match"),
    [
        ((CIFAR[0] / 127.5 - 1, 0), r"in 0\.\.\.1, not -1.*leave Normalize out of the data set"),
        ((CIFAR[0].astype(np.float32), 0), r"not 0\.\.\.25\d: divide them by 255"),
        ((np.full((8, 8, 3), np.nan), 0), "floats must be in 0...1, not nan"),
        ((torch.zeros(8, 8, 3), 0), r"must be 3×H×W or 1×H×W, not 8×8×3; image\.permute\(2, 0, 1"),
        ((np.zeros((3, 8, 8)), 0), r"H×W, not 3×8×8; image\.transpose\(1, 2, 0\) turns it"),
        ((torch.zeros(8, 8), 0), "must be 3×H×W or 1×H×W, not 8×8"),
        ((torch.zeros(1, 3, 8, 8), 0), "not 1×3×8×8"),
        (
            (torch.zeros(3, 8, 8, dtype=torch.int64), 0),
            "must be uint8 or floats in 0...1, not int6",
        ),
        ((Image.new("RGBA", (8, 8)), 0), "RGB or gray, not RGBA"),
        (("x.png", 0), "Pillow's, a tensor or an array, not str"),
        ({"image": 1, "label": 2}, r"must be a pair \(image, label\), not dict"),
        ((CIFAR[0],), r"must be a pair \(image, label\), not tuple"),
        ((CIFAR[0], "cat"), "label must be an integer from 0, not str"),
        ((CIFAR[0], -1), "label must be an integer from 0 to 999999999, not -1"),
        ((CIFAR[0], 1.5), "label must be an integer from 0, not float"),
        ((CIFAR[0], True), "label must be an integer from 0 to 999999999, not True"),
    ],
)
def test_items_that_are_no_labelled_images(item, match):
    with pytest.raises(ValueError, match=f"Items, item 1: .*{match}"):
        dataset.load(Items((CIFAR[0], 0), item))


def test_data_sets_that_fail_or_are_empty():
    class Failing(Items):
        def __getitem__(self, index):
            raise OSError("no such file")

    with pytest.raises(ValueError, match="Failing, item 0: OSError: no such file"):
        dataset.load(Failing(1))
    with pytest.raises(ValueError, match="Items has no items"):
        dataset.load(Items())
    with pytest.raises(ValueError, match="there is a label 2, but 1 names"):
        dataset.load(Items((CIFAR[0], 2), classes=["a"]))


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
@pytest.mark.parametrize("part", ["__len__", "__getitem__", "classes"])
def test_data_sets_whose_code_fails(part, error, monkeypatch):
    """SystemExit, which scripts raise, would end the command as if all were well."""

    def fail(*_):
        raise error("no luck")

    monkeypatch.setattr(Items, part, property(fail) if part == "classes" else fail, raising=False)
    with pytest.raises(ValueError, match=r"Items.*: no luck"):
        dataset.load(Items((CIFAR[0], 0)))


# ---- end to end ---------------------------------------------------------------------------


def test_pictures_of_32_pixels(tmp_path):
    """CIFAR's size works with a data set and with a .npz file, and names reach the report."""
    pictures = [picture(32, 32, seed=n) for n in range(4)]
    truth = toys.labels_of(toys.Texture(), pictures)
    path = saved(tmp_path / "x.npz", images=np.stack(pictures), labels=np.array(truth))
    items = Items(*zip(pictures, truth, strict=True), classes=["fine", "rough"])
    cells = []
    for source in (path, items):
        found = dataset.load(source)
        content = toys.run(
            tmp_path / str(len(cells)), pictures=found.pixels, truth=found.labels,
            class_names=found.class_names, defences=("none", "two-pass:16"), attacks=(toys.GRID,),
        )  # fmt: skip
        cells.append(toys.without_times(content))
    assert cells[0] == cells[1]
    assert set(content["setting"]["classes"].values()) <= {"fine", "rough"}


def test_the_command(tmp_path):
    pictures = [picture(32, 32, seed=n) for n in range(4)]
    names = np.array(["fine", "rough"])
    labels = names[toys.labels_of(toys.Texture(), pictures)]
    path = saved(tmp_path / "x.npz", images=np.stack(pictures), labels=labels, class_names=names)
    arguments = ["evaluate", "-m", "tests.evaluation.toys:texture", "--images", str(path)]
    arguments += ["-d", "none", "-a", "fgsm", "-e", "2", "--limit", "3", "--workers", "1"]
    done = CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / "out")])
    assert done.exit_code in (0, 1), done.output  # 1: so few pictures say nothing
    assert "labels are names, numbered in the order of class_names" in done.stderr
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (content["setting"]["loaded"], content["setting"]["n"]) == (3, 3)
    assert set(content["setting"]["classes"].values()) <= set(names)
