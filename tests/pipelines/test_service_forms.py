"""examples/service.py: forms, the answer about its health, and the log of refusals."""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from python_multipart.multipart import MultipartParser

from examples import service
from tests.attacks import extreme_values
from tests.jpegs import encode_with_pillow, picture
from tests.pipelines.test_service import Server, defended, head, serving, upload

PHOTO = encode_with_pillow(picture(40, 30))
KIND = "multipart/form-data; boundary=x"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("forms") / "log") as found:
        yield found


def post(server: Server, body: bytes, kind: str = KIND) -> tuple[int, dict]:
    answer = upload(server, body, **{"Content-Type": kind})
    return answer.status, json.loads(answer.body) if answer.status != 200 else {}


def part(header: bytes, content: bytes) -> bytes:
    return b"--x\r\n" + header + b"\r\n\r\n" + content + b"\r\n"


FILE = part(b'Content-Disposition: form-data; name="f"; filename="a.jpg"', PHOTO)
FIELD = part(b'Content-Disposition: form-data; name="token"', b"a text")
EMPTY = part(b'Content-Disposition: form-data; name="second"; filename=""', b"")


# ---- forms as clients make them -----------------------------------------------


@pytest.mark.parametrize("name", ["a.jpg", 'a"b.jpg', "ä\n.jpg", "../../etc/passwd", "a; b.jpg"])
def test_a_form_of_a_client(server, name):
    address = "http://{}:{}/".format(*server.address)
    answer = httpx.post(
        address,
        data={"token": "a text", "empty": ""},
        files={"photo": (name, PHOTO, "image/jpeg")},
    )
    assert (answer.status_code, answer.content) == (200, defended(PHOTO))


WAYS = {
    "alone": (FILE + b"--x--\r\n", KIND),
    "without the last line's end": (FILE + b"--x--", KIND),
    "quoted boundary": (FILE + b"--x--", 'Multipart/Form-Data; charset=utf-8; Boundary="x"'),
    "a parameter after it": (FILE + b"--x--", "multipart/form-data;boundary=x ; charset=utf-8"),
    "fields around it": (FIELD + FILE + FIELD + b"--x--", KIND),
    "an input that was left empty": (EMPTY + FILE + b"--x--", KIND),
    "an epilogue": (FILE + b"--x--\r\nand more", KIND),
    "most parts": (FIELD * (service.PARTS - 1) + FILE + b"--x--", KIND),
    "header in small letters": (
        part(b"Content-Type: image/jpeg\r\ncontent-disposition:form-data;filename=a", PHOTO)
        + b"--x--",
        KIND,
    ),
    "only an extended name": (
        part(b"Content-Disposition: form-data; filename*=utf-8''a", PHOTO) + b"--x--",
        KIND,
    ),
}


@pytest.mark.parametrize(("body", "kind"), WAYS.values(), ids=WAYS)
def test_forms_that_are_taken(server, body, kind):
    answer = upload(server, body, **{"Content-Type": kind})
    assert (answer.status, answer.body) == (200, defended(PHOTO))


BAD = {
    "no boundary": (FILE + b"--x--", "multipart/form-data", "no boundary"),
    "an empty boundary": (FILE + b"--x--", 'multipart/form-data; boundary=""', "no boundary"),
    "a long boundary": (FILE, "multipart/form-data; boundary=" + "x" * 71, "no boundary"),
    "another boundary": (FILE + b"--x--", "multipart/form-data; boundary=y", "damaged"),
    "two files": (FILE + FILE + b"--x--", KIND, "2 files"),
    "two files of one field": (FILE + FIELD + FILE + b"--x--", KIND, "2 files"),
    "fields alone": (FIELD * 3 + b"--x--", KIND, "no bytes"),
    "no part": (b"--x--", KIND, "no bytes"),
    "nothing": (b"", KIND, "damaged"),
    "an empty file": (EMPTY + b"--x--", KIND, "no bytes"),
    "thousands of parts": (FIELD * 10_000 + FILE + b"--x--", KIND, "more than 16 parts"),
    "empty parts": (b"--x\r\n\r\n\r\n" * 500_000, KIND, "more than 16 parts"),
    "an endless header": (b"--x\r\n" + b"A" * 4_000_000, KIND, "damaged"),
    "a long header": (part(b"A: " + b"b" * 5000, b"") + FILE + b"--x--", KIND, "damaged"),
    "endless headers": (b"--x\r\n" + b"A: b\r\n" * 500_000 + FILE[3:], KIND, "damaged"),
    "no blank line": (b"--x\r\nContent-Disposition: form-data; filename=a\r\n--x--", KIND, "dam"),
    "a part in a header": (b"--x\r\nA: b\r\n" + FILE + b"--x--", KIND, "damaged"),
    "cut in the file": (FILE[:-50], KIND, "damaged"),
    "cut in the last line": (FILE + b"--x", KIND, "damaged"),
    "nearly boundaries": (FILE[:80] + b"\r\n--X" * 1_500_000, KIND, "damaged"),
    "a preamble": (b"hello\r\n" + FILE + b"--x--", KIND, "damaged"),
    "bare line feeds": (FILE.replace(b"\r\n", b"\n") + b"--x--", KIND, "damaged"),
    "only a photograph": (PHOTO, KIND, "damaged"),
    "a form in a form": (
        part(b"Content-Type: multipart/mixed; boundary=y", b"--y" + FILE[3:] + b"--y--")
        + b"--x--",
        KIND,
        "no bytes",
    ),
    "another multipart type": (FILE + b"--x--", "multipart/mixed", "no boundary"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "says"), BAD.values(), ids=BAD)
def test_forms_that_are_refused(server, body, kind, says):
    status, answer = post(server, body, kind)
    assert (status, answer["error"]) == (400, "UploadError")
    assert says in answer["message"]


def test_files_in_forms_are_refused_like_others(server):
    start = part(b"Content-Disposition: form-data; filename=a", b"")[:-2]
    for content, error in [(b"hello", 415), (PHOTO[:200], 422)]:
        assert post(server, start + content + b"\r\n--x--")[0] == error
    whole = start + PHOTO + b"\r\n--x--"
    room = service.LIMITS.max_bytes - len(whole)  # the lines of a form count, too
    grown = [start + PHOTO + bytes(room + more) + b"\r\n--x--" for more in (0, 1)]
    assert [post(server, body)[0] for body in grown] == [200, 413]
    assert post(server, grown[1])[1]["limit"] == "max_bytes"


def test_a_form_is_not_copied():
    form = bytearray(FIELD + FILE + b"--x--")
    assert service.file_of(form, KIND).obj is form


# ---- against the parser that Starlette uses ----------------------------------------

PIECES = [b"\r", b"\n", b"-", b"x", b"\r\n", b"\r\n-", b"\r\n--", b"y"]
CONTENT = st.lists(st.sampled_from(PIECES)).map(b"".join)


def parsed(form: bytes, boundary: str) -> list[bytes]:
    found: list[bytearray] = []
    callbacks = {
        "on_part_begin": lambda: found.append(bytearray()),
        "on_part_data": lambda data, start, end: found[-1].extend(data[start:end]),
    }
    parser = MultipartParser(boundary, callbacks)
    parser.write(form)
    parser.finalize()
    return [bytes(content) for content in found]


@given(st.lists(st.tuples(st.booleans(), CONTENT), min_size=1, max_size=5), st.integers(0))
def test_the_parts_are_the_same(parts, number):
    boundary = f"z{number}"
    written = bytearray()
    for is_file, content in parts:
        name = b'; filename="a"' if is_file else b""
        written += f"--{boundary}\r\nContent-Disposition: form-data".encode() + name
        written += b"\r\n\r\n" + content + b"\r\n"
    written += f"--{boundary}--\r\n".encode()
    found = [bytes(content) for _, content in service.parts_of(written, boundary.encode())]
    assert found == [content for _, content in parts] == parsed(bytes(written), boundary)
    kind = f"multipart/form-data; boundary={boundary}"
    files = [content for is_file, content in parts if is_file and content]
    if len(files) > 1:
        with pytest.raises(service.UploadError):
            service.file_of(written, kind)
    else:
        assert bytes(service.file_of(written, kind)) == b"".join(files)


ANY = [FILE, FIELD, b"--x", b"--", b"\r\n", b"\r\n\r\n", PHOTO[:9], b"filename="]


@given(st.lists(st.sampled_from(ANY)).map(b"".join))
def test_any_body_is_taken_or_refused(body):
    """What is taken is a part that the other parser finds, too."""
    with contextlib.suppress(service.UploadError):
        file = bytes(service.file_of(bytearray(body), KIND))
        assert not file or file in parsed(body, "x")


# ---- health -------------------------------------------------------------------------


def test_health(server):
    answer = upload(server, None, "GET", "/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert upload(server, None, "HEAD", "/healthz").status == 200
    assert upload(server, b"x", "POST", "/healthz").status == 405


def test_health_while_all_places_are_taken(tmp_path):
    """Also while uploads wait; others are turned away."""
    settings = "service.PLACES = service.QUEUE = 1"
    with serving(tmp_path / "log", settings) as full, contextlib.ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(full.connect())
            connection.sendall(head(9) + b"x")
            time.sleep(0.2)
        assert upload(full, b"x").status == 503
        for _ in range(20):
            assert upload(full, None, "GET", "/healthz").status == 200


# ---- the log ------------------------------------------------------------------------


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client of the service in this process, where its log can be seen."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = uvicorn.Server(uvicorn.Config(service.app, log_config=None))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url="http://{}:{}".format(*listener.getsockname())) as made:
                yield made
        finally:
            running.should_exit = True
            thread.join()


def test_a_refusal_is_one_record(client, caplog, monkeypatch):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(service, "ANSWER", 2000)
    refused = {
        b"": ("UploadError", None),
        b"hello": ("UnsupportedJPEGError", None),
        PHOTO[:300]: ("CorruptJPEGError", None),
        b"\xff\xd8" + bytes(8 << 20): ("LimitExceededError", "max_bytes"),
        extreme_values(): ("LimitExceededError", "answer"),
    }
    for body, (error, limit) in refused.items():
        caplog.clear()
        answer = client.post("/", content=body).json()
        (record,) = caplog.records
        assert (record.name, record.levelname, record.source) == ("pyfd", "WARNING", "service")
        assert (record.error, record.limit) == (error, limit)
        for key in ("error", "limit", "allowed", "needed"):
            assert answer[key] == getattr(record, key)
        assert answer["message"] in record.getMessage()
    caplog.clear()
    assert client.post("/", content=encode_with_pillow(picture(9, 9))).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/nowhere").status_code == 404
    assert caplog.records == []


def test_nothing_is_printed_for_a_refusal(server):
    """Uvicorn's own lines are the only ones, unless the operator asks for the others."""
    assert post(server, b"hello")[0] == 400
    lines = server.log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("INFO: ")] == []
