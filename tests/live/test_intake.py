"""What ``eventcast serve`` takes of a request, of those who send too much, too slowly or nothing at all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.live import servers
from tests.live.bodies import MIB
from tests.live.conftest import Connect, Fleet, Talk, check_log
from tests.live.http_client import parse_headers
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT, until

HUGE = 200 * MIB
WITHIN = 50 * MIB
TIMEOUTS = {"EVENTCAST_HANDSHAKE_TIMEOUT": "1", "EVENTCAST_BODY_TIMEOUT": "1"}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``eventcast serve`` with short time-outs, one for all tests here."""
    fleet = Fleet(tmp_path_factory.mktemp("intake"))
    yield fleet.start(servers.serve, env=TIMEOUTS)
    fleet.stop()


@pytest.fixture
def server(serving: Server) -> Iterator[Server]:
    yield serving
    check_log(serving)


class Raw(asyncio.Protocol):
    """A connection that sends what it likes, and keeps what comes, even if it is broken afterwards."""

    def __init__(self) -> None:
        self.received = b""
        self.sent = 0
        self.ended = False
        """Whether the server has closed its side."""
        self.lost = False
        self.transport: asyncio.Transport
        self._may_send = asyncio.Event()
        self._may_send.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> bool:
        self.ended = True
        return True  # It may go on sending.

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._may_send.set()

    def pause_writing(self) -> None:
        self._may_send.clear()

    def resume_writing(self) -> None:
        self._may_send.set()

    async def pour(self, piece: bytes, size: int) -> None:
        """Send pieces until so many bytes have gone, or the server hangs up."""
        while self.sent < size and not self.lost:
            self.transport.write(piece)
            self.sent += len(piece)
            # The loop gets its turn even where nothing has to be waited for: it tells of a server that has hung up.
            await asyncio.sleep(0)
            await self._may_send.wait()

    async def answer(self) -> tuple[int, str]:
        """The status and the code of a refusal."""
        await until(lambda: b"\r\n\r\n{" in self.received or self.lost, "an answer")
        head, _, body = self.received.partition(b"\r\n\r\n")
        assert int(parse_headers(head)["content-length"]) == len(body)
        return int(head.split()[1]), json.loads(body)["error"]


@pytest.fixture
async def raw(server: Server) -> AsyncIterator[Raw]:
    transport, client = await asyncio.get_running_loop().create_connection(Raw, "127.0.0.1", server.port)
    yield client
    transport.abort()


def head(*headers: str, target: str = "/a", method: str = "POST", kind: str = "text/plain") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


# --- too much ---------------------------------------------------------------------------------------------------------

TOO_LARGE, NOT_HTTP = (413, "message_too_large"), (400, "invalid_request")
KINDS = {
    "Content-Length": (TOO_LARGE, head(f"Content-Length: {HUGE}"), b"x" * MIB),
    "chunked": (TOO_LARGE, head("Transfer-Encoding: chunked"), b"100000\r\n" + b"x" * MIB + b"\r\n"),
    "to a whole URL": (TOO_LARGE, head(f"Content-Length: {HUGE}", target="http://localhost/a"), b"x" * MIB),
    "to no absolute path": (NOT_HTTP, head(f"Content-Length: {HUGE}", target="a"), b"x" * MIB),
    "to the admin": (TOO_LARGE, head(f"Content-Length: {HUGE}", target="/admin/login/"), b"x" * MIB),
    "to the admin, chunked": (
        TOO_LARGE,
        head("Transfer-Encoding: chunked", target="/admin/login/"),
        b"100000\r\n" + b"x" * MIB + b"\r\n",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_huge_body_is_neither_read_to_its_end_nor_kept(kind: str, server: Server, raw: Raw) -> None:
    before = server.memory()
    refusal, start, piece = KINDS[kind]
    raw.write(start)
    await asyncio.wait_for(raw.pour(piece, HUGE), TIMEOUT)
    assert await raw.answer() == refusal
    assert raw.sent < HUGE / 4
    assert server.memory() - before < WITHIN


async def test_body_is_refused_before_it_is_taken(raw: Raw) -> None:
    raw.write(head(f"Content-Length: {HUGE}", "Expect: 100-continue"))
    assert await raw.answer() == (413, "message_too_large")


async def test_line_in_the_log_is_short_and_printable(server: Server, raw: Raw) -> None:
    seen = len(server.log)
    raw.write(head(f"Content-Length: {HUGE}", target="/%0A%1B[2J" + "x" * 10_000))
    assert await raw.answer() == (413, "message_too_large")
    server.wait_for_log("message_too_large, POST '/.*…", since=seen)
    (line,) = server.log[seen:].splitlines()
    assert line.isprintable()
    assert len(line) < 600


async def test_body_a_little_too_large_is_answered_in_an_orderly_way(raw: Raw) -> None:
    raw.write(head(f"Content-Length: {9 * MIB}") + b"x" * 9 * MIB)
    assert await raw.answer() == (413, "message_too_large")
    assert not raw.lost


async def test_body_at_the_limit_is_read(server: Server, http: Talk) -> None:
    # And then one of its messages is found to be too large, which is another limit.
    answer = await http(server).post("/a", b"x" * 8 * MIB)
    assert "MAX_MESSAGE_SIZE" in answer.json()["detail"]


async def test_refusal_disturbs_nobody_and_is_counted(
    server: Server, raw: Raw, channel: str, connect: Connect, http: Talk
) -> None:
    listener = await connect(server, channel)
    raw.write(head(f"Content-Length: {HUGE}", target=channel))
    await raw.answer()
    await http(server).post(channel, "the next")
    assert await listener.receive() == "the next"
    assert (await http(server).request("GET", "/-/channels")).json()["refused"]["message_too_large"] >= 1


# --- not to be read ---------------------------------------------------------------------------------------------------


async def test_content_type_that_cannot_be_read_is_refused(raw: Raw) -> None:
    raw.write(head("Content-Length: 1", kind="text/plain; a*0=b; a*1=c; a*=x") + b"x")
    assert await raw.answer() == (400, "refused")


async def test_content_type_that_comes_twice_is_refused(raw: Raw) -> None:
    raw.write(head("Content-Length: 1", "Content-Type: text/html") + b"x")
    assert await raw.answer() == (400, "invalid_request")


# --- too slow ---------------------------------------------------------------------------------------------------------


async def test_connection_that_says_nothing_is_cut_off(raw: Raw) -> None:
    await until(lambda: raw.ended or raw.lost)
    assert raw.received == b""


DRIPPING = {
    "head": (b"GET /a HTTP/1.1\r\n", b"X: y\r\n"),
    "handshake": (head("Upgrade: websocket", "Connection: Upgrade", method="GET")[:-2], b"X: y\r\n"),
    "body": (head("Content-Length: 1000"), b"x"),
    "chunked body": (head("Transfer-Encoding: chunked"), b"1\r\nx\r\n"),
}


async def test_requests_that_drip_are_refused(server: Server) -> None:
    loop, began = asyncio.get_running_loop(), time.monotonic()

    async def drip(start: bytes, piece: bytes) -> tuple[int, str]:
        _, client = await loop.create_connection(Raw, "127.0.0.1", server.port)
        client.write(start)
        answer = asyncio.ensure_future(client.answer())
        while not answer.done():
            client.write(piece)
            await asyncio.wait([answer], timeout=0.2)
        client.transport.abort()
        return await answer

    answers = await asyncio.gather(*(drip(*parts) for parts in DRIPPING.values()))
    assert dict(zip(DRIPPING, answers, strict=True)) == dict.fromkeys(DRIPPING, (408, "request_timeout"))
    assert time.monotonic() - began < 10


async def test_second_request_of_a_connection_has_its_own_time(raw: Raw) -> None:
    raw.write(head("Content-Length: 1") + b"x")
    await until(lambda: raw.received.endswith(b"}"))
    raw.received = b""
    raw.write(b"GET /a HTTP/1.1\r\n")
    assert await raw.answer() == (408, "request_timeout")


async def test_slow_body_that_moves_is_taken(raw: Raw) -> None:
    # Two seconds where the time-out is one, at 10 kB/s.
    raw.write(head("Content-Length: 20000"))
    for _ in range(20):
        raw.write(b"x" * 1000)
        await asyncio.sleep(0.1)
    await until(lambda: b" 202 " in raw.received)


async def test_handshakes_left_half_open_are_gone_after_a_while(server: Server, connect: Connect, http: Talk) -> None:
    half = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(200)]
    for _, writer in half:
        writer.write(b"GET /a HTTP/1.1\r\nUpgrade: websocket\r\n")
    listener = await connect(server, "/a")
    answers = await asyncio.gather(*(asyncio.wait_for(reader.read(), TIMEOUT) for reader, _ in half))
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)
    await http(server).post("/a", "hello")
    assert await listener.receive() == "hello"
    for _, writer in half:
        writer.transport.abort()
