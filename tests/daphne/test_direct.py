"""Frames straight to the socket, in order and whole, whatever else Twisted writes to it."""

from __future__ import annotations

import asyncio

from eventcast.engine.messages import Message
from tests.daphne.client import PING, PONG, TEXT
from tests.daphne.site import Site, full, on_reactor
from tests.fakes import until


@on_reactor
async def test_transport_of_a_plain_connection_is_direct(site: Site) -> None:
    _, subscriber = await site.connect()
    assert subscriber.transport.name == "direct"


@on_reactor
async def test_subscriber_becomes_straight_when_the_handshake_has_left(site: Site) -> None:
    _, subscriber, _ = await site.connect_straight()
    assert subscriber.position == 0


@on_reactor
async def test_message_arrives_as_one_frame(site: Site) -> None:
    client, _, _ = await site.connect_straight()
    site.listener.publish("张三")
    assert await client.frame() == (TEXT, "张三".encode())


@on_reactor
async def test_messages_of_all_sizes_arrive_whole(site: Site) -> None:
    client, _, _ = await site.connect_straight()
    for size in (0, 125, 126, 65535, 65536, 1024 * 1024):
        site.listener.publish(b"\xff" * size)
        assert await client.frame() == (2, b"\xff" * size)


@on_reactor
async def test_straight_write_leaves_twisted_alone(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    protocol.transport.write = None  # would raise
    site.listener.publish("x")
    assert await client.frame() == (TEXT, b"x")
    del protocol.transport.write
    assert subscriber.position >= 0


@on_reactor
async def test_rest_of_a_short_write_arrives_in_order(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    big = [bytes((number,)) * 900_000 for number in range(10)]
    for data in big:
        subscriber.channel.publish([Message(data)])  # type: ignore[union-attr]
        subscriber.channel.advance(float("inf"))  # type: ignore[union-attr]
        await client.frame() if data is big[0] else None
        if subscriber.channel is None or subscriber.transport.pending:
            break
    held, pending = subscriber.position, subscriber.transport.pending
    site.listener.publish("last")
    received = []
    while (frame := await client.frame()) != (TEXT, b"last"):
        received.append(frame)
    assert (held, pending > 0) == (-1, True)
    assert received == [(2, data) for data in big[1 : len(received) + 1]]


@on_reactor
async def test_subscriber_becomes_straight_again_when_all_has_left(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    with full(protocol):
        protocol.sendPing(b"")
        assert subscriber.position == -1
    assert await client.frame() == (PING, b"")
    await until(lambda: subscriber.position >= 0)


@on_reactor
async def test_message_waits_behind_what_the_protocol_has_written(site: Site) -> None:
    client, _, protocol = await site.connect_straight()
    with full(protocol):
        protocol.sendPing(b"first")
        site.listener.publish("second")
        protocol.sendPing(b"third")
        site.listener.publish("fourth")
    assert [await client.frame() for _ in range(4)] == [
        (PING, b"first"),
        (TEXT, b"second"),
        (PING, b"third"),
        (TEXT, b"fourth"),
    ]


@on_reactor
async def test_pong_goes_between_frames(site: Site) -> None:
    client, _, _ = await site.connect_straight()
    for number in range(20):
        client.send_frame(PING, b"x")
        site.listener.publish(str(number))
        await asyncio.sleep(0)
    frames = [await client.frame() for _ in range(40)]
    assert [payload for opcode, payload in frames if opcode == TEXT] == [str(number).encode() for number in range(20)]
    assert frames.count((PONG, b"x")) == 20


@on_reactor
async def test_pending_is_what_twisted_keeps(site: Site) -> None:
    _, subscriber, protocol = await site.connect_straight()
    with full(protocol):
        site.listener.publish("x" * 100)  # leaves straight
        protocol.sendPing(b"")
        site.listener.publish("x" * 100)
        assert subscriber.transport.pending == 2 + 102


@on_reactor
async def test_fast_publishing_with_slow_reading_breaks_no_frame(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    numbers = iter(range(1_000_000))
    sent, received = [], []

    async def publish() -> None:
        for _ in range(300):
            number = next(numbers)
            site.listener.publish(f"{number} " + "x" * (number * 7919 % 20_000))
            sent.append(number)
            if number % 20 == 0:
                protocol.sendPing(b"")
            if number % 10 == 0:
                await asyncio.sleep(0)

    publishing = asyncio.create_task(publish())
    while len(received) < 300:
        opcode, payload = await client.frame()
        if opcode == TEXT:
            received.append(int(payload.split()[0]))
    await publishing
    assert received == sent
    assert subscriber.lost == 0
