"""Encoders: each batch is encoded once by each encoder that its subscribers use, and they share the bytes."""

from __future__ import annotations

from collections.abc import Callable

from eventcast.engine.figures import ChannelFigures
from eventcast.engine.messages import Message, encode_frame


class Encoder:
    """Encodes messages for one kind of subscriber. Encoders are compared by identity.

    :param encode: encodes one message.
    :param notice: encodes a notice, given its type and its text, see ``eventcast.engine.notices``.
    :param chunked: whether each write is a chunk of an HTTP/1.1 body (RFC 9112 section 7.1).
    """

    __slots__ = ("_chunked", "_encode", "_notice")

    def __init__(
        self, encode: Callable[[Message], bytes], notice: Callable[[str, bytes], bytes], *, chunked: bool = False
    ) -> None:
        self._encode = encode
        self._notice = notice
        self._chunked = chunked

    def encode(self, messages: list[Message]) -> bytes:
        """The bytes of several messages, in order."""
        encode = self._encode
        data = encode(messages[0]) if len(messages) == 1 else b"".join(map(encode, messages))
        return self.wrap(data)

    def notice(self, kind: str, text: str) -> bytes:
        """The bytes of a notice."""
        return self.wrap(self._notice(kind, text.encode()))

    def wrap(self, data: bytes) -> bytes:
        """Other bytes of the same stream, as a chunk if the encoder makes chunks."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data


def _frame(kind: str, text: bytes) -> bytes:
    return encode_frame(text, binary=False)


def _text(kind: str, text: bytes) -> bytes:
    return text


def _line(kind: str, text: bytes) -> bytes:
    return text + b"\n"


def _event(kind: str, text: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), text)


FRAMES, LINE_FRAMES = Encoder(Message.frame, _frame), Encoder(Message.line_frame, _frame)
"""WebSocket frames: of messages, and of their lines of JSON."""
PAYLOADS = Encoder(lambda message: message.payload, _text)
LINE_TEXTS = Encoder(lambda message: message.line()[:-1], _text)
"""The same for ASGI servers, which make the frames."""
EVENTS, EVENT_CHUNKS = Encoder(Message.event, _event), Encoder(Message.event, _event, chunked=True)
"""Server-Sent Events: as a plain body, and as chunks."""
LINE_EVENTS = Encoder(Message.line_event, _event)
LINE_EVENT_CHUNKS = Encoder(Message.line_event, _event, chunked=True)
"""Server-Sent Events of lines of JSON."""
LINES, LINE_CHUNKS = Encoder(Message.line, _line), Encoder(Message.line, _line, chunked=True)
"""Lines of JSON."""

FOR_PATTERNS = {FRAMES: LINE_FRAMES, PAYLOADS: LINE_TEXTS, EVENTS: LINE_EVENTS, EVENT_CHUNKS: LINE_EVENT_CHUNKS}
"""The encoders for subscribers to a pattern: they add the channel. The other encoders always include the channel."""


class Piece:
    """Encoded bytes, shared by all subscribers that they are written to. Send buffers refer to them.

    :param messages: how many messages they hold; 0 for pings and the like.
    :param channel: counts the messages as delivered or lost; None if they were not published.
    :param lost: how many lost messages they replace, if they are a notice of a loss.
    :param binary: whether they are one binary message, for servers that send messages one by one.
    :param overhead: bytes of memory that count in addition.
    """

    __slots__ = ("binary", "channel", "data", "holders", "lost", "messages", "size")

    def __init__(
        self,
        data: bytes,
        messages: int = 0,
        channel: ChannelFigures | None = None,
        *,
        lost: int = 0,
        binary: bool = False,
        overhead: int = 0,
    ) -> None:
        self.data = data
        self.size = len(data) + overhead
        """Bytes that count for the bounds of send buffers."""
        self.messages = messages
        self.channel = channel
        self.lost = lost
        self.binary = binary
        self.holders = 0
        """Subscribers with these bytes in their send buffers."""


class Batch:
    """Messages that are written together: those of one publish, or all that became pending during a pass.

    :param messages: at least one, in order.
    :param channel: counts the messages.
    """

    __slots__ = ("_pieces", "_singles", "channel", "messages", "size")

    def __init__(self, messages: list[Message], channel: ChannelFigures | None = None) -> None:
        self.messages = messages
        self.channel = channel
        self.size = sum([len(message.payload) for message in messages])
        """Bytes of all payloads."""
        self._pieces: dict[Encoder, Piece] = {}
        self._singles: dict[Encoder, list[Piece]] = {}

    def __len__(self) -> int:
        return len(self.messages)

    def join(self, other: Batch) -> None:
        """Add the messages of another batch. Only before the first piece is made."""
        self.messages += other.messages
        self.size += other.size

    def piece(self, encoder: Encoder) -> Piece:
        """All messages as one encoder writes them: encoded for the first subscriber that needs it, then shared."""
        piece = self._pieces.get(encoder)
        if piece is None:
            piece = self._pieces[encoder] = Piece(encoder.encode(self.messages), len(self.messages), self.channel)
        return piece

    def singles(self, encoder: Encoder, overhead: int) -> list[Piece]:
        """One piece for each message, for servers that send messages one by one. Encoded once, too."""
        singles = self._singles.get(encoder)
        if singles is None:
            singles = self._singles[encoder] = []
            for message in self.messages:
                data, binary = encoder.encode([message]), message.binary and encoder is PAYLOADS
                singles.append(Piece(data, 1, self.channel, binary=binary, overhead=overhead))
        return singles
