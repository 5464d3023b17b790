"""adapt: what it learns, and that nothing can make it learn something else."""

import copy
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
from torch import nn
from torch.nn.functional import kl_div

import pyfd
from pyfd import QTables
from pyfd.torch import adapt, adaptation
from tests.jpegs import picture

TABLES = QTables.uniform(120)
OPTIONS = {"crop": 16, "batch_size": 4, "learning_rate": 0.01, "seed": 3}


def network() -> nn.Module:
    """A small network with batch statistics and dropout, with weights that are always the same."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(8, 5),
    )
    with torch.no_grad():
        model[0].weight *= 5
        model[6].weight *= 5
    return model


def images(count: int = 6, first: int = 0) -> list[np.ndarray]:
    return [picture(20 + n % 3, 19, seed=first + n) for n in range(count)]


class Roughness(nn.Module):
    """A model that answers by the noise of a picture, which the tables erase."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 2)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[10.0], [-10.0]]))
            self.linear.bias.zero_()

    def forward(self, batch):
        return self.linear((batch[..., 1:] - batch[..., :-1]).abs().mean((1, 2, 3))[:, None])


def noisy(count: int, first: int = 0) -> list[np.ndarray]:
    levels = (np.random.default_rng(first + n).normal(128, 28, (18, 20, 3)) for n in range(count))
    return [pixels.clip(0, 255).astype(np.uint8) for pixels in levels]


def weights(model: nn.Module) -> list[np.ndarray]:
    return [tensor.detach().numpy().copy() for tensor in model.state_dict().values()]


def equal(ours: nn.Module, theirs: nn.Module) -> bool:
    pairs = zip(weights(ours), weights(theirs), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def divergence(teacher: nn.Module, student: nn.Module, photos: list[np.ndarray]) -> float:
    """The divergence of a student's answers on certified files from the teacher's on photos."""

    def answers(model: nn.Module, photo: np.ndarray) -> torch.Tensor:
        batch = torch.tensor(photo).permute(2, 0, 1)[None] / 255
        return copy.deepcopy(model).eval()(batch).log_softmax(1)

    with torch.no_grad():
        return sum(
            float(
                kl_div(
                    answers(student, pyfd.decode(pyfd.encode(photo, TABLES, radius=2))),
                    answers(teacher, photo),
                    reduction="batchmean",
                    log_target=True,
                )
            )
            for photo in photos
        )


# ---- what it learns ------------------------------------------------------------


def test_the_copy_answers_on_defended_images_as_the_model_on_plain_ones():
    model, others = Roughness(), noisy(10, first=100)
    options = {**OPTIONS, "learning_rate": 0.2}
    found = adapt(model, noisy(12), TABLES, radius=2, steps=30, **options)
    before, after = divergence(model, model, others), divergence(model, found, others)
    assert after < 0.1 * before


def test_the_model_stays_as_it_is():
    model = network()
    model[0].weight.requires_grad_(False)
    before = copy.deepcopy(model)
    found = adapt(model, images(), TABLES, steps=2, **OPTIONS)
    assert equal(model, before)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert not found.training
    flags = [p.requires_grad for p in found.parameters()]
    assert flags == [p.requires_grad for p in model.parameters()]
    assert flags.count(False) == 1
    both = zip(found.parameters(), model.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in both)  # those that need no gradient, too


def test_batch_statistics_are_frozen():
    model = network()
    with torch.no_grad():
        model(torch.rand(8, 3, 16, 16))
    found = adapt(model, images(), TABLES, steps=3, **OPTIONS)
    for name, buffer in model.named_buffers():
        assert torch.equal(found.get_buffer(name), buffer)
    assert float(found[1].running_mean.abs().sum()) > 0


def test_a_frozen_model_is_trained_under_no_grad_too():
    with torch.no_grad():
        model = network().requires_grad_(False)
        found = adapt(model, images(), TABLES, steps=1, **OPTIONS)
    assert not equal(found, model)
    assert not any(p.requires_grad for p in found.parameters())


def test_one_step_of_a_linear_model_is_the_one_by_hand():
    """The first step of AdamW moves every weight by the rate, against the gradient's sign."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    photo = picture(8, 8, seed=1)
    first = adapt(model, [photo], TABLES, steps=1, batch_size=1, learning_rate=1e-3)
    weight = model[1].weight.detach().numpy()
    bias = model[1].bias.detach().numpy()

    def shares(pixels: np.ndarray) -> np.ndarray:
        logits = weight @ (pixels.transpose(2, 0, 1).reshape(-1) / 255) + bias
        return np.exp(logits) / np.exp(logits).sum()

    by_hand = []
    for plain in (photo, photo[:, ::-1]):
        defended = pyfd.decode(pyfd.encode(plain, TABLES))
        slope = shares(defended) - shares(plain)  # of the divergence, by the logits
        by_hand.append((1 - 1e-5) * bias - 1e-3 * np.sign(slope))
    ours = first[1].bias.detach().numpy()
    assert any(np.allclose(ours, theirs, rtol=0, atol=1e-6) for theirs in by_hand)


def test_crops_are_of_the_size_that_the_model_names():
    sizes = []

    class Sized(nn.Module):
        input_size = 12

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, batch):
            sizes.append(tuple(batch.shape))
            return self.linear(batch.mean((2, 3)))

    model = Sized()
    adapt(model, images(), TABLES, steps=1, batch_size=5)
    assert set(sizes) == {(5, 3, 12, 12)}
    sizes.clear()
    adapt(model, images(2), TABLES, steps=1, batch_size=5, crop=9)  # fewer images than crops
    assert set(sizes) == {(5, 3, 9, 9)}


def test_crops_lie_everywhere_and_are_mirrored():
    ramp = np.arange(6 * 9 * 3, dtype=np.uint8).reshape(6, 9, 3)
    crops = adaptation._Crops([ramp], 4, 1, seed=0)
    found = {crops.of(step)[0].tobytes() for step in range(400)}
    every = {
        np.ascontiguousarray(part).tobytes()
        for top in range(3)
        for left in range(6)
        for part in (
            ramp[top : top + 4, left : left + 4],
            ramp[top : top + 4, left : left + 4][:, ::-1],
        )
    }
    assert found == every


# ---- the same every time ---------------------------------------------------------


def test_results_depend_on_the_seed_alone():
    first = adapt(network(), images(), TABLES, steps=3, **OPTIONS)
    torch.manual_seed(99)
    np.random.default_rng(99)
    again = adapt(network(), images(), TABLES, steps=3, **OPTIONS)
    assert equal(first, again)
    other = adapt(network(), images(), TABLES, steps=3, **{**OPTIONS, "seed": 4})
    assert not equal(first, other)


PROGRAM = """
import sys
from pyfd.torch import adapt, adaptation
from tests.pipelines.torch.test_adaptation import OPTIONS, TABLES, images, network
adaptation._SAVED_EVERY = 0
adapt(network(), images(), TABLES, steps=100_000, checkpoint=sys.argv[1], **OPTIONS)
"""


def test_a_killed_run_is_resumed(tmp_path, monkeypatch):
    """After SIGKILL, wherever it hits, the weights are those of a run without a break."""
    path = tmp_path / "below" / "state"
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)],
        cwd=Path(__file__).parents[3],
        env=environment,
    ) as process:
        try:
            while process.poll() is None and done(path) < 5:
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    killed_at = done(path)
    assert killed_at >= 5
    steps = killed_at + 3
    stop_after(monkeypatch, steps)
    with pytest.raises(KeyboardInterrupt):
        adapt(network(), images(), TABLES, steps=100_000, checkpoint=path, **OPTIONS)
    assert done(path) == steps
    whole = tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        adapt(network(), images(), TABLES, steps=100_000, checkpoint=whole, **OPTIONS)
    assert whole.read_bytes() == path.read_bytes()


def done(path: Path) -> int:
    """The steps of a checkpoint."""
    if not path.exists():
        return -1
    return json.loads(path.read_bytes().partition(b"\n")[0])["step"]


def stop_after(monkeypatch, steps: int) -> None:
    """Let Ctrl-C come when a number of steps is done and saved."""
    monkeypatch.setattr(adaptation, "_SAVED_EVERY", 0)
    real = adaptation._Crops.of

    def of(self, step):
        if step == steps:
            raise KeyboardInterrupt
        return real(self, step)

    monkeypatch.setattr(adaptation._Crops, "of", of)


def test_an_interrupted_run_returns_the_same_weights(tmp_path, monkeypatch):
    whole = adapt(network(), images(), TABLES, steps=6, **OPTIONS)
    path = tmp_path / "state"
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            adapt(network(), images(), TABLES, steps=6, checkpoint=path, **OPTIONS)
    resumed = adapt(network(), images(), TABLES, steps=6, checkpoint=path, **OPTIONS)
    assert equal(whole, resumed)
    stop_after(monkeypatch, 1)  # there is nothing left to do
    assert equal(whole, adapt(network(), images(), TABLES, steps=6, checkpoint=path, **OPTIONS))


def test_progress_goes_to_stderr(capsys):
    adapt(network(), images(), TABLES, steps=2, progress=True, **OPTIONS)
    out, err = capsys.readouterr()
    assert out == ""
    assert "adapt: 100%" in err
    assert "2/2" in err
    assert "loss " in err


# ---- checkpoints of others ---------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path):
    """The checkpoint of a finished run."""
    path = tmp_path / "state"
    adapt(network(), images(), TABLES, steps=2, checkpoint=path, **OPTIONS)
    return path


class Halved(nn.Sequential):
    """The same weights and the same description, but another answer."""

    def _get_name(self):
        return "Sequential"

    def forward(self, batch):
        return super().forward(batch) / 2


def other_weights() -> nn.Module:
    model = network()
    with torch.no_grad():
        model[6].bias[0] += 1
    return model


def other_statistics() -> nn.Module:
    model = network()
    model[1].running_mean += 1
    return model


def other_images() -> list[np.ndarray]:
    changed = images()
    changed[3][5, 5, 1] ^= 1
    return changed


@pytest.mark.parametrize(
    "change",
    [
        {"model": other_weights},
        {"model": other_statistics},
        {"model": lambda: Halved(*network())},
        {"images": other_images},
        {"images": lambda: images(5)},
        {"qtables": lambda: QTables.uniform(61)},
        {"radius": lambda: 1},
        {"subsampling": lambda: "4:2:0"},
        {"crop": lambda: 17},
        {"steps": lambda: 3},
        {"batch_size": lambda: 5},
        {"learning_rate": lambda: 0.02},
        {"seed": lambda: 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_checkpoint_of_another_run_is_refused(checkpoint, change):
    """Whatever decides the result, also the code of the model."""
    before = checkpoint.read_bytes()
    call = {"model": network(), "images": images(), "qtables": TABLES, "steps": 2, **OPTIONS}
    call |= {name: make() for name, make in change.items()}
    with pytest.raises(ValueError, match="Choose another file"):
        adapt(checkpoint=checkpoint, **call)
    assert checkpoint.read_bytes() == before


def damaged(data: bytes, **values: object) -> bytes:
    head, _, rest = data.partition(b"\n")
    content = json.loads(head) | values
    return json.dumps(content).encode() + b"\n" + rest


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:100],
        lambda data: data.partition(b"\n")[0],
        lambda data: b"PK\x03\x04" + data,
        lambda data: b"[" * 100_000 + data,
        lambda data: b"[]\n" + data,
        lambda data: damaged(data, version=2),
        lambda data: damaged(data, step=-1),
        lambda data: damaged(data, step=3),
        lambda data: damaged(data, step="2"),
        lambda data: damaged(data, step=True),
        lambda data: damaged(data, step=0),
        lambda data: damaged(data, first_loss=float("nan")),
        lambda data: damaged(data, first_loss=None),
        lambda data: damaged(data, updates=[1]),
        lambda data: damaged(data, updates=[3] * 6),
        lambda data: damaged(data, updates=[[]] * 6),
        lambda data: data[:-9] + bytes([data[-9] ^ 64]) + data[-8:],
        lambda data: data.partition(b"\n")[0] + b"\n" + bytes(len(data.partition(b"\n")[2])),
    ],
)
def test_a_damaged_checkpoint_is_refused(checkpoint, damage):
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(ValueError, match=r"state is not a checkpoint of this run: "):
        adapt(network(), images(), TABLES, steps=2, checkpoint=checkpoint, **OPTIONS)


@pytest.mark.parametrize(
    ("make", "what"), [(os.mkfifo, "not a regular file"), (os.mkdir, "a folder")]
)
def test_what_is_no_file_is_refused_without_a_wait(tmp_path, make, what):
    make(tmp_path / "state")
    with pytest.raises(ValueError, match=f"is not a checkpoint of this run: it is {what}$"):
        adapt(network(), images(), TABLES, steps=1, checkpoint=tmp_path / "state", **OPTIONS)


def test_a_place_that_cannot_be_written_is_an_error_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    stop_after(monkeypatch, 0)
    with pytest.raises(OSError, match="file"):
        adapt(network(), images(), TABLES, checkpoint=tmp_path / "file" / "state", **OPTIONS)


# ---- arguments -----------------------------------------------------------------------


class Model(nn.Module):
    """A model that answers with what a function makes of its logits."""

    def __init__(self, answer):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.answer = answer

    def forward(self, batch):
        return self.answer(self.linear(batch.mean((2, 3))))


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda logits: (logits,), TypeError, "N×K logits, not a tuple of 1: .*as_classifier"),
        (lambda logits: {"logits": logits}, TypeError, "not a dict with .* 'logits': .*as_class"),
        (lambda _: None, TypeError, "must return N×K logits, not an object of type NoneType"),
        (lambda logits: logits.argmax(1, True), TypeError, "floating-point logits, not .*int64"),
        (lambda logits: logits[0], TypeError, "must return N×K logits, not 2"),
        (lambda logits: logits[:1], TypeError, "must return N×K logits, not 1×2"),
        (lambda logits: logits[..., None], TypeError, "must return N×K logits, not 4×2×1"),
        (lambda logits: logits.detach(), ValueError, "have no gradient"),
        (lambda logits: logits * float("nan"), ValueError, "not finite in step 0"),
        (lambda logits: (logits * 0).sqrt(), ValueError, "not finite in step 0"),
    ],
)
def test_models_that_cannot_be_taught(answer, error, message):
    with pytest.raises(error, match=message):
        adapt(Model(answer), images(), TABLES, steps=1, **OPTIONS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_dtype_are_named(dtype):
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(TypeError, match=rf"Its parameters are {name}, but .*model\.float\(\)$"):
        adapt(network().to(dtype), images(), TABLES, steps=1, **OPTIONS)


def test_an_input_size_that_is_no_number_is_refused():
    model = network()
    model.input_size = (3, 16, 16)
    with pytest.raises(TypeError, match=r"the model's input_size.* must be an integer, not tuple"):
        adapt(model, images(), TABLES, **OPTIONS | {"crop": None})


def test_a_model_without_weights_is_refused():
    with pytest.raises(ValueError, match="no parameters"):
        adapt(nn.Flatten(), images(), TABLES, **OPTIONS)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": []}, ValueError, "no images"),
        ({"images": ["photo.jpg"]}, TypeError, "image 0 must be a numpy array, not str"),
        ({"images": [picture(20, 20), picture(20, 20, channels=1)]}, ValueError, "image 1 must be"),
        ({"images": [picture(20, 20) / 255]}, ValueError, "not float64 20×20×3"),
        ({"images": [picture(20, 15)]}, ValueError, "15×20×3, smaller than the crops of 16×16"),
        ({"model": len}, TypeError, "the model must be a torch.nn.Module, not builtin"),
        ({"crop": 0}, ValueError, "crop must be at least 1"),
        ({"crop": (16, 16)}, TypeError, "crop must be an integer, not tuple"),
        ({"steps": 1.5}, TypeError, "steps must be an integer, not float"),
        ({"steps": True}, TypeError, "steps must be an integer, not bool"),
        ({"batch_size": "4"}, TypeError, "batch_size must be an integer, not str"),
        ({"seed": -1}, ValueError, "seed must be at least 0, not -1"),
        ({"learning_rate": "0.1"}, TypeError, "learning_rate must be a number, not str"),
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate"),
        ({"qtables": np.zeros((8, 8), int)}, ValueError, "step"),
        ({"radius": 9}, ValueError, "radius"),
        ({"subsampling": "4:1:1"}, ValueError, "4:4:4"),
    ],
)
def test_arguments_that_are_refused(change, error, message):
    call = {"model": network(), "images": images(), "qtables": TABLES, **OPTIONS, **change}
    with pytest.raises(error, match=message):
        adapt(**call)
