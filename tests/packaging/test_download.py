"""The release over HTTPS, from servers on this machine that keep to the rules and that do not."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.sources import FORK, ROOT


class Server(ThreadingHTTPServer):
    """A server of one archive."""

    def __init__(self, archive: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.archive = archive
        self.over = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """Answers according to the path that is asked for."""

    server: Server

    def do_GET(self) -> None:
        getattr(self, self.path.strip("/").replace("-", "_"))()

    def log_message(self, *_: object) -> None:
        pass

    def head(self, status: int = 200, **fields: object) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def release(self) -> None:
        self.head(Content_Length=len(self.server.archive))
        self.wfile.write(self.server.archive)

    def moved(self) -> None:
        self.head(302, Location="/release", Content_Length=0)

    def unknown_length(self) -> None:
        self.head()
        self.wfile.write(self.server.archive)

    def missing(self) -> None:
        self.head(404, Content_Length=0)

    def around(self) -> None:
        self.head(302, Location="/around", Content_Length=0)

    def other(self) -> None:
        self.head(Content_Length=5)
        self.wfile.write(b"other")

    def half(self) -> None:
        self.head(Content_Length=len(self.server.archive))
        self.wfile.write(self.server.archive[: len(self.server.archive) // 2])

    def endless(self) -> None:
        self.head()
        try:
            while True:
                self.wfile.write(bytes(1 << 16))
        except OSError:  # the reader has had enough
            pass

    def silent(self) -> None:
        self.head(Content_Length=5)
        self.server.over.wait()

    def drop_by_drop(self) -> None:
        self.head()
        try:
            while not self.server.over.wait(0.01):
                self.wfile.write(b".")
        except OSError:
            pass


def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server(tarball, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    yield from serving(Server(tarball.read_bytes()))


@pytest.fixture
def fork(fork, monkeypatch, tmp_path) -> ModuleType:
    """The fork.py of a system without apt, which is not patient."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(fork, "TIMEOUT", 1)
    monkeypatch.setattr(fork, "PATIENCE", 1)
    return fork


def found(fork: ModuleType, server: Server, path: str, cache: Path, scheme: str = "http") -> Path:
    """Return the tarball that is found when the pin names an address of the server."""
    fork.PIN["url"] = f"{scheme}://127.0.0.1:{server.server_port}/{path}"
    return fork.find_tarball(cache)


@pytest.mark.parametrize("path", ["release", "moved", "unknown-length"])
def test_the_release_is_taken(fork, server, tarball, tmp_path, path):
    got = found(fork, server, path, tmp_path / "cache")
    assert got == tmp_path / "cache" / tarball.name
    assert got.read_bytes() == tarball.read_bytes()
    assert list((tmp_path / "cache").iterdir()) == [got]
    server.shutdown()
    assert found(fork, server, path, tmp_path / "cache") == got  # it is not asked for again


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("missing", "HTTP Error 404"),
        ("around", "HTTP Error 302"),
        ("other", "has another archive: its checksum differs"),
        ("half", "bytes before the end"),
        ("endless", "it sends more than"),
        ("silent", "timed out"),
        ("drop-by-drop", "it took more than 1 seconds"),
    ],
)
def test_anything_else_is_refused_in_time(fork, server, tmp_path, path, why):
    with pytest.raises(fork.BuildError) as caught:
        found(fork, server, path, tmp_path / "cache")
    message = str(caught.value)
    assert why in message
    assert f"/{path}" in message
    assert "there is no apt-get" in message
    assert "Set PYFD_LIBJPEG_TURBO_TARBALL to a pristine libjpeg-turbo-2.1.5" in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_nobody_listens(fork, tmp_path):
    with pytest.raises(fork.BuildError, match="refused"):
        fork.find_tarball(tmp_path / "cache")


@pytest.mark.parametrize("address", ["", "nonsense", "gopher://127.0.0.1/"])
def test_an_address_that_is_none(fork, tmp_path, address):
    fork.PIN["url"] = address
    with pytest.raises(fork.BuildError, match="unknown url type"):
        fork.find_tarball(tmp_path / "cache")


def test_a_small_archive_of_endless_zeros_is_not_unpacked(fork, tmp_path, monkeypatch):
    bomb = zlib.compressobj(wbits=31)
    (tmp_path / "bomb").write_bytes(bomb.compress(bytes(10 << 20)) + bomb.flush())
    monkeypatch.setattr(fork, "LARGEST", 1 << 20)
    digested = []
    real = fork.hashlib.sha256
    monkeypatch.setattr(
        fork.hashlib, "sha256", lambda data: digested.append(len(data)) or real(data)
    )
    assert not fork.is_pinned(tmp_path / "bomb")
    assert max(digested) == 1 << 20


# ---- HTTPS ----------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file, signed by nobody else."""
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    command = "openssl req -x509 -nodes -newkey rsa:2048 -days 2 -subj /CN=127.0.0.1"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {path}.key -out {path}"
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.key").read_text())
    return path


@pytest.fixture
def secure(server, certificate) -> Server:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
@pytest.mark.parametrize("trusted", [True, False])
def test_https(fork, secure, certificate, tarball, monkeypatch, tmp_path, trusted):
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        got = found(fork, secure, "release", tmp_path / "cache", "https")
        assert got.read_bytes() == tarball.read_bytes()
    else:
        with pytest.raises(fork.BuildError, match="certificate verify failed"):
            found(fork, secure, "release", tmp_path / "cache", "https")


def test_the_address_is_the_projects_own_over_https():
    pin = json.loads((ROOT / FORK / "pin.json").read_text())
    start = f"https://github.com/{pin['name']}/{pin['name']}/"
    assert pin["url"].startswith(start)
    assert pin["version"] in pin["url"]
