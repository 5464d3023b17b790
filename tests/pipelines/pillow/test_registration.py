"""`register`, `unregister` and `defended`, in threads and processes, and without Pillow."""

import multiprocessing
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pyfd import QTables
from pyfd.pillow import defended, register, unregister
from tests.pipelines.pillow.files import (
    COARSE,
    PRESET,
    expected,
    is_defended,
    opened,
    photo,
    plain,
    rich,
)

# ---- registration -------------------------------------------------------------


def test_on_and_off():
    data = photo()
    unregister()  # nothing is registered
    assert not is_defended(data)
    register(PRESET)
    assert is_defended(data)
    unregister()
    assert not is_defended(data)


def test_registering_again_replaces():
    data = photo()
    register(COARSE)
    register(PRESET)
    assert is_defended(data)
    unregister()
    assert not is_defended(data)


def test_blocks_nest_and_restore():
    data = photo()
    with defended(PRESET):
        with defended(COARSE):
            assert np.array_equal(np.asarray(opened(data)), expected(data, COARSE))
        assert is_defended(data)
    assert not is_defended(data)
    register(PRESET)
    with pytest.raises(KeyError), defended(COARSE):
        raise KeyError
    assert is_defended(data)
    with defended(PRESET):
        unregister()
        assert is_defended(data)
    assert not is_defended(data)


def test_blocks_that_overlap_leave_no_gap():
    """Two threads may enter and leave blocks in this order."""
    data = photo()
    first, second = defended(COARSE), defended(PRESET)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert is_defended(data)
    second.__exit__(None, None, None)
    assert not is_defended(data)


def test_an_image_keeps_what_it_was_opened_with():
    data = photo()
    with defended(PRESET):
        inside = opened(data)
    outside = opened(data)
    register(COARSE)
    assert np.array_equal(np.asarray(inside), expected(data))
    assert np.array_equal(np.asarray(outside), plain(data))


def test_blocks_apply_to_all_threads():
    data = photo()
    with defended(PRESET), ThreadPoolExecutor(3) as pool:
        assert all(pool.map(is_defended, [data] * 6))


def test_threads_while_it_goes_on_and_off():
    data = photo()
    allowed = {made.tobytes() for made in (plain(data), expected(data), expected(data, COARSE))}
    stop = threading.Event()

    def switch():
        while not stop.is_set():
            with defended(PRESET):
                register(COARSE)
            unregister()

    switching = threading.Thread(target=switch)
    switching.start()
    try:
        with ThreadPoolExecutor(3) as pool:
            images = pool.map(lambda _: np.asarray(opened(data)).tobytes(), range(200))
            assert {pixels in allowed for pixels in images} == {True}
    finally:
        stop.set()
        switching.join()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_other_processes(tmp_path, start):
    """A forked child inherits the registration; a spawned one needs its own."""
    context = multiprocessing.get_context(start)
    path = tmp_path / "x.jpg"
    path.write_bytes(photo())

    def pixels(pool) -> np.ndarray:
        return np.asarray(
            pool.submit(Image.open, path).result()
        )  # loaded in the child, because it is pickled

    inherited = expected(photo()) if start == "fork" else plain(photo())
    with warnings.catch_warnings():  # Python 3.12 warns of fork in a process with threads
        warnings.simplefilter("ignore", DeprecationWarning)
        with defended(PRESET), ProcessPoolExecutor(1, context) as pool:
            assert np.array_equal(pixels(pool), inherited)
        with ProcessPoolExecutor(1, context, register, (PRESET,)) as pool:
            assert np.array_equal(pixels(pool), expected(photo()))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"qtables": "no-such-preset"}, ValueError),
        ({"qtables": np.zeros((8, 8), int)}, ValueError),
        ({"qtables": QTables.uniform(32768)}, ValueError),
        ({"qtables": None}, (TypeError, ValueError)),
        ({"qtables": PRESET, "limits": 5}, TypeError),
    ],
)
def test_misuse_leaves_pillow_as_it_was(arguments, error):
    with pytest.raises(error):
        register(**arguments)
    with pytest.raises(error), defended(**arguments):
        pass
    assert not is_defended(photo())


# ---- without Pillow ---------------------------------------------------------


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    return done.stdout + done.stderr


def test_missing_pillow_names_the_extra():
    code = "import sys; sys.modules['PIL'] = None; import pyfd; import pyfd.pillow"
    assert "ImportError: Pillow is missing: pip install 'pyfd-jpeg[pillow]'" in python(code)


def test_the_core_imports_no_pillow():
    assert python("import sys, pyfd; print('PIL' in sys.modules)") == "False\n"


def test_importing_alone_changes_no_decoding():
    code = "import pyfd.pillow; from PIL import Image, JpegImagePlugin as j; "
    code += "Image.init(); print(Image.OPEN['JPEG'][0] is j.jpeg_factory)"
    assert python(code) == "True\n"


def test_registered_before_pillow_looks_for_its_plugins(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(photo())
    code = f"import pyfd.pillow as p; p.register('{PRESET}'); from PIL import Image\n"
    code += f"a = type(Image.open({str(path)!r})); Image.init()\n"
    code += f"print(a is type(Image.open({str(path)!r})) is p.JpegImageFile)"
    assert python(code) == "True\n"


def test_warnings_stay_off():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with defended(PRESET):
            opened(rich()).load()
    assert seen == []
