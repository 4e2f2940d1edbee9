"""What travels: a message, its way through a channel layer, and its encoded forms, each made once for all
subscribers."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from eventcast.conf import conf
from eventcast.exceptions import InvalidMessage, MessageTooLarge

LAYER_TYPE = "eventcast.messages"
"""The ``type`` of what eventcast puts on the channel layer."""

PATTERNS_TYPE = "eventcast.patterns"
"""The ``type`` of the same, once more, for subscribers to patterns."""

# RFC 6455 section 5.2: FIN and the opcode in the first byte; text 1, binary 2.
_TEXT, _BINARY = 0x81, 0x82


class Message:
    """One message as it is delivered: text or binary. It keeps one payload; other forms are made from it when asked.

    :param data: ``str`` for a text message, ``bytes`` for a binary one.
    :param channel: the channel it was published to.
    """

    __slots__ = ("_line", "binary", "channel", "payload", "time")

    def __init__(self, data: str | bytes, channel: str = "") -> None:
        self.channel = channel
        self.time = time.time()
        """When this process got it, seconds since the epoch."""
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
        """The message as a Server-Sent Event (HTML standard section 9.2): binary ones base64, as events ``binary``.

        Lines end as that format has it: what ended in CR or CRLF ends in LF at the other side.
        """
        if self.binary:
            return b"event: binary\ndata: " + base64.b64encode(self.payload) + b"\n\n"
        lines = self.payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return b"data: " + lines.replace(b"\n", b"\ndata: ") + b"\n\n"

    def line(self) -> bytes:
        """The message as a line of JSON: ``time``, ``channel``, and its text as ``data`` or its bytes as ``base64``.

        It is made once, because streams, WebSockets of ``eventcast.v1`` and subscribers to patterns all get it.
        """
        if not self._line:
            form = {"base64": base64.b64encode(self.payload).decode()} if self.binary else {"data": self.data}
            record = {"time": round(self.time, 6), "channel": self.channel} | form
            self._line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        return self._line

    def line_frame(self) -> bytes:
        """The same line as one WebSocket frame, a text message."""
        return encode_frame(self.line()[:-1], binary=False)

    def __repr__(self) -> str:
        return f"<Message {'binary' if self.binary else 'text'} of {len(self.payload)} bytes>"


def envelope_of(message: Message) -> Message:
    """The message for subscribers to a pattern: its JSON line as a text message, which says on which channel it
    came."""
    envelope = Message(b"", message.channel)
    envelope.binary, envelope.payload, envelope.time = False, message.line()[:-1], message.time
    return envelope


class Form:
    """How messages are written to one kind of subscriber. Forms are compared by identity.

    :param encode: the bytes of one message.
    :param notice: the bytes of a text that is no message, such as :func:`lost_text`.
    :param chunked: whether each write is a chunk of an HTTP/1.1 body (RFC 9112 section 7.1).
    """

    __slots__ = ("_chunked", "_encode", "_notice")

    def __init__(
        self, encode: Callable[[Message], bytes], notice: Callable[[bytes], bytes], *, chunked: bool = False
    ) -> None:
        self._encode = encode
        self._notice = notice
        self._chunked = chunked

    def encode(self, messages: list[Message]) -> bytes:
        """The bytes of several messages, one after the other."""
        encode = self._encode
        data = encode(messages[0]) if len(messages) == 1 else b"".join(map(encode, messages))
        return self.wrap(data)

    def lost(self, count: int) -> bytes:
        """What a viewer gets in the place of ``count`` messages that it has lost, see ``Subscriber.viewer``."""
        return self.wrap(self._notice(lost_text(count).encode()))

    def wrap(self, data: bytes) -> bytes:
        """Other bytes of the same stream, as a chunk where the form has chunks."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data


def lost_text(count: int) -> str:
    """The notice that ``count`` messages are missing here: ``{"type":"lost","messages":3,"reason":"slow"}``."""
    return f'{{"type":"lost","messages":{count},"reason":"slow"}}'


def _text_frame(text: bytes) -> bytes:
    return encode_frame(text, binary=False)


def _text_line(text: bytes) -> bytes:
    return text + b"\n"


def _lost_event(text: bytes) -> bytes:
    return b"event: lost\ndata: " + text + b"\n\n"


FRAMES = Form(Message.frame, _text_frame)
"""WebSocket frames."""
PAYLOADS = Form(lambda message: message.payload, bytes)
"""Messages for servers that make the frames of a WebSocket themselves."""
EVENTS, EVENT_CHUNKS = Form(Message.event, _lost_event), Form(Message.event, _lost_event, chunked=True)
"""Server-Sent Events: as a plain body, and as chunks."""
LINES, LINE_CHUNKS = Form(Message.line, _text_line), Form(Message.line, _text_line, chunked=True)
"""Lines of JSON."""
LINE_FRAMES, LINE_TEXTS = Form(Message.line_frame, _text_frame), Form(lambda message: message.line()[:-1], bytes)
"""The same lines, each as a text message of a WebSocket: as a frame, and for servers that make the frames."""
ENVELOPE_LINES = {
    LINES: Form(lambda envelope: envelope.payload + b"\n", _text_line),
    LINE_CHUNKS: Form(lambda envelope: envelope.payload + b"\n", _text_line, chunked=True),
}
"""The form of a stream of JSON lines for a subscriber to a pattern: an envelope is such a line already."""


class Piece:
    """Bytes that are written to many subscribers. Each that could not take them keeps a reference, never a copy.

    :param messages: how many messages they are; 0 for pings and the like.
    :param lost: how many lost messages they stand for, if they are the notice of a loss.
    :param binary: whether they are one binary message, where each message is sent by itself.
    :param overhead: bytes that count beside them.
    """

    __slots__ = ("binary", "data", "holders", "lost", "messages", "size")

    def __init__(
        self, data: bytes, messages: int = 0, *, lost: int = 0, binary: bool = False, overhead: int = 0
    ) -> None:
        self.data = data
        self.size = len(data) + overhead
        """Bytes that count where what a client owes is bounded."""
        self.messages = messages
        self.lost = lost
        self.binary = binary
        self.holders = 0
        """Subscribers that still owe these bytes to their clients."""


class Batch:
    """Messages that leave together: what piled up on a channel while it was being fanned out goes in one write.

    :param messages: at least one, in the order in which they are delivered.
    """

    __slots__ = ("_pieces", "_singles", "messages", "size")

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.size = sum(len(message.payload) for message in messages)
        """Bytes of all payloads."""
        self._pieces: dict[Form, Piece] = {}
        self._singles: dict[Form, list[Piece]] = {}

    def __len__(self) -> int:
        return len(self.messages)

    def piece(self, form: Form) -> Piece:
        """All messages in one form: made when the first subscriber needs it, then shared."""
        piece = self._pieces.get(form)
        if piece is None:
            piece = self._pieces[form] = Piece(form.encode(self.messages), len(self.messages))
        return piece

    def singles(self, form: Form, overhead: int) -> list[Piece]:
        """A piece of each message in one form: for servers that send messages one by one. Made once, too."""
        singles = self._singles.get(form)
        if singles is None:
            singles = self._singles[form] = [
                Piece(form.encode([each]), 1, binary=each.binary and form is PAYLOADS, overhead=overhead)
                for each in self.messages
            ]
        return singles


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
    """What :func:`to_layer` made, for the group of processes that have subscribers to patterns."""
    return {**event, "type": PATTERNS_TYPE}


def from_layer(event: dict[str, Any]) -> list[Message]:
    """The messages of what :func:`to_layer` made."""
    channel: str = event["channel"]
    return [Message(data, channel) for data in event["messages"]]
