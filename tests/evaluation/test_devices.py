"""The devices of an evaluation, on a machine that need not have any but the CPU."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from pyfd.cli import cli
from pyfd.evaluation import devices, processes
from pyfd.evaluation.attacks import find
from tests.evaluation.toys import Texture, images, labels_of, run, without_times

CPU = torch.device("cpu")


@pytest.fixture
def _two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def names(*arguments) -> list[str]:
    return [str(device) for device in devices.find(*arguments)]


@pytest.mark.usefixtures("_two_gpus")
@pytest.mark.parametrize(
    ("name", "workers", "expected"),
    [
        ("cuda", None, ["cuda:0", "cuda:1"]),
        ("cuda", 2, ["cuda:0", "cuda:1"]),
        ("cuda", 1, ["cuda:0"]),
        ("cuda:1", None, ["cuda:1"]),
        ("cpu", None, ["cpu"]),
        ("cpu", 3, ["cpu"] * 3),
        (None, 3, ["cpu"] * 3),
    ],
)
def test_each_gpu_has_one_process(name, workers, expected):
    assert names(name, Texture(), workers) == expected


@pytest.mark.usefixtures("_two_gpus")
@pytest.mark.parametrize(
    ("name", "workers", "message"),
    [
        ("cuda", 3, r"3 workers on 2 cuda device\(s\): one for each"),
        ("cuda:2", None, "no device 'cuda:2': torch finds 2, from cuda:0"),
        ("gpu", None, "no device 'gpu': there are cpu, cuda, cuda:NUMBER and mps"),
        ("meta", None, "no device 'meta': there are"),
        ("cuda:x", None, "no device 'cuda:x': there are"),
        ("", None, "no device '': there are"),
    ],
)
def test_devices_that_are_not_there_are_named(name, workers, message):
    with pytest.raises(ValueError, match=message):
        devices.find(name, Texture(), workers)


def test_devices_that_torch_does_not_find_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="finds no CUDA device; without --device, the CPU"):
        run(tmp_path / "out", device="cuda")
    with pytest.raises(ValueError, match="finds no Metal device"):
        run(tmp_path / "out", device="mps")
    assert not (tmp_path / "out").exists()


def test_a_model_on_a_device_stays_there():
    model = nn.Linear(2, 2, device="meta")
    assert names(None, model) == ["meta"]
    with pytest.raises(ValueError, match=r"2 workers on 1 meta device"):
        devices.find(None, model, 2)


def test_art_is_refused_where_it_would_take_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    (place,) = devices.find("mps", Texture())
    with pytest.raises(ValueError, match="ART, which runs 'pgd', has no mps"):
        devices.check_attacks(place, [find("deepfool"), find("pgd")])
    devices.check_attacks(place, [find("deepfool")])
    devices.check_attacks(CPU, [find("pgd")])


def test_models_are_moved():
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    devices.move(torch.device("meta"), model, other)
    assert {p.device.type for m in (model, other) for p in m.parameters()} == {"meta"}


def test_moving_to_a_gpu_makes_it_the_one_that_art_takes(monkeypatch):
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    devices.move(torch.device("cuda:1"))
    devices.move(CPU)
    assert current == [torch.device("cuda:1")]


class Free:
    """The devices that no process has taken yet."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def get(self) -> str:
        return self.names.pop(0)


def test_each_process_takes_a_device_of_its_own(monkeypatch):
    """`_start` is what runs in each process before its first task."""
    moved = []
    models = SimpleNamespace(model=nn.Linear(1, 1), surrogates=(nn.Linear(1, 1),))
    monkeypatch.setattr(devices, "move", lambda *arguments: moved.append(arguments))
    monkeypatch.setattr(processes, "_WORK", None, raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(processes.pickle, "loads", lambda _: models)
    free = Free("cuda:0", "cuda:1")
    for number in range(2):
        processes._start(b"", free)
        assert moved[number] == (torch.device("cuda", number), models.model, *models.surrogates)


def test_two_devices_are_two_processes_with_the_same_results(tmp_path, monkeypatch):
    """The CPU stands for both devices. The attack is one for which no process imports ART."""
    started = []
    pool = processes.ProcessPoolExecutor

    def counted(count, *arguments):
        started.append(count)
        return pool(count, *arguments)

    monkeypatch.setattr(processes, "ProcessPoolExecutor", counted)
    monkeypatch.setattr(devices, "_named", lambda _: [torch.device("cpu"), torch.device("cpu:0")])
    monkeypatch.setattr(devices, "find", lambda *_: devices._named(""))
    found = run(tmp_path / "two", device="cuda", attacks=("noise",))
    assert started == [2]
    monkeypatch.undo()
    assert without_times(found) == without_times(run(tmp_path / "one", attacks=("noise",)))


def test_the_command_takes_one_process_for_each_gpu(tmp_path, monkeypatch):
    """Unless fewer are asked for; on the CPU there are as many as cores."""
    asked = []

    def evaluated(*_, device, workers, **__):
        asked.append((device, workers))
        return {"findings": []}

    (tmp_path / "photos").mkdir()
    (picture,) = images(1)
    Image.fromarray(picture).save(tmp_path / "photos/0.png")
    label = labels_of(Texture(), [picture])[0]
    (tmp_path / "labels.csv").write_text(f"file,label\n0.png,{label}\n")
    monkeypatch.setattr("pyfd.evaluation.run.evaluate", evaluated)
    monkeypatch.setattr("pyfd.evaluation.evaluate", evaluated, raising=False)
    monkeypatch.setattr("pyfd.evaluation.report.text", json.dumps)
    monkeypatch.setattr("pyfd.cli.evaluate.usable_cores", lambda: 7)
    arguments = ["evaluate", "--model", "tests.evaluation.toys:texture", "-o", f"{tmp_path}/out"]
    arguments += ["--images", f"{tmp_path}/photos", "--labels", f"{tmp_path}/labels.csv"]
    for more in ([], ["--device", "cuda"], ["--device", "cuda", "--workers", "1"]):
        result = CliRunner().invoke(cli, [*arguments, *more], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert asked == [("cpu", 7), ("cuda", None), ("cuda", 1)]
