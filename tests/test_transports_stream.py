from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from django.test import override_settings

from eventcast.engine.fanout import LocalChannel
from eventcast.engine.messages import Batch, Message
from eventcast.engine.subscribers import Subscriber
from eventcast.http import stream_transport as stream
from eventcast.http.stream_transport import StreamTransport
from tests.fakes import until


class Descriptor:
    """Twisted's transport of a connection, as far as its buffers go."""

    def __init__(self) -> None:
        self.dataBuffer = b""
        self.offset = 0
        self._tempDataLen = 0
        self.aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Reader:
    """A client that reads the stream for as long as it is let."""

    def __init__(self, transport: StreamTransport) -> None:
        self.transport = transport
        self.pieces: list[bytes] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        self.transport.open(Subscriber(self.transport))
        async for piece in self.transport:
            self.pieces.append(piece)
            await self.may_read.wait()

    async def stop(self) -> None:
        self.transport.release()
        self.may_read.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(self.task, 10)


def make(**options: Any) -> StreamTransport:
    options = {"keep_alive": b":\n\n", "keep_alive_interval": 60, **options}
    return StreamTransport("sse", lambda message: message.event, **options)


def batch(*texts: str) -> Batch:
    return Batch([Message(text) for text in texts])


async def test_stream_begins_with_its_greeting() -> None:
    reader = Reader(make(greeting=b"hello\n"))
    await until(lambda: reader.pieces == [b"hello\n"])
    await reader.stop()


async def test_messages_come_encoded_and_in_order() -> None:
    transport = make()
    reader = Reader(transport)
    await until(lambda: transport._task)
    for number in range(20):
        transport.write(batch(str(number), f"{number} too"))
        if number % 3 == 0:
            await asyncio.sleep(0)
    expected = b"".join(f"data: {number}\n\ndata: {number} too\n\n".encode() for number in range(20))
    await until(lambda: b"".join(reader.pieces) == expected)
    await reader.stop()


async def test_messages_that_piled_up_come_in_one_piece() -> None:
    transport = make()
    transport.write(batch("1"))
    transport.write(batch("2", "3"))
    reader = Reader(transport)
    await until(lambda: reader.pieces == [b"data: 1\n\ndata: 2\n\ndata: 3\n\n"])
    await reader.stop()


async def test_silence_is_broken_by_keep_alives() -> None:
    reader = Reader(make(keep_alive_interval=0.001))
    await until(lambda: reader.pieces[:3] == [b":\n\n"] * 3)
    await reader.stop()


async def test_pending_is_what_nobody_has_read() -> None:
    transport = make()
    transport.write(batch("x"))
    assert transport.pending == len(b"data: x\n\n")


async def test_pending_is_none_when_all_is_read() -> None:
    transport = make()
    reader = Reader(transport)
    transport.write(batch("x"))
    await until(lambda: reader.pieces)
    assert transport.pending == 0
    await reader.stop()


async def test_pending_includes_the_piece_the_server_is_taking() -> None:
    transport = make(greeting=b"hello\n")
    reader = Reader(transport)
    await until(lambda: reader.pieces == [b"hello\n"])
    reader.may_read.clear()
    transport.write(batch("x"))
    await until(lambda: len(reader.pieces) == 2)
    assert transport.pending == len(b"data: x\n\n")
    reader.may_read.set()
    await until(lambda: not transport.pending)
    await reader.stop()


async def test_size_is_that_of_the_stream_and_not_of_a_frame() -> None:
    lines = "\n" * 100
    assert make().size_of(batch(lines)) == len(b"data: \n" * 101 + b"\n")


async def test_bound_is_kept_in_bytes_of_the_stream() -> None:
    transport = make()
    subscriber = Subscriber(transport)
    with override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 1000, "SLOW_SUBSCRIBERS": "drop"}):
        handed = sum(subscriber.deliver(batch("\n" * 50)) for _ in range(10))
    assert transport.pending <= 1000
    assert (handed, subscriber.lost) == (2, 8)


async def test_pending_includes_what_the_server_keeps() -> None:
    descriptor = Descriptor()
    descriptor._tempDataLen = 5
    transport = make(descriptor=descriptor)
    transport.write(batch("x"))
    assert transport.pending == 5 + len(b"data: x\n\n")


async def test_nothing_is_handed_to_a_server_that_keeps_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "POLL_INTERVAL", 0.001)
    descriptor = Descriptor()
    descriptor._tempDataLen = stream.HIGH_WATER + 1
    transport = make(descriptor=descriptor)
    reader = Reader(transport)
    transport.write(batch("x"))
    for _ in range(20):
        await asyncio.sleep(0)
    before = list(reader.pieces)
    descriptor._tempDataLen = 0
    await until(lambda: reader.pieces == [b"data: x\n\n"])
    assert before == []
    await reader.stop()


async def test_release_ends_the_stream() -> None:
    transport = make()
    reader = Reader(transport)
    await until(lambda: transport._task)
    transport.release()
    await asyncio.wait_for(reader.task, 10)
    assert transport.pending == 0


async def test_write_after_the_end_is_ignored() -> None:
    transport = make()
    transport.release()
    transport.write(batch("x"))
    assert transport.pending == 0


async def test_close_of_a_server_that_goes_away_ends_the_stream_in_order() -> None:
    transport = make()
    reader = Reader(transport)
    await until(lambda: transport._task)
    transport.close(1001, "")
    await asyncio.wait_for(reader.task, 10)
    assert not reader.task.cancelled()


async def test_close_of_a_server_that_goes_away_comes_after_what_was_written() -> None:
    transport = make()
    transport.write(batch("last"))
    transport.close(1001, "")
    transport.write(batch("too late"))
    reader = Reader(transport)
    await asyncio.wait_for(reader.task, 10)
    assert reader.pieces == [b"data: last\n\n"]


async def test_close_of_a_reader_that_is_too_slow_cuts_the_connection_off() -> None:
    descriptor = Descriptor()
    transport = make(descriptor=descriptor)
    transport.close(1013, "")
    assert descriptor.aborted


async def test_close_of_a_reader_that_is_too_slow_cancels_its_task_where_there_is_no_connection() -> None:
    transport = make(greeting=b"x")
    reader = Reader(transport)
    reader.may_read.clear()
    await until(lambda: reader.pieces)
    transport.close(1013, "")
    await asyncio.wait([reader.task], timeout=10)
    assert reader.task.cancelled()


async def test_close_twice_acts_once() -> None:
    descriptor = Descriptor()
    transport = make(descriptor=descriptor)
    transport.close(1001, "")
    transport.close(1013, "")
    assert not descriptor.aborted


async def test_stream_is_never_written_to_straight() -> None:
    transport = make()
    subscriber = Subscriber(transport)
    LocalChannel("/a").add(subscriber)
    subscriber.straighten()
    assert subscriber.position == -1
