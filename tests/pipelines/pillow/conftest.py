"""The fixture that checks that every test leaves Pillow as it was."""

import pytest
from PIL import Image, JpegImagePlugin

from pyfd.pillow import unregister


@pytest.fixture(autouse=True)
def pillows_own():
    """Start and end every test with Pillow's own decoder."""
    before = Image.OPEN["JPEG"]
    assert before[0] is JpegImagePlugin.jpeg_factory
    yield
    unregister()
    assert Image.OPEN["JPEG"] == before
