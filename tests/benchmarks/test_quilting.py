"""The image quilting of the benchmarks."""

import itertools

import numpy as np
import pytest

from benchmarks.quilting import Quilting, cut, join, patch_bank, stitch
from tests.jpegs import picture


def own_patches(image: np.ndarray, size: int = 5) -> np.ndarray:
    """Return all patches of an image."""
    height, width = image.shape[:2]
    return np.array(
        [
            image[y : y + size, x : x + size]
            for y in range(height - size + 1)
            for x in range(width - size + 1)
        ]
    )


# ---- the cut ----------------------------------------------------------------


@pytest.mark.parametrize(("length", "places"), [(1, 1), (1, 3), (5, 2), (6, 4), (4, 5)])
def test_the_cut_is_the_best_of_all(length, places):
    errors = np.random.default_rng(0).integers(0, 100, (7, 2, length, places)).astype(float)
    paths = [
        path
        for path in itertools.product(range(places), repeat=length)
        if all(abs(a - b) <= 1 for a, b in itertools.pairwise(path))
    ]
    sides = cut(errors)
    for index in np.ndindex(errors.shape[:2]):
        error, side = errors[index], sides[index]
        best = min(sum(error[row, place] for row, place in enumerate(path)) for path in paths)
        path = tuple(side.argmax(1))
        assert path in paths
        assert sum(error[row, place] for row, place in enumerate(path)) == best
        assert np.array_equal(side, np.arange(places) >= np.array(path)[:, np.newaxis])


def test_the_cut_moves_by_one_place_a_row():
    """The smallest errors alternate between places 0 and 3, which no cut can follow."""
    error = np.array([[0, 9, 9, 9], [9, 5, 9, 0], [0, 9, 9, 9]], float)
    assert cut(error).argmax(1).tolist() == [0, 1, 0]


# ---- joining ----------------------------------------------------------------


def test_pieces_are_joined_where_they_agree():
    """Two pieces in one row agree at the second place of their overlap."""
    gray = np.array([[1, 2, 3, 40, 50], [60, 50, 6, 7, 8]], np.uint8)
    gray[1, 1] = gray[0, 4]
    pieces = gray[np.newaxis, :, np.newaxis, :, np.newaxis].repeat(3, -1)
    assert join(pieces, 2)[0, 0, :, 0].tolist() == [1, 2, 3, 40, 50, 6, 7, 8]


@pytest.mark.parametrize(("size", "overlap"), [(5, 2), (5, 1), (4, 2), (8, 3)])
def test_patches_of_one_image_are_stitched_to_it(size, overlap):
    stride = size - overlap
    image = picture(size + 6 * stride, size + 3 * stride)
    patches = own_patches(image, size).reshape(3 * stride + 1, 6 * stride + 1, size, size, 3)
    assert np.array_equal(stitch(patches[::stride, ::stride], overlap), image)


# ---- the defence --------------------------------------------------------------


@pytest.mark.parametrize("shape", [(26, 35), (27, 33), (5, 6), (9, 5)])
def test_its_own_patches_rebuild_an_image(shape):
    image = picture(*shape[::-1])
    stop = [-(-(n - 5) // 3) * 3 + 5 - n for n in shape]
    padded = np.pad(image, ((0, stop[0]), (0, stop[1]), (0, 0)), mode="edge")
    others = own_patches(picture(40, 40, seed=1))
    bank = np.concatenate([others, own_patches(padded)])
    assert np.array_equal(Quilting(bank, 1)([image])[0], image)


def test_one_of_the_nearest_is_drawn():
    grays = np.array([90, 95, 99, 104, 130, 200], np.uint8)
    bank = np.broadcast_to(grays[:, np.newaxis, np.newaxis, np.newaxis], (6, 5, 5, 3)).copy()
    image = np.full((40, 40, 3), 100, np.uint8)
    assert set(Quilting(bank, 1)([image])[0].ravel()) == {99}
    assert set(Quilting(bank, 3)([image])[0].ravel()) == {95, 99, 104}


def test_patches_are_the_nearest():
    """Only a margin of one overlaps, so the middle of each patch is that of its nearest."""
    image, bank = picture(9, 9), own_patches(picture(30, 30, seed=1))
    quilted = Quilting(bank, 1, overlap=1)([image])[0]
    for y, x in itertools.product((0, 4), repeat=2):
        distances = ((bank.astype(int) - image[y : y + 5, x : x + 5]) ** 2).sum((1, 2, 3))
        middle = bank[distances.argmin(), 1:4, 1:4]
        assert np.array_equal(quilted[y + 1 : y + 4, x + 1 : x + 4], middle)


def test_sizes_and_seeds():
    images = [picture(*size) for size in ((1, 1), (3, 20), (41, 30), (41, 30))]
    originals = [image.copy() for image in images]
    defence = Quilting(patch_bank([picture(60, 60, seed=1)], 500))
    first, again, other = defence(images, 1), defence(images, 1), defence(images, 2)
    for before, after in zip(images, first, strict=True):
        assert after.shape == before.shape
        assert after.dtype == np.uint8
        assert after.flags.c_contiguous
    assert all(map(np.array_equal, images, originals))
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[2], other[2])
    assert not np.array_equal(first[2], first[3])
    assert all(map(np.array_equal, defence.camera(images), images))
    assert (defence.name, defence.kind, defence.random) == ("quilting", "transformation", True)
    assert defence.module() is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"neighbors": 0}, "neighbors must be in 1...9"),
        ({"neighbors": 10}, "neighbors must be in 1...9"),
        ({"neighbors": 1, "overlap": 0}, "overlap must be in 1...2"),
        ({"neighbors": 1, "overlap": 3}, "overlap must be in 1...2"),
    ],
)
def test_bad_arguments(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        Quilting(np.zeros((9, 5, 5, 3), np.uint8), **arguments)


# ---- the bank -----------------------------------------------------------------


def test_the_bank_holds_patches_of_the_images():
    images = [picture(20, 15), picture(12, 30, seed=1)]
    bank = patch_bank(images, 101)
    assert bank.shape == (101, 5, 5, 3)
    assert bank.dtype == np.uint8
    for patches, image in ((bank[:51], images[0]), (bank[51:], images[1])):
        theirs = {patch.tobytes() for patch in own_patches(image)}
        ours = {patch.tobytes() for patch in patches}
        assert ours <= theirs
        assert len(ours) > 30
    assert np.array_equal(patch_bank(images, 101), bank)
    assert not np.array_equal(patch_bank(images, 101, seed=1), bank)
    assert patch_bank(images, 3, size=7).shape == (3, 7, 7, 3)
