"""The forms in which subscribers get messages: each is made once, when the first subscriber needs it, then shared."""

from __future__ import annotations

from collections.abc import Callable

from eventcast.engine.figures import Account
from eventcast.engine.messages import Message, encode_frame


class Form:
    """How messages are written to one kind of subscriber. Forms are compared by identity.

    :param encode: the bytes of one message.
    :param notice: the bytes of a notice, by its type and its text, see ``eventcast.engine.notices``.
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
        """The bytes of several messages, one after the other."""
        encode = self._encode
        data = encode(messages[0]) if len(messages) == 1 else b"".join(map(encode, messages))
        return self.wrap(data)

    def notice(self, kind: str, text: str) -> bytes:
        """The bytes of a notice."""
        return self.wrap(self._notice(kind, text.encode()))

    def wrap(self, data: bytes) -> bytes:
        """Other bytes of the same stream, as a chunk where the form has chunks."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data


def _frame(kind: str, text: bytes) -> bytes:
    return encode_frame(text, binary=False)


def _text(kind: str, text: bytes) -> bytes:
    return text


def _line(kind: str, text: bytes) -> bytes:
    return text + b"\n"


def _event(kind: str, text: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), text)


FRAMES, LINE_FRAMES = Form(Message.frame, _frame), Form(Message.line_frame, _frame)
"""WebSocket frames: of messages, and of their lines of JSON."""
PAYLOADS, LINE_TEXTS = Form(lambda message: message.payload, _text), Form(lambda message: message.line()[:-1], _text)
"""The same for servers that make the frames themselves."""
EVENTS, EVENT_CHUNKS = Form(Message.event, _event), Form(Message.event, _event, chunked=True)
"""Server-Sent Events: as a plain body, and as chunks."""
LINE_EVENTS = Form(Message.line_event, _event)
LINE_EVENT_CHUNKS = Form(Message.line_event, _event, chunked=True)
"""Server-Sent Events of lines of JSON."""
LINES, LINE_CHUNKS = Form(Message.line, _line), Form(Message.line, _line, chunked=True)
"""Lines of JSON."""

BY_PATTERN = {FRAMES: LINE_FRAMES, PAYLOADS: LINE_TEXTS, EVENTS: LINE_EVENTS, EVENT_CHUNKS: LINE_EVENT_CHUNKS}
"""The form for subscribers to a pattern, which says on which channel each message came. Others say that anyway."""


class Piece:
    """Bytes that are written to many subscribers. Each that could not take them keeps a reference, never a copy.

    :param messages: how many messages they are; 0 for pings and the like.
    :param account: the channel that counts them as delivered or lost; None if they were not published.
    :param lost: how many lost messages they stand for, if they are the notice of a loss.
    :param binary: whether they are one binary message, where each message is sent by itself.
    :param overhead: bytes that count beside them.
    """

    __slots__ = ("account", "binary", "data", "holders", "lost", "messages", "size")

    def __init__(
        self,
        data: bytes,
        messages: int = 0,
        account: Account | None = None,
        *,
        lost: int = 0,
        binary: bool = False,
        overhead: int = 0,
    ) -> None:
        self.data = data
        self.size = len(data) + overhead
        """Bytes that count where what a client owes is bounded."""
        self.messages = messages
        self.account = account
        self.lost = lost
        self.binary = binary
        self.holders = 0
        """Subscribers that still owe these bytes to their clients."""


class Batch:
    """Messages that leave together: what piled up on a channel while it was being fanned out goes in one write.

    :param messages: at least one, in the order in which they are delivered.
    :param account: the channel that they were published to.
    """

    __slots__ = ("_pieces", "_singles", "account", "messages", "size")

    def __init__(self, messages: list[Message], account: Account | None = None) -> None:
        self.messages = messages
        self.account = account
        self.size = sum([len(message.payload) for message in messages])
        """Bytes of all payloads."""
        self._pieces: dict[Form, Piece] = {}
        self._singles: dict[Form, list[Piece]] = {}

    def __len__(self) -> int:
        return len(self.messages)

    def join(self, other: Batch) -> None:
        """Add the messages of another batch. To be done before any piece is made."""
        self.messages += other.messages
        self.size += other.size

    def piece(self, form: Form) -> Piece:
        """All messages in one form: made when the first subscriber needs it, then shared."""
        piece = self._pieces.get(form)
        if piece is None:
            piece = self._pieces[form] = Piece(form.encode(self.messages), len(self.messages), self.account)
        return piece

    def singles(self, form: Form, overhead: int) -> list[Piece]:
        """A piece of each message in one form: for servers that send messages one by one. Made once, too."""
        singles = self._singles.get(form)
        if singles is None:
            singles = self._singles[form] = [
                Piece(form.encode([each]), 1, self.account, binary=each.binary and form is PAYLOADS, overhead=overhead)
                for each in self.messages
            ]
        return singles
