"""What the command says to typical mistakes: each message blames what is wrong, once."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from torch import nn

from pyfd.cli import cli
from tests.evaluation.test_answers import Answering

TEXTURE = "tests.evaluation.toys:texture"
INSTANCE = nn.Identity()


def answering():
    """Return a model of another answer, for the command."""
    return Answering(lambda x: {"preds": x})


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Return what the command writes to stderr in a folder with pictures of two classes."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(f"photos/{name}/0.png")

    def run(*arguments):
        defaults = [] if "--model" in arguments else ["--model", TEXTURE]
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
        (["-a", "transfer"], "Error: 'transfer' needs another model (--surrogate"),
        (["-a", "pgd", "--surrogate", TEXTURE], "Error: no attack uses a surrogate (--surrogate"),
        (["--device", "gpu"], "Error: no device 'gpu'"),
        (["-d", "none", "-d", "none"], "Error: there must be at least one defence, and each"),
        (["-a", "pgd", "-a", "pgd"], "Error: each attack must be given only once"),
        (["--scale", "model"], 'Error: the model has no attribute "input_size"'),
        (["--model", "builtins:dict"], 'pyfd: builtins:dict: "builtins:dict" must return a torch'),
        (["--model", f"{__name__}:answering"], "Error: the model returned a dict with the keys"),
        (
            ["--model", f"{__name__}:INSTANCE"],
            f'pyfd: {__name__}:INSTANCE: no model from "{__name__}:INSTANCE": it is an object of '
            "type Identity, not a function that returns a model",
        ),
        (
            ["--images", f"{__name__}:TEXTURE"],
            f'pyfd: {__name__}:TEXTURE: no data set from "{__name__}:TEXTURE": it is an object of '
            "type str, not a function that returns a data set",
        ),
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


@pytest.mark.parametrize("name", ["report.html", "report.json", "broken-certificate.npz"])
def test_what_cannot_be_replaced_is_refused_before_the_run(tmp_path, monkeypatch, name):
    """And only errors of the system about the folder have its name before them."""
    (tmp_path / "out" / name).mkdir(parents=True)
    np.savez(tmp_path / "x.npz", images=np.full((1, 8, 8, 3), 90, np.uint8), labels=[0])
    monkeypatch.chdir(tmp_path)
    call = ["evaluate", "--model", TEXTURE, "--images", "x.npz", "-a", "noise", "-d", "none"]
    done = CliRunner().invoke(cli, [*call, "-o", "out"], catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (
        1,
        f"Error: out/{name} cannot be written: Is a directory\n",
    )
    done = CliRunner().invoke(cli, [*call, "-o", "out/" + "x" * 300], catch_exceptions=False)
    assert done.stderr.startswith("pyfd: out/xxx")
    assert done.stderr.endswith("File name too long\n")


@pytest.mark.parametrize("epsilon", ["8/255", "0.03", "0", "256", "four", "\x1b[2J"])
def test_a_strength_is_in_levels(said, epsilon):
    text = said("-e", epsilon)
    assert "is no whole number of levels, 1 to 255: 8/255 is 8" in text
    assert "\x1b" not in text
