"""Connections that are taken over from Daphne, or turned down, or told goodbye when Daphne stops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import weakref
from typing import Any, NamedTuple, cast

FLUSH_INTERVAL, FLUSH_TIMEOUT = 0.01, 2.0
"""Seconds between two looks at what Twisted still has to write, and for the close frames that leave when plain Daphne
shuts down."""


@functools.cache
def problems() -> tuple[str, ...]:
    """What about the installed versions is not as this module needs it; empty if all is well.

    Found out by looking rather than from version numbers, so that a newer version that still works is not turned away.
    """
    try:
        from daphne.http_protocol import WebRequest
        from daphne.server import Server
        from daphne.ws_protocol import WebSocketProtocol
        from twisted.internet.abstract import FileDescriptor
        from twisted.internet.tcp import Connection
    except Exception as error:
        return (f"{type(error).__name__}: {error}",)
    wanted: dict[Any, str] = {
        Server: "handle_reply protocol_disconnected kill_all_applications",
        WebRequest: "handle_reply process",
        WebSocketProtocol: "STATE_OPEN STATE_CLOSED sendData dropConnection",
        Connection: "startReading stopReading stopWriting TLS",
        FileDescriptor(object()): "dataBuffer offset _tempDataBuffer",  # type: ignore[arg-type]
    }
    return tuple(
        f"{owner} has no {name}"
        for owner, names in wanted.items()
        for name in names.split()
        if not hasattr(owner, name)
    )


class TakenOver(NamedTuple):
    """A connection that is ours now."""

    sock: socket.socket
    unsent: bytes
    """What Twisted was given to send and has not sent."""
    received: bytes
    """What was read and is not part of the handshake."""


def hold_back(protocol: Any) -> None:
    """Read nothing more from a connection, so that what comes meanwhile stays in the kernel."""
    protocol.transport.pauseProducing()


def read_on(protocol: Any) -> None:
    """Read again after :func:`hold_back`, once the application has taken what was read."""
    if protocol.application_queue.empty():
        protocol.transport.resumeProducing()


def take_over(protocol: Any) -> TakenOver | None:
    """Take a connection from Daphne, which forgets it; None if that cannot be done, and nothing has changed.

    :param protocol: of a WebSocket that was accepted, or a request whose response has begun.
    """
    transport: Any = getattr(protocol, "transport", None)
    if problems() or not _is_plain(transport):
        return None
    server = protocol.server
    sock = socket.socket(fileno=os.dup(transport.socket.fileno()))
    sock.setblocking(False)
    unsent = b"".join([transport.dataBuffer[transport.offset :], *transport._tempDataBuffer])
    channel = getattr(transport, "producer", None)
    # What came in one packet with the handshake is in Twisted's buffer for the next request, the rest in autobahn's.
    received = b"".join([*getattr(channel, "_dataBuffer", ()), getattr(protocol, "data", None) or b""])
    transport.stopReading()
    transport.stopWriting()
    transport.socket.close()  # Our duplicate keeps the connection.
    transport.connected, transport.disconnected = 0, 1
    # From here on Daphne drops whatever the application still sends.
    server.protocol_disconnected(protocol)
    if hasattr(protocol, "STATE_CLOSED"):
        protocol.state = protocol.STATE_CLOSED
        for name in ("openHandshakeTimeoutCall", "autoPingPendingCall", "closeHandshakeTimeoutCall"):
            if (timer := getattr(protocol, name, None)) is not None:
                with contextlib.suppress(Exception):  # It has run already: txaio and Twisted each say so in their way.
                    timer.cancel()
    # All these refer to each other, and would wait for Python's garbage collector, with 15 KB a connection.
    if channel is not None:
        channel.setTimeout(None)
        channel.requests, channel.transport, channel._networkProducer = [], None, None
    transport.protocol = transport.producer = protocol.channel = None
    for name in ("transport", "handshake_deferred", "application_deferred"):
        protocol.__dict__.pop(name, None)
    return TakenOver(sock, unsent, received)


def _is_plain(transport: Any) -> bool:
    """Whether a connection is open and has nothing between it and its socket, such as TLS."""
    from twisted.internet.tcp import Connection

    return (
        isinstance(transport, Connection)
        and bool(transport.connected)
        and not (transport.TLS or transport.disconnecting)
    )


def ping_times(protocol: Any) -> tuple[float, float | None]:
    """Seconds between two pings, and for an answer, as the server was told them."""
    return protocol.server.ping_interval, protocol.server.ping_timeout or None


def refuse(protocol: Any, status: int, code: str, answer: bytes) -> bool:
    """Turn down a WebSocket's handshake with an HTTP answer, where ASGI alone could say only 403; False if that cannot
    be done.

    :param answer: the whole answer, which says ``Connection: close``.
    """
    if protocol.__dict__.pop("handshake_deferred", None) is None:
        return False
    # What autobahn does with a ConnectionDeny, which has no place for headers and a body. autobahn also tells Daphne
    # that this is over, when it is: told before, Daphne may have forgotten the connection by then, and raises.
    protocol.wasNotCleanReason = code
    protocol.sendData(answer)
    protocol.dropConnection(abort=False)
    return True


_registered: weakref.WeakSet[Any] = weakref.WeakSet()


def close_at_shutdown(protocol: Any, hub: Any) -> None:
    """Have a hub's ``say_goodbye`` called when Twisted shuts down, and its last bytes written before sockets close.

    Daphne itself just drops its sockets, and a client cannot tell that from a broken network.

    :param protocol: that of any connection or request.
    """
    if hub in _registered:
        return
    _registered.add(hub)
    from twisted.internet import defer, reactor

    async def flush(subscribers: list[Any]) -> None:
        tasks = [details.get("application_instance") for details in protocol.server.connections.values()]
        # Tasks with which Django waits for clients to go end in an exception that nothing takes, and a traceback.
        tasks += [task for task in asyncio.all_tasks() if "listen_for_disconnect" in repr(task.get_coro())]
        for task in tasks:
            if task is not None:
                task.cancel()
        for _ in range(int(FLUSH_TIMEOUT / FLUSH_INTERVAL)):
            await asyncio.sleep(FLUSH_INTERVAL)  # once in any case: streams end by themselves
            if not any(each.pending for each in subscribers) and all(task is None or task.done() for task in tasks):
                break

    def shut_down() -> Any:
        # At once: Daphne has just cancelled its applications, which end with the event loop's next turn.
        return defer.Deferred.fromFuture(asyncio.ensure_future(flush(hub.say_goodbye())))

    cast(Any, reactor).addSystemEventTrigger("before", "shutdown", shut_down)
