"""examples/service.py in a real server: many uploads at a time, and malicious clients."""

import contextlib
import http.client
import io
import json
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageCms

import pyfd
from examples import service
from tests.attacks import ATTACKS, eob_runs, extreme_values
from tests.jpegs import encode_with_pillow, picture

ROOT = Path(__file__).parents[2]
STATUS = {
    pyfd.LimitExceededError: 413,
    pyfd.UnsupportedJPEGError: 415,
    pyfd.CorruptJPEGError: 422,
}
START = """
import socket, sys, uvicorn
from examples import service
{settings}
server = uvicorn.Server(uvicorn.Config(service.app, log_level="info"))
server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


class Server(NamedTuple):
    address: tuple[str, int]
    pid: int
    log: Path

    def peak(self) -> int:
        """Return the peak of the process's memory so far, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)


@contextlib.contextmanager
def serving(log: Path, settings: str = "") -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, log.open("wb") as file:
        command = [sys.executable, "-c", START.format(settings=settings), str(listener.fileno())]
        process = subprocess.Popen(
            command, cwd=ROOT, stderr=file, stdout=file, pass_fds=[listener.fileno()]
        )
        try:
            server = Server(listener.getsockname(), process.pid, log)
            assert upload(server, b"").status == 400  # it is up
            yield server
        finally:
            process.terminate()
            process.wait(timeout=60)
    assert "Traceback" not in log.read_text()
    assert "500 Internal" not in log.read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("service") / "log") as found:
        yield found


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


def upload(
    server: Server, body: object, method: str = "POST", path: str = "/", **headers: str
) -> Answer:
    connection = http.client.HTTPConnection(*server.address, timeout=120)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), dict(answer.headers))
    finally:
        connection.close()


def defended(data: bytes) -> bytes:
    return pyfd.requantize(data, service.TABLES, metadata=service.KEPT, limits=service.LIMITS)


def expected(data: bytes) -> tuple[int, bytes]:
    """Return the status and the body that pyfd's own result implies."""
    try:
        return 200, defended(data)
    except pyfd.JPEGError as error:
        facts = {key: getattr(error, key, None) for key in ("limit", "allowed", "needed")}
        answer = {"error": type(error).__name__, **facts, "message": str(error)}
        return STATUS[type(error)], json.dumps(answer, separators=(",", ":")).encode()


def test_the_page_shows_the_configuration():
    page = (ROOT / "docs" / "pipelines" / "service.md").read_text()
    assert f"```nginx\n{(ROOT / 'examples' / 'nginx.conf').read_text()}```" in page


# ---- fifty at a time ------------------------------------------------------------


def hostile() -> list[bytes]:
    """Return files that pyfd refuses, and files that need nearly all the memory allowed."""
    greedy = [eob_runs(4900, 30, 3)] * 8  # 144 MB of coefficients each
    named = {attack.name: attack for attack in ATTACKS}
    refused = [
        "color 65500² progressive",
        "1000 empty scans at 2048²",
        "arithmetic SOF9",
        "100,000 empty APP5",
        "500 COM of 64 KB",
        "two SOF",
        "DNL",
        "oversubscribed codes",
        "12-bit samples",
    ]
    return greedy + [named[name].make() for name in refused]


def test_fifty_uploads_at_a_time(server):
    """Every answer is right, and memory stays within the workers' limit plus the files."""
    good = [
        encode_with_pillow(picture(300 + 20 * n, 700 - 15 * n, seed=n), quality=50 + n)
        for n in range(33)
    ]
    uploads = good + hostile()
    assert len(uploads) == 50
    random.Random(0).shuffle(uploads)
    before = server.peak()
    ready = threading.Barrier(50)

    def one(data: bytes) -> Answer:
        ready.wait()
        return upload(server, data)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(one, uploads))
    wanted = {data: expected(data) for data in set(uploads)}
    for data, answer in zip(uploads, answers, strict=True):
        assert (answer.status, answer.body) == wanted[data]
    statuses = [answer.status for answer in answers]
    assert {status: statuses.count(status) for status in statuses} == {
        200: 33 + 8,
        413: 4,
        415: 3,
        422: 2,
    }
    files = sum(
        len(answer.body) + min(len(data), service.LIMITS.max_bytes)
        for data, answer in zip(uploads, answers, strict=True)
    )
    bound = service.WORKERS * service.LIMITS.max_memory + files + (64 << 20)
    assert server.peak() - before < bound


def test_every_attack_has_its_answer(server):
    """The attacks come one after another on the same connection."""
    connection = http.client.HTTPConnection(*server.address, timeout=120)
    for attack in ATTACKS:
        data = attack.make()
        if len(data) > 1 << 20 and attack.error is None:
            continue  # slow, and covered by the codec's tests
        connection.request("POST", "/", data)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == expected(data), attack.name
    connection.close()


# ---- other files and requests ---------------------------------------------


def test_a_defended_file_says_what_it_is(server):
    data = encode_with_pillow(picture(40, 30))
    answer = upload(server, data)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert (pyfd.probe(answer.body).qtables.array == service.TABLES.array).all()


def test_only_profile_and_orientation_are_kept(server):
    """A position, a text and a comment stay out of what is served to others."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode_with_pillow(
        picture(40, 30), exif=exif, icc_profile=profile, comment=b"a comment", xmp=b"<x/>"
    )
    body = upload(server, data).body
    found = pyfd.probe(body)
    assert (found.orientation, found.icc_profile, found.comment) == (6, profile, None)
    assert dict(Image.open(io.BytesIO(body)).getexif()) == {0x0112: 6}
    assert b"<x/>" not in body


def test_work_is_bounded(server):
    """A file of 140 KB with 100 scans, within all other limits."""
    answer = upload(server, eob_runs(4900, 90, 3))
    assert (answer.status, json.loads(answer.body)["limit"]) == (413, "max_work")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "UploadError"),
        (b"\x89PNG\r\n\x1a\n", 415, "UnsupportedJPEGError"),
        (b"\xff", 415, "UnsupportedJPEGError"),
        (b"\xff\xd8", 422, "CorruptJPEGError"),
    ],
)
def test_other_files(server, body, status, error):
    answer = upload(server, body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    refused = json.loads(answer.body)
    assert list(refused) == ["error", "limit", "allowed", "needed", "message"]
    assert refused["error"] == error


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_post(server, method):
    answer = upload(server, None, method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_another_path(server):
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    connection.request("POST", "/../etc/passwd", b"x")
    assert connection.getresponse().status == 404
    connection.close()


def test_chunked_uploads(server):
    data = encode_with_pillow(picture(200, 200))
    pieces = (data[n : n + 1000] for n in range(0, len(data), 1000))
    answer = upload(server, pieces)  # http.client sends chunks, because the length is unknown
    assert (answer.status, answer.body) == expected(data)
    endless = upload(server, (bytes(1 << 20) for _ in range(9)))
    assert endless.status == 413


def test_the_largest_upload_that_is_taken(server):
    head = encode_with_pillow(picture(20, 20))
    assert upload(server, head + bytes((8 << 20) - len(head))).status == 200
    answer = upload(server, head + bytes((8 << 20) + 1 - len(head)))
    assert answer.status == 413
    assert json.loads(answer.body) == {
        "error": "LimitExceededError",
        "limit": "max_bytes",
        "allowed": 8 << 20,
        "needed": (8 << 20) + 1,
        "message": "max_bytes is 8388608, but the file has 8388609",
    }


def test_answers_that_would_be_too_large(server, tmp_path):
    """A file with steps of 65535, whose coefficients become as large as they can."""
    data = extreme_values()
    grown = len(defended(data))
    with serving(tmp_path / "log", f"service.ANSWER = {grown - 1}") as small:
        answer = upload(small, data)
    refused = json.loads(answer.body)
    assert (answer.status, refused["limit"], refused["needed"]) == (413, "answer", grown)
    assert upload(server, data).status == 200


# ---- clients that lie, wait or leave ------------------------------------------------


def head(length: object) -> bytes:
    return f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def first_line(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        return file.readline()


def test_less_than_was_promised_then_gone(server):
    """These clients get no answer, and the next one does."""
    data = encode_with_pillow(picture(100, 100))
    for _ in range(2 * service.PLACES):
        with server.connect() as connection:
            connection.sendall(head(len(data)) + data[:500])
    answer = upload(server, data)
    assert (answer.status, answer.body) == expected(data)


def test_more_than_was_promised(server):
    data = encode_with_pillow(picture(100, 100))
    with server.connect() as connection:
        connection.sendall(head(100) + data)
        assert b" 422 " in first_line(connection)


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999999999999"])
def test_invalid_lengths(server, length):
    with server.connect() as connection:
        connection.sendall(head(length) + b"x")
        connection.shutdown(socket.SHUT_WR)
        assert first_line(connection)[:10] in (b"HTTP/1.1 4", b"")


def test_gone_before_the_answer(server):
    data = eob_runs(2000, 5, 3)
    for _ in range(4):
        with server.connect() as connection:
            connection.sendall(head(len(data)) + data)
    assert upload(server, encode_with_pillow(picture(40, 30))).status == 200


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    """A server with one place, a queue of one, and a second for each upload."""
    settings = "service.PLACES = service.QUEUE = service.SECONDS = 1"
    with serving(tmp_path_factory.mktemp("impatient") / "log", settings) as found:
        yield found


def test_slow_uploads_make_room(impatient):
    data = encode_with_pillow(picture(40, 30))
    with impatient.connect() as slow:
        slow.sendall(head(len(data)) + data[:100])
        answer = upload(impatient, data)  # it waits for the place
        with slow.makefile("rb") as file:
            assert b" 408 " in file.readline()
            assert b'{"error":"TimeoutError"' in file.read()
    assert (answer.status, answer.body) == expected(data)


def test_clients_that_read_no_answer_make_room(impatient):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    large = encode_with_pillow(noise, quality=90)  # the answer does not fit into a socket's buffers
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(impatient.address)
        deaf.sendall(head(len(large)) + large)
        answer = upload(impatient, encode_with_pillow(picture(40, 30)))
    assert answer.status == 200


def test_too_many_at_a_time(impatient):
    with contextlib.ExitStack() as stack:
        for _ in range(2):  # one takes the place, the other waits
            connection = stack.enter_context(impatient.connect())
            connection.sendall(head(9) + b"x")
            time.sleep(0.2)
        answer = upload(impatient, b"x")
        assert upload(impatient, None, "GET", "/healthz").body == b"ok\n"
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert json.loads(answer.body)["error"] == "BusyError"
