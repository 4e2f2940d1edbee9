"""Goodbyes in Twisted's shutdown."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Iterator

import pytest
from daphne.server import twisted_loop
from django.test import override_settings
from twisted.internet import reactor
from twisted.internet.base import _ThreePhaseEvent

from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import apublish
from eventcast.server import daphne
from tests.daphne.site import Site, on_reactor

by_asgi = override_settings(EVENTCAST={"TRANSPORT": "asgi"})


@pytest.fixture(autouse=True)
def unregistered(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub of which Daphne knows nothing, before and after the test."""
    monkeypatch.setattr(daphne, "_registered", weakref.WeakSet())
    yield
    twisted_loop.run_until_complete(go_on())


async def go_on() -> None:
    """Let clients in again, for the tests after this one."""
    current_hub().stopping = False


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
async def test_taken_connections_are_told_goodbye(site: Site) -> None:
    before = triggers()
    (client, _), (stream, _) = await site.connect("/a"), await site.stream()
    await shut_down(before)
    assert await client.close_code() == 1001
    assert (await stream.rest()).endswith(b"0\r\n\r\n")


@by_asgi
@on_reactor
async def test_connections_of_the_asgi_road_are_told_goodbye(site: Site) -> None:
    before = triggers()
    client, _ = await site.connect("/a")
    reactor.addSystemEventTrigger("before", "shutdown", site.server.kill_all_applications)
    await shut_down(before)
    assert await client.close_code() == 1001


@on_reactor
async def test_shutdown_is_asked_for_once_however_many_connections_there_are(site: Site) -> None:
    before = triggers()
    for _ in range(3):
        await site.connect("/a")
    assert triggers() == before + 1
    await shut_down(before)


@on_reactor
async def test_shutdown_waits_until_close_frames_have_left(site: Site) -> None:
    before = triggers()
    _, subscriber = await site.connect("/a")
    await shut_down(before)
    assert subscriber.pending == 0


@on_reactor
async def test_shutdown_gives_up_on_a_client_that_does_not_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daphne, "FLUSH_TIMEOUT", 0.05)
    before = triggers()
    client, subscriber = await site.connect("/a")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    while not subscriber.pending:
        await apublish("/a", "x" * 500_000)
    await shut_down(before)
    assert subscriber.pending > 0


@by_asgi
@on_reactor
async def test_shutdown_ends_applications_that_daphne_fails_to_end(site: Site) -> None:
    # One connection without an application is enough: Daphne's own raises KeyError, and cancels none after it.
    before = triggers()
    await site.connect("/a")
    half_received = object()
    site.server.connections = {half_received: {"connected": time.time()}, **site.server.connections}
    try:
        with pytest.raises(KeyError):
            site.server.kill_all_applications()
        await shut_down(before)
        assert site.running == 0
    finally:
        del site.server.connections[half_received]
