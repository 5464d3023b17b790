"""The devices on which an evaluation computes: the CPU, or one process for each accelerator."""

from __future__ import annotations

from collections.abc import Iterable

from pyfd._core.extras import missing

try:
    import torch
    from torch import nn
except ModuleNotFoundError as error:
    raise missing("torch", "evaluate", module=error.name) from error

from pyfd.evaluation.attacks import Attack
from pyfd.torch import device_of

_ALTERNATIVE = "; without --device, the CPU computes"


def find(name: str | None, model: nn.Module, workers: int | None = None) -> list[torch.device]:
    """Return the device of each process of an evaluation.

    Args:
        name: "cpu"; "cuda" for all GPUs that torch sees; "cuda:1" for the second one; "mps";
            None for the device of the model's weights.
        model: The model.
        workers: The number of processes. None is one on the CPU, and one for each accelerator.

    Raises:
        ValueError: There is no such device, or there are more processes than accelerators.
    """
    devices = [device_of(model)] if name is None else _named(name)
    if devices[0].type == "cpu":
        return devices * (workers or 1)
    if workers is not None and workers > len(devices):
        count = len(devices)
        raise ValueError(f"{workers} workers on {count} {devices[0].type} device(s): one for each")
    return devices[:workers]


def _named(name: str) -> list[torch.device]:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"no device {name!r}: there are cpu, cuda, cuda:NUMBER and mps") from None
    if name == "cpu":
        return [device]
    if device.type == "cuda":
        return _cuda(device)
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise ValueError(f"torch finds no Metal device (mps){_ALTERNATIVE}")
        return [device]
    raise ValueError(f"no device {name!r}: there are cpu, cuda, cuda:NUMBER and mps")


def _cuda(device: torch.device) -> list[torch.device]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise ValueError(f"torch {torch.__version__} finds no CUDA device{_ALTERNATIVE}")
    if str(device) == device.type:
        return [torch.device("cuda", number) for number in range(count)]
    if device.index >= count:
        raise ValueError(f"no device {str(device)!r}: torch finds {count}, from cuda:0")
    return [device]


def check_attacks(device: torch.device, attacks: Iterable[Attack]) -> None:
    """Refuse attacks whose library would move the model to the CPU.

    Raises:
        ValueError: ART runs an attack, and the device is neither the CPU nor a CUDA device.
    """
    for attack in attacks:
        if device.type not in ("cpu", "cuda") and "art" in attack.libraries:
            raise ValueError(f"ART, which runs {attack.name!r}, has no {device.type}: try the CPU")


def move(device: torch.device, *models: nn.Module) -> None:
    """Move models to a device, and make a CUDA device the current one, which ART takes."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    for model in models:
        model.to(device)
