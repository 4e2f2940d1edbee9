"""Goodbyes in Twisted's shutdown."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.base import _ThreePhaseEvent

from eventcast.server import daphne
from eventcast.server.daphne import shutdown
from tests.daphne.site import Site, full, on_reactor


async def shut_down(before: int) -> None:
    """Fire what has been added to the reactor's shutdown, as it does itself when it stops."""
    triggers, event, done = reactor._eventTriggers["shutdown"].before, _ThreePhaseEvent(), asyncio.Event()
    for trigger, args, kwargs in triggers[before:]:
        event.addTrigger("before", trigger, *args, **kwargs)
    del triggers[before:]
    event.addTrigger("during", done.set)
    event.fireEvent()
    await done.wait()


def triggers() -> int:
    return len(reactor._eventTriggers["shutdown"].before)


@on_reactor
async def test_at_shutdown_says_goodbye_before_daphne_has_ended_its_applications(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    before, present = triggers(), []

    def goodbye() -> list[Any]:
        present.append(subscriber.channel is not None)
        subscriber.transport.close(1001, "")
        return [subscriber.transport]

    reactor.addSystemEventTrigger("before", "shutdown", site.server.kill_all_applications)
    daphne.at_shutdown(protocol, goodbye)
    await shut_down(before)
    assert present == [True]
    assert await client.close_code() == 1001


@on_reactor
async def test_at_shutdown_waits_until_close_frames_have_left(site: Site) -> None:
    _, subscriber, protocol = await site.connect_straight()
    before = triggers()

    def goodbye() -> list[Any]:
        subscriber.transport.close(1001, "")
        return [subscriber.transport]

    daphne.at_shutdown(protocol, goodbye)
    await shut_down(before)
    assert subscriber.transport.pending == 0


@on_reactor
async def test_at_shutdown_gives_up_on_who_does_not_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "FLUSH_TIMEOUT", 0.05)
    _, subscriber, protocol = await site.connect_straight()
    before = triggers()
    daphne.at_shutdown(protocol, lambda: [subscriber.transport])
    with full(protocol):
        protocol.sendPing(b"")
        await shut_down(before)
        assert subscriber.transport.pending


@on_reactor
async def test_at_shutdown_ends_applications_that_daphne_fails_to_end(site: Site) -> None:
    # One connection without an application is enough: Daphne's own raises KeyError, and cancels nobody after it.
    await site.connect_straight()
    before, protocol = triggers(), site.listener.protocols[-1]
    half_received = object()
    site.server.connections = {half_received: {"connected": time.time()}, **site.server.connections}
    try:
        with pytest.raises(KeyError):
            site.server.kill_all_applications()
        daphne.at_shutdown(protocol, list)
        await shut_down(before)
        assert site.listener.running == 0
    finally:
        del site.server.connections[half_received]
