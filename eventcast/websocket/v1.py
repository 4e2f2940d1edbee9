"""The subprotocol ``eventcast.v1``: each frame has one JSON object, a message or a word about the connection.

docs/protocol.md describes it for clients.
"""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

from eventcast.engine.closing import Closing
from eventcast.engine.encoders import LINE_FRAMES, LINE_TEXTS
from eventcast.engine.hub import current_hub
from eventcast.engine.keepalive import PingSchedule
from eventcast.engine.messages import check_event_name, encode_frame
from eventcast.engine.notices import bye, heartbeat, hello
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import MalformedBody
from eventcast.websocket.asgi import ASGIWebSocket, Send
from eventcast.websocket.connection import PING_FRAME, WebSocketConnection
from eventcast.websocket.speaking import Speaker

SUBPROTOCOL = "eventcast.v1"

HEARTBEAT = 20.0
"""Seconds between two heartbeats where no other interval is known: under other servers than Daphne."""


def message_in(frame: str | bytes) -> tuple[str | bytes, str] | None:
    """The message that a client publishes by a frame, and the name of its event; None for an object with a ``type``,
    which later versions know."""
    try:
        found = json.loads(frame)
        if isinstance(found, dict) and "type" in found:
            return None
        data = found["data"] if "data" in found else base64.b64decode(found["base64"], validate=True)
        event = found.get("event", "")
    except (ValueError, LookupError, TypeError, RecursionError):
        data = event = None
    if not isinstance(data, (str, bytes)) or not isinstance(event, str):
        raise MalformedBody('A frame of eventcast.v1 is {"data": "…"}, or {"base64": "…"} for a binary message.')
    return data, check_event_name(event)


def _frame(text: str) -> bytes:
    return encode_frame(text.encode(), binary=False)


class V1Connection(WebSocketConnection):
    """A WebSocket of ``eventcast.v1`` on a socket of our own."""

    __slots__ = ()

    def __init__(self, sock: socket.socket, pings: PingSchedule, speaker: Speaker | None, **described: str) -> None:
        super().__init__(sock, pings, speaker, **described)
        self.encoder = LINE_FRAMES
        self.viewer = True

    def greeting(self, wanted: str | Pattern, expires_at: float | None = None) -> bytes:
        return _frame(hello(wanted, self._pings.period, expires_at, publish=self._speaker is not None))

    def farewell(self, closing: Closing) -> bytes:
        return _frame(bye(closing)) + super().farewell(closing)

    def ping_data(self) -> bytes:
        return _HEARTBEAT_FRAME + PING_FRAME


_HEARTBEAT_FRAME = _frame(heartbeat())


class V1ASGIWebSocket(ASGIWebSocket):
    """A WebSocket of ``eventcast.v1`` that is written to through the ASGI ``send``."""

    __slots__ = ("_bucket", "_pings", "answered")

    def __init__(
        self, send: Send, wanted: str | Pattern, expires_at: float | None = None, *, publish: bool, **described: str
    ) -> None:
        super().__init__(send, **described)
        self.viewer = True
        self.encoder = LINE_TEXTS
        self._pings = current_hub().keepalive.schedule(HEARTBEAT, None)
        self._bucket = -1
        self.answered = True
        self.tell(hello(wanted, self._pings.period, expires_at, publish=publish))

    def open(self) -> None:
        self._bucket = self._pings.add(self)
        super().open()

    def last_events(self, closing: Closing) -> list[dict[str, Any]]:
        return [{"type": "websocket.send", "text": bye(closing)}, *super().last_events(closing)]

    def send_ping(self) -> None:
        """Send a heartbeat. Called by the keepalive."""
        if not self.closed and not self.pending:
            self.tell(heartbeat())

    def connection_lost(self) -> None:
        """Called by the keepalive for a connection that does not answer, which a heartbeat does not ask for."""

    def release(self) -> None:
        self._pings.discard(self, self._bucket)
        super().release()
