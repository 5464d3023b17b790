"""The report of an evaluation, which is written while the evaluation runs and when it ends."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pyfd._core.writing import write_file
from pyfd.evaluation import examples, report, results, soundness
from pyfd.evaluation.defences import Defence
from pyfd.evaluation.progress import Estimate
from pyfd.evaluation.proof import BrokenCertificateError, compare
from pyfd.evaluation.work import Work

_SECONDS = 10.0  # at least, from one report to the next
_EARLIER = 0.2  # of these, until the first report: what is done by then needs only the last one
_SHARE = 0.02  # of the time, at most, that goes into reports before the last one


class Draft:
    """The files report.json and report.html in an evaluation's folder.

    Args:
        folder: The folder.
        work: The work of the evaluation.
        defences: Its defences.
        setting: The report's entry; with a true "quick", the report calls itself a smoke run.
        names: The names of the classes, by their numbers.
        probed: What `pyfd.evaluation.soundness.probe` found.
    """

    def __init__(
        self,
        folder: Path,
        work: Work,
        defences: Sequence[Defence],
        setting: Mapping[str, Any],
        names: Sequence[str] | None,
        probed: soundness.Probed,
    ) -> None:
        self._folder = folder
        self._work = work
        self._defences = defences
        self._setting = setting
        self._names = names
        self._probed = probed
        self._next = time.monotonic() + _SECONDS * _EARLIER

    def update(self, entries: Mapping[Any, dict[str, Any]], estimate: Estimate) -> None:
        """Write a report of what is done so far, unless the last one is recent.

        Until every defence has a benign accuracy, there is none.

        Raises:
            BrokenCertificateError: More is certified than an attack leaves.
        """
        began = time.monotonic()
        if began < self._next:
            return
        done = [entries[task] for task in sorted(entries)]
        content = self._content(done)
        benign = {cell["defence"] for cell in content["cells"] if cell["threat"] == "benign"}
        if len(benign) < len(self._defences):
            return
        content |= {"finished": False, "progress": estimate.as_json(), "costs": {}}
        self._write(content, done)
        ended = time.monotonic()
        self._next = ended + max(_SECONDS, (ended - began) / _SHARE)

    def finish(self, entries: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
        """Write the whole report and return its content.

        Raises:
            BrokenCertificateError: More is certified than an attack leaves.
        """
        done = [entries[task] for task in sorted(entries)]
        content = self._content(done)
        total = len(entries)
        content |= {
            "finished": True,
            "progress": {"done": total, "total": total, "seconds_left": 0.0},
            "costs": results.costs(self._defences, self._work.images),
        }
        return self._write(content, done)

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the report if a certificate is broken: its numbers are worth nothing then."""
        if isinstance(error, BrokenCertificateError):
            for name in ("report.json", "report.html"):
                (self._folder / name).unlink(missing_ok=True)

    def _content(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        work = self._work
        compare(work, entries)
        shown = examples.choose(e for entry in entries for e in entry["examples"])
        setting = {**self._setting, "date": _today()}
        if self._names:
            setting["classes"] = _classes(self._names, shown)
        return {
            "format": report.FORMAT,
            "version": report.VERSION,
            "setting": setting,
            "cells": list(results.cells(work, entries)),
            "together": list(soundness.left(work, entries)),
            "certified": results.certified(work, self._defences, entries),
            "rates": results.rates(work, self._defences, entries),
            "examples": shown,
        }

    def _write(self, content: dict[str, Any], entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        finished, quick = content["finished"], bool(self._setting.get("quick"))
        findings = soundness.findings(
            self._work, entries, self._probed, finished=finished, quick=quick
        )
        content |= {"findings": findings, "warnings": [f["text"] for f in findings]}
        text, page = json.dumps(content, indent=1) + "\n", report.page(content)  # before any file
        write_file(self._folder / "report.json", text.encode(), through=False)
        write_file(self._folder / "report.html", page.encode(), through=False)
        return content


def _classes(names: Sequence[str], shown: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of the classes of examples, by their numbers as texts."""
    numbers = {n for e in shown for n in (e["label"], *e["predicted"].values())}
    return {str(n): str(names[n]) for n in sorted(numbers) if n < len(names)}


def _today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()
