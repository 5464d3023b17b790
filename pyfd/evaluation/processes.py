"""The processes of an evaluation: this one, or several, each with a device of its own."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any

from pyfd._core.extras import missing

try:
    import torch
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

from pyfd.evaluation import devices
from pyfd.evaluation.plan import Task
from pyfd.evaluation.work import Work

#: The environment of workers: one thread of torch each, and memory that glibc keeps.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
}


def results(
    work: Work, pickled: bytes, tasks: Sequence[Task], places: Sequence[torch.device]
) -> Iterator[dict[str, Any]]:
    """Yield the entries of tasks as they are done.

    Args:
        work: The work; its models are on the first device.
        pickled: The same for other processes.
        tasks: The tasks, in the order in which they begin.
        places: The device of each process; with one, everything happens in this process.

    Raises:
        RuntimeError: A process died.
    """
    if len(places) == 1 or len(tasks) < 2:
        for task in tasks:
            yield work.do(*task)
        return
    context = get_context("spawn")
    free = context.SimpleQueue()
    for place in places:
        free.put(str(place))
    with ProcessPoolExecutor(len(places), context, _start, (pickled, free)) as pool:
        with _environment(_ENVIRONMENT):  # glibc reads it when a process starts
            running = [pool.submit(_do, task) for task in tasks]
        try:
            for future in as_completed(running):
                yield future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker died: is the model's module importable, is there enough memory, and "
                'does a script call this below if __name__ == "__main__"? Or try workers=1'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(work: bytes, free: Any) -> None:
    """Prepare a worker, which takes a device that no other worker has."""
    global _WORK
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    torch.set_num_threads(1)  # a process per core is faster than a thread per core
    _WORK = pickle.loads(work)
    devices.move(torch.device(free.get()), _WORK.model, *_WORK.surrogates)


def end_with_the_parent() -> None:
    """Wait until the process that started this one ends, even killed, and end too.

    Without this, a worker would wait for tasks for ever, with a model in its memory.
    """
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(task: Task) -> dict[str, Any]:
    return _WORK.do(*task)


_WORK: Work
