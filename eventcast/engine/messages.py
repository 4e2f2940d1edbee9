"""Messages: their encodings, the checks on their data, and their form as events of the channel layer."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from eventcast.conf import conf
from eventcast.exceptions import InvalidEventName, InvalidMessage, MessageTooLarge

LAYER_TYPE = "eventcast.messages"
"""The ``type`` of eventcast's events on the channel layer."""

PATTERNS_TYPE = "eventcast.patterns"
"""The ``type`` of the copies for subscribers to patterns."""

LONGEST_EVENT_NAME = 128
"""Bytes. A name, such as ``paid``, is short."""

_EVENT_NAME = re.compile(r"[^\r\n\0]+")

# RFC 6455 section 5.2: FIN and the opcode in the first byte; text 1, binary 2.
_TEXT, _BINARY = 0x81, 0x82


class Message:
    """One text or binary message. It stores the payload; the methods encode it.

    :param data: ``str`` for a text message, ``bytes`` for a binary one.
    :param channel: the channel that it was published to.
    :param event_name: the name of its event; empty for none.
    :param at: the time of publishing, seconds since the epoch; None for now.
    """

    __slots__ = ("_line", "binary", "channel", "event_name", "payload", "time")

    def __init__(self, data: str | bytes, channel: str = "", event_name: str = "", at: float | None = None) -> None:
        self.channel = channel
        self.event_name = event_name
        self.time = time.time() if at is None else at
        """The time of publishing, seconds since the epoch: the same in all processes."""
        self.binary = isinstance(data, bytes)
        """Whether it is a binary message."""
        self.payload: bytes = data if isinstance(data, bytes) else data.encode()
        self._line = b""

    @property
    def data(self) -> str | bytes:
        """The message as it was published: ``str`` or ``bytes``."""
        return self.payload if self.binary else self.payload.decode()

    def frame(self) -> bytes:
        """The message as one unmasked WebSocket frame (RFC 6455 section 5.2)."""
        return encode_frame(self.payload, binary=self.binary)

    def event(self) -> bytes:
        """The message as a Server-Sent Event (HTML standard section 9.2). Binary messages are encoded as base64, with
        the event ``binary`` if they have no name.

        The format has only one kind of line break: clients get CR and CRLF as LF.
        """
        name = self.event_name or ("binary" if self.binary else "")
        first = b"event: %b\ndata: " % name.encode() if name else b"data: "
        if self.binary:
            return first + base64.b64encode(self.payload) + b"\n\n"
        lines = self.payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return first + lines.replace(b"\n", b"\ndata: ") + b"\n\n"

    def line(self) -> bytes:
        """The message as a line of JSON: ``time``, ``channel``, its text as ``data`` or its bytes as ``base64``, and
        ``event`` if it has a name.

        The line is cached, because several encoders use it.
        """
        if not self._line:
            form: dict[str, Any] = (
                {"base64": base64.b64encode(self.payload).decode()} if self.binary else {"data": self.data}
            )
            if self.event_name:
                form["event"] = self.event_name
            record = {"time": round(self.time, 6), "channel": self.channel} | form
            self._line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        return self._line

    def line_frame(self) -> bytes:
        """The same line as one WebSocket frame, a text message."""
        return encode_frame(self.line()[:-1], binary=False)

    def line_event(self) -> bytes:
        """The same line as a Server-Sent Event."""
        name = b"event: %b\n" % self.event_name.encode() if self.event_name else b""
        return name + b"data: " + self.line() + b"\n"

    def __repr__(self) -> str:
        return f"<Message {'binary' if self.binary else 'text'} of {len(self.payload)} bytes>"


def encode_frame(payload: bytes, *, binary: bool) -> bytes:
    """``payload`` as a single unmasked WebSocket frame (RFC 6455 section 5.2)."""
    size, first = len(payload), _BINARY if binary else _TEXT
    if size < 126:
        return bytes((first, size)) + payload
    if size < 0x10000:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def to_data(data: Any) -> str | bytes:
    """Convert the data of a publish to the text or bytes that subscribers get.

    ``str`` stays text; ``bytes``, ``bytearray`` and ``memoryview`` become binary; anything else compact JSON made by
    Django's encoder, so dates, decimals and UUIDs work.

    :raises InvalidMessage: ``data`` cannot be encoded as JSON.
    """
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    try:
        return json.dumps(data, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMessage(
            "The message has no JSON form: {error}. Publish str, bytes or JSON-like data.", error=error
        ) from error


def pairs(messages: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the messages. Raises ``TypeError`` for one that is not a pair of a channel and its data."""
    for message in messages:
        if not (isinstance(message, (tuple, list)) and len(message) == 2 and isinstance(message[0], str)):
            raise TypeError(f'publish_many() takes pairs, such as [("/orders/42", "paid")], not {message!r:.100}.')
        yield message[0], message[1]


def check_data(data: str | bytes) -> str | bytes:
    """Return ``data`` if it may be published.

    :raises InvalidMessage: UTF-8 cannot encode the text.
    :raises MessageTooLarge: the payload is over ``MAX_MESSAGE_SIZE``.
    """
    limit = conf.MAX_MESSAGE_SIZE
    try:
        # A character has one to four bytes. Text is encoded only if that decides.
        size = len(data) if isinstance(data, bytes) or len(data) > limit or data.isascii() else len(data.encode())
    except UnicodeEncodeError:
        raise InvalidMessage("The text holds surrogates, which UTF-8 cannot encode.") from None
    if size > limit:
        raise MessageTooLarge(
            "The message has {size} bytes or more, {limit} are allowed (EVENTCAST['MAX_MESSAGE_SIZE']). "
            "Publish a link to large data, or split it.",
            size=size,
            limit=limit,
        )
    return data


def check_event_name(name: str) -> str:
    """Return ``name`` if it is a valid name of an event. The empty string means no name.

    :raises InvalidEventName: it has a line break or NUL, is over :data:`LONGEST_EVENT_NAME`, or UTF-8 cannot encode it.
    """
    try:
        if name and (not _EVENT_NAME.fullmatch(name) or len(name.encode()) > LONGEST_EVENT_NAME):
            raise InvalidEventName(
                "An event's name has no line break, no NUL, and at most {longest} bytes of UTF-8.",
                longest=LONGEST_EVENT_NAME,
            )
    except UnicodeEncodeError:
        raise InvalidEventName("The event's name holds surrogates, which UTF-8 cannot encode.") from None
    return name


def to_layer(channel: str, messages: Iterable[str | bytes], event_name: str = "") -> dict[str, Any]:
    """The channel layer event for messages that are published to ``channel`` together. It has plain types only.

    :param event_name: the checked name of the event, for all messages.
    """
    event = {"type": LAYER_TYPE, "channel": channel, "messages": list(messages), "time": time.time()}
    if event_name:
        event["event"] = event_name
    return event


def for_patterns(event: dict[str, Any]) -> dict[str, Any]:
    """The copy of an event for the group of processes that have subscribers to patterns."""
    return {**event, "type": PATTERNS_TYPE}


def from_layer(event: dict[str, Any]) -> list[Message]:
    """The messages of an event that :func:`to_layer` made."""
    channel: str = event["channel"]
    name: str = event.get("event", "")
    at: float | None = event.get("time")
    return [Message(data, channel, name, at) for data in event["messages"]]
