"""A data set of JPEG files.

torchvision's ``DatasetFolder`` could walk the folders, but the extra ``torch`` brings
only torch.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset

from pyfd._core.files import JPEG_SUFFIXES, RegularFile
from pyfd._core.reading import ReadingOptions
from pyfd._core.search import Omitted, is_folder, search
from pyfd.errors import JPEGError
from pyfd.qtables import QTablesLike
from pyfd.torch.decoding import Decode

if TYPE_CHECKING:
    from typing_extensions import Unpack

_NAMED = 5  # of the things that were left out, in the warning


class JPEGFolder(Dataset[tuple[Any, Any]]):
    """A data set of the JPEG files in a folder per class, decoded onto tables.

    Files and classes are those of torchvision's ``ImageFolder``, in the same order:
    ``root/cat/1.jpg``, ``root/cat/more/2.JPG``, ``root/dog/1.jpeg``. Other files are
    skipped. So are links to folders below a class, pipes and devices: a warning names them.

    Item i is a pair: the image, a ``uint8`` tensor C×H×W (RGB unless `mode` says
    otherwise), and the index of its class. Reading it raises the errors of `decode`,
    with the file's name added, also in a `DataLoader` with workers.

    Args:
        root: The folder.
        qtables: Tables, or None for a plain decode.
        transform: A function from an item's tensor to its replacement.
        target_transform: A function from the index of the class to its replacement.
        follow_links: Search linked folders below a class too, each folder once.
        options: The other options of `Decode`.

    Attributes:
        classes: The classes' names, sorted.
        class_to_idx: The index of each class by its name.
        samples: Each file's path and the index of its class.
        targets: The index of each file's class.
        decode: The `Decode` that reads the files.

    Raises:
        FileNotFoundError: `root` has no folders, or one of them has no JPEG files.
        OSError: A folder cannot be searched.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        qtables: QTablesLike | None = None,
        *,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        follow_links: bool = False,
        **options: Unpack[ReadingOptions],
    ) -> None:
        self.root = os.fspath(root)
        self.decode = Decode(qtables, **options)
        self.transform = transform
        self.target_transform = target_transform
        with os.scandir(root) as entries:
            self.classes = sorted(
                entry.name for entry in entries if is_folder(entry, follow_symlinks=True)
            )
        if not self.classes:
            raise FileNotFoundError(f"no class folders in {root!r}")
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        for name, index in self.class_to_idx.items():
            folder = str(Path(root, name))
            files = _jpegs_below(folder, follow_links)
            if not files:
                raise FileNotFoundError(f"no JPEG files in the class folder {folder!r}")
            self.samples += [(file, index) for file in files]
        self.targets = [index for _, index in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        try:
            image: Any = self.decode(RegularFile(path))
        except JPEGError as error:
            named = copy.copy(error)
            named.args = (f"{error}: {path!r}",)
            raise named from error
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            return image, self.target_transform(target)
        return image, target

    def __repr__(self) -> str:
        size = f"{len(self)} files, {len(self.classes)} classes"
        return f"<JPEGFolder {self.root!r}: {size}, {self.decode}>"


def _jpegs_below(folder: str, follow_links: bool) -> list[str]:
    """Return the paths of the JPEG files, sorted by folder and then by name.

    Broken links are included, so that reading them is an error.
    """
    endings = tuple(JPEG_SUFFIXES)
    files: list[str] = []
    omitted: list[Omitted] = []
    for item in search(
        folder, lambda name: name.lower().endswith(endings), follow_links=follow_links
    ):
        if isinstance(item, str):
            files.append(item)
        elif item.error is not None:
            raise item.error
        else:
            omitted.append(item)
    if omitted:
        named = "; ".join(f"{item.path!r}: {item.reason}" for item in omitted[:_NAMED])
        more = f"; and {len(omitted) - _NAMED} more" if len(omitted) > _NAMED else ""
        warnings.warn(f"JPEGFolder left out {named}{more}", stacklevel=3)
    return sorted(files, key=os.path.split)
