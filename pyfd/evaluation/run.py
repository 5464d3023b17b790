"""The evaluation: attacks × defences × images, in chunks, so that it can be resumed."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyfd._core.extras import missing
from pyfd._core.progress import bar

try:
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

from pyfd._core.log import Log, OtherRunError
from pyfd._core.pixels import Pixels
from pyfd._core.writing import write_file
from pyfd.evaluation import report, results
from pyfd.evaluation.attacks import Attack, find
from pyfd.evaluation.defences import Defence, parse
from pyfd.evaluation.fingerprint import Fingerprints
from pyfd.evaluation.libraries import require
from pyfd.evaluation.plan import plan
from pyfd.evaluation.proof import BrokenCertificateError
from pyfd.evaluation.work import Work
from pyfd.torch import device_of, predict

_EXAMPLES = 8

#: The environment of workers: one thread of torch each, and memory that glibc keeps.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
}


def evaluate(
    model: nn.Module,
    images: Sequence[Pixels],
    labels: npt.ArrayLike,
    *,
    output: str | os.PathLike[str],
    defences: Sequence[str | Defence] = ("none", "one-pass:fd-cvpr2019", "two-pass:fd-cvpr2019"),
    attacks: Sequence[str | Attack] = ("pgd", "bpda", "grid"),
    epsilons: Sequence[int] = (1, 2, 4),
    surrogate: nn.Module | Sequence[nn.Module] | None = None,
    attacker_quality: int | None = None,
    seed: int = 0,
    batch_size: int = 10,
    workers: int = 1,
    progress: bool = False,
    setting: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure what defences are worth against attacks on a model.

    The base set is the images that the undefended model gets right. Attacks that do
    not know the defence start from the images that its camera wrote: with two passes,
    these are on the grid of its tables. Adversarial images are rounded to 8 bits before
    any defence sees them.

    Some defences promise that no perturbation within a strength ε changes what the classifier
    sees of an image that they certify. For these, the images that are right and certified are
    counted, and every image of every attack that lies within ε is compared. For defences whose
    camera cooperates, the size of its files is counted too.

    Args:
        model: A module from N×3×H×W floats in [0, 1] to N×K logits, in evaluation mode.
        images: H×W×3 ``uint8``; their sizes may differ if the model takes any.
        labels: The true class of each image.
        output: A folder for report.json, report.html and progress.jsonl, and for
            broken-certificate.npz if a promise is broken. An
            evaluation that was interrupted is resumed from progress.jsonl, if everything
            that decides its results is the same: the model's, the defences' and the
            attacks' code and attributes, the images, the other arguments, and the
            versions of the libraries (`pyfd.evaluation.fingerprint` says more).
        defences: Names for `pyfd.evaluation.defences.parse`, or objects of
            `pyfd.evaluation.defences.Defence`.
        attacks: Names in `pyfd.evaluation.attacks.ATTACKS`, or objects of
            `pyfd.evaluation.attacks.Attack`.
        epsilons: L∞ strengths in 8-bit levels, for attacks that have one.
        surrogate: Another model, or several, for attacks that need one ("transfer").
        attacker_quality: The attacker hands over JPEG files of this quality, not
            pixels; defences by tables decode the files.
        seed: The seed of attacks and random defences.
        batch_size: The number of images of one size that are attacked together.
        workers: The number of processes. With more than one, the model, the defences and the
            attacks must be objects that can be pickled.
        progress: Show a progress bar on stderr.
        setting: More entries for the report's setting: "model", "images", "scale".

    Returns:
        The content of report.json, with one record per cell of attack, ε and defence.

    Raises:
        BrokenCertificateError: An attack changed what the classifier sees of a certified image.
        RuntimeError: A worker died.
        ImportError: The library of an attack or a defence is missing.
        ValueError: A name or a number is invalid, the model gets no image right, the
            output folder holds another evaluation, or something cannot be pickled for
            several workers.
    """
    truth = np.asarray(labels, np.int64)
    chosen = [parse(d) if isinstance(d, str) else d for d in defences]
    fought = [find(a) if isinstance(a, str) else a for a in attacks]
    surrogates = (surrogate,) if isinstance(surrogate, nn.Module) else tuple(surrogate or ())
    _check(images, truth, chosen, fought, epsilons, surrogates)
    trials = plan(chosen, fought, epsilons)
    # Before the model runs, because that may change its attributes
    header = _header(model, surrogates, images, truth, chosen, fought)
    classes = predict(model, images, batch_size=batch_size)
    right = np.flatnonzero(classes == truth).tolist()
    if not right:
        raise ValueError("the model gets none of the images right: are the labels its own?")
    base, answers = [images[i] for i in right], truth[right]
    work = Work(model, surrogates, base, answers, right, trials, seed, batch_size, attacker_quality)
    header |= {
        "predictions": Fingerprints().of(classes),
        "epsilons": [int(epsilon) for epsilon in epsilons],
        "seed": seed,
        "batch_size": batch_size,
        "attacker_quality": attacker_quality,
    }
    folder = Path(output)
    done = _run(work, folder / "progress.jsonl", header, workers, progress)
    found = {**_setting(work, len(images)), **(setting or {})}
    content: dict[str, Any] = {
        "format": report.FORMAT,
        "version": report.VERSION,
        "setting": found,
        "cells": list(results.cells(work, done)),
        "certified": results.certified(work, chosen, done),
        "rates": results.rates(work, chosen, done),
        "costs": results.costs(chosen, work.images),
        "examples": [e for entry in done for e in entry["examples"]][:_EXAMPLES],
    }
    content["warnings"] = list(results.warnings(work, content["cells"]))
    text = json.dumps(content, indent=1) + "\n"
    write_file(folder / "report.json", text.encode(), through=False)
    write_file(folder / "report.html", report.page(content).encode(), through=False)
    return content


def _setting(work: Work, loaded: int) -> dict[str, Any]:
    return {
        "model": type(work.model).__name__,
        "images": f"{loaded} images",
        "loaded": loaded,
        "n": len(work.images),
        "seed": work.seed,
        "device": str(device_of(work.model)),
        "versions": results.versions(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def _check(
    images: Sequence[Pixels],
    truth: npt.NDArray[np.int64],
    defences: Sequence[Defence],
    attacks: Sequence[Attack],
    epsilons: Sequence[int],
    surrogates: tuple[nn.Module, ...],
) -> None:
    if not len(images) or truth.shape != (len(images),):
        raise ValueError(f"{len(images)} images need as many labels, not shape {truth.shape}")
    if not defences or len({d.name for d in defences}) < len(defences):
        raise ValueError("there must be at least one defence, and each only once")
    if len({a.name for a in attacks}) < len(attacks):
        raise ValueError("each attack must be given only once")
    for attack in attacks:
        if "surrogate" in attack.needs and not surrogates:
            raise ValueError(f"{attack.name!r} needs another model to attack")
        require(attack.libraries)
    for defence in defences:
        require(defence.libraries)
    for epsilon in epsilons:
        if epsilon != int(epsilon) or not 1 <= epsilon <= 255:
            raise ValueError(f"epsilon must be a whole number of levels, 1...255, not {epsilon}")


# ---- running and resuming -----------------------------------------------------


def _header(
    model: nn.Module,
    surrogates: tuple[nn.Module, ...],
    images: Sequence[Pixels],
    truth: npt.NDArray[np.int64],
    defences: Sequence[Defence],
    attacks: Sequence[Attack],
) -> dict[str, Any]:
    """Return the log's header: the fingerprints of everything that decides the results."""
    prints = Fingerprints()
    return {
        "format": "pyfd-evaluation-progress",
        "version": 4,
        "model": prints.of(model),
        "surrogate": prints.of(surrogates),
        "device": device_of(model).type,
        "images": prints.of([list(images), truth]),
        "defences": [[defence.name, prints.of(defence)] for defence in defences],
        "attacks": [[attack.name, prints.of(attack)] for attack in attacks],
        "packages": prints.packages(),
    }


def _run(
    work: Work, path: Path, header: dict[str, Any], workers: int, progress: bool
) -> list[dict[str, Any]]:
    """Return the entry of every trial and chunk: from the log, or computed now."""
    pickled = work.pickled() if workers > 1 else b""  # before anything is written
    try:
        log = Log(path, header)
    except OtherRunError as error:
        reason = f"{path} is of another evaluation ({error.reason}): choose another folder"
        raise ValueError(reason) from error
    with log:
        found = dict(results.finished(work, log.entries()))
        places = itertools.product(range(len(work.trials)), range(len(work.chunks)))
        tasks = [task for task in places if task not in found]
        with _bar(len(tasks), progress) as bar, _reported(path.parent / "broken-certificate.npz"):
            for entry in _results(work, pickled, tasks, workers):
                log.append(entry)
                found[entry["place"], entry["chunk"]] = entry
                if bar is not None:
                    bar.update()
    return [found[task] for task in sorted(found)]


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Write a file from which the error of a broken certificate can be reproduced."""
    try:
        yield
    except BrokenCertificateError as error:
        write_file(path, error.as_npz(), through=False)
        message = f"{error}. {path} holds the pixels"
        raise BrokenCertificateError(message, pixels=error.pixels) from error


def _results(
    work: Work, pickled: bytes, tasks: Sequence[tuple[int, int]], workers: int
) -> Iterator[dict[str, Any]]:
    """Yield the entries of tasks as they are done."""
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            yield work.do(*task)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (pickled,)) as pool:
        with _environment(_WORKER_ENVIRONMENT):  # glibc reads it when a process starts
            running = [pool.submit(_do, task) for task in tasks]
        try:
            for future in as_completed(running):
                yield future.result()
        except BrokenProcessPool as error:
            reason = "a worker died: is the model's module importable, and is there enough memory?"
            raise RuntimeError(f"{reason} Or try workers=1") from error
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


def _start_worker(work: bytes) -> None:
    global _WORK
    torch.set_num_threads(1)  # a process per core is faster than a thread per core
    _WORK = pickle.loads(work)


def _do(task: tuple[int, int]) -> dict[str, Any]:
    return _WORK.do(*task)


_WORK: Work


def _bar(total: int, progress: bool) -> Any:
    if not progress:
        return nullcontext()
    return bar(total=total, unit="chunk", desc="evaluate")
