"""Requests that RFC 9112 forbids get one whole answer of ``eventcast serve``, which ends the connection: nothing that
follows them on it is served."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.live import servers
from tests.live.conftest import Fleet, check_log
from tests.live.raw import HANDSHAKE
from tests.live.servers import Server
from tests.live.wires import Wire, publish, request

INNER = publish("/smuggled")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with short times, one for all tests here."""
    fleet = Fleet(tmp_path_factory.mktemp("refusals"))
    server = fleet.start(servers.serve, env={"EVENTCAST_HANDSHAKE_TIMEOUT": "1", "EVENTCAST_BODY_TIMEOUT": "1"})
    # Messages are counted where there is a subscriber.
    with Wire(server.port, request("GET", "/smuggled", b"", "Accept: application/x-ndjson")) as stream:
        stream.read_until(b"\r\n\r\n")
        stream.read_until(b"\n")  # The greeting: from here on it is subscribed.
        assert published(server) == 0
        with Wire(server.port, INNER) as wire:
            assert wire.answer().status == 201
        assert published(server) == 1
        yield server
    fleet.stop()


@pytest.fixture
def server(serving: Server) -> Iterator[Server]:
    yield serving
    check_log(serving)


def told(server: Server) -> dict[str, int]:
    """The refusals that the server has counted."""
    with Wire(server.port, request("GET", "/-/channels")) as wire:
        found: dict[str, int] = json.loads(wire.answer("GET").body)["refused"]
        return found


def published(server: Server) -> int:
    """How many messages came through: one, that of the fixture, if none was smuggled."""
    with Wire(server.port, request("GET", "/smuggled")) as wire:
        return int(json.loads(wire.answer("GET").body)["messages"])


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /smuggled HTTP/1.1", *lines]) + b"\r\n\r\n" + body


HOST, TEXT, CHUNKED = b"Host: localhost", b"Content-Type: text/plain", b"Transfer-Encoding: chunked"
SMUGGLED = b"0\r\n\r\n" + INNER

FORBIDDEN = {
    "two lengths": post(HOST, b"Content-Length: 5", b"Content-Length: 0", body=INNER),
    "one length twice": post(HOST, b"Content-Length: 0", b"Content-Length: 0", body=INNER),
    "a list of lengths": post(HOST, b"Content-Length: 0, 0", body=INNER),
    "a signed length": post(HOST, b"Content-Length: +0", body=INNER),
    "a negative length": post(HOST, b"Content-Length: -1", body=INNER),
    "no length": post(HOST, b"Content-Length:", body=INNER),
    "a hexadecimal length": post(HOST, b"Content-Length: 0x0", body=INNER),
    "a length beyond 64 bits": post(HOST, b"Content-Length: 18446744073709551616", body=INNER),
    "length, then chunks": post(HOST, b"Content-Length: 5", CHUNKED, body=SMUGGLED),
    "chunks, then length": post(HOST, CHUNKED, b"Content-Length: 5", body=SMUGGLED),
    "chunks twice": post(HOST, CHUNKED, CHUNKED, body=SMUGGLED),
    "chunks in HTTP/1.0": post(HOST, CHUNKED, body=SMUGGLED).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "chunks, not last": post(HOST, b"Transfer-Encoding: chunked, identity", body=SMUGGLED),
    "chunks, written oddly": post(HOST, b"Transfer-Encoding: \x0bchunked", body=SMUGGLED),
    "a folded header": post(HOST, b"X-A: 1", b" 2", TEXT, body=INNER),
    "a folded first header": post(b" Host: localhost", body=INNER),
    "a bare CR": post(HOST, b"X-A: 1\rContent-Length: 5", body=INNER),
    "a bare LF": post(HOST, b"X-A: 1\nContent-Length: 5", body=INNER),
    "bare LFs": post(HOST, TEXT, body=INNER).replace(b"\r\n", b"\n"),
    "a NUL": post(HOST, b"X-A: \0", body=INNER),
    "a space before the colon": post(HOST, b"Content-Length : 5", body=INNER),
    "a header without a name": post(HOST, b": 5", body=INNER),
    "a header without a colon": post(HOST, b"Content-Length", body=INNER),
    "no host": post(TEXT, body=INNER),
    "two hosts": post(HOST, HOST, body=INNER),
    "a host with a space": post(b"Host: local host", body=INNER),
    "a host with a slash": post(b"Host: localhost/a", body=INNER),
    "two types": post(HOST, TEXT, TEXT, body=INNER),
    "no version": b"POST /smuggled\r\n\r\n" + INNER,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER,
    "HTTP/1.2": post(HOST, body=INNER).replace(b"HTTP/1.1", b"HTTP/1.2", 1),
    "a space in the target": post(HOST, body=INNER).replace(b"/smuggled ", b"/smug gled ", 1),
    "a byte over 127 in the target": post(HOST, body=INNER).replace(b"/smuggled ", b"/\xff ", 1),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + INNER,
}
for name, chunks in {
    "no size": b"\r\n",
    "a size that is no number": b"g\r\n",
    "a size with a sign": b"+0\r\n\r\n",
    "a size with 0x": b"0x0\r\n\r\n",
    "a size with an underscore": b"0_0\r\n\r\n",
    "a space before the size": b" 0\r\n\r\n",
    "a size of 17 digits": b"00000000000000000\r\n\r\n",
    "a chunk longer than its size": b"1\r\nxx\r\n0\r\n\r\n",
    "a chunk shorter than its size": b"3\r\nx\r\n0\r\n\r\n",
    "a line that ends in LF": b"0\n\r\n",
    "a CR within the extension": b"0;a\rb\r\n\r\n",
    "a NUL within the extension": b"0;\0\r\n\r\n",
    "an extension without end": b"1;" + b"x" * 2000 + b"\r\nx\r\n0\r\n\r\n",
    "a trailer that is none": b"0\r\nnothing\r\n\r\n",
    "a trailer without end": b"0\r\n" + b"X: y\r\n" * 4000 + b"\r\n",
}.items():
    FORBIDDEN[f"chunked: {name}"] = post(HOST, TEXT, CHUNKED, body=chunks + INNER)


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_forbidden_request_gets_one_answer_and_nothing_behind_it_is_served(kind: str, server: Server) -> None:
    before = sum(told(server).values())
    with Wire(server.port, FORBIDDEN[kind]) as wire:
        answer = wire.answer()
        assert answer.status in (400, 501, 505), answer
        assert answer.error == "invalid_request"
        assert answer.closes
        assert wire.rest() == b""
    assert published(server) == 1
    assert sum(told(server).values()) == before + 1


# --- too much and too slow --------------------------------------------------------------------------------------------

TOO_LONG = {
    "one header of 40 kB": request("GET", "/a", b"", f"X-A: {'x' * 40_000}"),
    "a target of 40 kB": request("GET", f"/{'a' * 40_000}"),
    "600 headers": request("GET", "/a", b"", *(f"X-{number}: x" for number in range(600))),
    "empty lines without end": b"\r\n" * 20_000,
    "for Daphne": request("GET", "/admin/", b"", f"X-A: {'x' * 40_000}"),
}


@pytest.mark.parametrize("kind", TOO_LONG)
def test_head_that_is_too_long_is_refused(kind: str, server: Server) -> None:
    before = told(server).get("head_too_large", 0)
    with Wire(server.port, TOO_LONG[kind] + INNER) as wire:
        answer = wire.answer("GET")
        assert (answer.status, answer.error, answer.closes) == (431, "head_too_large", True)
        assert wire.rest() == b""
    assert told(server)["head_too_large"] == before + 1
    assert published(server) == 1


def test_answer_to_a_head_that_is_too_long_has_no_body_for_head(server: Server) -> None:
    with Wire(server.port, TOO_LONG["600 headers"].replace(b"GET", b"HEAD", 1)) as wire:
        assert wire.answer("HEAD").status == 431
        assert wire.rest() == b""


def test_head_of_18_kilobytes_is_read(server: Server, channel: str) -> None:
    with Wire(server.port, publish(channel, b"x", f"X-A: {'x' * 18_000}")) as wire:
        assert wire.answer().status == 202


HALF = {
    "empty line": b"\r\n",
    "head": b"GET /a HTTP/1.1\r\nHost: loc",
    "body": post(HOST, TEXT, b"Content-Length: 9", body=b"half"),
    "chunk": post(HOST, TEXT, CHUNKED, body=b"9\r\nhalf"),
    "size": post(HOST, TEXT, CHUNKED, body=b"9"),
    "handshake": b"GET /a HTTP/1.1\r\nHost: localhost\r\n" + HANDSHAKE,
    "body for Daphne": request("POST", "/admin/login/", b"a=b")[:-1],
    "second request": request("GET", "/a") + b"POST",
}


@pytest.mark.parametrize("kind", HALF)
def test_request_that_does_not_come_to_its_end_is_refused(kind: str, server: Server) -> None:
    before = told(server).get("request_timeout", 0)
    with Wire(server.port, HALF[kind]) as wire:
        if kind == "second request":
            assert wire.answer("GET").status == 200
        answer = wire.answer("GET")
        assert (answer.status, answer.error, answer.closes) == (408, "request_timeout", True)
        assert wire.rest() == b""
    assert told(server)["request_timeout"] == before + 1


# --- handshakes -------------------------------------------------------------------------------------------------------

LINES = HANDSHAKE.decode().splitlines()


def handshake(target: str, *lines: str, method: str = "GET", version: str = "1.1", without: str = "!") -> bytes:
    kept = [line for line in LINES if not line.startswith(without)]
    return request(method, target, b"", *kept, *lines, version=version)


def odd_handshakes(target: str) -> dict[str, tuple[str, int, bytes]]:
    """Methods, the statuses they get, and handshakes that are none."""
    key = "Sec-WebSocket-Key"
    body = post(HOST, *HANDSHAKE.splitlines(), b"Content-Length: 5", body=b"hello").replace(
        b"/smuggled", target.encode(), 1
    )
    return {
        "HEAD": ("HEAD", 400, handshake(target, method="HEAD")),
        "POST with a body": ("POST", 400, body),
        "GET with a body": ("GET", 400, body.replace(b"POST", b"GET", 1)),
        "GET with chunks": ("GET", 400, handshake(target, "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
        "a length without a body": ("GET", 400, handshake(target, "Content-Length: 5")),
        "no key": ("GET", 400, handshake(target, without=key)),
        "a bad key": ("GET", 400, handshake(target, f"{key}: short", without=key)),
        "version 12": ("GET", 426, handshake(target, "Sec-WebSocket-Version: 12", without="Sec-WebSocket-V")),
        "no version": ("GET", 426, handshake(target, without="Sec-WebSocket-V")),
        "HTTP/1.0": ("GET", 400, handshake(target, version="1.0")),
    }


@pytest.mark.parametrize("target", ["/a", "/admin/", "/-/subscribe?channel=/a/*"])
@pytest.mark.parametrize("kind", odd_handshakes(""))
def test_odd_handshake_gets_a_whole_answer(kind: str, target: str, server: Server) -> None:
    method, status, sent = odd_handshakes(target)[kind]
    error = "unsupported_version" if status == 426 else "invalid_handshake"
    before = told(server).get(error, 0)
    with Wire(server.port, sent + INNER) as wire:
        answer = wire.answer(method)
        assert (answer.status, answer.closes) == (status, True)
        if method != "HEAD":
            assert answer.error == error
        if status == 426:
            assert answer.headers["sec-websocket-version"] == "13"
        assert wire.rest() == b""
    assert told(server)[error] == before + 1
    assert published(server) == 1


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        (handshake("/-/nothing"), 404, "reserved_path"),
        (handshake("/admin/"), 404, "reserved_path"),
        (handshake("/-/subscribe?channel="), 400, "invalid_query"),
        (handshake(f"/{'a' * 2000}"), 414, "channel_too_long"),
        (handshake("/a", "Origin: https://evil.example"), 403, "origin_not_allowed"),
        (handshake("/a").replace(b"localhost", b"evil.example"), 400, "disallowed_host"),
    ],
)
def test_refused_handshake_gets_a_whole_answer(sent: bytes, status: int, error: str, server: Server) -> None:
    with Wire(server.port, sent) as wire:
        answer = wire.answer("GET")
        assert (answer.status, answer.error, answer.closes) == (status, error, True)
        assert wire.rest() == b""


@pytest.mark.parametrize("target", ["/a", "/admin/login/"])
def test_upgrade_without_its_connection_is_ignored(target: str, server: Server) -> None:
    with Wire(server.port, handshake(target, without="Connection")) as wire:
        assert wire.answer("GET").status == 200


@pytest.mark.parametrize("target", ["/a", "/admin/login/"])
def test_upgrade_to_something_else_is_ignored(target: str, server: Server) -> None:
    with Wire(server.port, request("GET", target, b"", "Connection: Upgrade", "Upgrade: h2c")) as wire:
        assert wire.answer("GET").status == 200
