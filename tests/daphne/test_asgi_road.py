"""Connections of Daphne that are not taken over: they are served by plain ASGI, without Daphne's faults."""

from __future__ import annotations

import ssl
import zlib
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from eventcast.engine.closing import OPERATOR, TOO_SLOW
from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import apublish
from eventcast.engine.sending import apublish_all
from tests.daphne.certificates import certificate
from tests.daphne.client import TEXT, Client
from tests.daphne.site import Site, daphne_on, on_reactor
from tests.fakes import until
from tests.peers import masked

by_asgi = override_settings(EVENTCAST={"TRANSPORT": "asgi"})


@by_asgi
@on_reactor
async def test_setting_leaves_a_websocket_to_asgi(site: Site) -> None:
    client, subscriber = await site.connect()
    await apublish("/a", "x")
    assert await client.frame() == (TEXT, b"x")
    assert (subscriber.transport, site.running) == ("asgi", 1)


@by_asgi
@on_reactor
async def test_setting_leaves_a_stream_to_asgi(site: Site) -> None:
    client, _ = await site.stream()
    await apublish("/a", "x")
    await client.reader.readuntil(b"data: x\n\n")
    assert [type(each).__name__ for each in current_hub().subscribers()] == ["ResponseStream"]


@pytest.mark.usefixtures("changed_insides")
@on_reactor
async def test_changed_insides_leave_connections_to_asgi(site: Site) -> None:
    client, subscriber = await site.connect()
    stream, _ = await site.stream()
    await apublish("/a", "x")
    assert await client.frame() == (TEXT, b"x")
    await stream.reader.readuntil(b"data: x\n\n")
    assert subscriber.transport == "asgi"


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted's
def test_tls_is_left_to_asgi(tmp_path: Path) -> None:
    @on_reactor
    async def test(site: Site) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client, subscriber = await site.connect(ssl=context)
        await apublish("/a", "x" * 100_000)
        assert await client.frame() == (TEXT, b"x" * 100_000)
        assert subscriber.transport == "asgi"
        subscriber.close(TOO_SLOW)
        assert await client.close_code() == 1013

    cert, key = certificate(tmp_path)
    with daphne_on(f"ssl:port=0:interface=127.0.0.1:privateKey={key}:certKey={cert}") as site:
        test(site)


def read_early(site: Site, **options: Any) -> None:
    @on_reactor
    async def test(site: Site) -> None:
        with override_settings(EVENTCAST={"TRANSPORT": "asgi", "WEBSOCKET_PUBLISH": True}):
            client, frame = await site.dial(**options), masked(TEXT, b"2")
            await client.send_handshake("/a", then=masked(TEXT, b"1") + frame[:3])
            await client.head()
            client.writer.write(frame[3:])
            assert [await client.frame(), await client.frame()] == [(TEXT, b"1"), (TEXT, b"2")]

    test(site)


def test_frames_in_the_packet_of_the_handshake_are_not_lost(site: Site) -> None:
    read_early(site)


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted's
def test_frames_in_the_packet_of_the_handshake_are_not_lost_behind_tls(tmp_path: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    cert, key = certificate(tmp_path)
    with daphne_on(f"ssl:port=0:interface=127.0.0.1:privateKey={key}:certKey={cert}") as site:
        read_early(site, ssl=context)


@by_asgi
@on_reactor
async def test_compression_is_left_to_autobahn(site: Site) -> None:
    from autobahn.websocket.compress import PerMessageDeflateOfferAccept

    factory = site.server.ws_factory
    factory.setProtocolOptions(perMessageCompressionAccept=lambda offers: PerMessageDeflateOfferAccept(offers[0]))
    try:
        client, subscriber = await site.connect("/a", "Sec-WebSocket-Extensions: permessage-deflate")
    finally:
        factory.setProtocolOptions(perMessageCompressionAccept=lambda offers: None)
    await apublish_all("/a", ["x" * 100, "y"])
    inflate, received = zlib.decompressobj(-15), []
    for _ in range(2):
        head = await client.reader.readexactly(2)
        assert head[0] == 0xC1
        received.append(inflate.decompress(await client.reader.readexactly(head[1]) + b"\0\0\xff\xff"))
    assert (received, subscriber.transport) == ([b"x" * 100, b"y"], "asgi")


@by_asgi
@on_reactor
async def test_empty_messages_arrive(site: Site) -> None:
    client, _ = await site.connect()
    await apublish_all("/a", ["", b"", "x"])
    assert [await client.frame() for _ in range(3)] == [(1, b""), (2, b""), (1, b"x")]


@by_asgi
@pytest.mark.parametrize("closing", [OPERATOR, TOO_SLOW])
@on_reactor
async def test_close_code_and_reason_arrive(site: Site, closing: type(OPERATOR)) -> None:  # type: ignore[valid-type]
    client, subscriber = await site.connect()
    subscriber.close(closing)
    _, payload = await client.frame()
    assert payload == closing.code.to_bytes(2, "big") + closing.reason.encode()


async def fill(site: Site) -> None:
    """Publish until the only client, which reads nothing, is closed."""
    (subscriber,) = current_hub().subscribers()
    while not subscriber.closed:
        await apublish("/a", "x" * 50_000)
    await until(lambda: not site.running)


@override_settings(EVENTCAST={"TRANSPORT": "asgi", "SUBSCRIBER_BUFFER": 200_000})
@on_reactor
async def test_websocket_that_reads_nothing_is_closed(site: Site) -> None:
    client, _ = await site.connect()
    paused(client)
    await fill(site)


@override_settings(EVENTCAST={"TRANSPORT": "asgi", "SUBSCRIBER_BUFFER": 200_000})
@on_reactor
async def test_stream_that_reads_nothing_is_cut_off(site: Site) -> None:
    client, _ = await site.stream()
    paused(client)
    await fill(site)


def paused(client: Client) -> None:
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
