"""The benchmark of a GPU, on the CPU."""

import pytest
import torch

from benchmarks import gpu


def test_measures_each_batch(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "SIZES", ((2, 3, 16, 24), (1, 3, 8, 8)))
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    assert gpu.main(["--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("| batch | chroma | CPU, forward | and backward |")
    assert [line.split(" | ")[:2] for line in lines[3:]] == [
        [f"| {size}", chroma] for size in ("2×3×16×24", "1×3×8×8") for chroma in ("4:4:4", "4:2:0")
    ]
    times = [float(cell) for line in lines[3:] for cell in line.strip("| ").split(" | ")[2:]]
    assert len(times) == 16
    assert all(time >= 0 for time in times)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_without_a_device_it_says_so(monkeypatch, capsys, device):
    monkeypatch.setattr(getattr(torch, device), "is_available", lambda: False)
    assert gpu.main(["--device", device]) == 1
    assert capsys.readouterr().err == f"torch finds no {device.upper()} device here\n"


@pytest.mark.cuda
def test_measures_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "SIZES", ((2, 3, 16, 24),))
    assert gpu.main([]) == 0
    assert torch.cuda.get_device_name() in capsys.readouterr().out
