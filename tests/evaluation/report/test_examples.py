"""Which examples a report shows, and how large its page is."""

import base64
from types import SimpleNamespace

import numpy as np

import pyfd
from pyfd.evaluation import examples, report
from tests.evaluation.report.reports import ATTACKS, make

PHOTO = np.full((240, 300, 3), 120, np.uint8)


def made(title: str, defence: str = "two-pass:16", image: int = 0) -> dict:
    return {"title": title, "defence": defence, "image": image}


def trials(*groups: tuple[str, ...]) -> list:
    kinds = {"none": "none"}
    defences = {
        name: SimpleNamespace(name=name, kind=kinds.get(name, "one-pass"))
        for group in groups
        for name in group
    }
    return [SimpleNamespace(judged=tuple(defences[name] for name in group)) for group in groups]


def test_each_trial_shows_another_image():
    chunks = [[0, 2, 4], [1, 3]]
    shown = [examples.shown(place, chunks) for place in range(5)]
    assert sorted(chunks[chunk][index] for chunk, index in shown) == [0, 1, 2, 3, 4]
    assert examples.shown(5, chunks) == shown[0]


def test_each_trial_shows_another_defence():
    found = trials(("none", "a", "b"), ("c",), ("none", "a", "b"), ("c",), ("none", "a", "b"))
    names = [found[place].judged[examples.judge(place, found)].name for place in range(5)]
    assert names == ["a", "c", "b", "c", "a"]
    assert examples.judge(0, trials(("none",))) == 0


def test_other_images_attacks_and_defences_are_chosen():
    attacks = ("pgd", "bpda", "grid")
    offered = [
        made(f"{attack}, ε = {epsilon}", defence, (3 * a + e + d) % 7)
        for a, attack in enumerate(attacks)
        for e, epsilon in enumerate((1, 2, 4))
        for d, defence in enumerate(("one-pass:16", "two-pass:16", "jpeg:75"))
    ]
    chosen = examples.choose(offered)
    assert len({found["image"] for found in chosen}) == len(chosen) == 6
    assert {found["title"].partition(",")[0] for found in chosen} == set(attacks)
    assert len({found["defence"] for found in chosen}) == 3
    assert len({found["title"].partition(",")[2] for found in chosen}) == 3
    assert [offered.index(found) for found in chosen] == sorted(map(offered.index, chosen))
    assert examples.choose(iter(offered)) == chosen


def test_few_examples_are_all_chosen():
    offered = [made("pgd, ε = 1"), made("cw-l2"), made("pgd, ε = 2")]
    assert examples.choose(offered) == offered
    assert examples.choose([]) == []


def test_pictures_are_stored_as_jpeg():
    moved, seen = PHOTO + np.uint8(4), PHOTO + np.uint8(50)
    found = examples.example("pgd, ε = 4", "jpeg:75", 17, (PHOTO, moved, seen), [1, 2, 1], 1)
    assert found["image"] == 17
    assert found["predicted"] == {"benign": 1, "attacked": 2, "defended": 1}
    wanted = {"original": 120, "adversarial": 124, "perturbation": 128 + 16 * 4, "defended": 170}
    for key, level in wanted.items():
        pixels = pyfd.decode(base64.b64decode(found[key]))
        assert pixels.shape == (224, 224, 3)
        assert np.abs(pixels.astype(int) - level).max() <= 4
    page = report.page(make(attacks=ATTACKS[:1], examples=[found]))
    assert page.count("data:image/jpeg;base64,") == 4


def test_a_page_of_many_cells_and_noisy_pictures_is_below_a_megabyte():
    """Noise of ±8 on waves takes more bytes than most photographs."""
    rows, columns = np.mgrid[:224, :224]
    pictures = []
    for number in range(8):
        rng = np.random.default_rng(number)
        waves = 128 + 60 * np.sin(rows / (5 + number))[..., None] * np.cos(columns / 9)[..., None]
        photo = (waves + rng.normal(0, 9, (224, 224, 3))).clip(0, 255).astype(np.uint8)
        moved = (photo + rng.choice([-8, 8], photo.shape)).clip(0, 255).astype(np.uint8)
        found = ("none", number, (photo, moved, moved), [1, 2, 1], 1)
        pictures.append(examples.example(f"attack{number}, ε = 8", *found))
    defences = {f"two-pass:{step}": "two-pass" for step in range(8, 80, 8)}
    defences |= {"none": "none", "jpeg:75": "transformation"}
    content = make(defences, examples=examples.choose(pictures))
    page = report.page(content).encode()
    assert 300_000 < len(page) < 1_000_000
