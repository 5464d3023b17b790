"""evaluate: what it counts, what it goes on from, and what it warns of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from scipy.stats import binomtest
from torch import nn

import pyfd
from pyfd.cli import cli
from pyfd.evaluation import evaluate
from pyfd.evaluation.defences import Defence
from pyfd.evaluation.results import interval
from tests.jpegs import picture

DEFENCES = ("none", "one-pass:16", "two-pass:16", "bits:3", "shield")


class Texture(nn.Module):
    """Classes by how rough an image is: small perturbations change them, large steps do too."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        rough = (batch[..., 1:] - batch[..., :-1]).abs().mean((1, 2, 3)) * 100
        return torch.stack([6 - rough, rough - 6], 1)


class Deaf(nn.Module):
    """Gives no gradient, and always the same class."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).repeat(len(batch), 1) + 0 * batch.mean()


def texture() -> nn.Module:  # for "tests.evaluation.test_run:texture"
    return Texture()


def images(count: int = 6) -> list[np.ndarray]:
    return [picture(24 + 8 * (i % 2), 24, seed=i) for i in range(count)]


def labels_of(model: nn.Module, pictures: list[np.ndarray]) -> list[int]:
    batches = [torch.tensor(p).permute(2, 0, 1)[None].float() / 255 for p in pictures]
    return [int(model(batch).argmax()) for batch in batches]


def cell(content: dict, defence: str, attack: str, epsilon: int | None = None) -> dict:
    (found,) = [
        c
        for c in content["cells"]
        if (c["defence"], c["attack"], c["epsilon"]) == (defence, attack, epsilon)
    ]
    return found


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    pictures = images()
    return evaluate(
        Texture(),
        pictures,
        labels_of(Texture(), pictures),
        output=tmp_path_factory.mktemp("report"),
        defences=DEFENCES,
        attacks=("fgsm", "pgd", "bpda", "grid", "transfer", "deepfool"),
        epsilons=(1, 4),
        surrogate=Texture(),
        batch_size=2,
    )


def test_has_a_cell_for_everything(content):
    expected = set()
    for defence in DEFENCES:
        expected |= {(defence, "benign", None), (defence, "deepfool", None)}
        for epsilon in (1, 4):
            expected |= {(defence, a, epsilon) for a in ("fgsm", "pgd", "transfer")}
            if defence != "none":
                expected.add((defence, "bpda", epsilon))
            if "pass" in defence:
                expected.add((defence, "grid", epsilon))
    assert {(c["defence"], c["attack"], c["epsilon"]) for c in content["cells"]} == expected
    assert len(content["cells"]) == len(expected)


def test_cells_are_consistent(content):
    for c in content["cells"]:
        assert c["n"] == content["setting"]["n"] == 6
        assert c["accuracy"] == c["correct"] / 6
        assert c["interval"][0] <= c["accuracy"] <= c["interval"][1]
        threat = {"benign": "benign", "transfer": "black-box", "bpda": "adaptive"}
        assert c["threat"] == threat.get(
            c["attack"], "adaptive" if c["attack"] == "grid" else "gray-box"
        )
    assert cell(content, "none", "benign")["accuracy"] == 1  # the base set
    assert cell(content, "none", "pgd", 4)["accuracy"] < 1
    # The surrogate is the same model: transfer is as strong as the attack itself
    for defence in DEFENCES:
        same = cell(content, defence, "transfer", 4), cell(content, defence, "pgd", 4)
        assert same[0]["correct"] == same[1]["correct"]


def test_benign_accuracy_is_the_codecs(content):
    pictures = images()
    truth = labels_of(Texture(), pictures)
    seen = [_two_passes(p) for p in pictures]
    right = np.mean(np.array(labels_of(Texture(), seen)) == truth)
    assert cell(content, "two-pass:16", "benign")["accuracy"] == right


def _two_passes(image: np.ndarray) -> np.ndarray:
    tables = pyfd.QTables.uniform(16)
    once = pyfd.decode(pyfd.encode(image, tables), tables)
    return pyfd.decode(pyfd.encode(once, tables), tables)


def test_writes_a_report(content, tmp_path_factory):
    folder = next(tmp_path_factory.getbasetemp().glob("report*"))
    assert json.loads((folder / "report.json").read_text()) == content
    assert "two-pass:<wbr>16" in (folder / "report.html").read_text()
    assert set(content["costs"]) == set(DEFENCES) - {"none"}
    assert all(seconds > 0 for seconds in content["costs"].values())
    assert content["examples"]
    assert content["setting"]["versions"]["torch"] == torch.__version__


def test_workers_change_nothing(content, tmp_path):
    pictures = images()
    again = evaluate(
        Texture(),
        pictures,
        labels_of(Texture(), pictures),
        output=tmp_path,
        defences=DEFENCES,
        attacks=("fgsm", "pgd", "bpda", "grid", "transfer", "deepfool"),
        epsilons=(1, 4),
        surrogate=Texture(),
        batch_size=2,
        workers=2,
    )
    assert without_times(again) == without_times(content)


class Unwelcome(Texture):
    """Cannot be brought to another process."""

    def __setstate__(self, _state: dict) -> None:
        os._exit(3)


def test_a_worker_that_dies_is_an_error(tmp_path):
    pictures = images()
    labels = labels_of(Texture(), pictures)
    with pytest.raises(RuntimeError, match=r"a worker died.*workers=1"):
        evaluate(Unwelcome(), pictures, labels, output=tmp_path, workers=2)


def without_times(content: dict) -> list[dict]:
    return [{k: v for k, v in c.items() if k != "seconds"} for c in content["cells"]]


SCRIPT = """
import sys, time
from pathlib import Path
from tests.evaluation.test_run import Texture, images, labels_of
from pyfd.evaluation import evaluate
from pyfd.evaluation.defences import Defence

class Slow(Defence):
    name, kind = "slow", "transformation"
    def __call__(self, images, seed=0):
        while Path(sys.argv[2]).exists() and len(open(sys.argv[3]).readlines()) > 4:
            time.sleep(0.05)  # until it is killed
        return super().__call__(images, seed)

pictures = images()
found = evaluate(Texture(), pictures, labels_of(Texture(), pictures), output=sys.argv[1],
                 defences=("none", Slow()), attacks=("pgd", "bpda"), epsilons=(2,),
                 batch_size=2)
"""


def test_a_killed_run_goes_on(tmp_path):
    """Killed after some chunks, with its last line cut off, it ends as if it had not been."""
    barrier = tmp_path / "barrier"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def start(folder: Path) -> subprocess.Popen:
        arguments = [str(folder), str(barrier), str(folder / "progress.jsonl")]
        return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], env=environment)

    assert start(tmp_path / "whole").wait() == 0
    barrier.touch()
    killed = start(tmp_path / "killed")
    journal = tmp_path / "killed/progress.jsonl"
    while not journal.exists() or len(journal.read_text().splitlines()) < 5:
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    barrier.unlink()
    assert not (tmp_path / "killed/report.json").exists()
    before = journal.read_text()
    journal.write_text(before + '{"place": 2, "chu')
    assert start(tmp_path / "killed").wait() == 0
    assert journal.read_text().startswith(before)
    contents = [json.loads((tmp_path / n / "report.json").read_text()) for n in ("whole", "killed")]
    assert without_times(contents[0]) == without_times(contents[1])


def run(tmp_path: Path, **options):
    pictures = options.pop("pictures", images(2))
    model = options.pop("model", Texture())
    defaults = {"defences": ("none",), "attacks": ("pgd",), "epsilons": (4,)}
    truth = options.pop("truth", labels_of(model, pictures))
    return evaluate(model, pictures, truth, output=tmp_path, **{**defaults, **options})


def test_another_evaluation_is_not_mixed_in(tmp_path):
    run(tmp_path)
    run(tmp_path)  # the same one
    with pytest.raises(ValueError, match="another evaluation"):
        run(tmp_path, seed=1)


def test_an_attackers_files_are_decoded(tmp_path):
    """What a table defence decodes is the file, not its pixels encoded again."""
    found = run(tmp_path, defences=("none", "one-pass:16"), attacker_quality=40, epsilons=(1,))
    assert cell(found, "none", "pgd", 1)["parameters"]["attacker_quality"] == 40


# ---- warnings -----------------------------------------------------------------


def test_warns_of_what_is_unsound(tmp_path):
    warnings = run(tmp_path, model=Deaf(), truth=[0, 0])["warnings"]
    assert any("2 images: below 100" in w for w in warnings)
    assert any("pgd, ε = 4 never succeeds" in w for w in warnings)
    assert any("Gradients through the undefended model are zero" in w for w in warnings)


def test_warns_of_a_defence_without_gradient(tmp_path):
    class Shattered(Defence):
        name, kind = "shattered", "transformation"

        def module(self):
            return Rounded()

    class Rounded(nn.Module):
        def forward(self, batch):
            return (batch * 255).round() / 255

    warnings = run(tmp_path, defences=("none", Shattered()), attacks=("bpda",))["warnings"]
    assert any("Gradients through shattered are zero" in w for w in warnings)
    assert not any("through the undefended" in w for w in warnings)


def test_warns_of_tables_at_unequal_benign_accuracy(tmp_path):
    """A step of 1 keeps noise, one of 255 flattens it."""
    noise = np.random.default_rng(0).normal(128, 24, (4, 24, 24, 3))
    pictures = list(noise.clip(0, 255).astype(np.uint8))
    found = run(tmp_path, pictures=pictures, defences=("two-pass:1", "two-pass:255"))
    assert cell(found, "two-pass:1", "benign")["accuracy"] == 1
    assert cell(found, "two-pass:255", "benign")["accuracy"] == 0
    assert any("unequal benign accuracy" in w for w in found["warnings"])


# ---- mistakes -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attacks": ("pdg",)}, "no attack 'pdg': there are fgsm"),
        ({"attacks": ("transfer",)}, "another model"),
        ({"epsilons": (0.5,)}, "whole number"),
        ({"epsilons": (0,)}, "1...255"),
        ({"defences": ()}, "given"),
        ({"defences": ("none", "none")}, "each once"),
        ({"defences": ("two-pass:fd",)}, "fd"),
        ({"truth": [0]}, "2 images need as many labels"),
        ({"pictures": []}, "0 images"),
        ({"truth": [7, 7]}, "none of the images right"),
    ],
)
def test_mistakes_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **options)


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (7, 10), (150, 163)])
def test_interval_is_wilsons(correct, n):
    expected = binomtest(correct, n).proportion_ci(method="wilson")
    assert interval(correct, n) == pytest.approx(list(expected), abs=1e-6)


# ---- the command --------------------------------------------------------------


def test_command(tmp_path):
    (tmp_path / "photos").mkdir()
    pictures = images(4)
    truth = labels_of(Texture(), pictures)
    rows = ["file,label"]
    for i, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"photos/{i}.png")
        rows.append(f"{i}.png,{truth[i]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    arguments = ["evaluate", "--model", "tests.evaluation.test_run:texture"]
    arguments += ["--images", f"{tmp_path}/photos", "--labels", f"{tmp_path}/labels.csv"]
    arguments += ["-d", "none", "-d", "two-pass:16", "-a", "fgsm", "-e", "2", "--workers", "1"]
    arguments += ["--limit", "3"]
    result = CliRunner().invoke(cli, [*arguments, "-o", f"{tmp_path}/out"])
    assert result.exit_code == 0, result.output
    assert "two-pass:16" in result.stdout
    assert json.loads((tmp_path / "out/report.json").read_text())["setting"]["n"] == 3
    refused = CliRunner().invoke(cli, [*arguments, "--scale", "model", "-o", f"{tmp_path}/other"])
    assert refused.exit_code == 1
    assert "input_size" in refused.stderr
    assert CliRunner().invoke(cli, ["evaluate", "--images", "foolbox"]).exit_code == 2
