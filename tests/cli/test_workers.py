"""`pyfd requantize --workers`: threads change neither files nor messages."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

import pyfd
from pyfd._core.warned import collected
from pyfd.cli import jobs
from pyfd.cli.journal import Job
from pyfd.cli.messages import Messages
from tests.cli.samples import exif, files, jpeg, picture
from tests.metadata import block


@pytest.fixture
def source(tmp_path):
    """Files of which each fourth is damaged, and each third has metadata that are left out."""
    top = tmp_path / "in"
    (top / "deep").mkdir(parents=True)
    odd = block([(0x8825, 4, b"\xff" * 4)])
    for number in range(24):
        data = jpeg(comment=f"<number {number}>", **({} if number % 3 else {"exif": odd}))
        path = top / ("deep" if number % 5 else "") / f"{number}.jpg"
        path.write_bytes(data[:-200] if number % 4 == 0 else data)
    return top


def outputs(top):
    return {name: (top / name).read_bytes() for name in files(top)}


@pytest.mark.parametrize("options", [(), ("--lenient",), ("--radius", "1", "--progressive")])
def test_files_and_messages_are_those_of_one_thread(run, source, tmp_path, options):
    one, many = tmp_path / "one", tmp_path / "many"
    alone = run("requantize", source, one, *options, "--workers", 1)
    assert run("requantize", source, many, *options, "--workers", 5) == alone
    assert len(alone[2].splitlines()) >= 8
    assert outputs(many) == outputs(one)
    again = run("requantize", source, many, *options, "--workers", 3)
    assert f"pyfd: {many}: {len(files(one))} of 24 are done already" in again[2]


def test_a_progress_bar_counts_them(run, source, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, _, err = run("requantize", source, tmp_path / "out", "--workers", 3)
    assert code == 1
    assert "24/24" in err


def test_pipes_are_read_one_after_the_other(run, tmp_path):
    pipes = [tmp_path / f"{number}.jpg" for number in range(3)]
    for pipe in pipes:
        os.mkfifo(pipe)

    def write() -> None:
        for pipe in pipes:  # which waits until the pipe is read
            pipe.write_bytes(jpeg())

    writer = threading.Thread(target=write)
    writer.start()
    assert run("requantize", *pipes, "-o", tmp_path / "out", "--workers", 3) == (0, "", "")
    writer.join()
    assert len(files(tmp_path / "out")) == 3


def test_rays_workers_are_not_ours(run, source, tmp_path):
    pytest.importorskip("ray")
    code, _, err = run("requantize", source, tmp_path / "out", "--engine", "ray", "--workers", 2)
    assert code == 2
    assert "--workers is for this process" in err


# ---- the jobs themselves ----------------------------------------------------


@pytest.fixture
def planned(source, tmp_path) -> list[Job]:
    names = files(source)
    return [Job(str(source / name), str(tmp_path / "out" / name)) for name in names]


def test_files_are_worked_on_at_the_same_time(planned):
    barrier = threading.Barrier(3, timeout=60)

    def work(data: bytes) -> bytes:
        barrier.wait()
        return data

    messages = Messages()
    jobs.run(planned, work, pyfd.Limits(), messages, workers=3)
    assert not messages.refused


def test_they_share_the_memory(planned):
    active, most, lock = 0, 0, threading.Lock()
    limits = pyfd.Limits(max_memory=1000)

    def work(data: bytes) -> bytes:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        threading.Event().wait(0.002)
        with lock:
            active -= 1
        return data

    for needed, at_most in ((1000, 1), (5000, 1), (500, 2)):
        most = 0
        jobs.run(planned, work, limits, Messages(), workers=4, needs=lambda _, n=needed: n)
        assert most <= at_most


@pytest.mark.parametrize(("signum", "kind"), [(signal.SIGINT, KeyboardInterrupt)])
def test_an_interrupted_run_finishes_what_it_has_begun(
    planned, tmp_path, monkeypatch, signum, kind
):
    begun = []
    sent, cancelled = threading.Event(), threading.Event()
    shutdown = ThreadPoolExecutor.shutdown

    def cancel(pool: ThreadPoolExecutor, wait: bool = True, **options: bool) -> None:
        shutdown(pool, wait=False, **options)
        cancelled.set()
        shutdown(pool, wait=wait)

    def work(data: bytes) -> bytes:
        begun.append(data)
        if len(begun) == 2:
            os.kill(os.getpid(), signum)
            sent.set()
        # On a busy machine, all files could be done before the main thread hears of the signal
        (sent if len(begun) <= 2 else cancelled).wait(60)
        return data

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", cancel)
    before = signal.signal(signum, signal.default_int_handler)
    try:
        with pytest.raises(kind):
            jobs.run(planned, work, pyfd.Limits(), Messages(), workers=2)
    finally:
        signal.signal(signum, before)
    # The pool does not wait for a thread in whose start the signal came; Python's exit does.
    threads = [t for t in threading.enumerate() if t.name.startswith("ThreadPool")]
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(outputs(tmp_path / "out").values()) == sorted(begun)
    assert len(begun) < len(planned)


def test_an_error_of_our_own_stops_the_run(planned):
    def work(_data: bytes) -> bytes:
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        jobs.run(planned, work, pyfd.Limits(), Messages(), workers=3)


def test_what_a_file_takes():
    """It is what `max_memory` has to be for files of each kind, apart from the output."""
    color, progressive = jpeg(), jpeg(progressive=True)
    buffer = io.BytesIO()
    Image.fromarray(picture()[:, :, 0]).save(buffer, "JPEG")
    requantize = sys.modules["pyfd.cli.requantize"]
    coefficients = 3 * 5 * 7 * 128
    pixels = 40 * 56
    turned = jpeg(exif=exif(6))
    for data, whole, certified, needed in (
        (color, False, False, 0),
        (color, True, False, coefficients),
        (progressive, False, False, coefficients),
        (color, False, True, 3 * pixels),
        (progressive, False, True, 3 * pixels + coefficients),
        (buffer.getvalue(), True, True, pixels + coefficients // 3),
        (b"no file", True, True, 0),
    ):
        options = {"limits": pyfd.Limits(), "whole": whole, "certified": certified}
        assert requantize._needs(data, **options) == len(data) + needed
        assert requantize._needs(data, **options, turned=True) == len(data) + needed
    options = {"limits": pyfd.Limits(), "whole": True, "turned": True}
    found = requantize._needs(turned, **options, certified=False)
    assert found == len(turned) + 2 * coefficients
    found = requantize._needs(turned, **options, certified=True)
    assert found == len(turned) + 3 * pixels + coefficients


# ---- warnings ---------------------------------------------------------------


def test_warnings_belong_to_their_thread():
    barrier = threading.Barrier(4, timeout=60)
    found = {}

    def work(number: int) -> None:
        barrier.wait()
        with collected() as caught:
            barrier.wait()
            for _ in range(50):
                warnings.warn(f"of {number}", UserWarning, stacklevel=1)
                warnings.warn("not one of ours", DeprecationWarning, stacklevel=1)
            barrier.wait()
        found[number] = [str(warning) for warning in caught]

    threads = [threading.Thread(target=work, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    barrier.wait()
    barrier.wait()
    with pytest.warns(UserWarning, match="outside"):  # all of them collect; this thread does not
        warnings.warn("outside", UserWarning, stacklevel=1)
    barrier.wait()
    for thread in threads:
        thread.join()
    assert found == {number: [f"of {number}"] * 50 for number in range(3)}


def test_nested_collections():
    with collected() as outer:
        warnings.warn("one", UserWarning, stacklevel=1)
        with collected() as inner:
            warnings.warn("two", UserWarning, stacklevel=1)
        warnings.warn("three", UserWarning, stacklevel=1)
    assert [str(warning) for warning in outer] == ["one", "three"]
    assert [str(warning) for warning in inner] == ["two"]
    with pytest.warns(UserWarning, match="four"):  # nothing is left behind
        warnings.warn("four", UserWarning, stacklevel=1)
