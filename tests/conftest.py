"""Hypothesis profiles, and fixtures that several folders use."""

import gc
import os
import secrets
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch is slow with threads in every worker
# One token for every Ray that the tests start: Ray would write one into the home folder, and
# a process that has loaded it starts no second Ray that looks for it elsewhere.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

settings.register_profile(
    "default", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("default"), max_examples=200, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run the tests that need CUDA where there is none."""
    if _asks_for_cuda(config):
        import torch

        if not torch.cuda.is_available():
            raise pytest.UsageError("torch finds no CUDA device here, which these tests need")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests that need CUDA out, unless `-m cuda` asks for them."""
    if not _asks_for_cuda(config):
        left_out = [item for item in items if item.get_closest_marker("cuda")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections, each of which takes half a second.

    There are hundreds of thousands of objects once torch and the like are imported.
    """
    gc.collect()
    gc.freeze()


def _asks_for_cuda(config: pytest.Config) -> bool:
    return config.option.markexpr == "cuda"


def photographs() -> list[bytes]:
    """Return the JPEG files in the folder that PYFD_PHOTOS names, or none if it is not set."""
    if "PYFD_PHOTOS" not in os.environ:
        return []
    folder = Path(os.environ["PYFD_PHOTOS"])
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg")]
    assert files, f"PYFD_PHOTOS names {folder}, which has no JPEG files"
    return [path.read_bytes() for path in files]


@pytest.fixture(scope="session")
def photos() -> list[bytes]:
    """The photographs of PYFD_PHOTOS, or else drawn pictures."""
    from tests.jpegs import encode_with_pillow, picture

    drawn = (encode_with_pillow(picture(300 + n, 200 + 3 * n, seed=n)) for n in range(20))
    return photographs() or list(drawn)


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """Leave the pages of evaluations empty where nobody looks at them: they take longest.

    What they are made from is checked all the same.
    """
    from pyfd.evaluation import report
    from pyfd.evaluation.report import data

    def page(content: dict) -> str:
        data.read(content)
        return ""

    monkeypatch.setattr(report, "page", page)


@pytest.fixture
def run(capsys):
    """Run the command line in this process; return its exit code, stdout and stderr."""
    from pyfd.cli import cli

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(arg) for arg in args], prog_name="pyfd")
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call
