"""`refine`, with models whose sensitivity is known."""

import json

import numpy as np
import pytest

import pyfd
from pyfd import QTables
from pyfd.refinement import BANDS, LADDER

DIAGONALS = np.add.outer(np.arange(8), np.arange(8))


def needs_low_luma(tables: QTables) -> float:
    """A model that loses 0.01 for each unit of a step beyond 8 at the lowest luma frequencies."""
    excess = np.maximum(tables[0][DIAGONALS <= 2].astype(int) - 8, 0).sum()
    return max(0.0, 0.95 - 0.01 * excess)


def test_spends_the_budget_where_it_costs_nothing():
    found = pyfd.refine(needs_low_luma, budget=0.0)
    luma, chroma = found.qtables
    assert (chroma == 255).all()
    assert (luma[DIAGONALS > 2] == 255).all()
    assert (luma[DIAGONALS <= 2] == 8).all()
    assert found.accuracy == found.baseline == 0.95
    assert found.complete
    assert found.sensitivity["luma 0-0"] == pytest.approx(0.56)
    assert found.sensitivity["chroma 0-0"] == 0
    assert found.qtables.origin["method"] == "refine"


def test_raises_the_smallest_steps_first():
    """No step is smaller than the largest uniform step that the budget allows."""

    def accuracy(tables: QTables) -> float:
        return float(1 - 0.01 * np.log(tables.array).sum() / np.log(255))

    uniform = max(s for s in LADDER if accuracy(QTables(np.full((2, 8, 8), s))) >= 0.5)
    found = pyfd.refine(accuracy, budget=0.5)
    assert found.qtables.array.min() == uniform
    assert found.qtables.array.max() <= 2 * uniform


@pytest.mark.parametrize("seed", range(5))
def test_ends_where_no_band_can_be_raised(seed):
    """The accuracy is noisy, so that steps that did not fit at first may fit later."""

    def accuracy(tables: QTables) -> float:
        noise = np.random.default_rng([seed, *tables.array.ravel()]).uniform(0, 0.01)
        return float(1 - 0.1 * np.log(tables.array).mean() / np.log(255) - noise)

    found = pyfd.refine(accuracy, budget=0.06)
    for component in range(2):
        for first, last in BANDS:
            band = (first <= DIAGONALS) & (last >= DIAGONALS)
            raised = found.qtables.array.copy()
            rung = LADDER.index(raised[component][band][0])
            if rung + 1 < len(LADDER):
                raised[component][band] = LADDER[rung + 1]
                assert accuracy(QTables(raised)) < found.baseline - 0.06


@pytest.mark.parametrize("budget", [0.0, 0.01, 0.05, 0.3, 1.0])
def test_never_exceeds_the_budget(budget):
    def accuracy(tables: QTables) -> float:
        return float(1 - np.log(tables.array).mean() / 10)

    found = pyfd.refine(accuracy, budget=budget)
    assert found.accuracy >= found.baseline - budget - 1e-9
    assert accuracy(QTables(found.qtables.array)) == found.accuracy


def test_is_deterministic_and_logs_every_trial(tmp_path):
    calls = 0

    def accuracy(tables: QTables) -> float:
        nonlocal calls
        calls += 1
        return needs_low_luma(tables)

    log = tmp_path / "log.jsonl"
    first = pyfd.refine(accuracy, budget=0.02, log=log)
    _header, *trials = map(json.loads, log.read_text().splitlines())
    assert calls == first.trials == len(trials)
    again = pyfd.refine(accuracy, budget=0.02, log=log)
    assert calls == first.trials + 1  # the first trial, to check that the log is this model's
    assert again == first
    assert len(log.read_text().splitlines()) == 1 + len(trials)
    assert pyfd.refine(needs_low_luma, budget=0.02) == first


def test_an_interrupted_search_answers_and_goes_on(tmp_path):
    def interrupted(tables: QTables) -> float:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return needs_low_luma(tables)

    log = tmp_path / "log.jsonl"
    whole = pyfd.refine(needs_low_luma, budget=0.02)
    for left in (0, 1, 7, whole.trials // 2):  # noqa: B007  (interrupted counts it down)
        part = pyfd.refine(interrupted, budget=0.02, log=log)
        assert not part.complete
        assert part.trials < whole.trials
    resumed = pyfd.refine(needs_low_luma, budget=0.02, log=log)
    assert resumed == whole


def test_a_trial_that_was_cut_off_is_run_again(tmp_path):
    calls = []

    def accuracy(tables: QTables) -> float:
        calls.append(tables)
        return needs_low_luma(tables)

    log = tmp_path / "log.jsonl"
    whole = pyfd.refine(needs_low_luma, budget=0.02, log=log)
    log.write_bytes(log.read_bytes()[:-10])
    assert pyfd.refine(accuracy, budget=0.02, log=log) == whole
    assert len(calls) == 2  # and the check


# ---- whose log it is ----------------------------------------------------------


def forgiving(tables: QTables) -> float:
    """Another model: more accurate, and harmed by larger steps alone."""
    return 0.96 - 0.001 * float(tables.array.max() > 40)


def test_another_models_log_is_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    pyfd.refine(needs_low_luma, log=log)
    before = log.read_bytes()
    reason = r"log\.jsonl is of another model or .*: with steps of 1, .* was 0\.950000 and is 0\.96"
    with pytest.raises(ValueError, match=reason):
        pyfd.refine(forgiving, log=log)
    assert log.read_bytes() == before


def test_another_model_that_is_as_accurate_has_another_key(tmp_path):
    def equal(tables: QTables) -> float:
        return forgiving(tables) - 0.01

    log = tmp_path / "log.jsonl"
    first = pyfd.refine(needs_low_luma, log=log, key="needs low luma")
    assert pyfd.refine(needs_low_luma, log=log, key="needs low luma") == first
    before = log.read_bytes()
    for key in ("forgiving", ""):
        with pytest.raises(ValueError, match=r"is not a log of this search: other key$"):
            pyfd.refine(equal, log=log, key=key)
    assert log.read_bytes() == before


@pytest.mark.parametrize("noise", [0, 1e-8, -1e-8])
def test_the_noise_of_float32_is_not_another_model(tmp_path, noise):
    log = tmp_path / "log.jsonl"
    first = pyfd.refine(needs_low_luma, log=log)
    assert pyfd.refine(lambda tables: needs_low_luma(tables) + noise, log=log) == first


def test_entries_that_are_not_of_this_search_are_skipped(tmp_path):
    log = tmp_path / "log.jsonl"
    first = pyfd.refine(needs_low_luma, log=log)
    rungs = [0] * 12
    with log.open("a") as file:
        for entry in (
            [1],
            {"rungs": 1, "accuracy": 0.5},
            {"rungs": [1], "accuracy": 0.5},
            {"rungs": [[0]] * 12, "accuracy": 0.5},
            {"rungs": [*rungs, 0], "accuracy": 0.5},
            {"rungs": [*rungs[1:], -1], "accuracy": 0.5},
            {"rungs": [*rungs[1:], len(LADDER)], "accuracy": 0.5},
            {"rungs": [*rungs[1:], 0.5], "accuracy": 0.5},
            {"rungs": rungs, "accuracy": "high"},
            {"rungs": rungs, "accuracy": 5.0},
            {"rungs": rungs, "accuracy": float("nan")},
            {"rungs": rungs},
        ):
            file.write(json.dumps(entry) + "\n")
    assert pyfd.refine(needs_low_luma, log=log) == first


# ---- with a smallest allowed table ----------------------------------------------


CERTIFIED = QTables.certified(1)


def test_no_step_is_smaller_than_allowed():
    tried = []

    def accuracy(tables: QTables) -> float:
        tried.append(tables)
        return needs_low_luma(tables)

    found = pyfd.refine(accuracy, budget=0.0, smallest=CERTIFIED)
    luma, chroma = found.qtables
    low = DIAGONALS <= 2
    assert np.array_equal(luma[low], CERTIFIED[0][low])
    assert (luma[~low] == 255).all()
    assert (chroma == 255).all()
    assert found.accuracy == found.baseline == needs_low_luma(CERTIFIED) < 0.95
    assert found.qtables.origin["smallest"] == CERTIFIED.origin
    assert all((tables.array >= CERTIFIED.array).all() for tables in tried)
    assert len(tried) == len(set(tried)) == found.trials
    assert tried[0] == QTables([CERTIFIED[0]] * 2)


@pytest.mark.parametrize("budget", [0.0, 0.02, 0.3])
def test_the_budget_counts_from_the_smallest_steps(budget):
    def accuracy(tables: QTables) -> float:
        return float(1 - np.log(tables.array).mean() / 10)

    found = pyfd.refine(accuracy, budget=budget, smallest=CERTIFIED)
    assert found.baseline == pytest.approx(accuracy(CERTIFIED))
    assert found.baseline - budget - 1e-9 <= found.accuracy == accuracy(found.qtables)
    assert (found.accuracy < found.baseline) == (budget > 0)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_smallest_tables_may_be_several(count):
    rng = np.random.default_rng(count)
    smallest = QTables(rng.integers(1, 400, (count, 8, 8)))
    found = pyfd.refine(needs_low_luma, budget=0.1, smallest=smallest)
    assert len(found.qtables) == max(count, 2)
    for component in range(4):
        assert (found.qtables[component] >= smallest[component]).all()
    beyond_the_ladder = smallest.array[-1] > 255
    assert np.array_equal(
        found.qtables[3][beyond_the_ladder], smallest.array[-1][beyond_the_ladder]
    )


def test_steps_of_1_are_allowed_unless_others_are_given(tmp_path):
    log = tmp_path / "log.jsonl"
    first = pyfd.refine(needs_low_luma, log=log)
    assert pyfd.refine(needs_low_luma, log=log, smallest=QTables.uniform(1)) == first
    assert "smallest" not in first.qtables.origin


def test_a_search_above_the_smallest_steps_goes_on(tmp_path):
    def interrupted(tables: QTables) -> float:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return needs_low_luma(tables)

    log = tmp_path / "log.jsonl"
    whole = pyfd.refine(needs_low_luma, budget=0.02, smallest=CERTIFIED)
    left = whole.trials // 2
    part = pyfd.refine(interrupted, budget=0.02, smallest=CERTIFIED, log=log)
    assert not part.complete
    left = whole.trials - part.trials + 1  # and the check
    assert pyfd.refine(interrupted, budget=0.02, smallest=CERTIFIED, log=log) == whole
    assert left == 0


@pytest.mark.parametrize("other", [None, "fd-cvpr2019", QTables.certified(2)])
def test_a_log_with_other_smallest_steps_is_refused(tmp_path, other):
    log = tmp_path / "log.jsonl"
    pyfd.refine(needs_low_luma, smallest=CERTIFIED, log=log)
    before = log.read_bytes()
    with pytest.raises(ValueError, match=r"is not a log of this search: other smallest$"):
        pyfd.refine(needs_low_luma, smallest=other, log=log)
    assert log.read_bytes() == before


def test_another_models_log_is_refused_at_the_smallest_steps(tmp_path):
    log = tmp_path / "log.jsonl"
    pyfd.refine(needs_low_luma, smallest=CERTIFIED, log=log)
    with pytest.raises(ValueError, match=r"other images: with the smallest steps, the accuracy"):
        pyfd.refine(forgiving, smallest=CERTIFIED, log=log)


def test_smallest_is_checked():
    with pytest.raises(ValueError, match="no preset named 'nope'"):
        pyfd.refine(needs_low_luma, smallest="nope")


def test_bands_cover_every_frequency_once():
    counted = np.zeros((8, 8), int)
    for first, last in BANDS:
        counted += (first <= DIAGONALS) & (last >= DIAGONALS)
    assert (counted == 1).all()
    assert list(LADDER) == sorted(set(LADDER))
    assert LADDER[0] == 1
    assert LADDER[-1] == 255


@pytest.mark.parametrize("budget", [-0.01, 1.01, float("nan")])
def test_budget_is_checked(budget):
    with pytest.raises(ValueError, match="budget"):
        pyfd.refine(needs_low_luma, budget=budget)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_accuracy_is_checked(value):
    with pytest.raises(ValueError, match="model_accuracy"):
        pyfd.refine(lambda _: value)


OLD = json.dumps(  # the format before JSON lines
    {
        "format": "pyfd-refinement",
        "version": 1,
        "ladder": LADDER,
        "bands": BANDS,
        "trials": [{"rungs": [0] * 12, "accuracy": 0.95}],
    },
    indent=1,
)
HEADER = {"format": "pyfd-refinement", "version": 2, "key": "", "ladder": LADDER, "bands": BANDS}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        OLD,
        json.dumps(json.loads(OLD)),
        json.dumps({**HEADER, "ladder": [1]}),
        json.dumps({**HEADER, "bands": [[0, 14]]}),
        json.dumps({**HEADER, "key": "another model"}),
    ],
)
def test_other_logs_are_refused(tmp_path, text):
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"log\.jsonl is not a log of this search: "):
        pyfd.refine(needs_low_luma, log=path)
    assert path.read_text() == text
