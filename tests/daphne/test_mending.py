"""What Daphne's own ``send`` lacks arrives all the same."""

from __future__ import annotations

import struct

import pytest

from eventcast.server import daphne
from tests.daphne.client import CLOSE, TEXT
from tests.daphne.site import Site, full, on_reactor
from tests.fakes import until


@pytest.mark.usefixtures("changed_insides")
@on_reactor
async def test_empty_messages_arrive_through_asgi_too(site: Site) -> None:
    # Daphne's own send() leaves them out.
    client, _ = await site.connect()
    site.listener.publish("a", "", b"", "b")
    assert [await client.frame() for _ in range(4)] == [(TEXT, b"a"), (TEXT, b""), (2, b""), (TEXT, b"b")]


@pytest.mark.usefixtures("changed_insides")
@on_reactor
async def test_close_code_of_a_server_arrives_through_asgi_too(site: Site) -> None:
    # autobahn raises for it, and the client would be told 1011.
    client, subscriber = await site.connect()
    subscriber.transport.close(1013, "too slow")
    assert await client.frame() == (CLOSE, struct.pack("!H", 1013) + b"too slow")


@pytest.mark.usefixtures("changed_insides")
@on_reactor
async def test_what_twisted_keeps_is_pending_through_asgi_too(site: Site) -> None:
    _, subscriber = await site.connect()
    await until(lambda: not subscriber.transport.pending)
    with full(site.listener.protocols[-1]):
        site.listener.publish("x" * 5000)
        await until(lambda: not subscriber.transport._queued)  # type: ignore[attr-defined]
        assert subscriber.transport.pending == 5004


def test_gauge_of_unknown_insides_reads_nothing() -> None:
    assert daphne.gauge(object())() == 0
