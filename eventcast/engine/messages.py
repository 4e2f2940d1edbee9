"""What travels: a message, its way through a channel layer, and its encoded forms, each made once for everybody."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from eventcast.conf import conf
from eventcast.exceptions import InvalidMessage, MessageTooLarge

LAYER_TYPE = "eventcast.messages"
"""The ``type`` of what eventcast puts on the channel layer."""

PATTERNS_TYPE = "eventcast.patterns"
"""The ``type`` of the same, once more for those who listen to many channels by a pattern."""

# RFC 6455 section 5.2: FIN and the opcode in the first byte; text 1, binary 2.
_TEXT, _BINARY = 0x81, 0x82

_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


class Message:
    """One message as it is delivered: text or binary, unchangeable, with its encoded forms made on first use.

    :param data: ``str`` for a text message, ``bytes`` for a binary one.
    :param channel: the channel it was published to.
    """

    __slots__ = ("_envelope", "_event", "_frame", "_line", "channel", "data", "payload", "time")

    def __init__(self, data: str | bytes, channel: str = "") -> None:
        self.data = data
        self.channel = channel
        self.time = time.time()
        """When this process got it, seconds since the epoch."""
        self.payload: bytes = data.encode() if isinstance(data, str) else data
        self._frame: bytes | None = None
        self._event: bytes | None = None
        self._line: bytes | None = None
        self._envelope: Message | None = None

    @property
    def binary(self) -> bool:
        """Whether it is a binary message."""
        return isinstance(self.data, bytes)

    @property
    def frame(self) -> bytes:
        """The message as one unmasked WebSocket frame (RFC 6455 section 5.2), the same bytes for every subscriber."""
        if self._frame is None:
            self._frame = encode_frame(self.payload, binary=self.binary)
        return self._frame

    @property
    def event(self) -> bytes:
        """The message as a Server-Sent Event (HTML standard section 9.2): binary ones base64, as events ``binary``.

        Lines end as that format has it: what ended in CR or CRLF ends in LF at the other side.
        """
        if self._event is None:
            if isinstance(self.data, str):
                self._event = b"data: " + b"\ndata: ".join(_LINE_ENDS.split(self.payload)) + b"\n\n"
            else:
                self._event = b"event: binary\ndata: " + base64.b64encode(self.payload) + b"\n\n"
        return self._event

    @property
    def line(self) -> bytes:
        """The message as a line of JSON: ``time``, ``channel``, and its text as ``data`` or its bytes as ``base64``."""
        if self._line is None:
            form = (
                {"data": self.data} if isinstance(self.data, str) else {"base64": base64.b64encode(self.data).decode()}
            )
            record = {"time": round(self.time, 6), "channel": self.channel} | form
            self._line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        return self._line

    @property
    def envelope(self) -> Message:
        """The message for those who listen to many channels: :attr:`line` as a text message, which says on which
        channel it came. As a line of a stream it is that line, not one around it."""
        if self._envelope is None:
            self._envelope = Message(self.line[:-1].decode(), self.channel)
            self._envelope.time, self._envelope._line = self.time, self.line
        return self._envelope

    def __repr__(self) -> str:
        return f"<Message {'binary' if self.binary else 'text'} of {len(self.payload)} bytes>"


class Batch:
    """Messages that leave together: what piled up on a channel while it was being fanned out goes in one write.

    :param messages: at least one, in the order in which they are delivered.
    """

    __slots__ = ("_frames", "messages")

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self._frames: bytes | None = None

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def frames(self) -> bytes:
        """The WebSocket frames of all messages, one after the other; joined on first use, then shared by everybody."""
        if self._frames is None:
            frames = [message.frame for message in self.messages]
            self._frames = frames[0] if len(frames) == 1 else b"".join(frames)
        return self._frames


def encode_frame(payload: bytes, *, binary: bool) -> bytes:
    """``payload`` as a single unmasked WebSocket frame (RFC 6455 section 5.2)."""
    size, first = len(payload), _BINARY if binary else _TEXT
    if size < 126:
        return bytes((first, size)) + payload
    if size < 0x10000:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def to_data(data: Any) -> str | bytes:
    """What a caller wants to publish as the text or bytes that subscribers get.

    ``str`` stays text; ``bytes``, ``bytearray`` and ``memoryview`` become binary; anything else compact JSON made by
    Django's encoder, so dates, decimals and UUIDs work.

    :raises InvalidMessage: it has no JSON form.
    """
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    try:
        return json.dumps(data, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMessage(f"The message has no JSON form: {error}. Publish str, bytes or JSON-like data.") from error


def check_data(data: str | bytes) -> str | bytes:
    """Return ``data`` if it may be published.

    :raises InvalidMessage: it is text that UTF-8 cannot encode.
    :raises MessageTooLarge: its payload is over ``MAX_MESSAGE_SIZE``.
    """
    limit = conf.MAX_MESSAGE_SIZE
    try:
        # A character takes one to four bytes: only in between is it worth counting.
        size = len(data) if isinstance(data, bytes) or len(data) > limit or data.isascii() else len(data.encode())
    except UnicodeEncodeError:
        raise InvalidMessage("The text holds surrogates, which UTF-8 cannot encode.") from None
    if size > limit:
        raise message_too_large(size)
    return data


def message_too_large(size: int) -> MessageTooLarge:
    """The refusal of a message that has at least ``size`` bytes."""
    return MessageTooLarge(
        f"The message has {size} bytes or more, {conf.MAX_MESSAGE_SIZE} are allowed (EVENTCAST['MAX_MESSAGE_SIZE']). "
        "Publish a link to large data, or split it."
    )


def to_layer(channel: str, messages: Iterable[str | bytes]) -> dict[str, Any]:
    """One channel layer message for all that is published to ``channel`` at once: plain types, as layers want them."""
    return {"type": LAYER_TYPE, "channel": channel, "messages": list(messages)}


def for_patterns(event: dict[str, Any]) -> dict[str, Any]:
    """What :func:`to_layer` made, for the group of those who listen by a pattern."""
    return {**event, "type": PATTERNS_TYPE}


def from_layer(event: dict[str, Any]) -> tuple[str, list[Message]]:
    """The channel and messages of what :func:`to_layer` made."""
    channel: str = event["channel"]
    return channel, [Message(data, channel) for data in event["messages"]]
