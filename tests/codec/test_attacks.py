"""Every attack on every entry point, within bounds of time and memory."""

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import pyfd
from tests.attacks import ATTACKS, Attack, eob_runs, refinements, restarts, scans_without_data
from tests.jpegs import encode_with_pillow, picture

ROOT = Path(__file__).parents[2]
PRESET = "fd-cvpr2019"
ENTRY_POINTS = {
    "probe": lambda data, strict: pyfd.probe(data),  # noqa: ARG005
    "decode": lambda data, strict: pyfd.decode(data, strict=strict),
    "defended decode": lambda data, strict: pyfd.decode(data, PRESET, strict=strict),
    "requantize": lambda data, strict: pyfd.requantize(data, PRESET, strict=strict),
    "read_coefficients": lambda data, strict: pyfd.read_coefficients(data, strict=strict),
    "snap": lambda data, strict: pyfd.snap(data, PRESET, strict=strict),
    "decode_many": lambda data, strict: pyfd.decode_many([data], PRESET, strict=strict),
}
# The documented CPU seconds, and a factor for a slow or busy machine
REFUSED, SMALL, DECODED, REQUANTIZED = 0.5, 0.5, 3, 6
SLACK = 3


def is_quick(attack: Attack) -> bool:
    return "²" not in attack.name and "million" not in attack.name


def bound(call: str, data: bytes) -> float:
    header = pyfd.probe(data)
    if header.width * header.height <= 4_194_304:
        return SMALL
    return REQUANTIZED if call in ("requantize", "snap") else DECODED


def tried(*calls: str, slow: tuple[str, ...]) -> list[object]:
    """Return the attacks and calls to try: all, but of the slow files that are taken only a few.

    The other calls do the same with these: a second for each of them.
    """
    return [
        pytest.param(attack, call, id=f"{attack.name}-{call}")
        for attack in ATTACKS
        for call in calls
        if attack.error is not None or is_quick(attack) or call in slow
    ]


@pytest.fixture(scope="module", params=ATTACKS, ids=lambda attack: attack.name)
def attack(request) -> tuple[Attack, bytes]:
    return request.param, request.param.make()


@pytest.mark.parametrize(
    ("attack", "call"),
    tried(*ENTRY_POINTS, slow=("probe", "decode", "requantize", "read_coefficients", "snap")),
    indirect=["attack"],
    scope="module",
)
def test_strict(attack, call):
    """A strict call has the stated outcome, in time."""
    (_, _, error, says, header), data = attack
    if call == "probe" and not header:
        error = None
    start = time.process_time()
    if error is None:
        assert ENTRY_POINTS[call](data, True) is not None
        limit = bound(call, data)
    else:
        with pytest.raises(error, match=says) as caught:
            ENTRY_POINTS[call](data, True)
        assert type(caught.value) is error
        limit = REFUSED
    assert time.process_time() - start < limit * SLACK


@pytest.mark.parametrize(
    ("attack", "call"),
    tried(*sorted(set(ENTRY_POINTS) - {"probe"}), slow=("decode",)),
    indirect=["attack"],
    scope="module",
)
def test_lenient(attack, call):
    """A lenient call gives pixels with at most one warning, or the error, in time."""
    (_, _, error, _, _), data = attack
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            ENTRY_POINTS[call](data, False)
        except pyfd.JPEGError:
            assert not caught
            limit = REFUSED
        else:
            assert len(caught) <= 1
            told = [w for w in caught if not str(w.message).startswith("metadata left out")]
            assert len(told) == (error is not None)
            limit = bound(call, data)
    assert time.process_time() - start < limit * SLACK


def test_why_uncovered(attack):
    """Files that a strict decode refuses are refused, in time; of the others it has an opinion."""
    (_, _, error, says, _), data = attack
    start = time.process_time()
    if error is None:
        assert pyfd.why_uncovered(data) != ""
        limit = bound("why_uncovered", data)
    else:
        with pytest.raises(error, match=says):
            pyfd.why_uncovered(data)
        limit = REFUSED
    assert time.process_time() - start < limit * SLACK


def test_calibrate_names_the_file(attack):
    """The file is left out, with the error of the other functions as the reason."""
    (_, _, error, says, _), data = attack
    start = time.process_time()
    if error is None:
        assert pyfd.calibrate([data]).images == 1
        limit = bound("calibrate", data)
    else:
        with pytest.raises(ValueError, match=f"no source could be read.*{says}"):
            pyfd.calibrate([data])
        limit = REFUSED
    assert time.process_time() - start < limit * SLACK


def test_a_hundred_empty_scans_are_not_damage():
    data = eob_runs(2048, 100)
    assert (pyfd.decode(data, "fd-2018") == 128).all()


def test_a_million_warnings_are_one():
    """C counts them, without a call of Python for each."""
    data = restarts(2048)
    with pytest.warns(pyfd.JPEGWarning, match=r"^\d{5,} decoder warnings; the first: ") as caught:
        pyfd.decode(data, strict=False)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "make", [lambda: scans_without_data(4096, 100), lambda: refinements(4096, 100)]
)
def test_lenient_calls_do_no_endless_work(make):
    data = make()
    start = time.process_time()
    with pytest.warns(pyfd.JPEGWarning):
        pyfd.decode(data, PRESET, strict=False)
    assert time.process_time() - start < DECODED


# ---- concurrency -------------------------------------------------------------


def mixed_files() -> list[bytes]:
    good = [
        encode_with_pillow(picture(60 + 9 * n, 50, seed=n), progressive=n % 2 == 0)
        for n in range(8)
    ]
    quick = [attack.make() for attack in filter(is_quick, ATTACKS)]
    return good + [file[: len(file) // 2] for file in good] + [f for f in quick if len(f) < 100_000]


def outcomes(files: list[bytes], limits: pyfd.Limits) -> list[object]:
    """Return the result for each file: bytes or the error's text."""
    found: list[object] = []
    for data in files:
        for call in (pyfd.decode, pyfd.requantize):
            try:
                found.append(bytes(call(data, PRESET, limits=limits)))
            except pyfd.JPEGError as error:
                found.append(f"{type(error).__name__}: {error}")
    return found


def test_eight_threads_find_what_one_finds():
    seconds = float(os.environ.get("PYFD_SOAK_SECONDS", "2"))
    files, limits = mixed_files(), pyfd.Limits(max_pixels=1 << 22)
    expected = outcomes(files, limits)
    assert len({type(outcome) for outcome in expected}) == 2
    wrong: list[int] = []
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        while time.monotonic() < end:
            if outcomes(files, limits) != expected:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- leaks -------------------------------------------------------------------


def test_ten_thousand_calls_leave_memory_flat():
    """Compare resident memory after 2,000 and 10,000 calls that read and write all files."""
    program = """
        import contextlib, pyfd
        from tests.codec.test_attacks import PRESET, mixed_files
        from tests.jpegs import picture

        def resident():
            return int(open("/proc/self/statm").read().split()[1]) * 4096

        files = [f for f in mixed_files() if len(f) < 20_000]
        image = picture(40, 40)
        calls = 0
        while calls < 10_000:
            for data in files:
                for call in (pyfd.decode, pyfd.requantize):
                    with contextlib.suppress(pyfd.JPEGError):
                        call(data, PRESET)
                with contextlib.suppress(ValueError):
                    pyfd.write_coefficients(pyfd.read_coefficients(data))
                pyfd.encode(image, PRESET, optimize=calls % 2 == 0)
                calls += 5
            if calls < 2_000:
                first = resident()
        print(resident() - first)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 4 << 20


# ---- buffers that go away ------------------------------------------------------


def test_a_memory_map_cannot_be_closed_during_a_call(tmp_path):
    import mmap

    path = tmp_path / "x.jpg"
    path.write_bytes(pyfd.encode(picture(3000, 2000), PRESET))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        started = threading.Event()

        def decode() -> None:
            started.set()
            pyfd.decode(mapped)

        thread = threading.Thread(target=decode)
        thread.start()
        started.wait()
        time.sleep(0.01)
        refused = 0
        while thread.is_alive() and not refused:
            with contextlib.suppress(BufferError):
                memoryview(mapped).release()
            try:
                mapped.resize(1)
            except (BufferError, TypeError):
                refused += 1
        thread.join()
    assert refused


def test_nothing_is_printed_by_c(capfd):
    for attack in filter(is_quick, ATTACKS):
        data = attack.make()
        for strict in (True, False):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(pyfd.JPEGError):
                    pyfd.decode(data, PRESET, strict=strict)
    assert capfd.readouterr() == ("", "")


def test_the_same_pixels_every_time():
    for attack in filter(is_quick, ATTACKS):
        if attack.error is None:
            data = attack.make()
            first = pyfd.decode(data, PRESET)
            assert np.array_equal(pyfd.decode(data, PRESET), first)
            assert np.array_equal(pyfd.decode(pyfd.requantize(data, PRESET)), first)
