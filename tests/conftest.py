"""Profiles, and the photographs that some tests run on."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads beside pytest's workers collapse

settings.register_profile(
    "default", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("default"), max_examples=200, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

PHOTOS = Path(os.environ.get("PYFD_PHOTOS", Path(__file__).parents[1] / "shared/data/photos"))


@pytest.fixture(scope="session")
def photos() -> list[bytes]:
    """Photographs, where a folder of them is at hand; else pictures drawn here."""
    from tests.jpegs import encode_with_pillow, picture

    files = sorted(PHOTOS.glob("*.JPEG")) + sorted(PHOTOS.glob("*.jpg"))
    if files:
        return [file.read_bytes() for file in files]
    return [encode_with_pillow(picture(300 + n, 200 + 3 * n, seed=n)) for n in range(20)]


@pytest.fixture
def run(capsys):
    """The command line in this process: exit code, stdout, stderr."""

    from pyfd.cli import cli

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(arg) for arg in args], prog_name="pyfd")
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call
