"""What is behind Daphne's ``send``, tried out on real connections: a change of Daphne, Twisted or autobahn fails here.

Daphne listens in this process, on its own event loop, where these tests run as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import socket
import ssl
import struct
import time
import zlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from daphne.server import Server, twisted_loop
from django.test import override_settings
from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.base import _ThreePhaseEvent
from twisted.internet.tcp import Connection as TwistedConnection

from eventcast.fanout import LocalChannel
from eventcast.messages import Message
from eventcast.subscribers import Subscriber
from eventcast.transports import daphne, for_websocket
from tests.fakes import TIMEOUT, frames_in, until

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def on_reactor(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on the event loop of Twisted's reactor, which is nobody else's."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        twisted_loop.run_until_complete(asyncio.wait_for(test(*args, **kwargs), 3 * TIMEOUT))

    return run


class Listener:
    """The ASGI application: whoever connects listens to one channel."""

    def __init__(self) -> None:
        self.channel = LocalChannel("/a")
        self.protocols: list[Any] = []
        self.subscribers: list[Subscriber] = []
        self.running = 0
        self.before_accept: Callable[[Any, Subscriber], None] | None = None
        self.after_open: Callable[[], None] = lambda: None
        self.wrap: Callable[[Any], Any] = lambda send: send

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.running += 1
        try:
            await self.serve(scope, receive, self.wrap(send))
        finally:
            self.running -= 1

    async def serve(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = daphne.find_protocol(send, scope["client"])
        assert protocol is not None
        self.protocols.append(protocol)
        await receive()
        subscriber = Subscriber(for_websocket(send, protocol))
        self.subscribers.append(subscriber)
        self.channel.add(subscriber)
        try:
            if self.before_accept is not None:
                self.before_accept(protocol, subscriber)
            await send({"type": "websocket.accept"})
            subscriber.transport.open(subscriber)
            self.after_open()
            while (await receive())["type"] != "websocket.disconnect":
                pass
        except asyncio.CancelledError:
            if not subscriber.transport.closed:
                raise
            await subscriber.transport.finish()
        finally:
            subscriber.leave()
            subscriber.transport.release()

    def publish(self, *data: str | bytes) -> None:
        """Write messages to everybody, at once."""
        self.channel.publish([Message(item) for item in data])
        assert self.channel.advance(float("inf"))


class Client:
    """A WebSocket client that hides nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send_handshake(self, target: str, *headers: str) -> None:
        lines = [
            f"GET {target} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *headers,
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await self.writer.drain()

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload."""
        head = await self.reader.readexactly(2)
        size = head[1]
        if size == 126:
            head += await self.reader.readexactly(2)
            size = int.from_bytes(head[2:], "big")
        elif size == 127:
            head += await self.reader.readexactly(8)
            size = int.from_bytes(head[2:], "big")
        ((opcode, payload),) = frames_in(head + await self.reader.readexactly(size))
        return opcode, payload

    async def close_code(self) -> int:
        """The code of a close frame that comes next."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE
        (code,) = struct.unpack_from("!H", payload)
        return int(code)

    async def rest(self) -> bytes:
        """All that comes until the connection is over."""
        received = b""
        with contextlib.suppress(ConnectionResetError):  # autobahn ends a closing handshake with one
            while data := await self.reader.read(65536):
                received += data
        return received

    def send_frame(self, opcode: int, payload: bytes = b"") -> None:
        self.writer.write(bytes((0x80 | opcode, 0x80 | len(payload))) + b"\0\0\0\0" + payload)

    def reset(self) -> None:
        """Vanish without a word."""
        if self.writer.is_closing():
            return
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class StartedServer(Server):  # type: ignore[misc]
    """A Daphne that does all that run() does, but run the reactor."""

    port: Any = None

    def __init__(self, application: Any, endpoint: str) -> None:
        super().__init__(application, endpoints=[endpoint], signal_handlers=False)
        self.abort_start = True
        self.run()

    def listen_success(self, port: Any) -> None:
        self.port = port


class Site:
    """A Daphne in this process, and its clients."""

    def __init__(self, endpoint: str) -> None:
        self.server = StartedServer(self.application, endpoint)
        self.listener = Listener()
        self.port = self.server.port
        self.clients: list[Client] = []

    async def application(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.listener(scope, receive, send)

    async def dial(self, **options: Any) -> Client:
        """A client that is connected, and has said nothing yet."""
        address = self.port.getHost()
        if hasattr(address, "port"):
            streams = await asyncio.open_connection("127.0.0.1", address.port, **options)
        else:
            streams = await asyncio.open_unix_connection(address.name)
        client = Client(*streams)
        self.clients.append(client)
        return client

    async def connect(self, target: str = "/a", *headers: str, **options: Any) -> tuple[Client, Subscriber]:
        """A client whose handshake is over, and its subscriber."""
        client = await self.dial(**options)
        await client.send_handshake(target, *headers)
        assert " 101 " in await client.head()
        return client, self.listener.subscribers[-1]

    async def connect_straight(self, **options: Any) -> tuple[Client, Subscriber, Any]:
        """A client that is written to straight, its subscriber and its protocol."""
        client, subscriber = await self.connect(**options)
        await until(lambda: subscriber.position >= 0)
        return client, subscriber, self.listener.protocols[-1]

    async def hang_up(self) -> None:
        for client in self.clients:
            client.reset()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()
        self.clients.clear()
        await until(lambda: not self.listener.running)
        self.listener = Listener()

    async def stop(self) -> None:
        await self.hang_up()
        with contextlib.suppress(KeyError):  # Daphne's own, for a request that is being upgraded
            self.server.kill_all_applications()
        await self.port.stopListening().asFuture(twisted_loop)


@contextlib.contextmanager
def daphne_on(endpoint: str) -> Iterator[Site]:
    before = set(reactor.getDelayedCalls())
    site = Site(endpoint)
    asyncio.set_event_loop(None)  # run() has set the reactor's
    try:
        yield site
    finally:
        twisted_loop.run_until_complete(site.stop())
        for call in set(reactor.getDelayedCalls()) - before:
            call.cancel()


@pytest.fixture(scope="module")
def tcp_site() -> Iterator[Site]:
    with daphne_on("tcp:port=0:interface=127.0.0.1") as site:
        yield site


@pytest.fixture
def site(tcp_site: Site) -> Iterator[Site]:
    yield tcp_site
    twisted_loop.run_until_complete(tcp_site.hang_up())


def descriptor_of(protocol: Any) -> Any:
    return protocol.transport


@contextlib.contextmanager
def full(protocol: Any) -> Iterator[None]:
    """Twisted may not write to its socket meanwhile, as if it were full."""
    descriptor = descriptor_of(protocol)
    descriptor.doWrite = lambda: None
    try:
        yield
    finally:
        del descriptor.doWrite


# --- the shape of what is relied on -----------------------------------------------------------------------------------


def test_problems_finds_none_in_what_is_installed() -> None:
    assert daphne.problems.__wrapped__() == ()


@pytest.mark.parametrize("name", ["sendCloseFrame", "STATE_OPEN", "handle_reply"])
def test_problems_tells_what_the_protocol_lacks(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from daphne.ws_protocol import WebSocketProtocol

    owner = next(base for base in WebSocketProtocol.__mro__ if name in vars(base))
    monkeypatch.delattr(owner, name)
    assert name in " ".join(daphne.problems.__wrapped__())


@pytest.mark.parametrize("name", ["startWriting", "stopWriting"])
def test_problems_tells_of_a_connection_with_a_method_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(TwistedConnection, name, lambda self: None)
    assert name in " ".join(daphne.problems.__wrapped__())


def test_problems_tells_of_a_write_that_does_not_announce_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileDescriptor, "write", lambda self, data: self._tempDataBuffer.append(data))
    assert "startWriting" in " ".join(daphne.problems.__wrapped__())


def test_problems_tells_of_a_buffer_with_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FileDescriptor, "dataBuffer")
    assert "dataBuffer" in " ".join(daphne.problems.__wrapped__())


def test_problems_tells_what_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "daphne.ws_protocol", None)
    assert "daphne.ws_protocol" in " ".join(daphne.problems.__wrapped__())


def test_versions_names_all_three() -> None:
    assert [part.split()[0] for part in daphne.versions().split(", ")] == ["daphne", "twisted", "autobahn"]


class Recorded(TwistedConnection):
    """One end of a socket pair, which notes its calls of what ``DirectTransport`` hides."""

    def __init__(self, end: socket.socket, protocol: Any) -> None:
        super().__init__(end, protocol, reactor)
        self.connected = 1
        self.calls: list[str] = []

    def startWriting(self) -> None:
        self.calls.append("start")

    def stopWriting(self) -> None:
        self.calls.append("stop")


class Receiver:
    def connectionLost(self, reason: Any) -> None: ...


@pytest.fixture
def pair() -> Iterator[tuple[Recorded, socket.socket]]:
    here, there = socket.socketpair()
    yield Recorded(here, Receiver()), there
    here.close()
    there.close()


def test_twisted_starts_writing_when_its_buffer_gets_something(pair: tuple[Recorded, socket.socket]) -> None:
    pair[0].write(b"x")
    assert pair[0].calls == ["start"]


def test_twisted_stops_writing_when_its_buffer_is_empty(pair: tuple[Recorded, socket.socket]) -> None:
    connection, peer = pair
    connection.write(b"x")
    connection.doWrite()
    assert (connection.calls, peer.recv(9)) == (["start", "stop"], b"x")


def test_twisted_goes_on_writing_while_its_buffer_holds_something(pair: tuple[Recorded, socket.socket]) -> None:
    connection, _ = pair
    connection.write(b"x" * 10_000_000)
    connection.doWrite()
    assert connection.calls == ["start"]
    assert 0 < len(connection.dataBuffer) - connection.offset + connection._tempDataLen < 10_000_000


def test_twisted_stops_writing_when_a_connection_is_aborted(pair: tuple[Recorded, socket.socket]) -> None:
    connection, _ = pair
    connection.write(b"x")
    connection.abortConnection()
    for call in reactor.getDelayedCalls():
        if call.func == connection.connectionLost:
            call.cancel()
    assert connection.calls == ["start", "stop"]
    assert connection._aborting


def test_twisted_stops_writing_when_a_connection_is_lost(pair: tuple[Recorded, socket.socket]) -> None:
    from twisted.internet.error import ConnectionLost
    from twisted.python.failure import Failure

    connection, _ = pair
    connection.connectionLost(Failure(ConnectionLost()))
    assert (connection.calls, connection.connected) == (["stop"], 0)


def test_twisted_stops_writing_before_it_closes_the_socket(pair: tuple[Recorded, socket.socket]) -> None:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    connection, _ = pair
    open_at_stop = []
    connection.stopWriting = lambda: open_at_stop.append(connection.socket.fileno() >= 0)  # type: ignore[method-assign]
    connection.connectionLost(Failure(ConnectionDone()))
    assert open_at_stop == [True]


def test_twisted_starts_writing_to_hang_up_in_order(pair: tuple[Recorded, socket.socket]) -> None:
    connection, _ = pair
    connection.loseConnection()
    assert (connection.calls, connection.disconnecting) == (["start"], 1)


# --- straight to the socket -------------------------------------------------------------------------------------------


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
    descriptor_of(protocol).write = None  # would raise
    site.listener.publish("x")
    assert await client.frame() == (TEXT, b"x")
    del descriptor_of(protocol).write
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


# --- pings ------------------------------------------------------------------------------------------------------------


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
    assert await client.rest() == daphne.PING
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
        await until(lambda: subscriber.transport.pending == len(b"..first" + daphne.PING))
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
        client.writer.write(b"\x00\x82\0\0\0\0ab" * daphne.MAX_PIECES)
        await until(
            lambda count=count: getattr(protocol, "message_data_total_length", 0) == 2 * count * daphne.MAX_PIECES
        )
        assert len(protocol.message_data) <= daphne.MAX_PIECES
    client.writer.write(b"\x80\x80\0\0\0\0")
    await until(lambda: heard)
    assert heard == [b"ab" * 3 * daphne.MAX_PIECES]
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


# --- before and after ------------------------------------------------------------------------------------------------


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


# --- finding the protocol ---------------------------------------------------------------------------------------------


def through_partial(send: Any) -> Any:
    return functools.partial(send)


def through_partial_argument(send: Any) -> Any:
    async def call(inner: Any, event: Any) -> None:
        await inner(event)

    return functools.partial(call, send)


def through_closure(send: Any) -> Any:
    async def call(event: Any) -> None:
        await send(event)

    return call


def through_method(send: Any) -> Any:
    class Wrapper:
        def __init__(self) -> None:
            self.inner = send

        async def call(self, event: Any) -> None:
            await self.inner(event)

    return Wrapper().call


def through_object(send: Any) -> Any:
    class Wrapper:
        def __init__(self) -> None:
            self.inner = send
            self.other = 5

        async def __call__(self, event: Any) -> None:
            await self.inner(event)

    return Wrapper()


def through_empty_cell(send: Any) -> Any:
    async def call(event: Any) -> None:
        if event is None:
            return unset
        await send(event)

    if send is None:
        unset = 1
    return call


def through_many_layers(send: Any) -> Any:
    for _ in range(5):
        send = through_method(through_closure(through_partial(send)))
    return send


def through_a_circle(send: Any) -> Any:
    class Wrapper:
        def __init__(self) -> None:
            self.myself = self
            self.inner = send

        async def __call__(self, event: Any) -> None:
            await self.inner(event)

    return Wrapper()


WRAPPERS = [
    through_partial,
    through_partial_argument,
    through_closure,
    through_method,
    through_object,
    through_empty_cell,
    through_many_layers,
    through_a_circle,
]


@pytest.mark.parametrize("wrap", WRAPPERS, ids=lambda wrap: wrap.__name__)
@on_reactor
async def test_protocol_is_found_behind_a_wrapper(site: Site, wrap: Any) -> None:
    site.listener.wrap = wrap
    client, _, _ = await site.connect_straight()
    site.listener.publish("x")
    assert await client.frame() == (TEXT, b"x")


@pytest.mark.django_db(transaction=True)
@on_reactor
async def test_protocol_is_found_behind_the_auth_middleware_stack_of_channels(site: Site) -> None:
    from channels.auth import AuthMiddlewareStack

    listener, found = site.listener, []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        found.append(daphne.find_protocol(send, scope["client"]))
        await listener(scope, receive, send)

    site.listener = AuthMiddlewareStack(application)
    try:
        client = await site.dial()
        await client.send_handshake("/a")
        assert " 101 " in await client.head()
    finally:
        site.listener = listener
    assert found == listener.protocols
    assert found[0] is not None


@on_reactor
async def test_protocol_of_another_connection_is_not_taken(site: Site) -> None:
    """A middleware may hold the ``send`` of an earlier connection, and come to it before this one's."""
    others: list[Any] = []
    found: list[Any] = []
    listener = site.listener

    async def application(scope: Any, receive: Any, send: Any) -> None:
        others.append(send)

        async def tee(event: Any, first: Any = None) -> None:
            await others[0](event)
            await send(event)

        wrapped = functools.partial(tee, first=None)
        wrapped = functools.partial(wrapped, others[0]) if len(others) > 1 else send
        found.append(daphne.find_protocol(wrapped, scope["client"]))
        await listener(scope, receive, send)

    site.listener = application  # type: ignore[assignment]
    try:
        for _ in range(2):
            client = await site.dial()
            await client.send_handshake("/a")
            await client.head()
    finally:
        site.listener = listener
    assert found[0] is listener.protocols[0]
    assert found[1] in (None, listener.protocols[1])


@pytest.mark.parametrize(
    "send",
    [None, print, functools.partial(print), lambda event: None, object(), through_closure(print)],
    ids=["None", "builtin", "partial", "lambda", "object", "closure"],
)
def test_protocol_of_another_server_is_none(send: Any) -> None:
    assert daphne.find_protocol(send, ["192.0.2.1", 5]) is None


def test_search_for_the_protocol_gives_up_in_a_maze() -> None:
    class Room:
        def __init__(self, depth: int) -> None:
            self.doors = [Room(depth - 1) for _ in range(3)] if depth else []
            for number, door in enumerate(self.doors):
                setattr(self, f"door{number}", door)

        def __call__(self) -> None: ...

    assert daphne.find_protocol(Room(6), None) is None


def test_protocol_is_not_looked_for_where_daphne_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "daphne.server")
    assert daphne.find_protocol(print, None) is None


# --- the handshake ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/a", "//a/b", "/a;b", "/a%2Fb?c=d", "/%E5%BC%A0", "/a?", "/..//./a", "/%FF"])
@on_reactor
async def test_request_target_is_what_the_client_sent(site: Site, target: str) -> None:
    await site.connect(target)
    assert daphne.request_target(site.listener.protocols[-1]) == target.encode()


def test_request_target_of_an_unknown_protocol_is_none() -> None:
    assert daphne.request_target(object()) is None


@on_reactor
async def test_peer_is_the_other_end_of_the_connection(site: Site) -> None:
    await site.connect("/a")
    assert daphne.peer_of(site.listener.protocols[-1]) == "127.0.0.1"


def test_peer_of_an_unknown_protocol_is_none() -> None:
    assert daphne.peer_of(object()) is None


@pytest.mark.parametrize(("status", "code"), [(414, "channel_too_long"), (503, "layer_unavailable")])
@on_reactor
async def test_refuse_answers_with_status_and_code(site: Site, status: int, code: str) -> None:
    refused = []

    def refuse(protocol: Any, subscriber: Subscriber) -> None:
        refused.extend(daphne.refuse(protocol, status, code, {"Retry-After": "7"}) for _ in range(2))
        raise asyncio.CancelledError

    site.listener.before_accept = refuse
    client = await site.dial()
    await client.send_handshake("/a")
    assert await client.head() == f"HTTP/1.1 {status} {code}\r\nRetry-After: 7\r\n\r\n"
    assert refused == [True, False]


@on_reactor
async def test_refuse_does_nothing_after_the_handshake(site: Site) -> None:
    await site.connect_straight()
    assert not daphne.refuse(site.listener.protocols[-1], 404, "x", {})


# --- other kinds of connection ----------------------------------------------------------------------------------------


def test_unix_socket_is_written_to_straight(tmp_path: Path) -> None:
    @on_reactor
    async def test(site: Site) -> None:
        client, subscriber, _ = await site.connect_straight()
        site.listener.publish("x")
        assert await client.frame() == (TEXT, b"x")
        assert subscriber.transport.name == "direct"

    with daphne_on(f"unix:{tmp_path}/socket") as site:
        test(site)


def certificate(directory: Path) -> tuple[Path, Path]:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (directory / "cert").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory / "cert", directory / "key"


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted's
def test_tls_goes_through_twisted(tmp_path: Path) -> None:
    @on_reactor
    async def test(site: Site) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client, subscriber = await site.connect(ssl=context)
        site.listener.publish("x" * 100_000)
        assert await client.frame() == (TEXT, b"x" * 100_000)
        assert (subscriber.transport.name, subscriber.position) == ("twisted", -1)
        subscriber.transport.close(1013, "")
        assert await client.close_code() == 1013

    cert, key = certificate(tmp_path)
    with daphne_on(f"ssl:port=0:interface=127.0.0.1:privateKey={key}:certKey={cert}") as site:
        test(site)


@on_reactor
async def test_compression_goes_through_autobahn(site: Site) -> None:
    from autobahn.websocket.compress import PerMessageDeflateOfferAccept

    factory = site.server.ws_factory
    factory.setProtocolOptions(perMessageCompressionAccept=lambda offers: PerMessageDeflateOfferAccept(offers[0]))
    try:
        client, subscriber = await site.connect("/a", "Sec-WebSocket-Extensions: permessage-deflate")
    finally:
        factory.setProtocolOptions(perMessageCompressionAccept=lambda offers: None)
    site.listener.publish("x" * 100, "y")
    inflate, received = zlib.decompressobj(-15), []
    for _ in range(2):
        head = await client.reader.readexactly(2)
        assert head[0] == 0xC1
        received.append(inflate.decompress(await client.reader.readexactly(head[1]) + b"\0\0\xff\xff"))
    assert received == [b"x" * 100, b"y"]
    assert subscriber.position == -1


@on_reactor
async def test_wrapped_protocol_without_a_socket_is_left_to_asgi(site: Site) -> None:
    await site.connect()
    protocol = site.listener.protocols[-1]
    transport, protocol.transport = protocol.transport, object()
    try:
        assert daphne.transport_for(protocol) is None
    finally:
        protocol.transport = transport


@on_reactor
async def test_connection_that_is_gone_already_is_left_to_asgi(site: Site) -> None:
    client, _ = await site.connect()
    client.reset()
    await until(lambda: not site.listener.running)
    assert daphne.transport_for(site.listener.protocols[-1]) is None


@on_reactor
async def test_changed_insides_are_left_to_asgi(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daphne, "problems", lambda: ("a problem",))
    client, subscriber = await site.connect()
    site.listener.publish("x")
    assert await client.frame() == (TEXT, b"x")
    assert subscriber.transport.name == "asgi"


@on_reactor
async def test_empty_messages_arrive_through_asgi_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # Daphne's own send() leaves them out.
    monkeypatch.setattr(daphne, "problems", lambda: ("a problem",))
    client, _ = await site.connect()
    site.listener.publish("a", "", b"", "b")
    assert [await client.frame() for _ in range(4)] == [(TEXT, b"a"), (TEXT, b""), (2, b""), (TEXT, b"b")]


@on_reactor
async def test_close_code_of_a_server_arrives_through_asgi_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # autobahn raises for it, and the client would be told 1011.
    monkeypatch.setattr(daphne, "problems", lambda: ("a problem",))
    client, subscriber = await site.connect()
    subscriber.transport.close(1013, "too slow")
    assert await client.frame() == (CLOSE, struct.pack("!H", 1013) + b"too slow")


@on_reactor
async def test_what_twisted_keeps_is_pending_through_asgi_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daphne, "problems", lambda: ("a problem",))
    _, subscriber = await site.connect()
    await until(lambda: not subscriber.transport.pending)
    with full(site.listener.protocols[-1]):
        site.listener.publish("x" * 5000)
        await until(lambda: not subscriber.transport._queued)  # type: ignore[attr-defined]
        assert subscriber.transport.pending == 5004


def test_gauge_of_unknown_insides_reads_nothing() -> None:
    assert daphne.gauge(object())() == 0


# --- requests ---------------------------------------------------------------------------------------------------------

Handler = Callable[[dict[str, Any], Any, Any], Coroutine[Any, Any, None]]


async def request(site: Site, handler: Handler, *headers: str) -> Client:
    """A client whose request has come to the handler, which has answered or not."""
    done = asyncio.Event()

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            await handler(scope, receive, send)
        finally:
            done.set()

    listener, site.listener = site.listener, application  # type: ignore[assignment]
    try:
        client = await site.dial()
        client.writer.write("\r\n".join(["GET /a HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
        await asyncio.wait_for(done.wait(), TIMEOUT)
    finally:
        site.listener = listener
    return client


@pytest.mark.parametrize("noted", [True, False])
@on_reactor
async def test_descriptor_of_a_request_is_that_of_its_connection(site: Site, noted: bool) -> None:
    found: list[Any] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if noted:  # as EventcastRouter does
            scope["eventcast.protocol"] = daphne.find_protocol(send, scope["client"])
        found.append(daphne.descriptor_of(daphne.find_request(scope)))

    await site.connect()  # there are others
    client = await request(site, handler)
    assert found[0].getPeer().port == client.writer.get_extra_info("sockname")[1]


@on_reactor
async def test_descriptor_of_a_request_is_never_a_strangers_whatever_address_a_client_claims(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # daphne --proxy-headers: the address in the scope is what the client says.
    monkeypatch.setattr(site.server, "proxy_forwarded_address_header", "X-Forwarded-For")
    monkeypatch.setattr(site.server, "proxy_forwarded_port_header", "X-Forwarded-Port")
    found: list[Any] = []
    clients: list[Any] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        clients.append(scope["client"])
        found.append(daphne.descriptor_of(daphne.find_request(scope)))

    victim = await request(site, handler)
    address, port = victim.writer.get_extra_info("sockname")
    attacker = await request(site, handler, f"X-Forwarded-For: {address}", f"X-Forwarded-Port: {port}")
    assert clients[1] == [address, port]
    assert found[1].getPeer().port == attacker.writer.get_extra_info("sockname")[1]


@on_reactor
async def test_descriptor_is_found_by_a_scope_that_middleware_has_copied(site: Site) -> None:
    found: list[Any] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        copied = {**scope, "user": "somebody", "client": ["192.0.2.1", 1]}
        found.append(daphne.descriptor_of(daphne.find_request(copied)))

    client = await request(site, handler)
    assert found[0].getPeer().port == client.writer.get_extra_info("sockname")[1]


def test_descriptor_of_a_request_of_another_server_is_none() -> None:
    assert daphne.find_request({"client": ["192.0.2.1", 1], "headers": []}) is None


@on_reactor
async def test_pending_of_a_request_is_what_twisted_keeps(site: Site) -> None:
    pending: list[int] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        descriptor = daphne.descriptor_of(daphne.find_request(scope))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"5000")]})
        before = daphne.pending(descriptor)
        await send({"type": "http.response.body", "body": b"x" * 5000, "more_body": True})
        pending.append(daphne.pending(descriptor) - before)

    await request(site, handler)
    assert pending[0] >= 5000


@on_reactor
async def test_abort_cuts_a_request_off(site: Site) -> None:
    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert daphne.abort(daphne.descriptor_of(daphne.find_request(scope)))

    client = await request(site, handler)
    assert await client.rest() == b""


@on_reactor
async def test_give_up_after_sets_the_time_the_kernel_waits(site: Site) -> None:
    times: list[int] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        descriptor: Any = daphne.descriptor_of(daphne.find_request(scope))
        daphne.give_up_after(descriptor, 1.5)
        times.append(descriptor.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    await request(site, handler)
    assert times == [1500]


def test_nothing_is_pending_of_no_connection() -> None:
    daphne.give_up_after(None, 1)
    assert (daphne.pending(None), daphne.abort(None)) == (0, False)


@on_reactor
async def test_root_path_of_a_clients_choosing_is_replaced(site: Site) -> None:
    paths: list[str] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = daphne.find_protocol(send, scope["client"])
        paths.extend([scope["root_path"], daphne.without_spoofed_root_path(scope, protocol)["root_path"]])

    await request(site, handler, "Daphne-Root-Path: /evil")
    assert paths == ["/evil", ""]


def test_root_path_of_another_server_is_kept() -> None:
    scope = {"root_path": "/app"}
    assert daphne.without_spoofed_root_path(scope, None) is scope


# --- shutdown ---------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(daphne, "FLUSH_TIMEOUT", 0.05)
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
