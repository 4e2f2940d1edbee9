"""What comes from a peer: nothing is taken for what it is not, and nothing grows without bound."""

from __future__ import annotations

import asyncio
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings

from eventcast.server.daphne import direct, overhearing
from tests.daphne.client import PING, PONG
from tests.daphne.site import Site, full, on_reactor
from tests.fakes import until


@pytest.mark.parametrize("size", [1, 2, 6, 7, 11, 19])
@on_reactor
async def test_bytes_that_look_like_a_pong_in_the_midst_of_a_frame_belong_to_the_frame(site: Site, size: int) -> None:
    heard: list[Any] = []
    client, subscriber, protocol = await site.connect_straight()
    protocol.onMessage = lambda payload, binary: heard.append(payload)
    pong = bytes((0x80 | PONG, 0x80)) + b"\0\0\0\0"
    frame = bytes((0x82, 0x80 | 18)) + b"\0\0\0\0" + 3 * pong
    transport: Any = subscriber.transport
    for at in range(0, len(frame), size):
        transport.heard = False
        client.writer.write(frame[at : at + size])
        await until(lambda: transport.heard)
    await until(lambda: heard)
    assert heard == [3 * pong]
    del protocol.onMessage


@on_reactor
async def test_message_in_very_many_fragments_is_kept_in_few_pieces_and_arrives_whole(site: Site) -> None:
    heard: list[Any] = []
    client, _, protocol = await site.connect_straight()
    protocol.onMessage = lambda payload, binary: heard.append(payload)
    client.writer.write(b"\x02\x80\0\0\0\0")
    for count in (1, 2, 3):
        client.writer.write(b"\x00\x82\0\0\0\0ab" * direct.MAX_PIECES)
        await until(
            lambda count=count: getattr(protocol, "message_data_total_length", 0) == 2 * count * direct.MAX_PIECES
        )
        assert len(protocol.message_data) <= direct.MAX_PIECES
    client.writer.write(b"\x80\x80\0\0\0\0")
    await until(lambda: heard)
    assert heard == [b"ab" * 3 * direct.MAX_PIECES]
    del protocol.onMessage


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 1000, "MAX_MESSAGE_SIZE": 1000})
@on_reactor
async def test_peer_that_pings_and_does_not_read_the_answers_is_cut_off(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    with full(protocol):
        while subscriber.transport.pending <= 2000 and protocol.transport.connected:
            client.send_frame(PING, b"x" * 125)
            await asyncio.sleep(0)
        await until(lambda: not site.listener.running)


@on_reactor
async def test_control_frame_that_goes_on_for_ever_is_cut_off(site: Site) -> None:
    client, _, _ = await site.connect_straight()
    client.writer.write(b"\x89\xff" + struct.pack("!Q", 2**31) + b"\0\0\0\0")
    await until(lambda: not site.listener.running)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x01x", 1002),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x82\xff" + struct.pack("!Q", 2**31) + b"\0\0\0\0", 1009),
    ],
)
@on_reactor
async def test_who_breaks_the_rules_is_told_which(site: Site, frame: bytes, code: int) -> None:
    client, _, _ = await site.connect_straight()
    client.writer.write(frame)
    assert await client.close_code() == code


# --- who only listens -------------------------------------------------------------------------------------------------


class Counter:
    """Counts what it is told, up to a bound."""

    def __init__(self, frames: int = 1000) -> None:
        self.limit = frames
        self.frames = self.bytes = 0

    def __call__(self, frames: int, size: int) -> bool:
        self.frames += frames
        self.bytes += size
        return self.frames <= self.limit


@on_reactor
async def test_unfinished_message_of_a_listener_is_counted_and_not_kept(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    counter = Counter()
    assert subscriber.transport.count_inbound(lambda: counter)
    client.writer.write(b"\x02\x82\0\0\0\0ab" + b"\x00\xff" + struct.pack("!Q", 100_000) + b"\0\0\0\0" + b"x" * 99_999)
    await until(lambda: counter.bytes == 2 + 99_999)
    assert (counter.frames, protocol.message_data, protocol.frame_data) == (1, [], [])


@on_reactor
async def test_empty_fragments_of_a_listener_are_counted_as_they_come(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    counter = Counter()
    subscriber.transport.count_inbound(lambda: counter)
    client.writer.write(b"\x02\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 500)
    await until(lambda: counter.frames == 501)


@on_reactor
async def test_text_whose_beginning_is_gone_does_not_trouble_anybody(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    counter = Counter()
    subscriber.transport.count_inbound(lambda: counter)
    text = "张".encode()
    client.writer.write(b"\x01\x81\0\0\0\0" + text[:1])
    await until(lambda: counter.frames == 1)
    client.writer.write(b"\x80\x82\0\0\0\0" + text[1:])
    await until(lambda: counter.frames == 2)
    assert protocol.state == protocol.STATE_OPEN


@on_reactor
async def test_control_frames_of_a_listener_are_not_counted(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    counter = Counter()
    subscriber.transport.count_inbound(lambda: counter)
    client.writer.write(b"\x89\x83\0\0\0\0abc" * 100 + b"\x82\x81\0\0\0\0a")
    await until(lambda: counter.frames)
    assert (counter.frames, counter.bytes) == (1, 1)


def test_listener_that_has_said_too_much_is_read_a_little_and_no_more() -> None:
    class Protocol:
        def __init__(self) -> None:
            self.read = b""
            self.trafficStats = SimpleNamespace(incomingWebSocketFrames=1, incomingOctetsWebSocketLevel=0)

        def dataReceived(self, data: bytes) -> None:
            self.read += data

    protocol = Protocol()
    overhearing.Overhearing(protocol, Counter(frames=0)).go_on()
    for _ in range(3):
        protocol.dataReceived(b"x" * (overhearing.LATE // 2))
    assert len(protocol.read) == overhearing.LATE
