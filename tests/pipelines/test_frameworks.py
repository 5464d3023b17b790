"""FastAPI, Flask and other sources of uploads: what they hand over, and what is passed by mistake.

The snippets of docs/pipelines/frameworks.md run in tests/docs.
"""

import asyncio
import gc
import io
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import flask
import httpx
import numpy as np
import pytest
import requests
from fastapi import FastAPI, UploadFile
from starlette.datastructures import FormData
from werkzeug.datastructures import FileStorage, MultiDict

import pyfd
from tests.jpegs import encode_with_pillow, picture
from tests.pipelines.asgi import posted

ROOT = Path(__file__).parents[2]
PHOTO = encode_with_pillow(picture(60, 40))
PIXELS = pyfd.decode(PHOTO, "fd-cvpr2019")

#: Every function of the package that reads a file.
READERS: dict[str, Callable[[object], object]] = {
    "decode": lambda source: pyfd.decode(source, "fd-cvpr2019"),
    "probe": pyfd.probe,
    "requantize": lambda source: pyfd.requantize(source, "fd-cvpr2019"),
    "read_coefficients": pyfd.read_coefficients,
    "why_uncovered": pyfd.why_uncovered,
    "decode_many": lambda source: pyfd.decode_many([source], "fd-cvpr2019"),
    "calibrate": lambda source: pyfd.calibrate([source]),
}
EVERY_READER = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


class Coroutine:
    """A file like those of aiofiles and aiohttp."""

    async def read(self, size: int = -1) -> bytes:
        return PHOTO[:size]


class Awaitable:
    def read(self, size: int) -> object:
        future = asyncio.Future(loop=LOOP)
        future.set_result(PHOTO[:size])
        return future


LOOP = asyncio.new_event_loop()
LOOP.close()


def uploaded() -> UploadFile:
    return UploadFile(io.BytesIO(PHOTO), filename="upload.jpg")


@EVERY_READER
@pytest.mark.parametrize("make", [uploaded, Coroutine, Awaitable])
def test_a_read_that_must_be_awaited(read, make):
    """The error says so, and Python does not warn of a coroutine that nobody awaited."""
    with pytest.raises(TypeError, match=r"\.read is a coroutine: await .*, and pass the bytes"):
        read(make())
    gc.collect()


@EVERY_READER
def test_a_coroutine_that_was_not_awaited(read):
    coroutine = uploaded().read()
    with pytest.raises(TypeError, match="not coroutine: await it"):
        read(coroutine)
    coroutine.close()


@EVERY_READER
def test_a_file_at_its_end(read):
    with tempfile.SpooledTemporaryFile() as spool, tempfile.TemporaryFile() as file:
        for source in (io.BytesIO(PHOTO), FileStorage(io.BytesIO(PHOTO)), spool, file):
            source.write(PHOTO) if source in (spool, file) else source.read()
            with pytest.raises(ValueError, match=rf"at its end, {len(PHOTO)}: seek\(0\) first"):
                read(source)
            source.seek(0)
            read(source)


def test_a_file_of_no_bytes_is_not_at_its_end():
    class Pipe(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:  # noqa: ARG002
            return b""

    for source in (io.BytesIO(), Pipe(), FileStorage(io.BytesIO())):
        with pytest.raises(pyfd.UnsupportedJPEGError, match=r"not a JPEG: no bytes$"):
            pyfd.decode(source)


@pytest.mark.parametrize(
    "source",
    [FormData([("photo", uploaded())]), MultiDict(), requests.Response(), httpx.QueryParams()],
    ids=lambda source: type(source).__name__,
)
def test_things_that_hold_a_file(source):
    says = f"bytes-like, a path or a binary file, not {type(source).__name__}$"
    with pytest.raises(TypeError, match=says):
        pyfd.decode(source)


def test_responses():
    """Those of requests and urllib give files, and that of httpx bytes."""
    with pytest.raises(TypeError, match=r"binary file, but read\(size\) failed: Response.read"):
        pyfd.decode(httpx.Response(200, content=PHOTO))
    assert np.array_equal(
        pyfd.decode(httpx.Response(200, content=PHOTO).content), pyfd.decode(PHOTO)
    )
    with pytest.raises(TypeError, match="binary mode"):
        pyfd.decode(io.StringIO("a"))


def test_limits_hold_for_uploads():
    limits = pyfd.Limits(max_bytes=100)
    for source in (uploaded().file, FileStorage(io.BytesIO(PHOTO))):
        with pytest.raises(pyfd.LimitExceededError, match="max_bytes is 100"):
            pyfd.decode(source, limits=limits)
        assert source.tell() == 101  # no more was read


# ---- the frameworks themselves ----------------------------------------------------


def test_fastapi():
    app = FastAPI()

    @app.post("/file")
    def of_file(photo: UploadFile) -> int:
        return int(pyfd.decode(photo.file, "fd-cvpr2019").sum())

    @app.post("/bytes")
    async def of_bytes(photo: UploadFile) -> int:
        return int(pyfd.decode(await photo.read(), "fd-cvpr2019").sum())

    @app.post("/mistake")
    async def of_upload(photo: UploadFile) -> str:
        with pytest.raises(TypeError) as caught:
            pyfd.decode(photo)
        return str(caught.value)

    assert posted(app, "/file", photo=PHOTO) == (200, PIXELS.sum())
    assert posted(app, "/bytes", photo=PHOTO) == (200, PIXELS.sum())
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    large = encode_with_pillow(noise, quality=98)
    assert len(large) > 1 << 20  # so FastAPI keeps it on the disk
    assert posted(app, "/file", photo=large) == (200, pyfd.decode(large, "fd-cvpr2019").sum())
    status, says = posted(app, "/mistake", photo=PHOTO)
    assert (status, "await UploadFile.read()" in says) == (200, True)


def test_flask():
    app = flask.Flask(__name__)

    @app.post("/")
    def of_file() -> str:
        return str(pyfd.decode(flask.request.files["photo"], "fd-cvpr2019").sum())

    answer = app.test_client().post("/", data={"photo": (io.BytesIO(PHOTO), "a.jpg")})
    assert int(answer.text) == PIXELS.sum()


# ---- metrics ------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def fetched(request: str | urllib.request.Request) -> bytes:
    for _ in range(200):
        try:
            return urllib.request.urlopen(request, timeout=60).read()
        except urllib.error.HTTPError as error:
            with error:
                return error.read()
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not start")


def test_metrics_of_the_service():
    """As the page says: `uvicorn --app-dir examples with_prometheus:app`, on other ports."""
    port, metrics = free_port(), free_port()
    code = (
        "import with_prometheus as example, uvicorn; "
        f"example.app.port = {metrics}; uvicorn.run(example.app, port={port}, access_log=False)"
    )
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'examples'}", "PATH": ""}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        for body in (PHOTO, PHOTO, b"hello", PHOTO[:200]):
            answer = fetched(urllib.request.Request(f"http://127.0.0.1:{port}/", body))
        assert json.loads(answer)["error"] == "CorruptJPEGError"
        assert fetched(f"http://127.0.0.1:{port}/healthz") == b"ok\n"
        assert b"pyfd" not in fetched(f"http://127.0.0.1:{port}/metrics")
        lines = fetched(f"http://127.0.0.1:{metrics}/metrics").decode().splitlines()
    finally:
        process.terminate()
        log = process.communicate(timeout=60)[1]
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("pyfd_"))
    for error in ("UnsupportedJPEGError", "CorruptJPEGError"):
        name = f'pyfd_refused_total{{error="{error}",limit="",source="service"}}'
        assert float(values[name]) == 1
    assert float(values["pyfd_seconds_count"]) == 4
    sent = 2 * len(PHOTO) + 5 + 200
    assert float(values['pyfd_bytes_total{direction="received"}']) == sent
    assert float(values['pyfd_bytes_total{direction="sent"}']) > 0
    assert "refused" not in log
