"""The command line's jobs on a Ray cluster: a task per file, the same files and the same report."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from typing import Any, NamedTuple

from pyfd._core.extras import missing
from pyfd.cli import jobs as _jobs
from pyfd.cli.jobs import RefusedError, Report
from pyfd.cli.journal import Job, Journal, Stamp
from pyfd.limits import Limits

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ModuleNotFoundError as error:
    raise missing("ray", "ray", module=error.name) from error

_AHEAD = 1024  # tasks handed over and not back yet
_RETRIES = 3  # of a file whose worker dies


class _Outcome(NamedTuple):
    notes: list[tuple[str, str]]
    refused: int
    before: Stamp | None = None


class _Notes(Report):
    """A report that is read where it is sent to."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[str, str]] = []

    def note(self, name: str, text: str) -> None:
        self.notes.append((name, text))


@ray.remote
def _do(
    job: Job, folder: str, journal: str, work: Callable[[Any], bytes], limits: Limits
) -> _Outcome:
    report, before = _Notes(), None
    with report.watching(job.source):
        if not os.path.exists(journal):  # noqa: PTH110
            raise RefusedError(f"the output directory is not to be seen on {socket.gethostname()}")
        before = _jobs.do(job, work, limits, folder)
    return _Outcome(report.notes, report.refused, before)


def run(
    jobs: Sequence[Job],
    work: Callable[[Any], bytes],
    limits: Limits,
    report: Report,
    journal: Journal,
) -> None:
    """Do the jobs in a cluster whose machines share the file system."""
    if not jobs:
        return
    with report.watching("ray"), redirect_stdout(sys.stderr), _connected():
        early: dict[int, _Outcome] = {}
        told = 0
        for number, outcome in _jobs.progress(_outcomes(jobs, work, limits, journal), len(jobs)):
            if not outcome.refused:
                journal.add(jobs[number], outcome.before)
            early[number] = outcome
            while told in early:  # in the order of the jobs, as if there were one worker
                for note in early[told].notes:
                    report.note(*note)
                report.refused += early.pop(told).refused
                told += 1


@contextmanager
def _connected() -> Iterator[None]:
    """Ray as the caller has it, or the cluster that RAY_ADDRESS names, or this machine's cores."""
    if ray.is_initialized():
        yield
        return
    codes: list[int] = []

    def leave(signum: int, _frame: object) -> None:
        codes.append(128 + signum)
        sys.exit(codes[0])

    ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    signal.signal(signal.SIGTERM, leave)  # in place of Ray's own
    try:
        yield
    except SystemExit:  # a call of Ray's that is interrupted turns every code into 1
        sys.exit(codes[0] if codes else 1)
    finally:
        ray.shutdown()


def _outcomes(
    jobs: Sequence[Job], work: Callable[[Any], bytes], limits: Limits, journal: Journal
) -> Iterator[tuple[int, _Outcome]]:
    """Each job's number and outcome, as they get done."""
    shared = (os.getcwd(), journal.path, ray.put(work), limits)  # noqa: PTH109
    task = _do.options(max_retries=_RETRIES)
    waiting = iter(enumerate(jobs))
    pending: dict[Any, int] = {}
    try:
        while True:
            for number, job in islice(waiting, _AHEAD - len(pending)):
                pending[task.remote(job, *shared)] = number
            if not pending:
                return
            ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0.1)
            for reference in ready:
                number = pending.pop(reference)
                yield number, _outcome(reference, jobs[number])
    finally:
        for reference in pending:
            ray.cancel(reference)


def _outcome(reference: Any, job: Job) -> _Outcome:
    try:
        outcome: _Outcome = ray.get(reference)
    except RayTaskError:  # no file's fault
        raise
    except RayError as error:
        reason = f"Ray gave up after {_RETRIES + 1} attempts: {type(error).__name__}"
        return _Outcome([(job.source, reason)], 1)
    return outcome
