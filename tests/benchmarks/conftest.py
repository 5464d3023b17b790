"""The fixture with a folder of photographs and their labels."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.toys import photographs


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> None:
    """Leave what other tests have imported out of the collection before each measurement."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def photographs_folder(tmp_path) -> tuple[Path, np.ndarray]:
    """A folder with photos/, labels.csv and images/, and the labels."""
    pixels, labels = photographs(8)
    (tmp_path / "photos").mkdir()
    (tmp_path / "images").mkdir()
    lines = ["file,label"]
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        Image.fromarray(image).save(tmp_path / "photos" / f"{number}.png")
        lines.append(f"{number}.png,{label}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path, labels
