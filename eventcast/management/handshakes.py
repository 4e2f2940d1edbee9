"""Daphne's requests and WebSockets, without what it makes of headers that nobody means well with."""

from __future__ import annotations

from typing import Any

from autobahn.websocket.types import ConnectionDeny
from daphne.http_protocol import WebRequest
from daphne.ws_protocol import WebSocketProtocol

ROOT_PATH = b"daphne-root-path"


class SoundRequest(WebRequest):
    """A request whose headers may be anything."""

    def process(self) -> Any:
        # Daphne reads it as ASCII, and fails; it is no root path then.
        if not all(value.isascii() for value in self.requestHeaders.getRawHeaders(ROOT_PATH, ())):
            self.requestHeaders.removeHeader(ROOT_PATH)
        return super().process()


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
