"""JPEGFolder, compared with Pillow and torchvision; data loaders; WebDataset."""

import gc
import io
import os
import tarfile
from pathlib import Path

import pytest
import torch
import webdataset as wds
from torch.utils.data import DataLoader, Subset

import pyfd
from pyfd.torch import Decode, JPEGFolder
from tests.jpegs import decode_with_pillow, encode_with_pillow, picture
from tests.pipelines.torch.files import NAMES, TABLES, as_chw, jpeg

# ---- the folder -------------------------------------------------------------


def test_a_folder_is_a_class(folder):
    found = JPEGFolder(folder)
    assert found.classes == ["cat", "dog"]
    assert found.class_to_idx == {"cat": 0, "dog": 1}
    # In torchvision's order: by folder, then by name
    ordered = [NAMES[i] for i in (0, 1, 3, 2, 4, 5)]
    assert [(Path(path).relative_to(folder).as_posix(), i) for path, i in found.samples] == [
        (name, int(name.startswith("dog"))) for name in ordered
    ]
    assert found.targets == [0, 0, 0, 0, 1, 1]
    assert len(found) == 6
    assert "6 files, 2 classes" in repr(found)


def test_plain_items_are_pillows(folder):
    found = JPEGFolder(str(folder))
    for (image, target), (path, index) in zip(found, found.samples, strict=True):
        assert torch.equal(image, as_chw(decode_with_pillow(Path(path).read_bytes())))
        assert image.dtype == torch.uint8
        assert target == index


def test_items_are_on_the_tables(folder):
    found = JPEGFolder(folder, TABLES)
    path = found.samples[0][0]
    requantized = pyfd.requantize(path, TABLES)
    assert torch.equal(found[0][0], as_chw(decode_with_pillow(requantized)))
    assert not torch.equal(found[0][0], JPEGFolder(folder)[0][0])


def test_transforms_and_options(folder):
    found = JPEGFolder(
        folder, transform=lambda image: image.float() / 255, target_transform=str, scale=2
    )
    image, target = found[4]
    assert image.shape == (3, 12, 16)
    assert image.dtype == torch.float32
    assert target == "1"


def test_grayscale_and_cmyk_files_are_rgb(folder):
    gray, cmyk = picture(32, 24, channels=1), picture(32, 24, channels=4)
    (folder / "cat" / "1.jpg").write_bytes(encode_with_pillow(gray))
    (folder / "cat" / "2.JPEG").write_bytes(encode_with_pillow(cmyk))
    found = JPEGFolder(folder)
    assert found[0][0].shape == found[1][0].shape == (3, 24, 32)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", pyfd.UnsupportedJPEGError),
        (b"no jpeg", pyfd.CorruptJPEGError),
        (jpeg()[:-300], pyfd.CorruptJPEGError),
    ],
)
def test_a_damaged_file_is_named(folder, content, error):
    (folder / "cat" / "2.JPEG").write_bytes(content)
    found = JPEGFolder(folder, TABLES)
    found[0]
    with pytest.raises(error, match=r"cat/2\.JPEG'$"):
        found[1]


def test_a_bomb_is_named(folder):
    found = JPEGFolder(folder, limits=pyfd.Limits(max_pixels=700))
    with pytest.raises(pyfd.LimitExceededError, match=r"max_pixels is 700.*cat/1\.jpg'$") as caught:
        found[0]
    assert (caught.value.limit, caught.value.allowed) == ("max_pixels", 700)
    assert caught.value.needed == caught.value.__cause__.needed > 700


def test_a_name_cannot_steer_a_terminal(folder):
    (folder / "dog" / "\x1b[2J\udcff.jpg").write_bytes(b"")
    found = JPEGFolder(folder)
    with pytest.raises(pyfd.UnsupportedJPEGError) as caught:
        found[4]
    assert str(caught.value).isprintable()


def test_pipes_and_linked_folders_are_left_out_with_a_warning(folder):
    os.mkfifo(folder / "dog" / "pipe.jpg")  # nobody writes to it
    (folder / "dog" / "round").symlink_to(folder)
    (folder / "dog" / "round.jpg").symlink_to(folder)
    (folder / "dog" / "link.jpg").symlink_to(folder / "cat" / "1.jpg")
    (folder / "dog" / "nowhere.jpg").symlink_to(folder / "gone")
    (folder / "wolf").symlink_to(folder / "dog")
    (folder / "self").symlink_to("self")
    with pytest.warns(UserWarning, match="JPEGFolder left out") as caught:
        found = JPEGFolder(folder)
    assert len(caught) == 2  # the dogs and the wolves
    for text in (r"pipe.jpg': not a regular file", "round': a linked folder, which is skipped"):
        assert text in str(caught[0].message)
    assert found.classes == ["cat", "dog", "wolf"]
    names = [Path(path).name for path, target in found.samples if target == 1]
    assert names == ["1.jpg", "a.jfif", "link.jpg", "nowhere.jpg"]
    assert torch.equal(found[6][0], found[0][0])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        found[7]


def test_linked_folders_are_followed_once(folder, tmp_path_factory):
    more = tmp_path_factory.mktemp("more")
    (more / "x.jpg").write_bytes((folder / "cat" / "1.jpg").read_bytes())
    for name in ("one", "two"):
        (folder / "dog" / name).symlink_to(more)
    (more / "back").symlink_to(folder / "dog")
    with pytest.warns(UserWarning, match=r"two': it leads to .*searched already.*back': a loop: "):
        found = JPEGFolder(folder, follow_links=True)
    dogs = [Path(path).relative_to(folder).as_posix() for path, target in found.samples if target]
    assert dogs == ["dog/1.jpg", "dog/a.jfif", "dog/one/x.jpg"]


def test_a_file_that_becomes_a_pipe_is_an_error_not_a_wait(folder):
    found = JPEGFolder(folder)
    (folder / "cat" / "1.jpg").unlink()
    os.mkfifo(folder / "cat" / "1.jpg")
    with pytest.raises(OSError, match=r"not a regular file.*1\.jpg"):
        found[0]


def test_folders_without_files_are_refused(folder):
    (folder / "wolf").mkdir()
    (folder / "wolf" / "1.png").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"no JPEG files in the class folder .*wolf"):
        JPEGFolder(folder)
    with pytest.raises(FileNotFoundError, match="no class folders in"):
        JPEGFolder(folder / "dog")
    with pytest.raises(FileNotFoundError):
        JPEGFolder(folder / "none")


# ---- loaders ----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork in a process with threads
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_loader_with_workers(folder, context):
    found = JPEGFolder(folder, TABLES)
    loader = DataLoader(found, batch_size=2, num_workers=2, multiprocessing_context=context)
    images, targets = zip(*loader, strict=True)
    assert torch.equal(torch.cat(images), torch.stack([image for image, _ in found]))
    assert torch.cat(targets).tolist() == found.targets


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_loader_passes_the_error_on_and_goes_on(folder):
    (folder / "cat" / "2.JPEG").write_bytes(jpeg()[:200])
    batches = iter(DataLoader(JPEGFolder(folder), num_workers=1, multiprocessing_context="fork"))
    next(batches)
    with pytest.raises(pyfd.CorruptJPEGError, match=r"cat/2\.JPEG"):
        next(batches)
    assert len(list(batches)) == 4


def test_good_files_as_a_subset(folder):
    """The recipe in docs/pipelines/pytorch.md."""
    (folder / "cat" / "2.JPEG").write_bytes(b"no jpeg")
    found = JPEGFolder(folder)

    def is_good(index):
        try:
            found[index]
        except pyfd.JPEGError:
            return False
        return True

    good = Subset(found, list(filter(is_good, range(len(found)))))
    assert len(next(iter(DataLoader(good, batch_size=6)))[0]) == 5


# ---- WebDataset -------------------------------------------------------------


#: It leaves closing the shards to the garbage collector.
leaves_files_open = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def shards(tmp_path):
    """Write two shards of three samples each; sample 4 is damaged."""
    for shard in range(2):
        with tarfile.open(tmp_path / f"shard-{shard}.tar", "w") as tar:
            for i in range(3 * shard, 3 * shard + 3):
                files = {"jpg": jpeg(i)[: 100 if i == 4 else None], "cls": str(i).encode()}
                for ending, content in files.items():
                    member = tarfile.TarInfo(f"sample{i}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    yield [str(tmp_path / f"shard-{shard}.tar") for shard in range(2)]
    gc.collect()


def collected(samples) -> dict[int, torch.Tensor]:
    return {int(label): image for image, label in samples}


def decoded(*labels: int) -> dict[int, torch.Tensor]:
    return {i: as_chw(pyfd.decode(jpeg(i), TABLES)) for i in labels}


def equal(found: dict[int, torch.Tensor], expected: dict[int, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[i], expected[i]) for i in expected
    )


@leaves_files_open
def test_webdataset_by_map_dict(shards):
    samples = wds.WebDataset(shards, shardshuffle=False)
    samples = samples.map_dict(jpg=Decode(TABLES), handler=wds.ignore_and_continue)
    assert equal(collected(samples.to_tuple("jpg", "cls")), decoded(0, 1, 2, 3, 5))


@leaves_files_open
def test_webdataset_by_decode(shards):
    samples = wds.WebDataset(shards, shardshuffle=False)
    handler = wds.handle_extension("jpg jpeg jpe", Decode(TABLES))
    samples = samples.decode(handler, handler=wds.ignore_and_continue).to_tuple("jpg", "cls")
    assert equal(collected(samples), decoded(0, 1, 2, 3, 5))


@leaves_files_open
def test_webdataset_raises_unless_told_otherwise(shards):
    samples = wds.WebDataset(shards, shardshuffle=False).map_dict(jpg=Decode(TABLES))
    with pytest.raises(pyfd.CorruptJPEGError):
        list(samples)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@leaves_files_open
def test_webdataset_in_a_loader(shards):
    samples = wds.WebDataset(shards, shardshuffle=False)
    samples = samples.map_dict(jpg=Decode(TABLES), handler=wds.ignore_and_continue)
    loader = wds.WebLoader(
        samples.to_tuple("jpg", "cls"),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="fork",
    )
    assert equal(collected(loader), decoded(0, 1, 2, 3, 5))
