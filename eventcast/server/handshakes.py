"""Daphne's requests and WebSockets, without what it makes of headers that nobody means well with."""

from __future__ import annotations

from typing import Any

from autobahn.websocket.types import ConnectionDeny
from daphne.http_protocol import WebRequest
from daphne.ws_protocol import WebSocketProtocol
from django.utils.http import parse_header_parameters

from eventcast.exceptions import Refused
from eventcast.security import refusals

ROOT_PATH, CONTENT_TYPE = b"daphne-root-path", b"content-type"


class SoundRequest(WebRequest):
    """A request, or a handshake, whose headers may be anything."""

    def process(self) -> Any:
        # Daphne believes it from any client. What it was started with is FORCE_SCRIPT_NAME.
        self.requestHeaders.removeHeader(ROOT_PATH)
        kinds = self.requestHeaders.getRawHeaders(CONTENT_TYPE, ())
        if any(b"*" in kind for kind in kinds) and not _is_readable(b",".join(kinds)):
            return self._refuse(Refused("The request cannot be read: its Content-Type has parameters that contradict."))
        return super().process()

    def _refuse(self, refusal: Refused) -> None:
        refusals.count(refusal.code)
        body = refusal.as_json()
        headers = [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(body)).encode())]
        self.handle_reply({"type": "http.response.start", "status": refusal.status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": body})


def _is_readable(kind: bytes) -> bool:
    """Whether Django can make a request of it: it does not expect Python to fail at parameters of RFC 2231."""
    try:
        parse_header_parameters(kind.decode("latin-1"))
    except (ValueError, TypeError):
        return False
    return True


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
