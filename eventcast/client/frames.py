"""The decoding of a server's WebSocket frames: messages, and with ``eventcast.v1`` notices about the connection."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from eventcast.exceptions import UndecodableMessage

PATIENCE = 1.4
"""Heartbeats without anything from the server after which a connection is dead: by default 28 seconds."""

_ERRORS = (ValueError, LookupError, TypeError, AttributeError)


class Line:
    """One connection of ``eventcast.v1``, as the server describes it (docs/protocol.md).

    :param missed: called with the number of messages that the server has left out.
    """

    def __init__(self, missed: Callable[[int], object]) -> None:
        self._missed = missed
        self._by_pattern = False
        self.patience = 0.0
        """Seconds of silence after which the connection is dead; 0 before ``hello``."""
        self.retry: tuple[float, float] | None = None
        """The least and most seconds until the client should reconnect; None if the server has not said."""
        self.is_hopeless = False
        """Whether the server has said that reconnecting is useless."""

    def take(self, frame: str | bytes) -> str | bytes | None:
        """The message in a frame, or None for a notice. With a pattern, the message is the whole frame.

        :raises UndecodableMessage: the frame is neither.
        """
        try:
            record = json.loads(frame)
            kind = record.get("type")
            if kind is None:
                return frame if self._by_pattern else _message_of(record)[1]
            if kind == "hello":
                self.patience, self._by_pattern = PATIENCE * record["heartbeat"], "pattern" in record
            elif kind == "lost":
                self._missed(int(record["messages"]))
            elif kind == "bye":
                self.is_hopeless = record["retry"] is None
                if not self.is_hopeless:
                    earliest, latest = record["retry"]
                    self.retry = float(earliest), float(latest)
        except _ERRORS:
            raise UndecodableMessage(f"A frame of {len(frame)} characters is not one of eventcast.v1.") from None
        return None


def decode_frame(frame: str | bytes) -> tuple[str, str | bytes]:
    """The channel and the message of a frame of a pattern's subscription.

    :raises UndecodableMessage: the frame is not such a frame.
    """
    try:
        return _message_of(json.loads(frame))
    except _ERRORS:
        what = f"A frame of {len(frame)} characters is not a message of a pattern's subscription."
        raise UndecodableMessage(what) from None


def _message_of(record: Any) -> tuple[str, str | bytes]:
    channel = record["channel"]
    data = record["data"] if "data" in record else base64.b64decode(record["base64"], validate=True)
    if not isinstance(channel, str) or not isinstance(data, (str, bytes)):
        raise TypeError("A channel is a text, and so is a message.")
    return channel, data
