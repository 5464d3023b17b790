"""The evaluation itself: attacks × defences × images, in chunks that can be resumed."""

from __future__ import annotations

import datetime
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

from pyfd._core.files import write_atomically
from pyfd._core.pixels import Pixels
from pyfd.evaluation import report, results
from pyfd.evaluation.defences import Defence, parse
from pyfd.evaluation.plan import NAMES, TRANSFER, Bench, plan
from pyfd.torch import device_of, predict

_EXAMPLES = 8

#: For workers: one thread of torch each, and memory that is kept instead of mapped anew.
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
    attacks: Sequence[str] = ("pgd", "bpda", "grid"),
    epsilons: Sequence[int] = (1, 2, 4),
    surrogate: nn.Module | None = None,
    attacker_quality: int | None = None,
    seed: int = 0,
    batch_size: int = 10,
    workers: int = 1,
    progress: bool = False,
    setting: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure what defences are worth against attacks on a model.

    The base set are the images that the undefended model gets right. Attacks on
    the model alone (gray-box) start from what the camera of the defence wrote:
    with two passes from the grid of its tables. Adversarial images are rounded to
    8 bits before any defence sees them.

    Args:
        model: From N×3×H×W floats in [0, 1] to N×K logits, in evaluation mode.
        images: H×W×3 ``uint8``; their sizes may differ if the model takes any.
        labels: The true class of each.
        output: A folder for report.json and report.html, and for progress.jsonl:
            an evaluation that was interrupted goes on from there.
        defences: Names for `pyfd.evaluation.defences.parse`, or `Defence` objects.
        attacks: Of `NAMES`: "fgsm", "bim", "pgd", "apgd", "deepfool" and
            "cw-l2" ignore the defence; "bpda" is PGD through it, "grid" aims at
            the tables' rounding boundaries; "transfer" is PGD on `surrogate`.
        epsilons: L∞ strengths in 8-bit levels, for all but "deepfool" and "cw-l2".
        surrogate: Another model, for "transfer".
        attacker_quality: The attacker hands over JPEG files of this quality, not
            pixels: table defences decode the files.
        seed: Of attacks and random defences.
        batch_size: Images of one size that are attacked together.
        workers: Processes. More than one needs a model that can be pickled.
        progress: Show a progress bar on stderr.
        setting: More entries for the report's setting: "model", "images", "scale".

    Returns:
        What report.json holds: one record per cell of attack, ε and defence.

    Raises:
        RuntimeError: A worker died.
        ValueError: Bad names or numbers, no image that the model gets right, or
            an output folder that holds another evaluation.
    """
    truth = np.asarray(labels, np.int64)
    _check(images, truth, attacks, epsilons, surrogate)
    chosen = [parse(d) if isinstance(d, str) else d for d in defences]
    if not chosen or len({d.name for d in chosen}) < len(chosen):
        raise ValueError("defences must be given, each once")
    right = np.flatnonzero(predict(model, images, batch_size=batch_size) == truth).tolist()
    if not len(right):
        raise ValueError("the model gets none of the images right: are the labels its own?")
    bench = Bench(
        model,
        surrogate,
        [images[i] for i in right],
        truth[right],
        plan(chosen, attacks, epsilons),
        seed,
        batch_size,
        attacker_quality,
    )
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    done = _run(bench, folder / "progress.jsonl", workers, progress)
    found = {**_setting(bench, len(images)), **(setting or {})}
    content: dict[str, Any] = {
        "format": report.FORMAT,
        "version": report.VERSION,
        "setting": found,
        "cells": list(results.cells(bench, done)),
        "costs": results.costs(chosen, bench.images),
        "examples": [e for line in done for e in line["examples"]][:_EXAMPLES],
    }
    content["warnings"] = list(results.warnings(bench, content["cells"]))
    write_atomically(folder / "report.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomically(folder / "report.html", report.page(content).encode())
    return content


def _setting(bench: Bench, loaded: int) -> dict[str, Any]:
    return {
        "model": type(bench.model).__name__,
        "images": f"{loaded} images",
        "loaded": loaded,
        "n": len(bench.images),
        "seed": bench.seed,
        "device": str(device_of(bench.model)),
        "versions": results.versions(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def _check(
    images: Sequence[Pixels],
    truth: npt.NDArray[np.int64],
    names: Sequence[str],
    epsilons: Sequence[int],
    surrogate: nn.Module | None,
) -> None:
    if not len(images) or truth.shape != (len(images),):
        raise ValueError(f"{len(images)} images need as many labels, not shape {truth.shape}")
    for name in names:
        if name not in NAMES:
            raise ValueError(f"no attack {name!r}: there are {', '.join(NAMES)}")
    if TRANSFER in names and surrogate is None:
        raise ValueError(f"{TRANSFER!r} needs another model to attack")
    for epsilon in epsilons:
        if epsilon != int(epsilon) or not 1 <= epsilon <= 255:
            raise ValueError(f"epsilon must be a whole number of levels, 1...255, not {epsilon}")


# ---- running, and going on ----------------------------------------------------


def _run(bench: Bench, journal: Path, workers: int, progress: bool) -> list[dict[str, Any]]:
    """Every chunk of the plan: from the journal, or now."""
    header = {"format": "pyfd-evaluation-progress", "digest": bench.digest()}
    lines = _resumed(journal, header)
    found = {(line["place"], line["chunk"]) for line in lines}
    tasks = [
        (place, chunk)
        for place in range(len(bench.plan))
        for chunk in range(len(bench.chunks))
        if (place, chunk) not in found
    ]
    with journal.open("a", encoding="utf-8") as file, _bar(len(tasks), progress) as bar:
        for line in _results(bench, tasks, workers):
            file.write(json.dumps(line) + "\n")
            file.flush()
            lines.append(line)
            if bar is not None:
                bar.update()
    return sorted(lines, key=lambda line: (line["place"], line["chunk"]))


def _resumed(journal: Path, header: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines that are there already; one that was cut off is dropped."""
    lines = []
    if journal.exists():
        for text in journal.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
        if lines and lines[0] != header:
            raise ValueError(f"{journal} is of another evaluation: choose another folder")
    lines = lines or [header]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write_atomically(journal, text.encode())
    return lines[1:]


def _results(
    bench: Bench, tasks: Sequence[tuple[int, int]], workers: int
) -> Iterator[dict[str, Any]]:
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            yield bench.work(*task)
        return
    context = get_context("spawn")
    started = (pickle.dumps(bench),)
    with ProcessPoolExecutor(workers, context, _start_worker, started) as pool:
        with _environment(_WORKER_ENVIRONMENT):  # glibc reads it when a process starts
            running = [pool.submit(_work, task) for task in tasks]
        try:
            for future in as_completed(running):
                yield future.result()
        except BrokenProcessPool as error:
            reason = "a worker died: is the model's module importable, and is there memory enough?"
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


def _start_worker(bench: bytes) -> None:
    global _BENCH
    torch.set_num_threads(1)  # as many processes as cores are faster than as many threads
    _BENCH = pickle.loads(bench)


def _work(task: tuple[int, int]) -> dict[str, Any]:
    return _BENCH.work(*task)


_BENCH: Bench


def _bar(total: int, progress: bool) -> Any:
    if not progress:
        return nullcontext()
    return bar(total=total, unit="chunk", desc="evaluate")
