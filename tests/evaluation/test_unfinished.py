"""An evaluation that is not finished: its report, and what becomes of it when it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyfd.evaluation import draft, report
from pyfd.evaluation.attacks import Attack
from pyfd.evaluation.proof import BrokenCertificateError
from pyfd.evaluation.report import data
from tests.evaluation.toys import cell, images, run, run_here

SCRIPT = """
import sys, time
from pathlib import Path
from pyfd.evaluation.report import data
from tests.evaluation.toys import Texture, images, labels_of
from pyfd.evaluation import evaluate
from pyfd.evaluation.defences import Defence

class Slow(Defence):
    name, kind = "slow", "transformation"
    def __call__(self, images, seed=0):
        barrier, log = map(Path, sys.argv[2:])
        while barrier.exists() and log.exists() and len(log.read_text().splitlines()) > 4:
            time.sleep(0.05)  # until it is killed
        return super().__call__(images, seed)

pictures = images()
found = evaluate(Texture(), pictures, labels_of(Texture(), pictures), output=sys.argv[1],
                 defences=("none", Slow(), "certified:2"), attacks=("pgd", "bpda"), epsilons=(2,),
                 batch_size=2, class_names=["smooth", "rough"])
"""


#: A report after each part. Whole runs need none but the last, whose page takes a while to draw.
ALWAYS = "from pyfd.evaluation import draft\ndraft._SECONDS, draft._SHARE = 0, 1e9\n"


def test_a_killed_run_leaves_a_report_and_goes_on(tmp_path):
    """A run that is killed, with its last line cut off, is resumed with the same results."""
    barrier = tmp_path / "barrier"

    def arguments(folder: Path) -> list[str]:
        return [str(folder), str(barrier), str(folder / "progress.jsonl")]

    run_here(SCRIPT, *arguments(tmp_path / "whole"))
    barrier.touch()
    killed = subprocess.Popen(
        [sys.executable, "-c", ALWAYS + SCRIPT, *arguments(tmp_path / "killed")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    journal, unfinished = (tmp_path / "killed" / name for name in ("progress.jsonl", "report.json"))
    while not unfinished.exists() or json.loads(unfinished.read_text())["progress"]["done"] < 4:
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    barrier.unlink()
    before, partial = journal.read_text(), report.load(unfinished)
    assert partial["finished"] is False
    assert partial["progress"]["done"] == 4
    assert {c["n"] for c in partial["cells"]} == {2}
    assert "<h2>Unfinished</h2>" in report.page(partial)
    journal.write_text(before + '{"place": 2, "chu')
    run_here(SCRIPT, *arguments(tmp_path / "killed"))
    assert journal.read_text().startswith(before)
    whole, resumed = (without_clock(tmp_path / name) for name in ("whole", "killed"))
    assert whole == resumed
    assert '"finished": true' in whole


def without_clock(folder: Path) -> str:
    """Return the text of a report without the times and the date."""
    content = json.loads((folder / "report.json").read_text())
    for found in content["cells"]:
        found["seconds"] = 0
    content["costs"] = dict.fromkeys(content["costs"], 0)
    content["setting"]["date"] = ""
    return json.dumps(content, indent=1)


class Watching(Attack):
    """An attack that keeps the reports that it finds in the folder."""

    name = "watching"

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def perturb(self, target, images, labels, epsilon, seed):  # noqa: ARG002
        path = Path(self.folder) / "report.json"
        if path.exists():
            path.with_name(f"seen-{time.monotonic_ns()}.json").write_text(path.read_text())
        return list(images)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """All reports of one evaluation of 3 images of one size and 3 of another, two at a time."""
    folder = tmp_path_factory.mktemp("reports")
    options = {"pictures": images(), "attacks": (Watching(folder),), "epsilons": (1, 2)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draft, "_SECONDS", 0)
        patch.setattr(draft, "_SHARE", 1e9)
        patch.setattr(report, "page", lambda content: str(len(content)))
        last = run(folder, batch_size=2, defences=("none", "two-pass:pixel-2"), **options)
    return [*(json.loads(p.read_text()) for p in sorted(folder.glob("seen-*.json"))), last]


def test_reports_count_what_is_done(reports):
    *unfinished, last = reports
    total = 4 * (2 + 2 * 2)  # chunks times trials: each of the defences has a camera of its own
    done = [r["progress"]["done"] for r in reports]
    assert done == sorted(set(done))
    assert (done[0], done[-1]) == (2, total)
    assert all(r["progress"]["total"] == total for r in reports)
    assert [r["finished"] for r in reports] == [False] * len(unfinished) + [True]
    for found in unfinished:
        data.read(found)
        benign = cell(found, "none", "benign")["n"]
        assert 0 < benign <= 6
        assert all(c["n"] <= benign for c in found["cells"])
        assert found["certified"]["two-pass:pixel-2"]["n"] <= benign
    assert {c["n"] for c in last["cells"]} == {6}
    assert last["progress"]["seconds_left"] == 0


def test_the_first_images_meet_every_attack_before_the_next_ones(reports):
    for found in reports[:-1]:
        counts = {c["n"] for c in found["cells"] if c["threat"] != "benign"}
        benign = {c["n"] for c in found["cells"] if c["threat"] == "benign"}
        if counts:
            assert max(benign) - min(counts) <= 2


def test_time_is_estimated_from_when_every_attack_was_seen(reports):
    estimates = [found["progress"]["seconds_left"] for found in reports]
    assert estimates[0] is None
    assert all(seconds is not None and seconds >= 0 for seconds in estimates[1:])


class Breaking(Watching):
    """An attack that finds no certificate at first, and breaks one later."""

    needs = frozenset()

    def perturb(self, target, images, labels, epsilon, seed):
        super().perturb(target, images, labels, epsilon, seed)
        if list(Path(self.folder).glob("seen-*.json")):
            raise BrokenCertificateError("broken")
        return list(images)


def test_a_broken_certificate_takes_the_report_back(tmp_path, monkeypatch):
    monkeypatch.setattr(draft, "_SECONDS", 0)
    monkeypatch.setattr(report, "page", lambda _: "")
    with pytest.raises(BrokenCertificateError):
        run(tmp_path, attacks=(Breaking(tmp_path),), pictures=images())
    assert list(tmp_path.glob("seen-*.json"))
    assert not list(tmp_path.glob("report.*"))


def test_a_smoke_run_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "page", lambda _: "")
    found = run(tmp_path, attacks=(), setting={"quick": True})
    assert any("smoke run" in text for text in found["warnings"])
    assert not any("smoke run" in text for text in run(tmp_path, attacks=())["warnings"])


def test_names_of_classes_are_those_of_the_examples(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "page", lambda _: "")
    found = run(tmp_path, class_names=["smooth", "rough"], epsilons=(8,))
    used = {str(n) for e in found["examples"] for n in (e["label"], *e["predicted"].values())}
    names = {"0": "smooth", "1": "rough"}
    assert found["setting"]["classes"] == {number: names[number] for number in sorted(used)}
    assert "classes" not in run(tmp_path, epsilons=(8,))["setting"]


WORKER = """
import threading, time
from multiprocessing import get_context
from pyfd.evaluation.processes import end_with_the_parent

def work():
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    print("working", flush=True)
    time.sleep(30)
    print("alone", flush=True)

get_context("fork").Process(target=work).start()
time.sleep(60)
"""


def test_workers_end_with_a_run_that_is_killed():
    """A worker that waits for its next task would keep a model in memory for ever."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as run:
        assert run.stdout.readline() == b"working\n"
        run.kill()
        assert run.stdout.read() == b""  # the worker holds the pipe as long as it lives
