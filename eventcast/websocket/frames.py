"""WebSocket frames as a server reads them (RFC 6455 section 5). Pure: bytes in, frames out, rules kept."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator

from eventcast.engine.closing import INVALID_DATA, MESSAGE_TOO_BIG, PROTOCOL_ERROR, may_be_sent

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KNOWN = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})

LARGEST_CONTROL = 125
"""Bytes of payload of a control frame; RFC 6455 section 5.5."""


class BrokenRule(Exception):
    """Raised when a client breaks a rule of the protocol; ``code`` is the close code that says so."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameReader:
    """The frames of one client. It keeps what has not come to an end yet: less than one message.

    :param max_size: bytes of the largest message.
    :param discard: whether data frames are only checked and counted: their payload is thrown away as it comes.
    """

    __slots__ = (
        *("_buffer", "_data", "_decoder", "_discard", "_last", "_mask"),
        *("_max_size", "_needed", "_opcode", "_size", "_left"),
    )

    def __init__(self, max_size: int, *, discard: bool) -> None:
        self._max_size = max_size
        self._discard = discard
        self._buffer = bytearray()
        self._needed = 2
        """Bytes that the buffer must hold before it is worth a look."""
        self._left = -1
        """Bytes that are still to come of the payload of a data frame; -1 between frames."""
        self._mask = b""
        """The mask of the next of these bytes."""
        self._last = False
        """Whether the frame is the last of its message."""
        self._opcode = 0
        """The opcode of the message that has begun; 0 if none has."""
        self._data: list[bytes] = []
        self._decoder: codecs.IncrementalDecoder | None = None
        """Checks a text message whose payload is not there as a whole, so that the first wrong byte ends it (section
        8.1)."""
        self._size = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is kept: a reader that is made anew would go on in the same way."""
        return not (self._buffer or self._left >= 0 or self._opcode)

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield what ends with these bytes: each message as its opcode (TEXT or BINARY) and its whole payload, and each
        control frame. With ``discard`` the payload of data frames is empty, and each frame is yielded when it begins.

        :raises BrokenRule: the client has broken a rule; nothing may be fed after that.
        """
        buffer = self._buffer
        buffer += data
        while True:
            if self._left >= 0:
                if not self._read_payload():
                    return
                if self._last:
                    kind, whole = self._opcode, b"".join(self._data)
                    self._data, self._size, self._opcode, self._decoder = [], 0, 0, None
                    if not self._discard:
                        yield kind, whole
            if len(buffer) < self._needed:
                return
            first, second = buffer[0], buffer[1]
            opcode, length, start = first & 0x0F, second & 0x7F, 6
            if first & 0x70:
                raise BrokenRule(PROTOCOL_ERROR, "A reserved bit is set, and no extension was agreed on.")
            if opcode not in KNOWN:
                raise BrokenRule(PROTOCOL_ERROR, f"The opcode {opcode} is reserved.")
            if not second & 0x80:
                raise BrokenRule(PROTOCOL_ERROR, "A client must mask its frames.")
            if opcode & 0x8:
                if length > LARGEST_CONTROL or not first & 0x80:
                    raise BrokenRule(PROTOCOL_ERROR, "A control frame is short and in one piece.")
            elif (opcode == CONTINUATION) != bool(self._opcode):
                raise BrokenRule(PROTOCOL_ERROR, "A continuation without a beginning, or the reverse.")
            if length > LARGEST_CONTROL:
                size = 2 if length == 126 else 8
                if len(buffer) < 2 + size:
                    self._needed = 2 + size
                    return
                length, start = int.from_bytes(buffer[2 : 2 + size], "big"), 6 + size
                if length >> 63 or length < (126 if size == 2 else 0x10000):
                    raise BrokenRule(PROTOCOL_ERROR, "A frame's length has 63 bits, and takes as few bytes as it can.")
            if not opcode & 0x8 and self._size + length > self._max_size:
                raise BrokenRule(MESSAGE_TOO_BIG, f"The message is larger than {self._max_size} bytes.")
            end = start + length if opcode & 0x8 else start
            if len(buffer) < end:
                self._needed = end
                return
            self._needed, mask = 2, bytes(buffer[start - 4 : start])
            if opcode & 0x8:
                payload = unmask(bytes(buffer[start:end]), mask)
                del buffer[:end]
                yield opcode, payload
                continue
            del buffer[:end]
            self._size += length
            self._opcode, self._last = opcode or self._opcode, bool(first & 0x80)
            self._left, self._mask = length, mask
            if self._discard:
                yield opcode, b""

    def _read_payload(self) -> bool:
        """Take what is there of the payload of a data frame; returns whether that is all of it."""
        payload = bytes(self._buffer[: self._left])
        del self._buffer[: len(payload)]
        self._left -= len(payload)
        data, turn = unmask(payload, self._mask), len(payload) % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        ends = self._last and not self._left
        # A text that is there as a whole is decoded anyway.
        if self._opcode == TEXT and (self._discard or self._decoder is not None or not ends):
            self._decoder = decoder = self._decoder or codecs.getincrementaldecoder("utf-8")()
            check_utf8(data, lambda part: decoder.decode(part, ends))
        if not self._discard:
            self._data.append(data)
            if len(self._data) > 1024:
                self._data = [b"".join(self._data)]  # pieces of one byte would take the room of fifty
        if self._left:
            return False
        self._left = -1
        return True


def unmask(payload: bytes, mask: bytes) -> bytes:
    """The payload of a client's frame (RFC 6455 section 5.3)."""
    size = len(payload)
    if not size or mask == b"\0\0\0\0":
        return payload
    repeated = mask * (size // 4) + mask[: size % 4]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def close_frame(code: int | None, reason: str = "") -> bytes:
    """An unmasked close frame, without a code if there is none; a reason that is too long is cut between two
    characters."""
    if code is None:
        return bytes((0x80 | CLOSE, 0))
    text = reason.encode()[: LARGEST_CONTROL - 2].decode(errors="ignore").encode()
    return bytes((0x80 | CLOSE, 2 + len(text))) + code.to_bytes(2, "big") + text


def read_close(payload: bytes) -> int | None:
    """The code of a client's close frame, None without one; raises :class:`BrokenRule` if it may not be sent."""
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not may_be_sent(code):
        raise BrokenRule(PROTOCOL_ERROR, "The close code is not one that may be sent.")
    check_utf8(payload[2:])
    return code


def check_utf8(payload: bytes, decode: Callable[[bytes], str] = bytes.decode) -> str:
    """The text of a text message, or of a part of it; raises :class:`BrokenRule` if it is not valid UTF-8."""
    try:
        return decode(payload)
    except UnicodeDecodeError:
        raise BrokenRule(INVALID_DATA, "A text message is not valid UTF-8.") from None
