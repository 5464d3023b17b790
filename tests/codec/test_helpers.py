"""The threads that help calls with one image, and the options that ask for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import pyfd
from pyfd import QTables
from pyfd._core import binding, helpers
from tests.jpegs import decode_with_pillow, encode_with_pillow, picture
from tests.packaging.sources import ROOT
from tests.thread_sanitizer import compile_program

T = QTables.preset("fd-cvpr2019")
SIZE = (259, 1043)
DATA = encode_with_pillow(picture(*SIZE), restart_marker_rows=1)
PLAIN = encode_with_pillow(picture(1600, 1400))  # in two stages, because it is large


# ---- threads ---------------------------------------------------------------------


def test_many_calls_share_few_threads():
    """Also from the threads of a batch, all of which ask at once."""
    found = []
    expected = pyfd.decode(DATA, T)

    def call() -> None:
        found.append(np.array_equal(pyfd.decode(DATA, T, workers=8), expected))

    callers = [threading.Thread(target=call) for _ in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [True] * 12
    helping = [thread for thread in threading.enumerate() if thread.name.startswith("pyfd")]
    assert 1 <= len(helping) <= max(1, len(os.sched_getaffinity(0)) - 1)


def test_batches_ask_nobody(monkeypatch):
    asked = []
    monkeypatch.setattr(helpers, "ask", lambda call, count: asked.append((call, count)))
    pyfd.decode_many([DATA] * 2, T, workers=2)
    pyfd.encode_many([picture(*SIZE)] * 2, T, workers=2, restart_rows=1)
    assert asked == []


def test_without_new_threads_the_call_does_it_all(monkeypatch):
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(helpers, "_threads", no_thread)
    assert np.array_equal(pyfd.decode(DATA, T, workers=4), pyfd.decode(DATA, T))


def test_late_helpers_find_nothing_to_do(monkeypatch):
    late = []
    monkeypatch.setattr(helpers, "ask", lambda call, count: late.extend([call] * count))
    assert np.array_equal(pyfd.decode(DATA, T, workers=4), pyfd.decode(DATA, T))
    assert len(late) == 3
    for call in late:
        call()


def test_interrupts_are_raised_once_c_has_returned(monkeypatch, capfd):
    def interrupted(call: Callable[[], None], count: int) -> None:
        for _ in range(count):
            call()
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(helpers, "ask", interrupted)
    image = picture(*SIZE)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs of a script ignore it
    try:
        for call in (
            lambda: pyfd.decode(DATA, T, workers=2),
            lambda: pyfd.decode(PLAIN, T, workers=2),
            lambda: pyfd.requantize(DATA, T, restart_rows=1, workers=2),
            lambda: pyfd.encode(image, T, restart_rows=1, workers=2),
        ):
            with pytest.raises(KeyboardInterrupt):
                call()
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == ""


def test_an_interrupt_leaves_out_no_call(monkeypatch):
    """A call that is never made would keep C's memory."""
    busy = ThreadPoolExecutor(1)
    go, calls, asked = threading.Event(), [], 0

    class Interrupting:
        def submit(self, call: Callable[[], None]) -> None:
            nonlocal asked
            asked += 1
            if asked == 3:
                raise KeyboardInterrupt
            busy.submit(call)

    busy.submit(go.wait)
    monkeypatch.setattr(helpers, "_threads", Interrupting)
    with pytest.raises(KeyboardInterrupt):
        helpers.ask(lambda: calls.append(threading.get_ident()), 5)
    assert calls == [threading.get_ident()] * 5
    go.set()
    busy.shutdown()
    assert len(calls) == 5


def test_a_forked_process_has_threads_of_its_own():
    expected = pyfd.decode(DATA, T, workers=3)
    child = os.fork()
    if child == 0:
        same = np.array_equal(pyfd.decode(DATA, T, workers=3), expected)
        os._exit(0 if same and helpers._pool is not None else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_process_is_forked_in_the_middle_of_a_call(monkeypatch):
    """The other threads, and what they hold, are not in the new process."""
    expected = {data: pyfd.decode(data, T) for data in (DATA, PLAIN)}
    ask, children = helpers.ask, []

    def same(data: bytes) -> bool:
        return np.array_equal(pyfd.decode(data, T, workers=3), expected[data])

    def fork(call: Callable[[], None], count: int) -> None:
        ask(call, count)
        monkeypatch.setattr(helpers, "ask", ask)
        children.append(os.fork())
        if children[-1] == 0:
            os._exit(0 if same(DATA) and same(PLAIN) else 1)

    for data in (DATA, PLAIN) * 3:
        monkeypatch.setattr(helpers, "ask", fork)
        assert same(data)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6


def test_strips_write_no_byte_twice(tmp_path):
    """Nor does anything else that the threads of a call do lack an order."""
    program = tmp_path / "helpers"
    compile_program(Path(__file__).with_name("helpers.c"), program)
    done = subprocess.run([program], capture_output=True, text=True, check=False, env={})
    assert (done.returncode, done.stdout, done.stderr) == (0, "22\n", "")


def test_the_interpreter_ends():
    """While threads wait for work, and then nobody is left to ask."""
    code = """
        import atexit
        import numpy as np
        import pyfd
        from tests.jpegs import encode_with_pillow, picture

        data = encode_with_pillow(picture(259, 1043), restart_marker_rows=1)
        expected = pyfd.decode(data)

        def decode() -> None:
            print(np.array_equal(pyfd.decode(data, workers=3), expected))

        atexit.register(decode)
        decode()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\nTrue\n", "")


# ---- arguments -------------------------------------------------------------------


CALLS = {
    "encode": lambda **options: pyfd.encode(picture(8, 8), T, **options),
    "decode": lambda **options: pyfd.decode(pyfd.encode(picture(8, 8), T), T, **options),
    "requantize": lambda **options: pyfd.requantize(pyfd.encode(picture(8, 8), T), T, **options),
    "decode_many": lambda **options: pyfd.decode_many([DATA], T, **options),
    "encode_many": lambda **options: pyfd.encode_many([picture(8, 8)], T, **options),
    "calibrate": lambda **options: pyfd.calibrate([DATA], **options),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("workers", "error"),
    [
        (0, ValueError("workers must be at least 1, not 0")),
        (-1, ValueError("workers must be at least 1, not -1")),
        (False, ValueError("workers must be at least 1, not 0")),
        (1.0, TypeError("workers must be an integer or None, not float")),
        (2.5, TypeError("workers must be an integer or None, not float")),
        ("2", TypeError("workers must be an integer or None, not str")),
        (np.ones(2, int), TypeError("workers must be an integer or None, not ndarray")),
    ],
)
def test_workers_are_at_least_one(call, workers, error):
    with pytest.raises(type(error), match=f"^{error}$"):
        call(workers=workers)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("workers", [None, np.int64(2), 1 << 16, 1 << 32, 1 << 70])
def test_any_number_of_workers(call, workers):
    call(workers=workers)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (0, ValueError),
        (-3, ValueError),
        (65536, ValueError),
        (1 << 70, ValueError),
        (1.5, TypeError),
        ("2", TypeError),
    ],
)
def test_rows_are_1_to_65535(rows, error):
    image = picture(8, 8)
    with pytest.raises(error, match="restart_rows must be"):
        pyfd.encode(image, T, restart_rows=rows)
    with pytest.raises(error, match="restart_rows must be"):
        pyfd.requantize(pyfd.encode(image, T), T, restart_rows=rows)


def test_all_cores_and_more():
    for workers in (None, 300, 1 << 70):
        assert np.array_equal(pyfd.decode(DATA, workers=workers), pyfd.decode(DATA))
        requantized = pyfd.requantize(DATA, T, restart_rows=1, workers=workers)
        assert requantized == pyfd.requantize(DATA, T, restart_rows=1)


@pytest.mark.parametrize(("height", "segments"), [(65501, b""), (4096, b"\xff\xe5\0\1")])
def test_c_checks_the_whole_image_before_its_strips(height, segments):
    """Each strip of an image that is too high is low enough."""
    pixels = np.zeros((height, 64), np.uint8)
    messages = []
    for workers in (1, 8):
        how = binding.writing_how(False, False, restart_rows=8, workers=workers)
        with pytest.raises(ValueError, match=r"shape|segments") as caught:
            binding.encode(pixels, (1, 1), T.array, how, segments)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_planes_and_batches_have_markers_too():
    y = picture(64, 64, channels=1)
    planes = (y, y[::2, ::2], y[1::2, ::2])
    data = pyfd.encode(planes, T, mode="YCbCr", subsampling="4:2:0", restart_rows=1)
    assert data.count(b"\xff\xd0") + data.count(b"\xff\xd1") + data.count(b"\xff\xd2") == 3
    assert np.array_equal(pyfd.decode(data), decode_with_pillow(data))
    (batch,) = pyfd.encode_many([picture(64, 64)], T, restart_rows=2)
    assert batch == pyfd.encode(picture(64, 64), T, restart_rows=2)
