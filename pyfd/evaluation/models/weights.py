"""Weights from disk: files of tensors, without code, and the networks that they fit."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

#: The entries under which training scripts keep a network's state, the best first.
_ENTRIES = ("state_dict_ema", "model_ema", "state_dict", "model")

#: What wrappers put before the names of weights.
_PREFIXES = ("module.", "_orig_mod.")


def read(path: Path) -> dict[str, Tensor]:
    """Return the state of a network: a .safetensors file, or one of `torch.save`.

    Only tensors and plain containers are loaded, whatever the file asks for.

    Raises:
        ValueError: The file cannot be read, or holds something else.
    """
    if not path.is_file():
        raise ValueError(f"no file of weights {path}")
    state: object
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            _refuse_bombs(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        package = str(error.name).partition(".")[0]
        raise ImportError(f"{package} is missing: pip install {package}") from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than weights, which could run code: save a model with "
            "torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # a damaged or hostile file may raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"{path} is no file of weights: {reason}") from error
    for entry in _ENTRIES:
        if isinstance(state, Mapping) and isinstance(state.get(entry), Mapping):
            state = state[entry]
    if (
        not isinstance(state, Mapping)
        or not state
        or not all(map(_is_weight, *zip(*state.items(), strict=True)))
    ):
        raise ValueError(f"{path} holds no state_dict, which has a tensor for every name")
    for name, tensor in state.items():
        if not _is_whole(tensor):
            raise ValueError(f"{path} has no value of its own for every element of {name[:80]!r}")
    return {_bare(name): tensor for name, tensor in state.items()}


def _refuse_bombs(path: Path) -> None:
    """Refuse packed files, which torch does not write and would unpack to any size."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("it is packed, which torch.save does not do")


def _is_whole(tensor: Tensor) -> bool:
    """Return whether a tensor's values are in the file, so that its size is no claim."""
    if tensor.is_quantized or tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def fitted(
    make: Callable[..., nn.Module], state: Mapping[str, Tensor], path: Path
) -> tuple[nn.Module, bool]:
    """Return a network with weights, and whether it has its usual number of classes.

    Args:
        make: Called without arguments, or with `num_classes` if the weights are for another
            number of classes.
        state: The weights.
        path: Where they come from, for messages.

    Raises:
        ValueError: They do not fit the network.
    """
    network = make()
    counts = {
        len(state[name])
        for name, value in network.state_dict().items()
        if name in state
        and state[name].ndim
        and state[name].shape != value.shape
        and state[name].shape[1:] == value.shape[1:]
    }
    usual = len(counts) != 1
    if not usual:
        network = make(num_classes=counts.pop())
    own = network.state_dict()
    wrong = [name for name in own if name in state and state[name].shape != own[name].shape]
    faults = {
        "lacks": sorted(own.keys() - state.keys()),
        "also has": sorted(state.keys() - own.keys()),
        "has other sizes of": wrong,
    }
    said = [
        f"{verb} {', '.join(names[:2])}" + (f" and {len(names) - 2} more" if names[2:] else "")
        for verb, names in faults.items()
        if names
    ]
    if said:
        raise ValueError(f"{path} does not fit the network: it {'; it '.join(said)}")
    network.load_state_dict(dict(state))
    return network, usual
