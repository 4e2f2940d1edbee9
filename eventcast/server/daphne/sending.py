"""What Daphne's own ``send`` lacks, for connections that are not taken over."""

from __future__ import annotations

import asyncio
from typing import Any

from eventcast.server.daphne.taking import FLUSH_INTERVAL

HIGH_WATER = 64 * 1024
"""Bytes that Twisted may have to write before a connection that was not taken over gets more."""


async def wait_until_taken(protocol: Any) -> None:
    """Wait while Twisted still has much to write to a connection that was not taken over.

    Other servers' ``send`` waits by itself. Daphne's never does, so that a client that reads nothing has no bound.
    """
    transport: Any = getattr(protocol, "transport", None)
    transport = getattr(transport, "transport", transport)  # what TLS is wrapped around
    if hasattr(transport, "dataBuffer"):
        while transport.connected and _unsent(transport) > HIGH_WATER:  # noqa: ASYNC110 (no event for it)
            await asyncio.sleep(FLUSH_INTERVAL)


def _unsent(transport: Any) -> int:
    size: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return size


def mended(send: Any, protocol: Any) -> Any:
    """An ASGI ``send`` for a WebSocket that was not taken over. Daphne's own leaves out empty messages, fails for the
    close codes of servers (1001, 1013), forgets reasons and never waits."""

    async def mended_send(event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "websocket.close" and protocol.state == protocol.STATE_OPEN:
            protocol.sendCloseFrame(code=event["code"], reasonUtf8=event.get("reason", "").encode()[:123])
        elif kind == "websocket.send" and not (event.get("text") or event.get("bytes")):
            protocol.sendMessage(b"", event.get("bytes") is not None)
        else:
            await send(event)
        if kind == "websocket.send":
            await wait_until_taken(protocol)

    return mended_send


def abort(protocol: Any) -> None:
    """Cut a connection off, whatever is still to be written."""
    transport: Any = getattr(protocol, "transport", None)
    if hasattr(transport, "abortConnection"):
        transport.abortConnection()
