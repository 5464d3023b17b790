"""A web service that takes a stranger's JPEG file and answers with the defended file.

For a file that it refuses, the answer is a status code and a line with the reason.

    uvicorn examples.service:app --no-access-log                        # serve
    curl --data-binary @upload.jpg http://127.0.0.1:8000/ -o defended.jpg
    python examples/service.py                                          # try it out

It needs starlette and uvicorn, and for strangers nginx in front: uvicorn has no limit on
slow clients (examples/nginx.conf). Its memory is bounded, whatever clients send: at most
PLACES uploads and answers, and WORKERS files in the codec, exist at a time.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import pyfd

TABLES = pyfd.QTables.preset("fd-cvpr2019")
LIMITS = pyfd.Limits(
    max_bytes=8 << 20,
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

codec = anyio.CapacityLimiter(WORKERS)


def refusal(status: int, reason: object, **headers: str) -> Response:
    return PlainTextResponse(f"{reason}\n", status, headers or None)


async def defend(request: Request) -> Response:
    """Answer POST / with the file as the body."""
    try:
        data = await received(request)
    except ClientDisconnect:
        return refusal(400, "the upload broke off")  # for the log: the client has gone
    if data is None:
        return refusal(413, f"more than {LIMITS.max_bytes} bytes")
    if not data:
        return refusal(400, "no bytes: send the file as the body of the request")
    if not data.startswith(b"\xff\xd8"):
        return refusal(415, "not a JPEG file")
    work = functools.partial(pyfd.requantize, data, TABLES, metadata=KEPT, limits=LIMITS)
    try:
        jpeg = await anyio.to_thread.run_sync(work, limiter=codec)
    except pyfd.LimitExceededError as error:
        return refusal(413, error)
    except pyfd.UnsupportedJPEGError as error:
        return refusal(415, error)
    except pyfd.JPEGError as error:
        return refusal(422, error)
    except MemoryError:
        return refusal(503, "no memory left", **{"Retry-After": "10"})
    if len(jpeg) > ANSWER:
        return refusal(413, f"the answer would have more than {ANSWER} bytes")
    headers = {"Content-Length": str(len(jpeg)), "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(pieces(jpeg), media_type="image/jpeg", headers=headers)


async def received(request: Request) -> bytearray | None:
    """Return the body, or None if it is too long, whatever length the client has stated.

    A body that is too long is not kept, but still read to its end, because a client that
    is sending would not see an answer.
    """
    body = bytearray()
    fits = True
    async for chunk in request.stream():
        fits = fits and len(body) + len(chunk) <= LIMITS.max_bytes
        if fits:
            body += chunk
        else:
            body.clear()
    return body if fits else None


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """Send an answer in pieces, as fast as the client takes it, to keep it out of buffers."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


class Places:
    """Middleware that admits a few requests at once, each for a limited time.

    Requests that wait are not read yet.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.free = anyio.Semaphore(PLACES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if self.free.statistics().tasks_waiting >= QUEUE:
            busy = refusal(503, "busy: try again later", **{"Retry-After": "1"})
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
            await refusal(408, f"not done within {SECONDS} s")(scope, receive, send)
        return None


app = Starlette(routes=[Route("/", defend, methods=["POST"])], middleware=[Middleware(Places)])


# ---- trying it out ----------------------------------------------------------


def main() -> None:
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
    uploads = {
        "a photograph": good,
        "the same, cut off": good[: len(good) // 2],
        "a bomb of 65500×65500 pixels": bomb,
        "a text": b"hello",
        "nothing": b"",
        "9 MB of zeros": b"\xff\xd8" + bytes(9_000_000),
    }
    for name, body in uploads.items():
        try:
            with urllib.request.urlopen(address, body) as answer:
                print(f"{name}: {answer.status}, {len(body)} → {len(answer.read())} bytes")
        except urllib.error.HTTPError as error:
            print(f"{name}: {error.code}, {error.read().decode().strip()}")
    server.should_exit = True
    thread.join()
    listener.close()


if __name__ == "__main__":
    main()
