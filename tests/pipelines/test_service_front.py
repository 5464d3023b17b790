"""examples/nginx.conf in front of examples/service.py, with clients that attack both.

`make test-system` installs nginx and runs these tests.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from examples import service
from tests.attacks import eob_runs, refinements
from tests.jpegs import encode_with_pillow, picture
from tests.pipelines.test_service import ROOT, Answer, Server, expected, head, serving

pytestmark = pytest.mark.system

CONFIGURATION = ROOT / "examples" / "nginx.conf"
PER_CLIENT = int(re.search(r"limit_conn clients (\d+);", CONFIGURATION.read_text())[1])
HEADER_SECONDS = int(re.search(r"client_header_timeout (\d+)s;", CONFIGURATION.read_text())[1])
HALF_SENT = 1100
HONEST, BOMBER = "127.0.0.2", "127.0.0.1"
GOOD = encode_with_pillow(picture(300, 200))


class Front(NamedTuple):
    """nginx, and the service behind it."""

    address: tuple[str, int]
    service: Server
    log: Path

    def connect(self, source: str) -> socket.socket:
        return socket.create_connection(self.address, timeout=60, source_address=(source, 0))

    def upload(self, data: bytes, source: str = HONEST, **headers: str) -> Answer:
        connection = HTTPConnection(*self.address, timeout=120, source_address=(source, 0))
        try:
            connection.request("POST", "/", data, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.headers))
        finally:
            connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.contextmanager
def fronted(log: Path, settings: str = "") -> Iterator[Front]:
    """Run the service and nginx with 1,024 descriptors, as Debian gives a program."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "nginx is not installed: make test-system installs it"
    # pytest's folders are closed to the account under which nginx's workers run
    with tempfile.TemporaryDirectory() as folder, serving(log, settings) as behind:
        Path(folder).chmod(0o755)
        port = free_port()
        text = CONFIGURATION.read_text()
        upstream = "{}:{}".format(*behind.address)
        for old, new in (("8080", str(port)), ("127.0.0.1:8000", upstream)):
            assert text.count(old) == 1
            text = text.replace(old, new)
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(text)
        command = [program, "-p", folder, "-c", configuration, "-g", "daemon off;"]
        with Path(folder, "log").open("wb") as output:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            process = subprocess.Popen(
                command,
                stderr=output,
                stdout=output,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard)),
            )
        try:
            front = Front(("127.0.0.1", port), behind, Path(folder, "log"))
            until_up(front)
            yield front
        finally:
            process.terminate()
            process.wait(timeout=60)


def until_up(front: Front) -> None:
    for _ in range(100):
        with contextlib.suppress(ConnectionError):
            assert front.upload(b"").status == 400
            return
        time.sleep(0.1)
    raise AssertionError(front.log.read_text())


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    with fronted(tmp_path_factory.mktemp("front") / "log") as found:
        yield found


def test_the_configuration_and_the_service_agree():
    text = CONFIGURATION.read_text()
    assert service.LIMITS.max_bytes == int(re.search(r"body_size (\d+)m", text)[1]) << 20
    assert int(re.search(r"max_conns=(\d+)", text)[1]) > service.PLACES + service.QUEUE
    assert PER_CLIENT < service.PLACES


def test_an_upload_and_refusals(front):
    """The service's answers pass through."""
    for data in (GOOD, GOOD[: len(GOOD) // 2], eob_runs(9000, 3)):
        answer = front.upload(data)
        assert (answer.status, answer.body) == expected(data)
    answer = front.upload(bytes((8 << 20) + 1))
    assert answer.status == 413
    assert json.loads(answer.body) == {
        "error": "LimitExceededError",
        "limit": "max_bytes",
        "allowed": service.LIMITS.max_bytes,
        "needed": None,
        "message": "max_bytes is 8388608",
    }


FORM = b'--%b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n%b\r\n--%b--\r\n'


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("multipart/form-data; boundary=x-Y_1", 200),
        ('Multipart/Form-Data;boundary="x-Y_1"', 200),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=x\x0bY", 400),
        ("multipart/form-data; boundary=\xff", 400),
        ("multipart/form-data; boundary=" + "x" * 71, 400),
        ("multipart/form-data; boundary=$host", 400),
        ("multipart/mixed; boundary=x-Y_1", 400),
        ("image/jpeg\x0b", 415),
    ],
)
def test_forms(front, kind, status):
    """A boundary reaches the service, if uvicorn can read it."""
    answer = front.upload(FORM % (b"x-Y_1", GOOD, b"x-Y_1"), **{"Content-Type": kind})
    assert answer.status == status
    assert (answer.body == expected(GOOD)[1]) == (status == 200)
    assert front.service.log.read_text().count("Invalid HTTP request") == 0


def test_a_browsers_form(front):
    answer = httpx.post(
        "http://{}:{}/".format(*front.address), files={"f": ("ä.jpg", GOOD)}, data={"a": "b"}
    )
    assert (answer.status_code, answer.content) == expected(GOOD)


def test_a_greedy_client(front):
    with contextlib.ExitStack() as stack:
        for _ in range(PER_CLIENT):
            stack.enter_context(front.connect(HONEST)).sendall(head(9) + b"x")
        time.sleep(0.2)
        answer = front.upload(GOOD)
    assert (answer.status, json.loads(answer.body)["error"]) == (429, "BusyError")


def test_health_is_not_for_strangers(front):
    with front.connect(HONEST) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b" 404 " in connection.makefile("rb").readline()


@pytest.mark.parametrize(
    ("target", "field", "status"),
    [
        (b"/", b"X: a\x0bb", 400),
        (b"/", b"X: a\x0c", 400),
        (b"/", b"X: \x01\x1f\x7f\xff", 400),
        (b"/?\xff", b"X: y", 400),
        (b"/\xff", b"X: y", 404),
        (b"/path", b"X: y", 404),
    ],
)
def test_heads_that_uvicorn_cannot_read(front, target, field, status):
    """None of them reaches uvicorn, which would write a line for each."""
    with front.connect(HONEST) as connection:
        connection.sendall(b"POST " + target + b" HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 %d " % status)
    assert front.upload(GOOD).status == 200
    assert "Invalid HTTP request" not in front.service.log.read_text()


def closed(connection: socket.socket) -> bool:
    """Return whether the other side has ended a connection, with or without an answer."""
    connection.setblocking(False)
    try:
        return connection.recv(1000)[:12] in (b"", b"HTTP/1.1 408")
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_half_sent_headers(front):
    """1,100 of them stay open; another client is served meanwhile, and then they are closed."""
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(front.connect(BOMBER)) for _ in range(HALF_SENT)]
        for connection in waiting:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nX-")
        start = time.monotonic()
        answer = front.upload(GOOD)
        assert (answer.status, answer.body) == expected(GOOD)
        assert not any(closed(connection) for connection in waiting)
        while time.monotonic() < start + HEADER_SECONDS + 3:
            answer = front.upload(GOOD)
            assert (answer.status, answer.body) == expected(GOOD)
            with contextlib.suppress(OSError):  # closed already
                waiting[0].sendall(b"x")
            time.sleep(0.2)
        assert all(closed(connection) for connection in waiting)
    assert front.log.stat().st_size < 10_000
    assert front.service.log.stat().st_size < 100_000


def test_slow_bodies_take_no_place(tmp_path):
    with (
        fronted(tmp_path / "log", "service.PLACES = service.QUEUE = 1") as narrow,
        contextlib.ExitStack() as stack,
    ):
        for source in range(10, 30):
            for _ in range(PER_CLIENT):
                connection = stack.enter_context(narrow.connect(f"127.0.0.{source}"))
                connection.sendall(head(len(GOOD)) + GOOD[:100])
        answer = narrow.upload(GOOD)
        assert (answer.status, answer.body) == expected(GOOD)


BOMBS = {
    "empty scans": eob_runs(4900, 30, 3),
    "refinements": refinements(4900, 14),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "leaving"])
def test_forty_bombs_at_a_time(front, bomb, waits):
    """Few of a client's files are in the service at once, even if it leaves before the answer."""
    assert expected(bomb)[0] == 200  # a valid file, which costs as much as the limits allow
    stop = threading.Event()
    answered: list[int] = []

    def attack(_: int) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                if waits:
                    answered.append(front.upload(bomb, BOMBER).status)
                    time.sleep(0.2 * (answered[-1] == 429))  # the processors are for the server
                else:
                    with front.connect(BOMBER) as connection:
                        connection.sendall(head(len(bomb)) + bomb)
                        time.sleep(0.2)

    with ThreadPoolExecutor(40) as pool:
        attacks = [pool.submit(attack, number) for number in range(40)]
        try:
            time.sleep(1)
            for _ in range(3):
                before = answered.count(200)
                answer = front.upload(GOOD)
                assert (answer.status, answer.body) == expected(GOOD)
                assert answered.count(200) - before <= 2 * PER_CLIENT + service.WORKERS
        finally:
            stop.set()
        for done in attacks:
            done.result()
    if waits:
        assert set(answered) == {200, 429}
