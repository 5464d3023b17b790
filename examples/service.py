"""A web service that takes a stranger's JPEG file and answers with the defended file.

The file is the body of the request, or the one file of a form. The answer to a file that it
refuses is a status code and JSON with the error's class, its limit and a message. Each refusal
is also a warning of the logger "pyfd".

    uvicorn examples.service:app --no-access-log                        # serve
    curl --data-binary @upload.jpg http://127.0.0.1:8000/ -o defended.jpg
    curl -F file=@upload.jpg http://127.0.0.1:8000/ -o defended.jpg     # as a form does
    curl http://127.0.0.1:8000/healthz
    python examples/service.py                                          # try it out

It needs starlette and uvicorn, and for strangers nginx in front: uvicorn has no limit on
slow clients (examples/nginx.conf). Its memory is bounded, whatever clients send: at most
PLACES uploads and answers, and WORKERS files in the codec, exist at a time.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import pyfd

TABLES = pyfd.QTables.preset("fd-cvpr2019")
LIMITS = pyfd.Limits(
    max_bytes=8 << 20,  # of a request: the file, and what a form adds to it
    max_pixels=25_000_000,
    max_memory=192 << 20,
    max_work=16_000_000,  # half a second: enough for every usual file within the other limits
)
KEPT = frozenset({"icc", "orientation"})  # of the metadata: no position, no names, no text
WORKERS = min(4, len(os.sched_getaffinity(0)))  # files in the codec at a time
ANSWER = 16 << 20  # bytes: a hostile file can grow twelvefold
PLACES = 16  # uploads that are received, processed and answered at a time; others wait
QUEUE = 200  # uploads that may wait
SECONDS = 30  # for an upload, from receiving to answering; slower clients are dropped
PIECE = 1 << 16
PARTS = 16  # of a form: its file and other fields, which are ignored
HEADER = 4096  # bytes of a part's header

codec = anyio.CapacityLimiter(WORKERS)
log = logging.getLogger("pyfd")


class UploadError(ValueError):
    """A request without a file, or with several."""


class BusyError(Exception):
    """Too many uploads at a time."""


STATUS: dict[type[Exception], int] = {
    UploadError: 400,
    TimeoutError: 408,
    pyfd.LimitExceededError: 413,
    pyfd.UnsupportedJPEGError: 415,
    pyfd.CorruptJPEGError: 422,
    BusyError: 503,
    MemoryError: 503,
}


def refusal(error: Exception, **headers: str) -> Response:
    """Log a refusal, and answer with the error's class, its limit if it has one, and its text."""
    facts: dict[str, object] = {"error": type(error).__name__}
    facts |= {name: getattr(error, name, None) for name in ("limit", "allowed", "needed")}
    log.warning("service: %s: %a", facts["error"], str(error), extra={"source": "service", **facts})
    return JSONResponse({**facts, "message": str(error)}, STATUS[type(error)], headers)


async def healthy(_: Request) -> Response:
    """Answer GET /healthz, even while all places are taken."""
    return PlainTextResponse("ok\n")


async def defend(request: Request) -> Response:
    """Answer POST / with the file as the body, or in a form."""
    try:
        file = await received(request)
        jpeg = await anyio.to_thread.run_sync(defended, file, limiter=codec)
    except ClientDisconnect:  # for the log: the client has gone
        return refusal(UploadError("the upload broke off"))
    except MemoryError:
        return refusal(MemoryError("no memory left"), **{"Retry-After": "10"})
    except (UploadError, pyfd.JPEGError) as error:
        return refusal(error)
    headers = {"Content-Length": str(len(jpeg)), "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(pieces(jpeg), media_type="image/jpeg", headers=headers)


async def received(request: Request) -> memoryview:
    """Return the file of a request, whatever length the client has stated.

    A body that is too long is not kept, but still read to its end, because a client that
    is sending would not see an answer.
    """
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= LIMITS.max_bytes:
            body += chunk
        else:
            body.clear()
    if size > LIMITS.max_bytes:
        raise too_large("max_bytes", LIMITS.max_bytes, size)
    kind = request.headers.get("content-type", "")
    file = file_of(body, kind) if kind.lower().startswith("multipart/") else memoryview(body)
    if not file:
        raise UploadError("no bytes: send a file as the body, or as a form's part with a file name")
    return file


BOUNDARY = re.compile(r""";\s*boundary=("?)([-\w'()+,./:=?]{1,70})\1\s*(?:;|$)""", re.A | re.I)
FILENAME = re.compile(rb"^content-disposition:[^\r\n]*;\s*filename\*?=", re.I | re.M)


def file_of(form: bytearray, kind: str) -> memoryview:
    """Return the file of a form (RFC 7578), which is its only part with a file name."""
    boundary = BOUNDARY.search(kind)
    if not boundary:
        raise UploadError("the form has no boundary")
    files: list[memoryview] = []
    for number, (header, content) in enumerate(parts_of(form, boundary[2].encode())):
        if number == PARTS:
            raise UploadError(f"the form has more than {PARTS} parts")
        if content and FILENAME.search(header):
            files.append(content)
    if len(files) > 1:
        raise UploadError(f"the form has {len(files)} files: send one")
    return files[0] if files else memoryview(b"")


def parts_of(form: bytearray, boundary: bytes) -> Iterator[tuple[bytearray, memoryview]]:
    r"""Yield the header and the content of each part, without a copy of the content.

    `find` sees each byte twice. A parser in Python would need more than a second for 8 MiB of
    "\r\n--boundar", and the service would answer nobody meanwhile.
    """
    line = b"\r\n--" + boundary
    at = len(line) - 2 if form.startswith(line[2:]) else len(form)
    while not form.startswith(b"--", at):
        end = form.find(line, at)
        blank = form.find(b"\r\n\r\n", at, min(end, at + HEADER))
        if end < 0 or blank < 0 or not form.startswith(b"\r\n", at):
            raise UploadError("the form is damaged")
        yield form[at:blank], memoryview(form)[blank + 4 : end]
        at = end + len(line)


def defended(file: memoryview) -> bytes:
    if bytes(file[:2]) != b"\xff\xd8":
        raise pyfd.UnsupportedJPEGError("not a JPEG file")
    jpeg = pyfd.requantize(file, TABLES, metadata=KEPT, limits=LIMITS)
    if len(jpeg) > ANSWER:
        raise too_large("answer", ANSWER, len(jpeg))
    return jpeg


def too_large(limit: str, allowed: int, needed: int) -> pyfd.LimitExceededError:
    message = f"{limit} is {allowed}, but the file has {needed}"
    return pyfd.LimitExceededError(message, limit=limit, allowed=allowed, needed=needed)


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """Send an answer in pieces, as fast as the client takes it, to keep it out of buffers."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


class Places:
    """Middleware that admits a few requests at once, each for a limited time.

    Requests that wait are not read yet. Questions about the health do not wait.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.free = anyio.Semaphore(PLACES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/healthz":
            return await self.app(scope, receive, send)
        if self.free.statistics().tasks_waiting >= QUEUE:
            busy = refusal(BusyError("busy: try again later"), **{"Retry-After": "1"})
            return await busy(scope, receive, send)
        answered = False

        async def send_and_note(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        async with self.free:
            with anyio.move_on_after(SECONDS) as time:
                await self.app(scope, receive, send_and_note)
        if time.cancelled_caught and not answered:
            late = refusal(TimeoutError(f"not done within {SECONDS} s"))
            await late(scope, receive, send)
        return None


app = Starlette(
    routes=[Route("/", defend, methods=["POST"]), Route("/healthz", healthy)],
    middleware=[Middleware(Places)],
)


# ---- trying it out ----------------------------------------------------------


def main(app: ASGIApp = app) -> None:
    import urllib.error
    import urllib.request

    import numpy as np
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    address = "http://{}:{}/".format(*listener.getsockname())
    server = uvicorn.Server(uvicorn.Config(app, log_level=logging.WARNING))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    y, x = np.mgrid[0:480, 0:640]
    photo = np.stack([x % 256, y % 256, (x * y) % 256], axis=2).astype(np.uint8)
    good = pyfd.encode(photo, pyfd.QTables.annex_k(90))
    bomb = b"\xff\xd8\xff\xc0\0\x11\x08\xff\xdc\xff\xdc\x03\1\x11\0\2\x11\0\3\x11\0"
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="photo.jpg"\r\n\r\n%b\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    raw = {"Content-Type": "image/jpeg"}
    uploads = {
        "a photograph": (good, raw),
        "the same in a form": (part % good + b"--x--", form),
        "a form of two files": (part % good * 2 + b"--x--", form),
        "a photograph, cut off": (good[: len(good) // 2], raw),
        "a bomb of 65500×65500 pixels": (bomb, raw),
        "a text": (b"hello", raw),
        "nothing": (b"", raw),
        "9 MB of zeros": (b"\xff\xd8" + bytes(9_000_000), raw),
    }
    for name, (body, headers) in uploads.items():
        request = urllib.request.Request(address, body, headers)
        try:
            with urllib.request.urlopen(request) as answer:
                print(f"{name}: {answer.status}, {len(body)} → {len(answer.read())} bytes")
        except urllib.error.HTTPError as error:
            print(f"{name}: {error.code}, {error.read().decode()}")
    with urllib.request.urlopen(address + "healthz") as answer:
        print(f"/healthz: {answer.status}, {answer.read().decode().strip()}")
    server.should_exit = True
    thread.join()
    listener.close()


if __name__ == "__main__":
    main()
