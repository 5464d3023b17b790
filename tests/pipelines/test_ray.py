"""pyfd.ray on a local cluster of two workers, compared with pyfd in one process."""

import gc
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ray
import ray.data

import pyfd
import pyfd.ray
from pyfd.cli import ray_engine as _ray_engine
from pyfd.cli.journal import Job
from tests import metadata
from tests.jpegs import encode_with_pillow, gray, picture, segment

TABLES = pyfd.QTables.preset("fd-cvpr2019")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # raised by its own code
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # it does not close all that it opens
]


@pytest.fixture(scope="module")
def cluster():
    """Start a local Ray with two workers, and yield its address."""
    terminated = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # so that other tests do not starve its workers
        patch.setenv("RAY_gcs_server_port_wait_time_s", "300")  # it starts slowly on a busy machine
        context = ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=200_000_000,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _node_ip_address="127.0.0.1",
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield context.address_info["address"]
        ray.shutdown()
    signal.signal(signal.SIGTERM, terminated)
    gc.collect()  # so that warnings of unclosed resources come here


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    """Files of different sizes; every fourth one is damaged."""
    files = [encode_with_pillow(picture(40 + 3 * n, 30 + n, seed=n)) for n in range(12)]
    return [
        {"path": f"{n}.jpg", "bytes": data[:400] if n % 4 == 1 else data}
        for n, data in enumerate(files)
    ]


@pytest.fixture
def source(tmp_path: Path, rows) -> Path:
    for row in rows:
        path = tmp_path / "in" / ("deep" if row["path"] in ("5.jpg", "6.jpg") else "") / row["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["bytes"])
    return tmp_path / "in"


def by_path(dataset: ray.data.Dataset) -> list[dict[str, object]]:
    return sorted(dataset.take_all(), key=lambda row: int(row["path"].partition(".")[0]))


def outputs(top: Path) -> dict[str, bytes]:
    files = (path for path in top.rglob("*") if path.suffix == ".jpg")
    return {str(path.relative_to(top)): path.read_bytes() for path in files}


def inodes(top: Path) -> dict[str, tuple[int, int]]:
    found = {name: (top / name).stat() for name in outputs(top)}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def contents(top: Path) -> list[list[object]]:
    """Return the names, sizes and digests in a journal."""
    _, *lines = map(json.loads, (top / ".pyfd-requantize.jsonl").read_text().splitlines())
    return sorted(
        [source, target, before[0], read, after[0], written]
        for source, target, before, read, after, written in lines
    )


def error_of(call, *args, **options) -> str:
    try:
        call(*args, **options)
    except pyfd.JPEGError as error:
        return str(error)
    return ""


def die_once(marker: Path) -> None:
    """Kill the first worker that calls this."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


# ---- data sets ----------------------------------------------------------------


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("tables", "mode"), [(None, "RGB"), (TABLES, "BGR"), (TABLES, "L")])
def test_decode_is_the_codecs(rows, tables, mode):
    dataset = ray.data.from_items(rows, override_num_blocks=3)
    found = by_path(dataset.map_batches(pyfd.ray.Decode(tables, mode=mode), batch_size=3))
    assert [row["path"] for row in found] == [row["path"] for row in rows]
    for row, given in zip(found, rows, strict=True):
        assert row["error"] == error_of(pyfd.decode, given["bytes"])
        if not row["error"]:
            assert np.array_equal(row["image"], pyfd.decode(given["bytes"], tables, mode=mode))
        else:
            assert row["image"].size == 0
    assert sum(row["error"] != "" for row in found) == 3


@pytest.mark.usefixtures("cluster")
def test_requantize_then_decode_with_a_worker_killed(rows, tmp_path):
    marker, step = tmp_path / "killed", pyfd.ray.Requantize(TABLES)

    def fragile(batch):
        die_once(marker)
        return step(batch)

    dataset = ray.data.from_items(rows, override_num_blocks=4).map_batches(fragile, batch_size=2)
    found = by_path(dataset)
    assert marker.exists()
    for row, given in zip(found, rows, strict=True):
        assert row["error"] == error_of(pyfd.requantize, given["bytes"], TABLES)
        expected = b"" if row["error"] else pyfd.requantize(given["bytes"], TABLES)
        assert row["bytes"] == expected
    decoded = by_path(dataset.map_batches(pyfd.ray.Decode()))
    assert [row["error"] for row in decoded] == [row["error"] for row in found]
    expected = pyfd.decode(rows[0]["bytes"], TABLES)
    assert np.array_equal(decoded[0]["image"], expected)


@pytest.mark.usefixtures("cluster")
def test_calibrate_is_pyfd_calibrate(rows, source):
    dataset = ray.data.read_binary_files(str(source), include_paths=True)
    found = pyfd.ray.calibrate(dataset)
    expected = pyfd.calibrate(sorted(source.rglob("*.jpg")))
    assert found == expected
    assert found.images == 9
    assert dict(found.failures) == dict(expected.failures)
    nameless = pyfd.ray.calibrate(ray.data.from_items([{"bytes": row["bytes"]} for row in rows]))
    assert nameless == expected
    assert len(nameless.failures) == 3
    assert all(name.startswith("sha256:") for name in nameless.failures)
    with pytest.raises(ValueError, match="no source could be read"):
        pyfd.ray.calibrate(ray.data.from_items([{"bytes": b"", "path": "x.jpg"}]))


# ---- the callables without Ray ------------------------------------------------


def batch_of(*files: object, **columns: list[object]) -> pyfd.ray.Batch:
    batch = {}
    for name, values in {"bytes": files, **columns}.items():
        batch[name] = np.empty(len(values), object)
        batch[name][:] = values
    return batch


def test_callables_can_be_pickled(rows):
    limits = pyfd.Limits(max_pixels=999)
    for call in (
        pyfd.ray.Decode(TABLES, scale=2, limits=limits),
        pyfd.ray.Requantize(TABLES, optimize=True, limits=limits),
    ):
        batch = batch_of(rows[0]["bytes"])
        for copy in (call, pickle.loads(pickle.dumps(call))):
            result = copy(batch)
            (error,) = (result if isinstance(result, dict) else next(result))["error"]
            assert error == "max_pixels is 999, but the file has 1200"


def test_statistics_can_be_pickled(rows):
    found = pyfd.calibrate([rows[0]["bytes"], rows[1]["bytes"]])
    copy = pickle.loads(pickle.dumps(found))
    assert copy == found
    assert copy.failures == found.failures == {"source 1": found.failures["source 1"]}


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: pyfd.ray.Decode(mode="CMYK"), ValueError),
        (lambda: pyfd.ray.Decode(scale=3), ValueError),
        (lambda: pyfd.ray.Decode("no-such-preset"), ValueError),
        (lambda: pyfd.ray.Decode(limits=5), TypeError),
        (lambda: pyfd.ray.Requantize(pyfd.QTables.uniform(256)), ValueError),
        (lambda: pyfd.ray.Requantize(TABLES, quality=75), TypeError),
        (lambda: pyfd.ray.Requantize(TABLES, metadata={"thumbnail"}), ValueError),
        (lambda: pyfd.ray.Requantize(TABLES, metadata="icc"), TypeError),
        (lambda: pyfd.ray.Requantize(TABLES, radius=9), ValueError),
        (lambda: pyfd.ray.Requantize(TABLES, radius="1"), TypeError),
    ],
)
def test_invalid_options_are_refused(make, kind):
    with pytest.raises(kind):
        make()


@pytest.mark.parametrize(
    ("batch", "kind", "reason"),
    [
        ({"content": np.array([b"x"])}, ValueError, 'no column "bytes", only content'),
        (batch_of("/etc/passwd"), TypeError, "must hold bytes, not str"),
        (batch_of(Path("photo.jpg")), TypeError, "must hold bytes"),
        ([b"x"], TypeError, "numpy's format, not list"),
    ],
)
def test_invalid_batches_are_refused(batch, kind, reason):
    for call in (pyfd.ray.Requantize(TABLES), lambda b: next(pyfd.ray.Decode(TABLES)(b))):
        with pytest.raises(kind, match=reason):
            call(batch)


def test_a_missing_file_and_an_earlier_error_are_rows(rows):
    data = rows[0]["bytes"]
    batch = batch_of(None, b"", np.nan, data, data, error=[None, "", np.nan, "seen before", None])
    found = pyfd.ray.Requantize(TABLES)(batch)
    assert found["error"].tolist() == ["no bytes"] * 3 + ["seen before", ""]
    assert found["bytes"].tolist() == [b""] * 4 + [pyfd.requantize(data, TABLES)]
    (decoded,) = pyfd.ray.Decode(TABLES)(batch)
    assert decoded["error"].tolist() == found["error"].tolist()
    assert [image.shape for image in decoded["image"]] == [(0, 0, 3)] * 4 + [(30, 40, 3)]


def test_an_empty_batch_has_the_columns():
    (decoded,) = pyfd.ray.Decode(TABLES)(batch_of())
    lengths = {name: len(values) for name, values in decoded.items()}
    assert lengths == {"bytes": 0, "image": 0, "error": 0}
    assert len(pyfd.ray.Requantize(TABLES)(batch_of())["error"]) == 0


def test_large_images_go_on_in_blocks(monkeypatch):
    """A batch of decompression bombs is never decoded into memory as a whole."""
    monkeypatch.setattr(pyfd.ray, "_BLOCK", 2_000_000)
    large = encode_with_pillow(np.zeros((500, 500, 3), np.uint8))  # 750 kB of pixels
    pieces = pyfd.ray.Decode(TABLES)(batch_of(*[large] * 7, number=list(range(7))))
    assert [piece["number"].tolist() for piece in pieces] == [[0, 1, 2], [3, 4, 5], [6]]


def test_lenient_takes_damaged_files_silently():
    data = encode_with_pillow(picture(64, 64))
    batch = batch_of(data[:-300])
    (decoded,) = pyfd.ray.Decode(TABLES, strict=False)(batch)
    assert decoded["error"].tolist() == [""]
    assert pyfd.ray.Requantize(TABLES, strict=False)(batch)["error"].tolist() == [""]


# ---- pyfd requantize --engine ray -----------------------------------------------


@pytest.mark.usefixtures("cluster")
def test_the_engine_does_what_one_process_does(run, source, tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    alone = run("requantize", source, "-o", one, "-q", 30, "--optimize")
    assert run("requantize", source, many, "-q", 30, "--optimize", "--engine", "ray") == alone
    assert alone[0] == 1
    assert len(alone[2].splitlines()) == 3
    assert outputs(many) == outputs(one)
    assert len(outputs(one)) == 9

    assert contents(many) == contents(one)  # of the journals, without times and inodes
    before = inodes(many)  # a second run, on either engine, tries only the refused files
    note = f"pyfd: {many}: 9 of 12 are done already\n"
    for engine in ("ray", "local"):
        again = run("requantize", source, many, "-q", 30, "--optimize", "--engine", engine)
        assert again == (1, "", note + alone[2])
    assert inodes(many) == before

    for name in ("0.jpg", "deep/6.jpg"):  # as if the run had stopped before these two
        (many / name).unlink()
    run("requantize", source, many, "-q", 30, "--optimize", "--engine", "ray")
    assert outputs(many) == outputs(one)
    assert len(before.items() & inodes(many).items()) == 7

    before = inodes(many)  # with other tables every file is done again
    run("requantize", source, many, "--engine", "ray")
    assert not before.items() & inodes(many).items()
    run("requantize", source, "-o", tmp_path / "other")
    assert outputs(many) == outputs(tmp_path / "other")


@pytest.mark.usefixtures("cluster")
def test_metadata_by_names(run, tmp_path):
    """In the callable and in the engine, with the lines that one process writes."""
    odd = metadata.block([(0x0112, 3, b"\6\0"), (0x8825, 4, b"\xff" * 4), (0x010F, 2, b"Maker\0")])
    path = tmp_path / "in" / "x.jpg"
    path.parent.mkdir()
    data = gray(before=segment(0xE1, odd) + segment(0xFE, b"words"))
    path.write_bytes(data)
    names = {"orientation", "gps", "comment"}
    expected = pyfd.requantize(data, TABLES, metadata=names)
    assert b"Maker" not in expected
    step = pickle.loads(pickle.dumps(pyfd.ray.Requantize(TABLES, metadata=names, strict=False)))
    assert step(batch_of(data))["bytes"][0] == expected
    options = ("--keep", "comment,gps,orientation", "-q", "fd-cvpr2019")
    alone = run("requantize", path.parent, tmp_path / "one", *options)
    assert alone[2].endswith("metadata left out: the GPS directory (its pointer leads nowhere)\n")
    assert run("requantize", path.parent, tmp_path / "two", *options, "--engine", "ray") == alone
    for folder in ("one", "two"):
        assert (tmp_path / folder / "x.jpg").read_bytes() == expected


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    "options",
    [
        ["--radius", "1", "--keep", "orientation", "--orient", "exact"],
        ["--radius", "1", "--lenient", "--progressive"],
    ],
    ids=" ".join,
)
def test_certified_files(run, source, tmp_path, options):
    """They are those of one process, and another radius does all again."""
    turned = metadata.block([(0x0112, 3, b"\6\0")])
    (source / "turned.jpg").write_bytes(gray(24, 16, before=segment(0xE1, turned)))
    one, many = tmp_path / "one", tmp_path / "many"
    alone = run("requantize", source, one, *options)
    assert run("requantize", source, many, *options, "--engine", "ray") == alone
    assert outputs(many) == outputs(one)
    assert contents(many) == contents(one)
    assert outputs(one)
    before = inodes(many)
    run("requantize", source, many, *options, "--engine", "ray")
    assert inodes(many) == before
    run("requantize", source, many, *options, "--radius", "0", "--engine", "ray")
    assert not before.items() & inodes(many).items()


@pytest.mark.usefixtures("cluster")
def test_certified_rows(rows):
    step = pyfd.ray.Requantize(TABLES, radius=1, metadata={"icc"})
    found = by_path(ray.data.from_items(rows[:4], override_num_blocks=2).map_batches(step))
    for row, given in zip(found, rows, strict=False):
        if not row["error"]:
            expected = pyfd.requantize(given["bytes"], TABLES, radius=1, metadata={"icc"})
            assert row["bytes"] == expected
            assert pyfd.holds(pyfd.decode(expected), TABLES, 1).all()
    assert [row["error"] != "" for row in found] == [False, True, False, False]


@pytest.mark.usefixtures("cluster")
def test_names_from_here_work_there(run, source, tmp_path, monkeypatch):
    """Workers have another current directory; messages have the names as given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "3.jpg").mkdir(parents=True)
    code, out, err = run("requantize", "in", "-o", "out", "--engine", "ray")
    assert (code, out) == (1, "")
    assert "pyfd: in/3.jpg: cannot write out/3.jpg: Is a directory" in err.splitlines()
    expected = pyfd.requantize(source / "deep" / "6.jpg", TABLES)
    assert (tmp_path / "out" / "deep" / "6.jpg").read_bytes() == expected


@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_loses_nothing(run, source, tmp_path, monkeypatch):
    """One worker dies once, and one file kills every worker that reads it."""
    marker, poison = tmp_path / "killed", (source / "2.jpg").read_bytes()
    command = sys.modules["pyfd.cli.requantize"]
    work = command._work  # which is sent to the workers, with what it calls

    def fragile(data, **options):
        die_once(marker)
        if data == poison:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(data, **options)

    monkeypatch.setattr(command, "_work", fragile)
    monkeypatch.setattr(_ray_engine, "_RETRIES", 1)
    code, _, err = run("requantize", source, "-o", tmp_path / "out", "--engine", "ray")
    assert marker.exists()
    assert code == 1
    lines = [line for line in err.splitlines() if line.startswith("pyfd: ")]
    assert len(lines) == 4
    gave_up = f"pyfd: {source / '2.jpg'}: Ray gave up after 2 attempts: WorkerCrashedError"
    assert lines.count(gave_up) == 1
    monkeypatch.undo()
    run("requantize", source, "-o", tmp_path / "one")
    one, many = outputs(tmp_path / "one"), outputs(tmp_path / "out")
    assert one.keys() - many.keys() == {"2.jpg"}
    assert all(one[name] == data for name, data in many.items())


def test_a_worker_that_does_not_see_the_output_writes_nothing(source, tmp_path):
    job = Job(str(source / "0.jpg"), str(tmp_path / "out" / "0.jpg"))
    outcome, done = _ray_engine._do._function(
        job, str(tmp_path), str(tmp_path / "out" / "journal"), bytes, pyfd.Limits()
    )
    ((name, text),) = outcome.notes
    assert (name, outcome.refused, done) == (job.source, 1, None)
    assert "output directory" in text
    assert not (tmp_path / "out").exists()


def test_a_worker_does_not_wait_for_a_pipe(source, tmp_path):
    (source / "0.jpg").unlink()
    os.mkfifo(source / "0.jpg")
    job = Job(str(source / "0.jpg"), str(tmp_path / "0.jpg"), in_directory=True)
    journal = tmp_path / "journal"
    journal.touch()
    outcome = _ray_engine._do._function(job, str(tmp_path), str(journal), bytes, pyfd.Limits())
    assert outcome == (([(job.source, "not a regular file")], 1), None)


def start(address: str, *args: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "pyfd", *map(str, args), "--engine", "ray"],
        env={**os.environ, "RAY_ADDRESS": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_as_a_command(cluster, run, source, tmp_path):
    with start(cluster, "requantize", source, tmp_path / "out") as process:
        out, err = process.communicate(timeout=60)
    alone = run("requantize", source, "-o", tmp_path / "one")
    assert (process.returncode, out, err) == alone
    assert outputs(tmp_path / "out") == outputs(tmp_path / "one")


def test_terminated(cluster, tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    child = start(cluster, "requantize", pipe, "-o", f"{tmp_path}/out/")
    with child as process, pipe.open("wb"):  # open() returns once a worker has opened it
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (143, "", "")
    assert not outputs(tmp_path / "out")


def test_an_address_without_a_cluster(run, source, tmp_path, monkeypatch):
    def init(**_options):
        raise ConnectionError("nobody\nthere")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    outcome = run("requantize", source, tmp_path / "out", "--engine", "ray")
    assert outcome == (1, "", "pyfd: ray: nobody there\n")
    assert not outputs(tmp_path / "out")


def test_the_engine_wants_directories(run, source, tmp_path):
    for arguments in (["-o", tmp_path / "x.jpg"], ["-o", "-"], []):
        code, _, err = run("requantize", source / "0.jpg", *arguments, "--engine", "ray")
        assert code == 2
        assert "-o DIRECTORY" in err
    assert not outputs(tmp_path).keys() - {f"in/{name}" for name in outputs(source)}


@pytest.mark.parametrize(
    "code",
    [
        "import pyfd.ray",
        "from pyfd.__main__ import main; sys.argv = 'pyfd requantize . out --engine ray'.split();"
        " main()",
    ],
)
def test_ray_is_missing(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['ray'] = None; {code}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ray is missing: pip install 'pyfd-jpeg[ray]'" in done.stderr.splitlines()[-1]
