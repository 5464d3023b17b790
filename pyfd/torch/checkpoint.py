"""The file from which an interrupted training is resumed.

It is a line of JSON and then the bytes of tensors, whose number, shapes and types the
reader knows. `torch.load` would unpickle the file, and unpack what it says is packed; here
nothing is run, and no memory is taken that the training would not take by itself.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyfd._core.files import NotRegularError, open_regular
from pyfd._core.writing import make_parents, write_file

_FORMAT, _VERSION = "pyfd-adaptation", 1
_LONGEST_LINE = 1 << 20


class State(NamedTuple):
    """What the file says besides the tensors."""

    step: int
    """The steps that are done."""
    first_loss: float | None
    """The loss of the first step; None before it."""
    updates: list[int]
    """How often each parameter was updated."""


class Checkpoint:
    """A file with the state of one training.

    Args:
        path: The file. It and its folder are created if they do not exist.
        key: A digest of all that decides the training's result.
        steps: The steps of the whole training.
        parameters: The number of the parameters that are trained.
    """

    def __init__(self, path: str | os.PathLike[str], key: str, steps: int, parameters: int) -> None:
        self.path = Path(path)
        self.key = key
        self.steps = steps
        self.parameters = parameters

    def save(self, state: State, tensors: Sequence[Tensor]) -> None:
        """Write the state and the tensors, whole or not at all.

        Raises:
            OSError: The file cannot be written.
        """
        data = b"".join(_bytes_of(tensor).numpy().tobytes() for tensor in tensors)
        head = {
            "format": _FORMAT,
            "version": _VERSION,
            "key": self.key,
            "sha256": hashlib.sha256(data).hexdigest(),
            **state._asdict(),
        }
        make_parents(self.path)
        write_file(self.path, json.dumps(head, sort_keys=True).encode() + b"\n" + data)

    def load(self, tensors: Sequence[Tensor]) -> State | None:
        """Fill tensors with those of the file, and return the state; None without a file.

        Raises:
            ValueError: The file is not one of this training. The tensors are then as before.
            OSError: The file cannot be read.
        """
        needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        try:
            with open(open_regular(self.path), "rb") as file:  # noqa: PTH123
                line = file.readline(_LONGEST_LINE)
                state, digest = self._head(line)
                if os.fstat(file.fileno()).st_size != len(line) + needed:
                    raise self._refusal("it was cut off, or something was added to it")
                data = bytearray(file.read(needed))
        except FileNotFoundError:
            return None
        except NotRegularError as error:
            kind = "a folder" if error.errno == errno.EISDIR else error.strerror
            raise self._refusal(f"it is {kind}") from error
        if len(data) != needed:
            raise self._refusal("it was cut off")
        if hashlib.sha256(data).hexdigest() != digest:
            raise self._refusal("it is damaged")
        start = 0
        for tensor in tensors:
            size = tensor.numel() * tensor.element_size()
            found = torch.frombuffer(data, dtype=torch.uint8, count=size, offset=start)
            tensor.copy_(found.clone().view(tensor.dtype).view(tensor.shape))
            start += size
        return state

    def _head(self, line: bytes) -> tuple[State, object]:
        """Return the state, and the digest that the tensors should have."""
        head: Any = None
        with suppress(ValueError, RecursionError):
            head = json.loads(line)
        if not isinstance(head, dict) or head.get("format") != _FORMAT:
            raise self._refusal("it is no checkpoint of an adaptation")
        if head.get("version") != _VERSION:
            raise self._refusal("another version of pyfd wrote it")
        if head.get("key") != self.key:
            raise self._refusal(
                "it has another model, other images or other options. Choose another file"
            )
        match head:
            case {"step": int(step), "first_loss": None | float() as loss, "updates": [*updates]}:
                counted = all(type(n) is int and 0 <= n <= step for n in (step, *updates))
                matching = step == 0 if loss is None else step > 0 and math.isfinite(loss)
                if counted and matching and step <= self.steps and len(updates) == self.parameters:
                    return State(step, loss, updates), head.get("sha256")
        raise self._refusal("it is damaged")

    def _refusal(self, reason: str) -> ValueError:
        return ValueError(f"{self.path} is not a checkpoint of this run: {reason}")


def _bytes_of(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
