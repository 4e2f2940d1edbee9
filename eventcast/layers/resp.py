"""The protocol between Redis and its clients (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Refusal(Exception):
    """An error that Redis has answered."""


def command(*words: bytes) -> bytes:
    """A command as it is sent."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def parse(data: bytes | bytearray, at: int = 0) -> tuple[Any, int] | None:
    """The answer that begins at a place, and where the next one begins; None if it is not complete.

    :returns: ``bytes``, ``int``, ``None``, a list of these, or a :class:`Refusal`.
    :raises ValueError: the bytes are not an answer of Redis.
    """
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, line = data[at], data[at + 1 : end]
    end += 2
    if kind == 0x24:  # $
        size = int(line)
        stop = end + size
        if size < 0:
            return None, end
        return (bytes(data[end:stop]), stop + 2) if len(data) >= stop + 2 else None
    if kind == 0x3A:  # :
        return int(line), end
    if kind in (0x2A, 0x3E):  # *, and > of what RESP3 pushes
        items = []
        for _ in range(int(line)):
            found = parse(data, end)
            if found is None:
                return None
            items.append(found[0])
            end = found[1]
        return items, end
    if kind == 0x2D:  # -
        return Refusal(line.decode(errors="replace")), end
    if kind == 0x2B:  # +
        return bytes(line), end
    raise ValueError(f"Redis does not speak so: {bytes(data[at : at + 20])!r}")


class Answers:
    """Divides the received bytes into answers."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterable[Any]:
        """The answers that are complete with this piece.

        :raises ValueError: the bytes are not an answer of Redis.
        """
        if self._rest:
            self._rest += data
        read: bytes | bytearray = self._rest or data
        at = 0
        try:
            while (found := parse(read, at)) is not None:
                at = found[1]
                yield found[0]
        finally:
            if read is self._rest:
                del self._rest[:at]
            else:
                self._rest += read[at:]
