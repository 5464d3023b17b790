"""The evaluation: attacks × defences × images, in chunks, so that it can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyfd._core.extras import missing

try:
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

from pyfd._core.log import Log, OtherRunError
from pyfd._core.pixels import Pixels
from pyfd._core.writing import write_file
from pyfd.evaluation import arguments, devices, processes, results, soundness
from pyfd.evaluation.attacks import Attack
from pyfd.evaluation.defences import Defence
from pyfd.evaluation.draft import Draft
from pyfd.evaluation.fingerprint import Fingerprints
from pyfd.evaluation.models import as_classifier, check
from pyfd.evaluation.models.check import classes_of
from pyfd.evaluation.plan import Task, plan
from pyfd.evaluation.progress import Display, Estimate
from pyfd.evaluation.proof import BrokenCertificateError
from pyfd.evaluation.work import Work
from pyfd.torch import device_of


def evaluate(
    model: nn.Module,
    images: Sequence[Pixels],
    labels: npt.ArrayLike,
    *,
    output: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    defences: Sequence[str | Defence] = ("none", "one-pass:fd-cvpr2019", "two-pass:fd-cvpr2019"),
    attacks: Sequence[str | Attack] = ("pgd", "bpda", "grid"),
    epsilons: Sequence[int] = (1, 2, 4),
    surrogate: nn.Module | Sequence[nn.Module] | None = None,
    attacker_quality: int | None = None,
    seed: int = 0,
    batch_size: int = 10,
    device: str | None = None,
    workers: int | None = None,
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

    While the evaluation runs, report.json and report.html hold what is done so far:
    "finished" is false, "progress" says how many parts are done and how many seconds are left,
    and each cell has the number of its images. Everything is done on the first images before
    anything on the next.

    Args:
        model: A module from N×3×H×W floats in [0, 1] to N×K logits, in any form that
            `pyfd.evaluation.models.as_classifier` knows. It is put into evaluation mode.
        images: H×W×3 ``uint8``; their sizes may differ if the model takes any.
        labels: The true class of each image.
        output: A folder for report.json, report.html and progress.jsonl, and for
            broken-certificate.npz if a promise is broken. An
            evaluation that was interrupted is resumed from progress.jsonl, if everything
            that decides its results is the same: the model's, the defences' and the
            attacks' code and attributes, the images, the other arguments, and the
            versions of the libraries (`pyfd.evaluation.fingerprint` says more).
        class_names: The names of the classes by number, for the report; by default the
            model's attribute of that name, if it has one.
        defences: Names for `pyfd.evaluation.defences.parse`, or objects of
            `pyfd.evaluation.defences.Defence`.
        attacks: Names in `pyfd.evaluation.attacks.ATTACKS`, or objects of
            `pyfd.evaluation.attacks.Attack`.
        epsilons: L∞ strengths in 8-bit levels, for attacks that have one.
        surrogate: Another model or several, for attacks that need one ("transfer"). It is
            refused if none does.
        attacker_quality: The attacker hands over JPEG files of this quality, not
            pixels; defences by tables decode the files, and nothing is reported as certified.
        seed: The seed of attacks and random defences.
        batch_size: The number of images of one size that are attacked together.
        device: "cpu"; "cuda" for all GPUs that torch sees; "cuda:1" for the second one; "mps".
            The models are moved there. By default, everything happens where the model is.
            The results on a device of another kind are those of another evaluation.
        workers: The number of processes; by default one on the CPU, and one for each GPU,
            which is also the most. With more than one, the model, the defences and the
            attacks must be objects that can be pickled.
        progress: Show on stderr how much is done, and an estimate of the time that the rest
            takes: a progress bar in a terminal, and else a line every half minute.
        setting: More entries for the report's setting: "model", "surrogates", "images",
            "scale", and "quick": True for a smoke run, which the report then calls itself.

    Returns:
        The content of report.json, with one record per cell of attack, ε and defence.

    Raises:
        BrokenCertificateError: An attack changed what the classifier sees of a certified image,
            or left less than what is certified.
        RuntimeError: A worker died, or an attack failed: the message says which, on what.
        ImportError: The library of an attack or a defence is missing.
        TypeError: An argument is of another type: the model is no module, for example.
        ValueError: A name or a number is invalid, no attack uses the surrogate, the model cannot
            be evaluated (`pyfd.evaluation.models.check`), its answer to an attacked image is not
            finite, it gets no image right, the output is no folder or holds another evaluation,
            something cannot be pickled for several workers, or there is no such device.
    """
    folder = arguments.folder(output)
    others = arguments.models(model, surrogate)
    truth = arguments.images(images, labels)
    chosen = arguments.defences(defences)
    fought = arguments.attacks(attacks, others)
    epsilons = arguments.strengths(epsilons)
    given = arguments.setting(setting)
    named = arguments.names(class_names) or arguments.names_of(model)
    seed = arguments.whole("seed", seed, 0, arguments.MOST_SEED)
    batch_size = arguments.whole("batch_size", batch_size, 1)
    if workers is not None:
        workers = arguments.whole("workers", workers, 1)
    if attacker_quality is not None:
        attacker_quality = arguments.whole("attacker_quality", attacker_quality, 1, 100)
    places = devices.find(device, model, workers)
    devices.check_attacks(places[0], fought)
    devices.move(places[0], model, *others)
    trials = plan(chosen, fought, epsilons)
    # Before the model runs, because that may change its attributes
    header = _header(model, others, images, truth, chosen, fought)
    check(model, images[0], truth, named)
    for other in others:
        _check_surrogate(other, images[0], truth)
    kinds = [type(each).__name__ for each in (model, *others)]
    model = as_classifier(model, images[0])
    others = tuple(as_classifier(other, images[0]) for other in others)
    classes = classes_of(model, images, batch_size=batch_size)
    right = np.flatnonzero(classes == truth).tolist()
    if not right:
        raise ValueError("the model gets none of the images right: are the labels its own?")
    base, answers = [images[i] for i in right], truth[right]
    work = Work(model, others, base, answers, right, trials, seed, batch_size, attacker_quality)
    header |= {
        "predictions": Fingerprints().of(classes),
        "epsilons": epsilons,
        "seed": seed,
        "batch_size": batch_size,
        "attacker_quality": attacker_quality,
    }
    found = {**_setting(work, kinds, len(images)), **given}
    draft = Draft(folder, work, chosen, found, named, soundness.probe(work))
    entries = _run(work, folder, header, places, draft, progress)
    with _reported(folder / "broken-certificate.npz"), draft:
        return draft.finish(entries)


def _setting(work: Work, models: Sequence[str], loaded: int) -> dict[str, Any]:
    model, *surrogates = models
    return {
        "model": model,
        **({"surrogates": surrogates} if surrogates else {}),
        "images": f"{loaded} images",
        "loaded": loaded,
        "n": len(work.images),
        "seed": work.seed,
        "batch_size": work.batch_size,
        "device": str(device_of(work.model)),
        "versions": results.versions(),
    }


def _check_surrogate(model: nn.Module, image: Pixels, truth: npt.NDArray[np.int64]) -> None:
    try:
        check(model, image, truth)
    except ValueError as error:
        raise ValueError(f"of the surrogate: {error}") from error


# ---- running and resuming -----------------------------------------------------


def _header(
    model: nn.Module,
    surrogates: Sequence[nn.Module],
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
        "surrogates": [prints.of(surrogate) for surrogate in surrogates],
        "device": device_of(model).type,
        "images": prints.of([list(images), truth]),
        "defences": [[defence.name, prints.of(defence)] for defence in defences],
        "attacks": [[attack.name, prints.of(attack)] for attack in attacks],
        "packages": prints.packages(),
    }


def _run(
    work: Work,
    folder: Path,
    header: dict[str, Any],
    places: Sequence[torch.device],
    draft: Draft,
    progress: bool,
) -> dict[Task, dict[str, Any]]:
    """Return the entry of every trial and chunk: from the log, or computed now."""
    pickled = _pickled(work, places)  # before anything is written
    path = folder / "progress.jsonl"
    try:
        log = Log(path, header)
    except OtherRunError as error:
        reason = f"{path} is of another evaluation ({error.reason}): choose another folder"
        raise ValueError(reason) from error
    with log:
        found = dict(results.finished(work, log.entries()))
        sizes = work.tasks()
        estimate = Estimate(work.trials, sizes, len(places))
        for task, entry in found.items():
            estimate.add(task, entry["whole_seconds"])
        left = [task for task in sizes if task not in found]
        broken = folder / "broken-certificate.npz"
        with Display(estimate, len(places), shown=progress) as display, _reported(broken), draft:
            for entry in processes.results(work, pickled, left, places):
                log.append(entry)
                task = entry["place"], entry["chunk"]
                found[task] = json.loads(json.dumps(entry, sort_keys=True))  # as it is read again
                estimate.add(task, entry["whole_seconds"])
                display.update()
                if estimate.done < estimate.total:
                    draft.update(found, estimate)
    return found


def _pickled(work: Work, places: Sequence[torch.device]) -> bytes:
    """Return the work for other processes, if there are any."""
    if len(places) == 1:
        return b""
    models = (work.model, *work.surrogates)
    devices.move(torch.device("cpu"), *models)  # a worker must not touch the first device
    try:
        return work.pickled()
    finally:
        devices.move(places[0], *models)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Write a file from which the error of a broken certificate can be reproduced."""
    try:
        yield
    except BrokenCertificateError as error:
        if not error.pixels:
            raise
        write_file(path, error.as_npz(), through=False)
        message = f"{error}. {path} holds the pixels"
        raise BrokenCertificateError(message, pixels=error.pixels) from error
