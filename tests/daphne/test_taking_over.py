"""Connections that are taken over from Daphne, and that nothing is lost on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from daphne.server import twisted_loop
from django.test import override_settings
from twisted.internet import reactor

from eventcast.engine.closing import OPERATOR
from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import apublish
from eventcast.engine.sending import apublish_all
from eventcast.server import daphne
from tests.daphne.client import CLOSE, PING, PONG, TEXT
from tests.daphne.site import Site, daphne_on, on_reactor
from tests.fakes import until

speaking = override_settings(EVENTCAST={"WEBSOCKET_PUBLISH": True})


def masked(payload: bytes) -> bytes:
    return bytes((0x80 | TEXT, 0x80 | len(payload))) + b"\0\0\0\0" + payload


def forgotten(site: Site) -> bool:
    """Whether Daphne has no connection any more, apart from those that its next look, once a second, removes."""
    return all("disconnected" in details for details in site.server.connections.values())


# --- WebSockets -------------------------------------------------------------------------------------------------------


@on_reactor
async def test_websocket_is_taken_over(site: Site) -> None:
    client, subscriber = await site.connect()
    await apublish_all("/a", ["text", b"\xff", "", "x" * 1_000_000])
    assert [await client.frame() for _ in range(4)] == [(1, b"text"), (2, b"\xff"), (1, b""), (1, b"x" * 1_000_000)]
    assert subscriber.transport == "websocket"


def test_websocket_on_a_unix_socket_is_taken_over(tmp_path: Path) -> None:
    @on_reactor
    async def test(site: Site) -> None:
        client, subscriber = await site.connect()
        await apublish("/a", "x")
        assert await client.frame() == (TEXT, b"x")
        assert subscriber.transport == "websocket"

    with daphne_on(f"unix:{tmp_path}/socket") as site:
        test(site)


@on_reactor
async def test_access_log_has_a_websocket_that_is_taken_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(site.server, "action_logger", lambda *entry: logged.append(entry))
    client, _ = await site.connect("/a?b=c")
    port = client.writer.get_extra_info("sockname")[1]
    client.writer.close()
    await until(lambda: len(logged) == 3)
    actions, details = ["connecting", "connected", "disconnected"], {"path": "/a", "client": f"127.0.0.1:{port}"}
    assert [(kind, action) for kind, action, _ in logged] == [("websocket", action) for action in actions]
    assert [{**found, "path": found["path"].partition("?")[0]} for _, _, found in logged] == [details] * 3
    assert len({found["path"] for _, _, found in logged}) == 1


@on_reactor
async def test_daphne_forgets_a_websocket_that_is_taken_over(site: Site) -> None:
    await site.connect()
    await until(lambda: not site.running)
    assert forgotten(site)


@on_reactor
async def test_autobahn_leaves_no_timer_behind(site: Site) -> None:
    before = set(reactor.getDelayedCalls())
    await site.connect()
    await until(lambda: not site.running)
    left = [
        call for call in set(reactor.getDelayedCalls()) - before if "autobahn" in getattr(call.func, "__module__", "")
    ]
    assert left == []


@speaking
@on_reactor
async def test_frames_in_the_packet_of_the_handshake_are_not_lost(site: Site) -> None:
    client = await site.dial()
    await client.send_handshake("/a", then=masked(b"1") + masked(b"2"))
    await client.head()
    assert [await client.frame(), await client.frame()] == [(TEXT, b"1"), (TEXT, b"2")]


@speaking
@pytest.mark.parametrize("cut", [1, 3, 7])
@on_reactor
async def test_frame_of_which_a_part_came_with_the_handshake_is_not_lost(site: Site, cut: int) -> None:
    client, frame = await site.dial(), masked(b"12")
    await client.send_handshake("/a", then=frame[:cut])
    await client.head()
    client.writer.write(frame[cut:])
    assert await client.frame() == (TEXT, b"12")


@speaking
@on_reactor
async def test_frames_sent_while_the_connection_is_taken_over_are_not_lost(site: Site) -> None:
    client = await site.dial()
    await client.send_handshake("/a")
    expected = []
    for number in range(300):
        client.writer.write(masked(b"%d" % number))
        expected.append((TEXT, b"%d" % number))
        await asyncio.sleep(0)
    await client.head()
    assert [await client.frame() for _ in expected] == expected


@on_reactor
async def test_messages_published_while_the_connection_is_taken_over_are_heard_from_one_on(site: Site) -> None:
    client = await site.dial()
    await client.send_handshake("/a")
    number = 0
    while not current_hub().subscribers() or number < 50:
        await apublish("/a", str(number))
        number += 1
        await asyncio.sleep(0)
    await apublish("/a", "end")
    await client.head()
    heard = []
    while not heard or heard[-1] != b"end":
        heard.append((await client.frame())[1])
    assert heard == [b"%d" % each for each in range(number - len(heard) + 1, number)] + [b"end"]


@on_reactor
async def test_websocket_that_is_taken_over_keeps_rfc_6455(site: Site) -> None:
    client, subscriber = await site.connect()
    client.send_frame(PING, b"p")
    assert await client.frame() == (PONG, b"p")
    subscriber.close(OPERATOR)
    assert await client.close_code() == OPERATOR.code
    client.send_frame(CLOSE, b"\x0b\xb8")
    assert await client.rest() == b""


@on_reactor
async def test_subprotocol_is_agreed_on(site: Site) -> None:
    client = await site.dial()
    await client.send_handshake("/a", "Sec-WebSocket-Protocol: eventcast.token.x, eventcast")
    assert "Sec-WebSocket-Protocol: eventcast\r\n" in await client.head()


# --- streams ----------------------------------------------------------------------------------------------------------


@on_reactor
async def test_stream_is_taken_over(site: Site) -> None:
    client, head = await site.stream()
    assert "text/event-stream" in head
    await apublish("/a", "x")
    assert (await client.reader.readuntil(b"data: x\n\n")).startswith(b"c\r\nretry: ")
    assert [type(each).__name__ for each in current_hub().subscribers()] == ["SocketStream"]
    await until(lambda: not site.running)
    assert forgotten(site)


@on_reactor
async def test_stream_ends_as_a_whole_response(site: Site) -> None:
    client, _ = await site.stream()
    await apublish("/a", "last")
    for subscriber in current_hub().subscribers():
        subscriber.close(OPERATOR)
        subscriber.leave()
    received = await client.rest()
    assert (b"data: last\n\n" in received, received.endswith(b"\r\n0\r\n\r\n")) == (True, True)


@on_reactor
async def test_stream_of_http_1_0_is_taken_over_without_chunks(site: Site) -> None:
    client, _ = await site.stream("application/x-ndjson", "1.0")
    await apublish("/a", "x")
    assert (await client.reader.readline(), b'"data":"x"' in (await client.reader.readline()).replace(b" ", b"")) == (
        b"\n",
        True,
    )


@pytest.mark.parametrize("size", [5, 10_000_000])
@on_reactor
async def test_what_twisted_has_not_sent_is_handed_on(site: Site, size: int) -> None:
    taken: list[Any] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % (size + 4))]})
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
        taken.append(daphne.take_over(site.protocols[-1]))

    client = await site.request(handler)
    with taken[0].sock as sock:
        sending = asyncio.ensure_future(twisted_loop.sock_sendall(sock, taken[0].unsent + b"rest"))
        await client.head()
        assert await client.reader.readexactly(size + 4) == b"x" * size + b"rest"
        await sending
    assert taken[0].received == b""


# --- what is not taken over -------------------------------------------------------------------------------------------


@on_reactor
async def test_connection_that_is_gone_is_not_taken_over(site: Site) -> None:
    taken: list[Any] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = site.protocols[-1]
        protocol.transport.abortConnection()
        await until(lambda: not protocol.transport.connected)
        taken.append(daphne.take_over(protocol))

    await site.request(handler)
    assert taken == [None]


def test_protocol_of_another_server_is_not_taken_over() -> None:
    assert daphne.take_over(object()) is None
