"""Whether the Daphne, Twisted and autobahn that are installed work as this package counts on."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.metadata import version


@functools.cache
def problems() -> tuple[str, ...]:
    """What about the installed Daphne, Twisted and autobahn is not as this package needs it; empty if all is well.

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
    """The versions of what this package knows the insides of, for the log."""
    return ", ".join(f"{name} {version(name)}" for name in ("daphne", "twisted", "autobahn"))
