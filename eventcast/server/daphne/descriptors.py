"""Twisted's transports, the descriptors of its reactor: which one owns a connection's socket, and what it holds."""

from __future__ import annotations

import contextlib
import socket
from typing import Any


def descriptor_behind(transport: Any) -> Any | None:
    """Twisted's transport that owns the socket: the given one, or what a wrapper such as TLS writes to in the end."""
    from twisted.internet.tcp import Connection
    from twisted.protocols.policies import ProtocolWrapper

    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport if isinstance(transport, Connection) else None


def descriptor_of(request: Any | None) -> Any | None:
    """Twisted's transport of what ``find_request()`` has found; None if there is none, or it is over."""
    channel = getattr(request, "channel", None)
    return None if channel is None else descriptor_behind(channel.transport)


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
