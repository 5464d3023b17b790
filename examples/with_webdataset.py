"""Decode a WebDataset shard with a damaged file in it onto defensive tables.

Run it: python examples/with_webdataset.py
"""

import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import webdataset as wds

import pyfd
from pyfd.torch import Decode


def write_shard(path: Path) -> None:
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as tar:
        for i in range(6):
            image = np.full((64, 64, 3), rng.integers(0, 256, 3), np.uint8)
            jpeg = pyfd.encode(image, "fd-cvpr2019")
            files = {"jpg": jpeg[:200] if i == 2 else jpeg, "cls": str(i % 2).encode()}
            for ending, content in files.items():
                member = tarfile.TarInfo(f"{i:06}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def main() -> None:
    refused = []

    def skip(error: Exception) -> bool:
        if not isinstance(error, pyfd.JPEGError):
            raise error
        refused.append(error)
        return True  # skip this sample; False would end the shard silently

    with tempfile.TemporaryDirectory() as temporary:
        shard = Path(temporary, "shard-000000.tar")
        write_shard(shard)
        samples = wds.WebDataset(str(shard), shardshuffle=False)
        samples = samples.map_dict(jpg=Decode("fd-cvpr2019"), cls=int, handler=skip)
        for images, labels in samples.to_tuple("jpg", "cls").batched(3):
            print(f"{images.dtype} {tuple(images.shape)}, labels {labels}")
        print(f"refused: {refused[0]}")


if __name__ == "__main__":
    main()
