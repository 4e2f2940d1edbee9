"""What Daphne's own ``send`` and ``receive`` lack.

- Messages that are empty are left out, and a close with 1001 or 1013 raises in autobahn; reasons are lost.
- ``send`` never waits: what a peer does not take is kept, in any amount, and nobody is told.
- What a client sends is kept as well until the application takes it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from eventcast.server.daphne.descriptors import descriptor_behind, pending
from eventcast.server.daphne.inbox import Inbox


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
        descriptor = descriptor_behind(protocol.transport)
        pending(descriptor)
    except Exception:  # insides that nobody here has seen
        return lambda: 0
    return functools.partial(pending, descriptor)


def inbox(protocol: Any | None) -> Inbox | None:
    """Have a client held back that sends faster than is taken; None under servers that do so themselves."""
    if protocol is None or not hasattr(protocol, "application_queue"):
        return None
    protocol.application_queue = found = Inbox(protocol.application_queue, protocol.transport)
    return found
