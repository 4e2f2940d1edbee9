"""Daphne's WebSockets, without what it makes of a handshake that cannot be one."""

from __future__ import annotations

from typing import Any

from autobahn.websocket.types import ConnectionDeny
from daphne.ws_protocol import WebSocketProtocol


class SoundProtocol(WebSocketProtocol):
    """A WebSocket whose handshake may be anything: its client gets an answer, and no traceback gets into the log."""

    def onConnect(self, request: Any) -> Any:
        try:
            # As Daphne does with what autobahn has decoded, and then it fails.
            request.headers.get("sec-websocket-protocol", "").encode("ascii")
            "".join(request.headers.values()).encode("latin-1")
        except UnicodeEncodeError:
            raise ConnectionDeny(400, "invalid_header") from None  # type: ignore[no-untyped-call]
        return super().onConnect(request)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if hasattr(self, "clean_headers"):  # Else Daphne has not heard of it yet, and would not know what to close.
            super().onClose(wasClean, code, reason)
