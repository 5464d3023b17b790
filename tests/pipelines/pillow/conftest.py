"""Tests in this folder start and end with Pillow as it is."""

import pytest
from PIL import Image, JpegImagePlugin

from pyfd.pillow import unregister


@pytest.fixture(autouse=True)
def pillows_own():
    """Every test starts and ends with Pillow as it is."""
    before = Image.OPEN["JPEG"]
    assert before[0] is JpegImagePlugin.jpeg_factory
    yield
    unregister()
    assert Image.OPEN["JPEG"] == before
