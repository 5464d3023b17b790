"""The fixture with a folder of JPEG files in two classes."""

import pytest

from tests.pipelines.torch.files import NAMES, jpeg


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(NAMES):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(seed))
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "labels.csv").write_text("no class")
    return tmp_path
