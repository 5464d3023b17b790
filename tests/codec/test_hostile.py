"""Bad input gives pixels or a JPEGError, never anything else."""

import io
import itertools
import sys
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pyfd
from pyfd import CorruptJPEGError, LimitExceededError, UnsupportedJPEGError
from pyfd._core import binding
from tests.jpegs import (
    EOI,
    SOI,
    dht,
    dqt,
    encode_with_pillow,
    gray,
    picture,
    real_jpegs,
    segment,
    sof,
    sos,
)

PRESET = "fd-cvpr2019"
BASELINE = encode_with_pillow(picture(24, 16), quality=50, subsampling=2)
PROGRESSIVE = encode_with_pillow(picture(24, 16), quality=50, progressive=True)

ENTRY_POINTS = {
    "decode": lambda data, strict: pyfd.decode(data, PRESET, strict=strict),
    "requantize": lambda data, strict: pyfd.requantize(data, PRESET, strict=strict),
    "read_coefficients": lambda data, strict: pyfd.read_coefficients(data, strict=strict),
}


def outcome(call, data, strict):
    """Return a result, or None for a JPEGError; any other error fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyfd.JPEGWarning)
        try:
            return ENTRY_POINTS[call](data, strict)
        except pyfd.JPEGError:
            return None


@pytest.mark.parametrize("call", ENTRY_POINTS)
@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE], ids=["baseline", "progressive"])
def test_truncation_at_every_byte(call, data):
    first_scan = data.index(b"\xff\xda")
    for size in range(len(data)):
        assert outcome(call, data[:size], strict=True) is None
        lenient = outcome(call, data[:size], strict=False)
        if size < first_scan:
            assert lenient is None
        elif size > first_scan + 40:
            assert lenient is not None
        if call == "decode" and lenient is not None:
            assert lenient.shape == (16, 24, 3)


@pytest.mark.parametrize("call", ENTRY_POINTS)
def test_every_change_of_a_header_byte(call):
    end = BASELINE.index(b"\xff\xda") + 14
    results = 0
    for place in range(end):
        for value in range(place % 3, 256, 3):
            data = bytearray(BASELINE)
            data[place] = value
            results += outcome(call, bytes(data), strict=place % 2 == 0) is not None
    assert results > 1000


@given(st.data(), real_jpegs(), st.sampled_from(sorted(ENTRY_POINTS)), st.booleans())
def test_random_damage(draw, data, call, strict):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 8))):
        place = draw.draw(st.integers(0, len(data) - 1))
        damaged[place] = draw.draw(st.integers(0, 255))
    outcome(call, bytes(damaged), strict)


@given(st.binary(max_size=300))
def test_noise(noise):
    for head in (b"", SOI, SOI + dqt() + sof(16, 16), gray()[:-2]):
        outcome("decode", head + noise, strict=False)


def test_lenient_pixels_are_pillows(monkeypatch):
    """The part that could be decoded equals a stock decoder's result."""
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encode_with_pillow(picture(64, 64), quality=80)
    for size in range(len(data) - 200, len(data), 17):
        with pytest.warns(pyfd.JPEGWarning):
            ours = pyfd.decode(data[:size], strict=False)
        theirs = np.asarray(Image.open(io.BytesIO(data[:size])))
        rows = 40  # Pillow leaves missing rows black
        assert np.array_equal(ours[:rows], theirs[:rows])


FRAME = dqt() + sof(8, 8)
SCAN = sos() + b"\x28"


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (b"", UnsupportedJPEGError, "not a JPEG: no bytes"),
        (b"\xff", CorruptJPEGError, "not a JPEG"),
        (b"\x89PNG\r\n\x1a\n", UnsupportedJPEGError, "not a JPEG: a PNG file"),
        (SOI, CorruptJPEGError, "truncated"),
        (SOI + EOI, CorruptJPEGError, "no image"),
        (SOI + dqt() + EOI, CorruptJPEGError, "no image"),
        (SOI + dqt() + sof(8, 8) + sof(8, 8) + SCAN + EOI, CorruptJPEGError, "two frame"),
        (SOI + dqt() + SCAN + EOI, CorruptJPEGError, "before the frame"),
        (SOI + SOI + FRAME + SCAN + EOI, CorruptJPEGError, "two start"),
        (SOI + dqt() + sof(0, 8) + SCAN + EOI, CorruptJPEGError, "empty"),
        (SOI + dqt() + sof(8, 0) + SCAN + EOI, UnsupportedJPEGError, "DNL"),
        (SOI + FRAME + SCAN + segment(0xDC, b"\0\x09") + EOI, UnsupportedJPEGError, "DNL"),
        (SOI + dqt() + sof(65535, 1) + SCAN + EOI, UnsupportedJPEGError, "65500"),
        (SOI + dqt() + sof(8, 8, (0x11,) * 2) + SCAN + EOI, UnsupportedJPEGError, "2 comp"),
        (SOI + dqt() + sof(8, 8, (0x11,) * 5) + SCAN + EOI, UnsupportedJPEGError, "5 comp"),
        (SOI + dqt() + sof(8, 8, (0x11,) * 10) + SCAN + EOI, UnsupportedJPEGError, "10 comp"),
        (SOI + dqt() + sof(8, 8, ()) + SCAN + EOI, CorruptJPEGError, "empty"),
        (SOI + dqt() + sof(8, 8, precision=12) + SCAN + EOI, UnsupportedJPEGError, "12-bit"),
        (SOI + dqt() + sof(8, 8, precision=16) + SCAN + EOI, UnsupportedJPEGError, "16-bit"),
        (SOI + dqt() + sof(8, 8, (0x01,)) + SCAN + EOI, CorruptJPEGError, "sampling"),
        (SOI + dqt() + sof(8, 8, (0x15,)) + SCAN + EOI, CorruptJPEGError, "sampling"),
        (SOI + sof(8, 8) + SCAN + EOI, CorruptJPEGError, "no quantization table"),
        (SOI + dqt(0) + sof(8, 8) + SCAN + EOI, CorruptJPEGError, "step of 0"),
        (SOI + dqt(0, 3) + FRAME + SCAN + EOI, CorruptJPEGError, "step of 0"),
        (SOI + dqt(1, 4) + FRAME + SCAN + EOI, CorruptJPEGError, "slot 4"),
        (SOI + segment(0xDB, bytes([1] * 64)) + FRAME + SCAN + EOI, CorruptJPEGError, "DQT"),
        (SOI + FRAME + sos((9,)) + b"\x28" + EOI, CorruptJPEGError, "component"),
        (SOI + FRAME + segment(0xDA, b"\x05" + bytes(14)) + EOI, CorruptJPEGError, "SOS"),
        (SOI + FRAME + sos(end=64) + b"\x28" + EOI, CorruptJPEGError, "SOS parameters"),
        (SOI + segment(0xCC, b"\0\x01") + FRAME + SCAN + EOI, UnsupportedJPEGError, "arithmetic"),
        (SOI + b"\xff\xe5\0\x01" + FRAME + SCAN + EOI, CorruptJPEGError, "impossible length"),
        (SOI + b"\xff\xe5\xff\xff" + FRAME + SCAN + EOI, CorruptJPEGError, "past the end"),
        (SOI + b"\xff\xe5\xff", CorruptJPEGError, "in a marker segment"),
        (SOI + segment(0x02, b"") + FRAME + SCAN + EOI, CorruptJPEGError, "unknown marker 0x02"),
        (SOI + dht({1: [0, 1, 2]}) + FRAME + SCAN + EOI, CorruptJPEGError, "Huffman"),
        (SOI + dht({1: [0, 1]}) + FRAME + SCAN + EOI, CorruptJPEGError, "Huffman"),
        (SOI + dht({1: [16]}) + FRAME + SCAN + EOI, CorruptJPEGError, "Huffman"),
        (SOI + dht({8: [0] * 255, 7: [0] * 2}) + FRAME + SCAN + EOI, CorruptJPEGError, "Huffman"),
        (
            SOI + dqt() + sof(8, 8, marker=0xC2) + sos(end=0) + b"\0" + EOI,
            CorruptJPEGError,
            "Huffman table 0x00 was not defined",
        ),
        *[
            (SOI + dqt() + sof(8, 8, marker=0xC0 + n) + SCAN + EOI, UnsupportedJPEGError, f"SOF{n}")
            for n in (3, 5, 6, 7, 9, 10, 11, 13, 14, 15)
        ],
    ],
)
@pytest.mark.parametrize("call", ENTRY_POINTS)
def test_what_is_wrong_is_said(call, data, error, match):
    with pytest.raises(error, match=match) as caught:
        ENTRY_POINTS[call](data, strict=True)
    assert type(caught.value) is error


def test_damage_after_the_first_scan_leaves_a_lenient_decoder_its_pixels():
    """Only the part before the first invalid marker is decoded."""
    whole = pyfd.decode(gray(16, 16))
    for junk in (SOI, b"\xff\x02\0\x02", b"\xff\xe5\0\0", b"\xff\xe5\xff\xff", dqt(0)):
        data = gray(16, 16)[:-2] + junk + EOI
        with pytest.raises(CorruptJPEGError):
            pyfd.decode(data)
        with pytest.warns(pyfd.JPEGWarning):
            assert np.array_equal(pyfd.decode(data, strict=False), whole)


def test_garbage_between_markers_is_damage():
    data = gray(before=b"garbage")
    with pytest.raises(CorruptJPEGError, match="extraneous"):
        pyfd.decode(data)
    with pytest.warns(pyfd.JPEGWarning, match="extraneous"):
        pyfd.decode(data, strict=False)


def test_fill_bytes_are_no_damage():
    data = gray(before=b"\xff" * 100_000 + segment(0xFE, b"x"))
    assert np.array_equal(pyfd.decode(data), pyfd.decode(gray()))


def test_steps_of_65535_saturate_the_same_way_every_time():
    rng = np.random.default_rng(0)
    blocks = rng.integers(-1023, 1024, (4, 4, 8, 8)).astype(np.int16)
    coefficients = pyfd.Coefficients([blocks], pyfd.QTables.uniform(65535), ((1, 1),), 32, 32, "L")
    data = pyfd.write_coefficients(coefficients)
    first = pyfd.decode(data, PRESET)
    assert all(np.array_equal(pyfd.decode(data, PRESET), first) for _ in range(5))
    assert np.array_equal(pyfd.decode(pyfd.requantize(data, PRESET)), first)


def test_dc_differences_that_add_up_past_16_bits():
    """Each block's DC is 2047 more than that of the block before it."""
    table = dht({1: [11]}) + dht({1: [0]}, ac=True)
    bits = ("0" + "1" * 11 + "0") * 64
    entropy = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    data = SOI + dqt(7) + sof(64, 64) + table + sos() + entropy + EOI
    pixels = pyfd.decode(data, PRESET)
    assert np.array_equal(pixels, pyfd.decode(pyfd.requantize(data, PRESET)))
    dc = pyfd.read_coefficients(data).components[0][:, :, 0, 0].ravel()
    expected = (2047 * np.arange(1, 65) + 32768) % 65536 - 32768
    assert dc.tolist() == expected.tolist()


def test_a_scan_bomb_is_refused_before_it_is_decoded():
    data = SOI + dqt() + sof(8, 8, marker=0xC2) + dht({1: [0]}) + (sos(end=0) + b"\0") * 101 + EOI
    with pytest.raises(LimitExceededError, match="max_scans is 100"):
        pyfd.decode(data)


def test_a_buffer_that_changes_between_the_calls_is_noticed(monkeypatch):
    """`probe` sees a small image, the decode a large one: the array must not overflow."""
    small = binding.probe(gray(8, 8), pyfd.Limits())
    monkeypatch.setattr(binding, "probe", lambda *_: small)
    for call in (pyfd.decode, pyfd.read_coefficients):
        with pytest.raises(ValueError, match=r"buffer does not fit|input changed during the call"):
            call(gray(64, 64))


KINDS = [
    gray(8, 8),
    gray(64, 64),
    BASELINE,
    PROGRESSIVE,
    encode_with_pillow(picture(64, 48), subsampling=0, optimize=True),
    encode_with_pillow(picture(24, 16), restart_marker_blocks=1),
    encode_with_pillow(picture(24, 16, channels=1), progressive=True),
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("call", ENTRY_POINTS)
def test_files_that_change_between_the_calls(monkeypatch, call, strict):
    """The header is of one file, and the rest is that of another one of the same length."""
    length = max(map(len, KINDS))
    kinds = [data + bytes(length - len(data)) for data in KINDS]
    given, later = bytearray(length), b""

    def changing(probe):
        def probed(*arguments):
            found = probe(*arguments)
            given[:] = later
            return found

        return probed

    for name in ("probe", "probe_segments"):
        monkeypatch.setattr(binding, name, changing(getattr(binding, name)))
    refused = 0
    for first, later in itertools.product(kinds, kinds):
        given[:] = first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pyfd.JPEGWarning)
            try:
                ENTRY_POINTS[call](given, strict)
            except (ValueError, MemoryError):
                assert first != later
                refused += 1
    assert refused > len(kinds)


def test_a_buffer_that_changes_during_calls_is_harmless():
    """A thread keeps writing to the file's header while another decodes it, or refuses it.

    They take turns often: a call that has to wait for 5 ms each time costs minutes.
    """
    data = bytearray(PROGRESSIVE)
    frame = data.index(b"\xff\xc2")
    done = threading.Event()

    def meddle():
        rng = np.random.default_rng(0)
        while not done.is_set():
            data[frame + int(rng.integers(4, 19))] = int(rng.integers(0, 64))
            if rng.integers(2):  # else, a call may begin while it is damaged
                data[:] = PROGRESSIVE

    thread = threading.Thread(target=meddle)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    thread.start()
    refused = 0
    try:
        for _ in range(1500):
            for call in ENTRY_POINTS.values():
                try:
                    call(data, True)
                except (ValueError, MemoryError):
                    refused += 1
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert 0 < refused < 1500 * len(ENTRY_POINTS)


def test_a_buffer_cannot_be_resized_during_a_call():
    data = bytearray(pyfd.encode(picture(3000, 2000), PRESET))
    started = threading.Event()

    def decode():
        started.set()
        pyfd.decode(data)

    thread = threading.Thread(target=decode)
    thread.start()
    started.wait()
    refused = 0
    while thread.is_alive():
        try:
            data.append(0)
        except BufferError:
            refused += 1
    thread.join()
    assert refused > 0
