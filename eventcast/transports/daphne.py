"""All that eventcast knows of the insides of Daphne, Twisted and autobahn stands in this file.

Daphne gives an application nothing but ``receive`` and ``send``; a message through that ``send`` costs some 60 µs, of
which 6 are the kernel's. Under it are autobahn's protocol and Twisted's transport. What this file takes from them:

- the raw request target of a WebSocket, which the scope has mangled (``//a/b`` becomes ``/b``, ``/a;b`` ``/a``);
- a refusal of a handshake with its real status, where ASGI's ``close`` before ``accept`` is always 403;
- close frames with a code and a reason, where ASGI's ``close`` raises for 1001 and 1013 and loses the reason;
- empty messages, which ASGI's ``send`` leaves out;
- pings that cost less than autobahn's, see ``transports.pulse``;
- a place in Twisted's shutdown, to say goodbye to subscribers;
- the socket itself.

Frames go to the socket only while Twisted's buffers for it are empty, or they would overtake or split what is there:
the handshake, pings, pongs and close frames of the protocol, the rest of a short write. Twisted calls a transport's
``startWriting`` when its buffers get something and ``stopWriting`` when they are empty or the connection is over,
so those two are listened to, on each subscriber's own transport. ``problems()`` tells whether this is still so.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import math
import socket
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, cast

from eventcast.conf import conf
from eventcast.messages import Batch
from eventcast.subscribers import Subscriber, Transport
from eventcast.transports.inbox import Inbox
from eventcast.transports.pulse import Pulse

PING, PONG = b"\x89\x00", b"\x8a\x80"
"""A ping without payload, the same for everybody, and how its answer begins; RFC 6455 sections 5.5.2 and 5.5.3."""

PONG_SIZE = 6
"""Bytes of that answer: two and the four of its mask."""

CONTROL_SIZE = 125
"""Bytes that a control frame may have; RFC 6455 section 5.5."""

MAX_PIECES = 1024
"""Pieces that a message is kept in while it arrives: one of two bytes takes as much room as one of forty."""

READ_SIZE = 2 * 1024
"""Bytes read from a WebSocket at once. They may be 300 frames, and nobody hears a thing until all are parsed."""

SEARCH_LIMIT = 64
"""Objects looked at behind a wrapped ``send`` before giving up: some ten layers of middleware."""

FLUSH_INTERVAL = 0.01
FLUSH_TIMEOUT = 2.0
"""Seconds that close frames get to leave when the server shuts down."""


def find_protocol(send: Any, client: Any) -> Any | None:
    """The Daphne WebSocket protocol behind an ASGI ``send``, or None if there is none to be found.

    Middleware wraps ``send`` in functions, partials and objects; whatever it is, it has to hold what it wraps, so those
    references are followed. ``client``, the scope's, proves that the protocol is this connection's and no other.
    """
    server = sys.modules.get("daphne.server")
    candidates = [send] if server is not None else []
    for _ in range(SEARCH_LIMIT):
        if not candidates:
            break
        candidate = candidates.pop(0)
        if isinstance(candidate, functools.partial):
            if getattr(candidate.func, "__func__", None) is server.Server.handle_reply:  # type: ignore[union-attr]
                protocol = candidate.args[0]
                return protocol if getattr(protocol, "client_addr", client) == client else None
            candidates += [candidate.func, *candidate.args]
        else:
            candidates += _callables_behind(candidate)
    return None


def _callables_behind(candidate: Any) -> list[Any]:
    if inspect.ismethod(candidate):
        candidate = candidate.__self__
    if inspect.isfunction(candidate):
        held = [cell.cell_contents for cell in candidate.__closure__ or () if cell != types.CellType()]
    else:
        held = list(getattr(candidate, "__dict__", {}).values())
    return [value for value in held if callable(value) and not isinstance(value, type)]


def request_target(protocol: Any) -> bytes | None:
    """The request target of a WebSocket's handshake as the client sent it (RFC 9112 section 3.2)."""
    target = getattr(protocol, "http_request_uri", None)
    return target.encode("latin-1") if isinstance(target, str) else None


def without_spoofed_root_path(scope: dict[str, Any], protocol: Any) -> dict[str, Any]:
    """The scope with the root path the server was started with; any client may send another as Daphne-Root-Path."""
    root_path = getattr(getattr(protocol, "server", None), "root_path", None)
    return scope if root_path is None or root_path == scope.get("root_path") else {**scope, "root_path": root_path}


def peer_of(protocol: Any) -> str | None:
    """The other end of a connection; an empty string for a Unix socket, None if it cannot be told."""
    transport = getattr(protocol, "transport", None)
    return None if transport is None else str(getattr(transport.getPeer(), "host", ""))


def refuse(protocol: Any, status: int, code: str, headers: Mapping[str, str] = types.MappingProxyType({})) -> bool:
    """Turn down a handshake with this HTTP status, ``code`` as its reason phrase; False if that can't be done."""
    if protocol.__dict__.pop("handshake_deferred", None) is None:
        return False
    # What autobahn does with a ConnectionDeny, which has no place for headers. It also tells Daphne that this is over,
    # when it is: told before, Daphne may have forgotten the connection by then, and raises.
    protocol.failHandshake(code, status, list(headers.items()))
    return True


def mended(send: Any, protocol: Any) -> Any:
    """An ASGI ``send`` that says what Daphne's own does not: empty messages, and close codes of servers."""

    async def mended_send(event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "websocket.send" and not (event.get("text") or event.get("bytes")):
            protocol.sendMessage(b"", event.get("bytes") is not None)
        elif kind == "websocket.close" and protocol.state == protocol.STATE_OPEN:
            protocol.sendCloseFrame(code=event["code"], reasonUtf8=event.get("reason", "").encode()[:123])
        else:
            await send(event)

    return mended_send


def gauge(protocol: Any) -> Callable[[], int]:
    """A function that tells how many bytes Twisted keeps for a connection; always 0 if that cannot be told."""
    try:
        descriptor = _descriptor(protocol.transport)
        pending(descriptor)
    except Exception:  # insides that nobody here has seen
        return lambda: 0
    return functools.partial(pending, descriptor)


def transport_for(protocol: Any) -> Transport | None:
    """The fastest safe transport for a connection, or None if Daphne's insides are not what they should be."""
    if problems():
        return None
    descriptor = _descriptor(protocol.transport)
    if descriptor is None or not descriptor.connected:
        return None
    wrapped = descriptor is not protocol.transport or descriptor.TLS
    return (TwistedTransport if wrapped else DirectTransport)(protocol, descriptor)


def _descriptor(transport: Any) -> Any | None:
    """Twisted's transport that owns the socket: the given one, or what a wrapper such as TLS writes to in the end."""
    from twisted.internet.tcp import Connection
    from twisted.protocols.policies import ProtocolWrapper

    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport if isinstance(transport, Connection) else None


def find_request(scope: Mapping[str, Any]) -> Any | None:
    """Daphne's HTTP request with this scope, or None if it cannot be found or the server is not Daphne.

    :class:`eventcast.routing.EventcastRouter` has noted the request in the scope. Without it, the connection is looked
    for among all of the process, which takes the longer the more there are. What proves that it is the right one is
    the list of headers, one object that the request and its scope share: with ``--proxy-headers`` the client's address
    in the scope is whatever the client says, and may be somebody else's.
    """
    if (noted := scope.get("eventcast.protocol")) is not None:
        return noted
    if "daphne.server" not in sys.modules:
        return None
    from twisted.internet import reactor

    for reader in cast(Any, reactor).getReaders():
        protocol = getattr(reader, "protocol", None)
        protocol = getattr(protocol, "wrappedProtocol", protocol)  # TLS
        channel = getattr(protocol, "_channel", protocol)  # what chose between HTTP/1.1 and HTTP/2
        for request in getattr(channel, "requests", None) or ():
            if getattr(request, "clean_headers", None) is scope["headers"]:
                return request
    return None


def descriptor_of(request: Any | None) -> Any | None:
    """Twisted's transport of what :func:`find_request` has found; None if there is none, or it is over."""
    channel = getattr(request, "channel", None)
    return None if channel is None else _descriptor(channel.transport)


def pending(descriptor: Any | None) -> int:
    """Bytes that Twisted has been given and the socket has not taken yet."""
    if descriptor is None:
        return 0
    size: int = len(descriptor.dataBuffer) - descriptor.offset + descriptor._tempDataLen
    return size


def abort(descriptor: Any | None) -> bool:
    """Cut a connection off, with all that it has not taken; False if there is none."""
    if descriptor is None:
        return False
    descriptor.abortConnection()
    return True


def give_up_after(descriptor: Any | None, seconds: float) -> None:
    """Have the kernel end a connection whose peer has acknowledged nothing for so long (RFC 5482); Linux only."""
    if descriptor is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with contextlib.suppress(OSError, AttributeError):  # a Unix socket, or gone
            descriptor.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def inbox(protocol: Any | None) -> Inbox | None:
    """Have a client held back that sends faster than is taken; None under servers that do so themselves."""
    if protocol is None or not hasattr(protocol, "application_queue"):
        return None
    protocol.application_queue = found = Inbox(protocol.application_queue, protocol.transport)
    return found


class TwistedTransport(Transport):
    """Frames through Twisted's transport, whatever it is wrapped in; what it could not send is its buffers' size."""

    name = "twisted"

    def __init__(self, protocol: Any, descriptor: Any) -> None:
        self._protocol = protocol
        self._descriptor = descriptor
        self._early: list[Batch] | None = []
        """What was written before the handshake was over."""
        self._early_size = 0
        self._goodbye: tuple[int, str] | None = None
        """The code and reason of a close that has to wait for the end of the handshake."""

    @property
    def pending(self) -> int:  # type: ignore[override]
        return pending(self._descriptor) + self._early_size

    @property
    def is_open(self) -> bool:
        """Whether frames may be written: not before the handshake is over, nor after a close frame."""
        protocol, descriptor = self._protocol, self._descriptor
        return protocol.state == protocol.STATE_OPEN and descriptor.connected and not descriptor.disconnecting

    def open(self, subscriber: Subscriber) -> None:
        early, self._early, self._early_size = self._early or (), None, 0
        for batch in early:
            self.write(batch)
        if self._goodbye is not None:
            self.close(*self._goodbye)

    def write(self, batch: Batch) -> bool:
        if self._early is not None:
            self._early.append(batch)
            self._early_size += len(batch.frames)
        elif not self.is_open:
            return False
        elif self._protocol._perMessageCompress is None:
            self._protocol.transport.write(batch.frames)
        else:  # Daphne never agrees to compression, but a server built on it may.
            for message in batch.messages:
                self._protocol.sendMessage(message.payload, message.binary)
        return True

    def close(self, code: int, reason: str) -> None:
        # Not through ASGI's close: see the top of this file. autobahn gives the peer a second to answer, then resets.
        self.closed = True
        if self._early is not None:
            self._goodbye = code, reason
        elif self.is_open:
            self._protocol.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:123])

    def release(self) -> None:
        self._early, self._goodbye = [], None


class DirectTransport(TwistedTransport):
    """Frames straight to the socket, for as long as Twisted has nothing of its own to write to it."""

    name = "direct"

    send: Callable[[bytes], int] | None

    def __init__(self, protocol: Any, descriptor: Any) -> None:
        super().__init__(protocol, descriptor)
        self.heard = False
        self._subscriber: Subscriber | None = None
        self._pulse: Pulse | None = None
        # Bound to the socket object, not to its number: numbers are reused, a closed socket object is closed for good.
        self.send = descriptor.socket.send

    def open(self, subscriber: Subscriber) -> None:
        super().open(subscriber)
        self._subscriber = subscriber
        if self._protocol._perMessageCompress is not None:
            self.send = None
        self._descriptor.startWriting = self._start_writing
        self._descriptor.stopWriting = self._stop_writing
        self._descriptor.bufferSize = READ_SIZE
        if all(hasattr(self._protocol, name) for name in ("current_frame", "data", "failedByMe", "last_ping")):
            self._take_the_pulse()
        if self.is_open and not self.pending:
            subscriber.straighten()

    def write_rest(self, data: bytes, taken: int) -> None:
        if self.is_open:
            self._descriptor.write(data[taken:] if taken else data)

    def release(self) -> None:
        super().release()
        self._subscriber = None
        # What hides Twisted's own methods goes, and with it the reference cycle.
        self._descriptor.__dict__.pop("startWriting", None)
        self._descriptor.__dict__.pop("stopWriting", None)
        self._protocol.__dict__.pop("dataReceived", None)
        if self._pulse is not None:
            self._pulse.stop()
            self._pulse = None
            self._protocol.last_ping = time.time()

    def _take_the_pulse(self) -> None:
        """Ping in Daphne's place, as often as it would."""
        protocol, server = self._protocol, self._protocol.server
        protocol.dataReceived = self._received
        protocol.failByDrop = False  # Who breaks the rules gets a close frame that says which.
        protocol.last_ping = math.inf  # seconds since the epoch, for Daphne to see that it is not time yet
        self._pulse = Pulse(self, server.ping_interval, server.ping_timeout or math.inf)

    def ping(self) -> None:
        """Send a ping, behind what is pending."""
        self._protocol.last_ping = math.inf  # Daphne has put it forward if something else than a pong has come
        if not self.is_open:
            return
        taken = 0
        if self.send is not None and not self.pending:
            with contextlib.suppress(OSError):
                taken = self.send(PING)
        if taken < len(PING):
            self._descriptor.write(PING[taken:])

    def give_up(self) -> None:
        """The peer does not answer: cut the connection off."""
        self._descriptor.abortConnection()

    def _received(self, data: bytes) -> None:
        """Something has come. A pong, and nothing but that, needs nothing of what autobahn does with it."""
        self.heard = True
        protocol = self._protocol
        alone = len(data) == PONG_SIZE and not protocol.data and protocol.current_frame is None
        if not (alone and data.startswith(PONG) and protocol.state == protocol.STATE_OPEN):
            type(protocol).dataReceived(protocol, data)
            self._hold_in_bounds()

    def _hold_in_bounds(self) -> None:
        """Keep from growing what autobahn and Twisted would let grow for as long as a peer goes on."""
        protocol = self._protocol
        for name in ("frame_data", "message_data"):
            pieces = protocol.__dict__.get(name)
            if pieces is not None and len(pieces) > MAX_PIECES:
                pieces[:] = [b"".join(pieces)]
        frame, pending = protocol.current_frame, self.pending
        overlong = frame is not None and frame.opcode & 8 and frame.length > CONTROL_SIZE
        # More than messages can have left there: the answers to pings, of a peer that does not read them.
        if overlong or (pending and pending > 2 * max(conf.SUBSCRIBER_BUFFER, conf.MAX_MESSAGE_SIZE)):
            protocol.dropConnection(abort=True)

    def _start_writing(self) -> None:
        """Twisted has something to write, or is asked to hang up after writing: frames have to wait."""
        descriptor = self._descriptor
        type(descriptor).startWriting(descriptor)
        if self._subscriber is not None:
            self._subscriber.hold()

    def _stop_writing(self) -> None:
        """Twisted has written everything, or the connection is over."""
        descriptor, subscriber = self._descriptor, self._subscriber
        type(descriptor).stopWriting(descriptor)
        if subscriber is None:
            return
        if self.is_open and not descriptor._aborting and not self.pending:
            subscriber.straighten()
        else:
            subscriber.leave()


def _name_of(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")


def at_shutdown(protocol: Any, goodbye: Callable[[], Any]) -> None:
    """Have ``goodbye`` called when Twisted shuts down (SIGTERM, Ctrl-C), and flush what it wrote before sockets close.

    Daphne itself just drops its sockets, and a client cannot tell that from a broken network. And where a request is
    half received, or a WebSocket was upgraded within the last second, it fails to cancel its applications: tasks that
    are left when Python ends make it crash now and then (3.11.7: segmentation fault in the garbage collector).

    :param protocol: that of any connection or request.
    """
    from twisted.internet import defer, reactor

    def shut_down() -> Any:
        # At once: Daphne has just cancelled its applications, who leave with the event loop's next turn.
        return defer.Deferred.fromFuture(asyncio.ensure_future(flush(goodbye())))

    async def flush(transports: Any) -> None:
        known = [details.get("application_instance") for details in protocol.server.connections.values()]
        left = [task for task in known if task is not None and not task.done()]
        # And those with which Django waits for clients to go: left alone they would end in an exception that nobody
        # takes, and a traceback in the log for every stream.
        left += [task for task in asyncio.all_tasks() if _name_of(task) == "ASGIHandler.listen_for_disconnect"]
        for task in left:
            task.cancel()
        for _ in range(int(FLUSH_TIMEOUT / FLUSH_INTERVAL)):
            await asyncio.sleep(FLUSH_INTERVAL)  # once in any case: streams end by themselves
            if not any(transport.pending for transport in transports) and all(task.done() for task in left):
                break

    cast(Any, reactor).addSystemEventTrigger("before", "shutdown", shut_down)


@functools.cache
def problems() -> tuple[str, ...]:
    """What about the installed Daphne, Twisted and autobahn is not as this file needs it; empty if all is well.

    Tried out rather than told from version numbers, so that a newer version that still works is not turned away.
    """
    try:
        return tuple(_find_problems())
    except Exception as error:
        return (f"{type(error).__name__}: {error}",)


def _find_problems() -> Iterator[str]:
    from daphne.ws_protocol import WebSocketProtocol
    from twisted.internet.abstract import FileDescriptor
    from twisted.internet.tcp import Connection

    for name in ("sendCloseFrame", "sendMessage", "STATE_OPEN", "serverReject", "handle_reply"):
        if not hasattr(WebSocketProtocol, name):
            yield f"WebSocketProtocol has no {name}"
    if Connection.startWriting is not FileDescriptor.startWriting:
        yield "TCP connections have a startWriting of their own"
    if Connection.stopWriting is not FileDescriptor.stopWriting:
        yield "TCP connections have a stopWriting of their own"
    if not hasattr(Connection, "_aborting"):
        yield "TCP connections have no _aborting"

    calls: list[str] = []
    descriptor = FileDescriptor(reactor=object())  # type: ignore[arg-type]
    descriptor.connected = 1
    descriptor.writeSomeData = lambda data: len(data)  # type: ignore[method-assign]
    descriptor.startWriting = lambda: calls.append(f"start {descriptor._tempDataLen}")  # type: ignore[method-assign]
    descriptor.stopWriting = lambda: calls.append(  # type: ignore[method-assign]
        f"stop {len(descriptor.dataBuffer) - descriptor.offset + descriptor._tempDataLen}"
    )
    descriptor.write(b"frame")
    descriptor.doWrite()  # type: ignore[no-untyped-call]
    if calls != ["start 5", "stop 0"]:
        yield f"a write calls {calls} instead of startWriting when it is buffered and stopWriting when it is sent"


@functools.cache
def versions() -> str:
    """The versions of what this file knows the insides of, for the log."""
    return ", ".join(f"{name} {version(name)}" for name in ("daphne", "twisted", "autobahn"))
