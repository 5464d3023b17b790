"""The checks of an evaluation's arguments, before anything runs or is written."""

from __future__ import annotations

import json
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyfd._core.pixels import Pixels
from pyfd._core.writing import check_regular
from pyfd.evaluation.attacks import ATTACKS, Attack, find
from pyfd.evaluation.defences import Defence, parse
from pyfd.evaluation.libraries import require

try:
    from torch import nn
except ModuleNotFoundError as error:
    from pyfd._core.extras import missing

    raise missing("torch", "evaluate", module=error.name) from error

#: The largest seed: attacks add small numbers to it, and NumPy's old generator takes 32 bits.
MOST_SEED = (1 << 31) - 1

#: The entries of a report's setting that the evaluation makes itself.
_OWN = ("classes", "date", "device", "loaded", "n", "seed", "versions")

#: The files that are written when there are results.
_RESULTS = ("report.json", "report.html", "broken-certificate.npz")


def models(model: object, surrogate: Any) -> tuple[nn.Module, ...]:
    """Return the surrogates, after a look at the types of all models.

    Raises:
        TypeError: One is no module.
        ValueError: One has weights without values.
    """
    others: tuple[Any, ...] = () if surrogate is None else (surrogate,)
    if surrogate is not None and not isinstance(surrogate, nn.Module):
        others = tuple(_sequence("surrogate", surrogate))
    for name, module in [("the model", model), *(("a surrogate", other) for other in others)]:
        if not isinstance(module, nn.Module):
            raise TypeError(f"{name} must be a torch.nn.Module, not {_kind(module)}")
        if any(weight.is_meta for weight in (*module.parameters(), *module.buffers())):
            raise ValueError(f'{name} has weights on the device "meta", where they have no values')
    return others


def images(given: Sequence[Pixels], labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the labels of images, after a look at both.

    Raises:
        TypeError: An image is no array, or labels are no integers.
        ValueError: An image has another shape or dtype, or there are more or fewer labels.
    """
    if not hasattr(given, "__len__") or not hasattr(given, "__getitem__"):
        raise TypeError(f"images must be a sequence of arrays, not {_kind(given)}")
    truth = np.asarray(labels)
    if not len(given) or truth.shape != (len(given),):
        raise ValueError(f"{len(given)} images need as many labels, not shape {truth.shape}")
    if truth.dtype.kind not in "iub":
        raise TypeError(f"labels must be integers, not {truth.dtype}")
    for number in range(len(given)):
        image = given[number]
        if not isinstance(image, np.ndarray):
            raise TypeError(f"image {number} must be a numpy array, not {_kind(image)}")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            shape = "×".join(map(str, image.shape))
            raise ValueError(f"image {number} must be uint8 H×W×3, not {image.dtype} {shape}")
    return truth.astype(np.int64)


def folder(output: object) -> Path:
    """Return the folder for the results, which need not exist.

    Raises:
        TypeError: It is no path.
        ValueError: The path is empty or leads to a file, or what is in the folder could not be
            replaced by a result.
    """
    if not isinstance(output, str | os.PathLike):
        raise TypeError(f"output must be a path, not {_kind(output)}")
    if not os.fspath(output):
        raise ValueError("output must be the path of a folder, not empty")
    path = Path(output)
    if path.exists() and not path.is_dir():
        raise ValueError(f"output must be a folder, and {path} is a file")
    for name in _RESULTS:
        try:
            check_regular(path / name)
        except OSError as error:
            raise ValueError(f"{path / name} cannot be written: {error.strerror}") from error
    return path


def defences(given: Sequence[str | Defence]) -> list[Defence]:
    """Return defences, by name or as they are.

    Raises:
        ImportError: The library of one is missing.
        TypeError: One is neither a name nor a defence.
        ValueError: There are none, a name is invalid, or one is given twice.
    """
    found = [parse(d) if isinstance(d, str) else d for d in _sequence("defences", given)]
    for defence in found:
        if not isinstance(defence, Defence):
            raise TypeError(f"a defence must be a name or a Defence, not {_kind(defence)}")
        require(defence.libraries)
    if not found or len({d.name for d in found}) < len(found):
        raise ValueError("there must be at least one defence, and each only once")
    return found


def attacks(given: Sequence[str | Attack], surrogates: Sequence[nn.Module]) -> list[Attack]:
    """Return attacks, by name or as they are.

    Raises:
        ImportError: The library of one is missing.
        TypeError: One is neither a name nor an attack.
        ValueError: A name is invalid, one is given twice, or needs a surrogate, or no attack
            needs those that are given.
    """
    found = [find(a) if isinstance(a, str) else a for a in _sequence("attacks", given)]
    for attack in found:
        if not isinstance(attack, Attack):
            raise TypeError(f"an attack must be a name or an Attack, not {_kind(attack)}")
        if "surrogate" in attack.needs and not surrogates:
            raise ValueError(f"{attack.name!r} needs another model (--surrogate, surrogate=)")
        require(attack.libraries)
    if len({a.name for a in found}) < len(found):
        raise ValueError("each attack must be given only once")
    if surrogates and not any("surrogate" in attack.needs for attack in found):
        users = " or ".join(repr(a.name) for a in ATTACKS.values() if "surrogate" in a.needs)
        raise ValueError(f"no attack uses a surrogate (--surrogate, surrogate=): {users} does")
    return found


def strengths(epsilons: Iterable[int]) -> list[int]:
    """Return strengths as integers.

    Raises:
        TypeError: They are no sequence.
        ValueError: One is no whole number in 1...255, or is given twice.
    """
    found: list[int] = []
    for epsilon in _sequence("epsilons", epsilons):
        is_number = isinstance(epsilon, numbers.Real) and not isinstance(epsilon, bool)
        if not is_number or not 1 <= epsilon <= 255 or epsilon != int(epsilon):
            raise ValueError(
                f"epsilon must be a whole number of levels, 1...255, not {str(epsilon)[:40]}"
            )
        found.append(int(epsilon))
    if len(set(found)) < len(found):
        raise ValueError("each epsilon must be given only once")
    return found


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """Return a whole number within bounds as an integer.

    Raises:
        TypeError: It is no integer.
        ValueError: It is too small or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, not {_kind(value)}")
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"{least}...{most}"
        raise ValueError(f"{name} must be {bounds}, not {value}")
    return int(value)


def names(given: object, of: str = "class_names") -> tuple[str, ...] | None:
    """Return the names of classes.

    Args:
        given: A sequence of names, or None.
        of: What it is, for messages.

    Raises:
        TypeError: It is anything else.
        ValueError: A name is empty.
    """
    if given is None:
        return None
    found = _sequence(of, given)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{of} must be names, not {_kind(name)}")
        if not name.strip():
            raise ValueError(f"{of} must not be empty: {found.index(name)} is")
    return tuple(map(str, found))


def names_of(model: nn.Module) -> tuple[str, ...] | None:
    """Return the names of a model's classes, its attribute class_names.

    Raises:
        ValueError: The attribute is no sequence of names, or a name is empty.
    """
    try:
        return names(getattr(model, "class_names", None), "the model's attribute class_names")
    except TypeError as error:
        raise ValueError(str(error)) from error


def setting(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return entries for the report's setting.

    Raises:
        TypeError: They are not what JSON can hold.
        ValueError: One is the evaluation's own, or a text is missing.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"setting must be a mapping, not {_kind(given)}")
    if own := [name for name in _OWN if name in given]:
        raise ValueError(f"setting must not have {own[0]!r}, which the evaluation knows")
    for name in ("model", "images"):
        if not isinstance(given.get(name, "?"), str) or not given.get(name, "?"):
            raise TypeError(f"setting must have a text as {name!r}, not {given[name]!r}")
    try:
        json.dumps(dict(given), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"setting must be what JSON can hold: {error}") from error
    return dict(given)


def _sequence(name: str, given: Any) -> list[Any]:
    """Return the items of a sequence that is no text and no mapping."""
    if isinstance(given, str | bytes | Mapping | set) or not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a sequence, not {_kind(given)}")
    return list(given)


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
