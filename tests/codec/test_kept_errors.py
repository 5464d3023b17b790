"""Errors that are kept, in a cycle that only the garbage collector breaks.

Before 3.12.7, Python crashed when it freed a memoryview in such a cycle, if C had used its bytes
(python/cpython#77894). An error keeps the frames of the call, and what is in them.
"""

import subprocess
import sys

CYCLE = """
import array, gc, io, mmap, tempfile
import numpy as np
import pyfd, pyfd.opencv, pyfd.pillow
from tests.codec.test_kinds import READERS

def kept(call, source):
    try:
        call(source)
    except Exception as error:
        kept = error  # which has this frame in its traceback

def mapped(data):
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return mmap.mmap(file.fileno(), len(data))

tables, color = pyfd.QTables.annex_k(75), np.zeros((16, 16, 3), np.uint8)
CALLS = {
    **READERS,
    "batch": lambda data: pyfd.decode_many([data] * 20),
    "threads": lambda data: pyfd.decode_many([data] * 3, workers=2),
    "places": lambda data: pyfd.decode_many([data], out=np.empty((1, 16, 16, 3), np.uint8)),
    "statistics": lambda data: pyfd.calibrate([data]),
    "opencv": lambda data: pyfd.opencv.imdecode(data, limits=3),
    "opencv's tables": lambda data: pyfd.opencv.imdecode(data, qtables=3),
    "pillow": lambda data: pyfd.pillow.open(io.BytesIO(data)),
    "output": lambda data: pyfd.decode(data, out=memoryview(bytearray(3))),
    "EXIF": lambda data: pyfd.encode(np.zeros((8, 8)), tables, exif=data),
    "profile": lambda data: pyfd.encode(color, tables, icc_profile=data),
    "comment": lambda data: pyfd.encode(color, tables, comment=bytes(data) * 999),
    "pixels": lambda data: pyfd.encode(data, tables),
    "planes": lambda data: pyfd.encode((data, data, data), tables),
}
file = pyfd.encode(color, tables)
ways = (
    bytearray,
    lambda data: memoryview(bytearray(data)),
    lambda data: array.array("B", data),
    mapped,
    lambda data: np.frombuffer(data, np.uint8),
)
for name, call in CALLS.items():
    print(name, flush=True)
    for data in (b"\\x89PNG\\r\\n\\x1a\\n" + bytes(92), file[:-30], file[:40], file + bytes(4)):
        for way in ways:
            kept(call, way(data))
        gc.collect()
print("all")
"""


def test_kept_errors_are_freed():
    done = subprocess.run([sys.executable, "-c", CYCLE], capture_output=True, text=True)
    called = done.stdout.splitlines() or ["none"]
    assert (called[-1], done.returncode, done.stderr) == ("all", 0, "")
