"""What the command says to typical mistakes: each message blames what is wrong, once."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pyfd.cli import cli


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Return what the command writes to stderr in a folder with pictures of two classes."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(f"photos/{name}/0.png")

    def run(*arguments):
        defaults = [] if "--model" in arguments else ["--model", "tests.evaluation.toys:texture"]
        defaults += [] if "--images" in arguments else ["--images", "photos"]
        call = ["evaluate", *defaults, "-o", "out", *arguments]
        result = CliRunner().invoke(cli, call, catch_exceptions=False)
        assert result.exit_code in (1, 2), result.output
        assert not (tmp_path / "out").exists()
        return result.stderr

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "resnet50"], 'pyfd: resnet50: no model "resnet50": it must be one of'),
        (["--model", "no_such:function"], "pyfd: no_such:function: no model from"),
        (["-a", "transfer", "--surrogate", "hf:none"], "pyfd: hf:none: no model from"),
        (["-a", "transfer"], "pyfd: out: 'transfer' needs another model (--surrogate"),
        (["--device", "gpu"], "pyfd: out: no device 'gpu'"),
        (["--images", "none"], "pyfd: none: no such folder"),
        (["--images", "none.npz"], "pyfd: none.npz: no such"),
        (["--images", "photos/cat/0.png"], "pyfd: photos/cat/0.png: neither a folder nor"),
        (["--images", "photos/cat"], "pyfd: photos/cat: the picture 0.png is in no folder of"),
        (["--labels", "none.csv"], "pyfd: photos: none.csv: No such file"),
    ],
)
def test_messages_blame_the_model_the_images_or_the_evaluation(said, arguments, message):
    *labelling, line = said(*arguments).splitlines()
    assert line.startswith(message)
    assert not any(text.startswith("pyfd:") for text in labelling)


@pytest.mark.parametrize("epsilon", ["8/255", "0.03", "0", "256", "four", "\x1b[2J"])
def test_a_strength_is_in_levels(said, epsilon):
    text = said("-e", epsilon)
    assert "is no whole number of levels, 1 to 255: 8/255 is 8" in text
    assert "\x1b" not in text
