"""Counting the instructions of calls from Python: callgrind's file, and places."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import calls

CALLGRIND = """\
ob=/usr/bin/python3.11
fn=PyEval_EvalFrameDefault
0 600
cob=/usr/lib/_libpyfd.abi3.so
cfn=(below)
calls=2 0
0 5000
0 50
ob=/usr/lib/_libpyfd.abi3.so
fn=???
0 4000
+3 1000
ob=/usr/lib/x86_64-linux-gnu/libc.so.6
fn=malloc
0 30

totals: 5680
"""


def test_callees_count_in_their_own_place():
    costs = calls.by_place(CALLGRIND.splitlines())
    assert costs == {"Python": 650, "C layer and libjpeg": 5000, "C library": 30}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/lib/x86_64-linux-gnu/libc-2.31.so", "C library"),
        ("/site-packages/_cffi_backend.cpython-311.so", "cffi"),
        ("/numpy/_core/_multiarray_umath.cpython-311.so", "numpy"),
        ("/simplejpeg/_jpeg.cpython-311.so", "C layer and libjpeg"),
        ("/usr/lib/libpython3.11.so.1.0", "Python"),
    ],
)
def test_places(path, place):
    assert calls.place_of(path) == place


def test_counts_are_of_one_call_without_the_loop():
    nothing = Counter(Python=50)
    costs = {calls.NOTHING: nothing, "decode": Counter(Python=550)}
    costs["decode_many, each file"] = Counter(Python=50 + calls.TIMES * calls.MANY * 7)
    assert calls.per_call(costs) == {
        "decode": Counter(Python=500 // calls.TIMES),
        "decode_many, each file": Counter(Python=7),
    }


def test_table():
    text = calls.table({8: {"decode": Counter({"Python": 1500, "cffi": 2})}})
    assert "| 8×8 | decode | 1,500 | 0 | 2 | 0 | 0 | 1,502 |" in text
