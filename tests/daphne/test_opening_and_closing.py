"""What is written before the handshake is over, with a close frame, and to who is gone."""

from __future__ import annotations

import gc
import os
import socket
import struct
from typing import Any

import pytest

from eventcast.engine.subscribers import Subscriber
from tests.daphne.client import CLOSE, PING, TEXT
from tests.daphne.site import Site, full, on_reactor
from tests.fakes import until


@on_reactor
async def test_message_before_the_end_of_the_handshake_comes_after_it(site: Site) -> None:
    site.listener.before_accept = lambda protocol, subscriber: site.listener.publish("early", "bird")
    client, _ = await site.connect()
    site.listener.publish("late")
    assert [await client.frame() for _ in range(3)] == [(TEXT, b"early"), (TEXT, b"bird"), (TEXT, b"late")]


@on_reactor
async def test_message_while_the_handshake_is_still_in_the_buffer_comes_after_it(site: Site) -> None:
    site.listener.after_open = lambda: site.listener.publish("at once")
    client, _ = await site.connect()  # reads the handshake's answer as what comes first
    assert await client.frame() == (TEXT, b"at once")


@on_reactor
async def test_message_before_the_end_of_the_handshake_is_pending(site: Site) -> None:
    pending = []

    def look(protocol: Any, subscriber: Subscriber) -> None:
        site.listener.publish("early")
        pending.append(subscriber.transport.pending)

    site.listener.before_accept = look
    await site.connect()
    assert pending == [7]


@on_reactor
@pytest.mark.parametrize("code", [1001, 1013])
async def test_close_sends_code_and_reason(site: Site, code: int) -> None:
    client, subscriber, _ = await site.connect_straight()
    subscriber.transport.close(code, "why 为何")
    assert await client.frame() == (CLOSE, struct.pack("!H", code) + "why 为何".encode())


@on_reactor
async def test_close_cuts_a_reason_to_what_a_frame_holds(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    subscriber.transport.close(1001, "x" * 500)
    assert await client.frame() == (CLOSE, struct.pack("!H", 1001) + b"x" * 123)


@on_reactor
async def test_close_twice_sends_one_frame(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    subscriber.transport.close(1001, "")
    subscriber.transport.close(1013, "")
    assert await client.close_code() == 1001
    client.send_frame(CLOSE, struct.pack("!H", 1001))
    assert await client.rest() == b""


@on_reactor
async def test_close_before_the_end_of_the_handshake_comes_after_it(site: Site) -> None:
    site.listener.before_accept = lambda protocol, subscriber: subscriber.transport.close(1013, "")
    client, _ = await site.connect()
    assert await client.close_code() == 1013


@on_reactor
async def test_close_comes_after_what_is_pending(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    with full(protocol):
        protocol.sendPing(b"")
        site.listener.publish("x")
        subscriber.transport.close(1013, "")
    assert [await client.frame(), await client.frame(), await client.close_code()] == [(PING, b""), (TEXT, b"x"), 1013]


@on_reactor
async def test_nothing_is_written_after_a_close_frame(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    subscriber.transport.close(1001, "")
    site.listener.publish("x")
    await client.close_code()
    site.listener.publish("x")
    client.send_frame(CLOSE, struct.pack("!H", 1001))
    assert await client.rest() == b""


@on_reactor
async def test_nothing_is_written_after_the_peers_close_frame_is_answered(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    client.send_frame(CLOSE, struct.pack("!H", 1000))
    assert await client.close_code() == 1000
    site.listener.publish("x")
    assert await client.rest() == b""
    await until(lambda: subscriber.channel is None)


@on_reactor
async def test_message_after_the_peers_close_frame_does_not_count_as_delivered(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    client.send_frame(CLOSE, struct.pack("!H", 1000))
    await client.close_code()
    site.listener.publish("x")
    assert (site.listener.channel.delivered, site.listener.channel.lost, subscriber.channel) == (0, 0, None)


@on_reactor
async def test_close_of_a_peer_that_does_not_answer_ends_in_a_reset(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    protocol.closeHandshakeTimeout = 0.01
    subscriber.transport.close(1001, "")
    await client.close_code()
    assert await client.rest() == b""
    await until(lambda: not site.listener.running)


@on_reactor
async def test_aborted_connection_leaves_the_loop_at_once(site: Site) -> None:
    _, subscriber, protocol = await site.connect_straight()
    protocol.transport.abortConnection()
    assert subscriber.channel is None


@on_reactor
async def test_connection_that_is_hung_up_is_not_written_to(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    protocol.transport.loseConnection()
    site.listener.publish("x")
    assert await client.rest() == b""
    assert subscriber.channel is None


@on_reactor
async def test_reset_connection_leaves_the_loop(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    client.reset()
    await until(lambda: subscriber.channel is None)


@on_reactor
async def test_write_to_a_reset_connection_disturbs_nobody(site: Site) -> None:
    gone, subscriber, _ = await site.connect_straight()
    client, _, _ = await site.connect_straight()
    end = gone.writer.get_extra_info("socket").dup()
    with end:
        gone.reset()  # the duplicate keeps it open: Daphne does not know yet
        end.shutdown(socket.SHUT_RDWR)
    for _ in range(3):
        site.listener.publish("x")
    assert [await client.frame() for _ in range(3)] == [(TEXT, b"x")] * 3
    await until(lambda: subscriber.channel is None)


@on_reactor
async def test_send_of_a_connection_that_is_gone_reaches_no_stranger(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    number, send = protocol.transport.fileno(), subscriber.transport.send
    client.reset()
    await until(lambda: not site.listener.running)
    here, there = socket.socketpair()
    with here, there:
        taken = number in (here.fileno(), there.fileno()) or os.dup2(here.fileno(), number)
        try:
            with pytest.raises(OSError, match="Bad file descriptor"):
                send(b"x")  # type: ignore[misc]
        finally:
            if taken is not True:
                os.close(number)


@on_reactor
async def test_release_gives_twisted_its_methods_back(site: Site) -> None:
    client, _, protocol = await site.connect_straight()
    descriptor = protocol.transport
    client.reset()
    await until(lambda: not site.listener.running)
    assert not {"startWriting", "stopWriting"} & set(vars(descriptor))


@on_reactor
async def test_gone_connection_is_no_garbage_for_the_collector(site: Site) -> None:
    """A reference cycle per connection would keep its memory until the next full collection."""
    import weakref

    client, subscriber, _ = await site.connect_straight()
    finalizer = weakref.finalize(subscriber.transport, lambda: None)
    client.reset()
    await until(lambda: not site.listener.running)
    site.listener.subscribers.clear()
    gc.disable()
    try:
        del subscriber
        await until(lambda: not finalizer.alive)
    finally:
        gc.enable()
