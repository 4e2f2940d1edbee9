"""A stream that is the body of a response, as under every server but our own: order, bounds, and how it ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import AsyncRequestFactory, override_settings

from eventcast.engine import subscribers
from eventcast.engine.closing import GOING_AWAY, TOO_SLOW
from eventcast.engine.encoders import Batch
from eventcast.engine.fanout import JOIN_LIMIT, LocalChannel
from eventcast.engine.hub import current_hub
from eventcast.engine.messages import Message
from eventcast.http import streams
from eventcast.http.formats import FORMATS, NDJSON, SSE
from eventcast.http.streams import ResponseStream, Stream
from eventcast.security.authorization.permits import Permit
from tests.fakes import until
from tests.test_streams import Reader as Client


class Reader:
    """A server that takes the stream, piece by piece, for as long as it is let."""

    def __init__(self, kind: str = SSE) -> None:
        self.pieces: list[bytes] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.answer = Stream(AsyncRequestFactory().get("/a"), "/a", FORMATS[kind], Permit())
        self.stream: Any = None
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        self.stream = ResponseStream(self.answer)
        LocalChannel("/a").add(self.stream)
        async for piece in self.stream:
            self.pieces.append(piece)
            await self.may_read.wait()

    async def begin(self) -> ResponseStream:
        await until(lambda: self.stream)
        stream: ResponseStream = self.stream
        return stream

    async def end(self) -> bytes:
        """End the stream as a server that stops does; all that was read."""
        self.may_read.set()
        self.stream.close(GOING_AWAY)
        await asyncio.wait_for(self.task, 10)
        return b"".join(self.pieces)


def batch(*texts: str) -> Batch:
    return Batch([Message(text) for text in texts])


async def test_messages_come_encoded_and_in_order() -> None:
    reader = Reader()
    stream = await reader.begin()
    for number in range(20):
        stream.write(batch(str(number), f"{number} too"))
        if number % 3 == 0:
            await asyncio.sleep(0)
    assert await reader.end() == b"".join(f"data: {n}\n\ndata: {n} too\n\n".encode() for n in range(20))


async def test_messages_that_piled_up_come_in_one_piece() -> None:
    reader = Reader()
    stream = await reader.begin()
    stream.write(batch("1"))
    stream.write(batch("2", "3"))
    await until(lambda: reader.pieces == [b"data: 1\n\ndata: 2\n\ndata: 3\n\n"])
    await reader.end()


@pytest.mark.parametrize(("kind", "line"), [(SSE, b":\n"), (NDJSON, b"\n")])
async def test_silence_is_broken_by_lines_without_meaning(
    kind: str, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE", 0.001)
    reader = Reader(kind)
    await until(lambda: reader.pieces[:3] == [line] * 3)
    await reader.end()


async def test_pending_includes_the_piece_that_the_server_is_taking() -> None:
    reader = Reader()
    reader.may_read.clear()
    stream = await reader.begin()
    stream.write(batch("x"))
    await until(lambda: reader.pieces)
    stream.write(batch("y"))
    assert stream.pending == len(b"data: x\n\ndata: y\n\n")
    await reader.end()


async def test_pending_is_none_when_all_is_read() -> None:
    reader = Reader()
    stream = await reader.begin()
    stream.write(batch("x"))
    await until(lambda: reader.pieces and not stream.pending)
    assert await reader.end() == b"data: x\n\n"


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 1000, "SLOW_SUBSCRIBERS": "drop"})
async def test_bound_is_kept_in_bytes_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0)
    reader = Reader()
    stream = await reader.begin()
    # 50 bytes of a message are 362 bytes of an event, and what is over the bound is noticed with the next batch.
    for _ in range(5):
        stream.deliver(batch("\n" * 50))
    assert stream.lost == 2
    await reader.end()


async def test_end_of_a_server_that_stops_comes_after_what_was_written() -> None:
    reader = Reader()
    stream = await reader.begin()
    stream.write(batch("last"))
    stream.close(GOING_AWAY)
    assert await reader.end() == b"data: last\n\n"


async def test_reader_that_is_too_slow_is_cut_off_in_the_middle() -> None:
    reader = Reader()
    reader.may_read.clear()
    stream = await reader.begin()
    stream.write(batch("x"))
    await until(lambda: reader.pieces)
    stream.close(TOO_SLOW)
    await asyncio.wait([reader.task], timeout=10)
    assert (reader.task.cancelled(), stream.pending) == (True, 0)


async def test_close_twice_acts_once() -> None:
    reader = Reader()
    stream = await reader.begin()
    stream.close(GOING_AWAY)
    stream.close(TOO_SLOW)
    await asyncio.wait([reader.task], timeout=10)
    assert not reader.task.cancelled()


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is left to Python's garbage collector."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_client_that_leaves_while_the_first_piece_is_sent_is_counted_out() -> None:
    reader, sending = Client(SSE, ASGIHandler()), asyncio.Event()

    async def wait(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.body":
            sending.set()
            await asyncio.Event().wait()

    reader.on_send = wait
    reader.inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    reader.start()
    await sending.wait()
    await reader.leave()
    await until(lambda: not current_hub().channels)


async def test_large_message_is_handed_over_in_parts() -> None:
    reader = Reader()
    stream = await reader.begin()
    stream.write(batch("x" * 1_000_000, "y"))
    await until(lambda: not stream.pending)
    assert max(map(len, reader.pieces)) <= JOIN_LIMIT
    assert await reader.end() == b"data: " + b"x" * 1_000_000 + b"\n\ndata: y\n\n"


async def test_stream_goes_on_where_it_was_cancelled() -> None:
    answer = Stream(AsyncRequestFactory().get("/a"), "/a", FORMATS[SSE], Permit())
    stream = ResponseStream(answer)
    LocalChannel("/a").add(stream)
    stream.write(batch("x" * 1_000_000))
    stream.write(batch("y"))
    first = aiter(stream)
    found = [await anext(first), await anext(first)]
    await first.aclose()  # type: ignore[attr-defined]
    stream.close(GOING_AWAY)
    found += [piece async for piece in stream]
    assert b"".join(found) == b"data: " + b"x" * 1_000_000 + b"\n\ndata: y\n\n"
