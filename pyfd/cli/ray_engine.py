"""The execution of jobs on a Ray cluster: one task per file, with the same files and messages."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from typing import Any

from pyfd._core.extras import missing
from pyfd.cli.jobs import do_recorded
from pyfd.cli.journal import Done, Job, Journal
from pyfd.cli.messages import KeptMessages, Messages, Outcome, RefusedError
from pyfd.limits import Limits

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ModuleNotFoundError as error:
    raise missing("ray", "ray", module=error.name) from error

_AHEAD = 1024  # the most tasks that are submitted at a time
_RETRIES = 3  # for a file whose worker dies


@ray.remote
def _do(
    job: Job, folder: str, journal: str, work: Callable[[Any], bytes], limits: Limits
) -> tuple[Outcome, Done | None]:
    messages, done = KeptMessages(), None
    with messages.watching(job.source):
        if not os.path.exists(journal):  # noqa: PTH110
            raise RefusedError(f"{socket.gethostname()} does not see the output directory")
        done = do_recorded(job, work, limits, folder)
    return messages.outcome(), done


def run(
    jobs: Sequence[Job],
    work: Callable[[Any], bytes],
    limits: Limits,
    messages: Messages,
    journal: Journal,
) -> None:
    """Do the jobs on a cluster whose machines share the file system.

    The arguments are those of `pyfd.cli.jobs.run`.
    """
    if not jobs:
        return
    with messages.watching("ray"), redirect_stdout(sys.stderr), _connected():
        early: dict[int, Outcome] = {}
        told = 0
        results = _results(jobs, work, limits, journal)
        for number, (outcome, done) in messages.progress(results, len(jobs)):
            journal.add(jobs[number], done)
            early[number] = outcome
            while told in early:  # in the order of the jobs, as one process would
                messages.tell(early.pop(told))
                told += 1


@contextmanager
def _connected() -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or start Ray on this machine's cores.

    If the caller has started Ray already, that one is used.
    """
    if ray.is_initialized():
        yield
        return
    codes: list[int] = []

    def leave(signum: int, _frame: object) -> None:
        codes.append(128 + signum)
        sys.exit(codes[0])

    ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    signal.signal(signal.SIGTERM, leave)  # replaces Ray's own handler
    try:
        yield
    except SystemExit:  # an interrupted call of Ray turns every code into 1
        sys.exit(codes[0] if codes else 1)
    finally:
        ray.shutdown()


def _results(
    jobs: Sequence[Job], work: Callable[[Any], bytes], limits: Limits, journal: Journal
) -> Iterator[tuple[int, tuple[Outcome, Done | None]]]:
    """Yield each job's number, outcome and record, in the order in which they are done."""
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
                yield number, _result(reference, jobs[number])
    finally:
        for reference in pending:
            ray.cancel(reference)


def _result(reference: Any, job: Job) -> tuple[Outcome, Done | None]:
    try:
        result: tuple[Outcome, Done | None] = ray.get(reference)
    except RayTaskError:  # our own error, not the file's
        raise
    except RayError as error:
        reason = f"Ray gave up after {_RETRIES + 1} attempts: {type(error).__name__}"
        return Outcome([(job.source, reason)], 1), None
    return result
