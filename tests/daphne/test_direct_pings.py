"""Pings of our own in place of Daphne's."""

from __future__ import annotations

import time
from typing import Any

import pytest

from eventcast.engine.subscribers import Subscriber
from eventcast.server.daphne import direct
from tests.daphne.client import PING, PONG, TEXT
from tests.daphne.site import Site, full, on_reactor
from tests.fakes import until


@pytest.fixture
def quick(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings every few milliseconds, and soon gives up."""
    monkeypatch.setattr(site.server, "ping_interval", 0.005)
    monkeypatch.setattr(site.server, "ping_timeout", 0.2)


@pytest.mark.usefixtures("quick")
@on_reactor
async def test_ping_is_the_same_for_everybody_and_answered_is_followed_by_the_next(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    for _ in range(3):
        assert await client.frame() == (PING, b"")
        client.send_frame(PONG)
    assert subscriber.position >= 0


@pytest.mark.usefixtures("quick")
@on_reactor
async def test_peer_that_answers_no_ping_is_cut_off(site: Site) -> None:
    client, subscriber, _ = await site.connect_straight()
    assert await client.rest() == direct.PING
    await until(lambda: subscriber.channel is None)


@pytest.mark.usefixtures("quick")
@on_reactor
async def test_daphne_sends_no_pings_beside_ours(site: Site) -> None:
    client, _, protocol = await site.connect_straight()
    client.send_frame(TEXT, b"puts Daphne's own next ping forward")
    for _ in range(3):
        assert await client.frame() == (PING, b"")
        client.send_frame(PONG)
        protocol.check_timeouts()
    assert not protocol.autoPingPending


@pytest.mark.usefixtures("quick")
@on_reactor
async def test_ping_waits_behind_what_is_pending(site: Site) -> None:
    client, subscriber, protocol = await site.connect_straight()
    with full(protocol):
        protocol.sendMessage(b"first", False)
        await until(lambda: subscriber.transport.pending == len(b"..first" + direct.PING))
    assert [await client.frame(), await client.frame()] == [(TEXT, b"first"), (PING, b"")]


@pytest.mark.usefixtures("quick")
@on_reactor
async def test_pings_go_back_to_daphne_when_the_subscriber_is_released(site: Site) -> None:
    _, subscriber, protocol = await site.connect_straight()
    subscriber.transport.release()
    assert protocol.last_ping <= time.time()
    assert "dataReceived" not in protocol.__dict__


@on_reactor
async def test_pong_never_reaches_autobahn(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client, subscriber, protocol = await site.connect_straight()
    monkeypatch.setattr(protocol, "onPong", pytest.fail)
    client.send_frame(PONG)
    await until(lambda: subscriber.transport.heard)  # type: ignore[attr-defined]


@on_reactor
async def test_unknown_insides_are_left_to_ping_for_themselves(site: Site) -> None:
    def hide(protocol: Any, subscriber: Subscriber) -> None:
        del protocol.last_ping

    site.listener.before_accept = hide
    _, subscriber = await site.connect()
    protocol = site.listener.protocols[-1]
    protocol.last_ping = time.time()  # Daphne's own check wants it
    assert "dataReceived" not in protocol.__dict__
    assert subscriber.transport._pulse is None  # type: ignore[attr-defined]
