"""Adapting a network and tuning tables: every photograph is scored by what has not seen it."""

from __future__ import annotations

import json
import sys
from contextlib import closing

import numpy as np
import pytest
import torch

import pyfd
from benchmarks import adaptation, pages, tuned_tables
from benchmarks.deblocking import FILTERS, Answers
from benchmarks.tuned_tables import Half, Trials
from pyfd import QTables
from pyfd._core.log import OtherRunError
from tests.benchmarks.toys import Brightest, photographs
from tests.jpegs import picture


@pytest.fixture
def study(photographs_folder, monkeypatch):
    """A function that runs a benchmark's main on toys, and returns its page."""
    folder, _ = photographs_folder
    monkeypatch.setattr("benchmarks.studies.models.load", lambda _: Brightest().eval())

    def run(benchmark) -> str:
        page = folder / "page.md"
        page.write_text(f"before\n\n<!-- made by {benchmark.MAKER} -->\nold{pages.END}\n\nafter\n")
        arguments = [folder / "photos", folder / "labels.csv", "--output", folder / "made"]
        monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments), "--write", str(page)])
        benchmark.main()
        text = page.read_text()
        assert text.startswith("before\n\n")
        assert text.endswith(f"{pages.END}\n\nafter\n")
        assert "old" not in text
        return text

    return run


# ---- adapting a network ----------------------------------------------------------


def test_adaptation_is_measured_and_published(study, photographs_folder, monkeypatch):
    folder, labels = photographs_folder
    monkeypatch.setattr(adaptation, "EPSILONS", (1, 2))
    monkeypatch.setattr(adaptation, "STEPS", 3)
    text = study(adaptation)
    kept = json.loads((folder / "made" / "adaptation.json").read_text())["answers"]
    for epsilon in (1, 2):
        for kind in adaptation.KINDS:
            before, after = (kept[str(epsilon)][when][kind] for when in ("before", "after"))
            assert len(before[0]) == len(after[1]) == len(labels)
            assert before[1] != after[1]
            shares = [adaptation.share(np.array(right)) for right, _ in (before, after)]
            assert f"| {epsilon} | {kind} | {shares[0]} | {shares[1]} |" in text
    assert len(list((folder / "made").glob("*.state"))) == 4


def test_an_interrupted_adaptation_is_resumed(study, monkeypatch):
    monkeypatch.setattr(adaptation, "EPSILONS", (1,))
    monkeypatch.setattr(adaptation, "STEPS", 3)
    text = study(adaptation)
    monkeypatch.setattr("pyfd.torch.adaptation._Training._step", None)  # nothing is trained again
    assert study(adaptation) == text


def test_no_network_has_seen_what_it_is_scored_on(monkeypatch, tmp_path):
    """Each photograph, marked by its size, is either taught or scored, and scored once."""
    pixels = [picture(24, 24, seed=n) for n in range(7)]
    larger = [np.full((27, 27, 3), n, np.uint8) for n in range(7)]
    labels = np.arange(7) % 3
    sets = adaptation.Sets([str(n) for n in range(7)], labels, pixels, larger)
    taught = []

    def adapt(model, images, tables, *, radius, **_):
        assert tables == QTables.certified(radius)
        taught.append([int(image[0, 0, 0]) for image in images])
        return model

    scored = []

    def answers(_, images, truth):
        places = [n for i in images for n, x in enumerate(all_images) if np.array_equal(i, x)]
        scored.append([n % 7 for n in places])
        assert (labels[scored[-1]] == truth).all()
        return Answers(np.ones(len(images), bool), np.ones(len(images)))

    tables = QTables.certified(2)
    certified = [pyfd.decode(pyfd.encode(x, tables, radius=2)) for x in pixels]
    filtered = [FILTERS[adaptation.FILTER](x, tables) for x in certified]
    all_images = [*pixels, *filtered, *certified]
    monkeypatch.setattr(adaptation, "adapt", adapt)
    monkeypatch.setattr(adaptation, "answers", answers)
    found = adaptation.study(Brightest(), sets, 2, tmp_path)
    assert sorted(taught[0] + taught[1]) == list(range(7))
    for kind in (0, 1, 2):
        first, second = scored[3 + kind], scored[6 + kind]
        assert (sorted(first), sorted(second)) == (taught[1], taught[0])
    assert all(a.right.all() and (a.certainty == 1).all() for a in found.after.values())


def test_crops_are_taken_from_the_whole_photograph_at_the_scale_that_is_scored():
    found = adaptation.resized(picture(100, 50), 27)
    assert found.shape == (27, 54, 3)
    assert adaptation.resized(picture(20, 20), 27).shape == (27, 27, 3)


# ---- tuning tables -----------------------------------------------------------------


def test_tables_are_tuned_and_published(study, photographs_folder, monkeypatch):
    folder, _ = photographs_folder
    monkeypatch.setattr(tuned_tables, "EPSILONS", (1,))
    monkeypatch.setattr(tuned_tables, "STEPS", 2)
    text = study(tuned_tables)
    rows = [line for line in text.splitlines() if line.startswith("| 1 |")]
    names = ["certified", "refine", "gradients", "slack"]
    assert [row.split(" | ")[1].split()[0] for row in rows] == names
    least = QTables.certified(1, slack=0)
    for name in names:
        tables = QTables.load(folder / "made" / f"epsilon-1-{name}.json")
        floor = least if name == "slack" else QTables.certified(1)
        assert (tables.array >= floor.array).all()
    monkeypatch.setattr(Trials, "__call__", lambda self, tables: self.known[tables])
    before = (folder / "made" / "epsilon-1.jsonl").read_bytes()
    assert study(tuned_tables) == text
    assert (folder / "made" / "epsilon-1.jsonl").read_bytes() == before


def test_trials_are_the_mean_probability_on_certified_files(tmp_path):
    photos, labels = photographs(4)
    photos = [photo[:24, :24] for photo in photos]
    half = Half(photos, labels)
    tables = QTables.certified(2, slack=12)
    expected = []
    for photo, label in zip(photos, labels, strict=True):
        seen = pyfd.decode(pyfd.encode(photo, tables, radius=2))
        powers = np.exp(20 * seen.mean((0, 1)) / 255)
        expected.append(powers[label] / powers.sum())
    with closing(Trials(Brightest(), half, 2, tmp_path / "log")) as trials:
        score = trials(tables)
    assert score == pytest.approx(np.mean(expected), abs=1e-6)
    with closing(Trials(Brightest(), half, 2, tmp_path / "log")) as trials:
        trials.of = None  # it is not tried again
        assert trials(tables) == score
    with pytest.raises(OtherRunError):
        Trials(Brightest(), Half(photos[:2], labels[:2]), 2, tmp_path / "log")


def test_slack_of_each_band():
    steps = tuned_tables.with_slack(2, (1, 2, 3, 4, 5, 6))
    for component, (dc, line, rest) in enumerate(((1, 2, 3), (4, 5, 6))):
        for slack, places in ((dc, np.s_[:1, :1]), (line, np.s_[0, 1:]), (line, np.s_[1:, 0])):
            expected = QTables.certified(2, slack=slack)[0][places]
            assert (steps[component][places] == expected).all()
        assert (steps[component][1:, 1:] == QTables.certified(2, slack=rest)[0][1:, 1:]).all()
    same = tuned_tables.with_slack(2, (tuned_tables.DEFAULT,) * 6)
    assert (same.array == QTables.certified(2).array).all()


def test_the_search_for_slack_finds_the_best_one():
    best = tuned_tables.with_slack(1, (8, 6, 2, 10, 8, 4))

    def score(tables: QTables) -> float:
        return -float(np.abs(tables.array.astype(int) - best.array).sum())

    assert tuned_tables.by_slack(score, 1) == best
    coarse = QTables.uniform(255)
    found = tuned_tables.by_slack(lambda t: -float((coarse.array - t.array.astype(int)).sum()), 1)
    assert found == tuned_tables.with_slack(1, (tuned_tables.MOST,) * 6)


def test_gradients_leave_no_step_below_the_floor(monkeypatch):
    """What costs the network answers falls back to the floor."""
    monkeypatch.setattr(tuned_tables, "STEPS", 30)
    monkeypatch.setattr(tuned_tables, "RATE", 2)

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 10))
    photos = [picture(16, 16, seed=n) for n in range(8)]
    floor, start = QTables.certified(1), QTables.certified(1, slack=16)
    found = tuned_tables.by_gradient(model, photos, floor, start)
    assert len(found) == 2
    assert (found.array >= floor.array).all()
    assert found.array.mean() < start.array.mean() - 1
