"""The service with metrics for Prometheus: files refused by kind, seconds, bytes.

    uvicorn --app-dir examples with_prometheus:app --no-access-log
    curl http://127.0.0.1:9464/metrics
    python examples/with_prometheus.py                                  # try it out

It needs prometheus_client, and what examples/service.py needs. The metrics have a port of their
own, which only this machine reaches. `Refusals` counts those of pyfd.pillow and pyfd.opencv, too.
"""

from __future__ import annotations

import logging

import service
from prometheus_client import Counter, Histogram, start_http_server
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REFUSED = Counter("pyfd_refused", "Files that were refused.", ["source", "error", "limit"])
SECONDS = Histogram("pyfd_seconds", "Time of a request, with the wait for a place.")
BYTES = Counter("pyfd_bytes", "Bytes of requests and of answers.", ["direction"])


class Refusals(logging.Handler):
    """A counter of refused files. No file can add labels: pyfd has few errors and limits."""

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "error"):
            REFUSED.labels(record.source, record.error, record.limit or "").inc()


class Measured:
    """Middleware that measures uploads, and serves the metrics on a port of their own."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app, self.port = app, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            start_http_server(self.port, "127.0.0.1")
        if scope["type"] != "http" or scope["path"] != "/":
            return await self.app(scope, receive, send)

        async def received() -> Message:
            message = await receive()
            BYTES.labels("received").inc(len(message.get("body", b"")))
            return message

        async def sent(message: Message) -> None:
            BYTES.labels("sent").inc(len(message.get("body", b"")))
            await send(message)

        with SECONDS.time():
            await self.app(scope, received, sent)
        return None


logging.getLogger("pyfd").addHandler(Refusals())
app = Measured(service.app, 9464)


def main() -> None:
    import socket
    import urllib.request

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    service.main(Measured(service.app, port))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    print(*(line for line in lines if line.startswith("pyfd_")), sep="\n")


if __name__ == "__main__":
    main()
