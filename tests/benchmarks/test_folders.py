"""benchmarks/folders.py: the folders, the CPU time of other processes, and the table."""

import os
import subprocess
import sys

from benchmarks import folders
from benchmarks.files import Files


def test_the_command_runs_over_both_folders(tmp_path):
    """Without Ray, which starts slowly."""
    places = folders.write(Files(), folders.FEW + 1, tmp_path)
    assert [len(list(place.iterdir())) for place in places] == [folders.FEW, folders.FEW + 1]
    for options in folders.TASKS.values():
        found = folders.run(places.few, [*options, "--workers", "2"], lambda: 0.0)
        assert found.wall > 0
        assert found.cpu > 0
        assert found.peak > 10


def test_the_peak_is_not_that_of_the_process_that_measures(tmp_path):
    """The kernel's `ru_maxrss` of a process begins with that of its parent."""
    held = b"x" * (400 << 20)
    places = folders.write(Files(), folders.FEW + 1, tmp_path)
    del held
    options = [*folders.TASKS["onto tables"], "--workers", "1"]
    assert folders.run(places.few, options, lambda: 0.0).peak < 300


def test_the_meter_counts_processes_that_have_ended():
    code = (
        "import os, time; child = os.fork()\n"
        "while time.process_time() < 0.5: pass\n"
        "child and os.waitpid(child, 0)"
    )
    meter = folders.Meter()
    subprocess.run([sys.executable, "-c", code], check=True)
    meter.stop()
    seconds = meter.seconds()
    assert 0.6 < seconds < 1.5
    assert seconds == meter.seconds()


def test_the_table():
    def runs(few: float, wall: float, cpu: float) -> list[tuple[folders.Run, folders.Run]]:
        return [(folders.Run(few, 0.5), folders.Run(few + wall, 0.5 + cpu))] * 3

    found = {
        folders.Way("certified", "Ray", 2): runs(4.0, 5.0, 12.0),
        folders.Way("onto tables", "threads", 1): runs(1.0, 2.0, 2.0),
        folders.Way("certified", "threads", 1): runs(1.0, 10.0, 10.0),
        folders.Way("onto tables", "threads", 2): runs(1.0, 1.0, 2.0),
    }
    _, _, *lines = folders.report(found, 1000 + folders.FEW).splitlines()
    assert lines == [
        "| onto tables | 1 thread | 500 | 1.00 | 2.0 | 1.0 |",
        "| onto tables | 2 threads | 1000 | 2.00 | 2.0 | 1.0 |",
        "| certified | 1 thread | 100 | 1.00 | 10.0 | 1.0 |",
        "| certified | 2 workers of Ray | 200 | 2.00 | 12.0 | 4.0 |",
    ]


def test_the_meter_sees_only_processes_below_this_one():
    meter = folders.Meter()
    meter.stop()
    assert os.getpid() not in {number for number, _ in meter._seen}
