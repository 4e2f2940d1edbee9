"""The body of a request as it comes, by its length or in chunks (RFC 9112 sections 6 and 7). Pure: bytes in, bytes
out."""

from __future__ import annotations

import re

from eventcast.exceptions import InvalidRequest

LONGEST_CHUNK_LINE = 1024
"""Bytes of the line before a chunk: its size, and extensions, which are ignored."""

LONGEST_TRAILER = 8 * 1024
"""Bytes of the headers behind the last chunk, which are ignored too."""

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\Z")
_EXTENSIONS = re.compile(rb"(?:[\t\x20-\x7e\x80-\xff])*\Z")


class SizedBody:
    """A body of a known length."""

    def __init__(self, length: int) -> None:
        self._left = length
        self._pieces: list[bytes] = []
        self.size = 0
        """Bytes that have come."""

    def feed(self, data: bytes) -> bytes | None:
        """Take what belongs to the body; returns what comes after it, None if it has not come to its end."""
        self._pieces.append(data[: self._left])
        taken = len(self._pieces[-1])
        self.size += taken
        self._left -= taken
        return data[taken:] if not self._left else None

    def content(self) -> bytes:
        """The whole body."""
        return b"".join(self._pieces)


class ChunkedBody:
    """A body in chunks, each with its size before it."""

    def __init__(self) -> None:
        self._buffer = b""
        self._pieces: list[bytes] = []
        self._left = 0
        """Bytes of the current chunk that have not come, and of the line end behind it."""
        self._in_trailer = False
        self._trailer_size = 0
        self.size = 0

    def feed(self, data: bytes) -> bytes | None:
        """As :meth:`SizedBody.feed`.

        :raises InvalidRequest: it is not what RFC 9112 section 7.1 says.
        """
        data = self._buffer + data
        while True:
            if self._left:
                piece = data[: max(0, self._left - 2)]
                self._pieces.append(piece)
                self.size += len(piece)
                self._left -= len(piece)
                data = data[len(piece) :]
                if self._left > 2 or len(data) < 2:
                    self._buffer = data
                    return None
                if data[:2] != b"\r\n":
                    raise InvalidRequest("A chunk is not as long as it says.")
                data, self._left = data[2:], 0
            end = data.find(b"\r\n")
            if end < 0:
                if len(data) > (LONGEST_TRAILER if self._in_trailer else LONGEST_CHUNK_LINE) or b"\n" in data:
                    raise InvalidRequest("The line before a chunk is too long, or has no CR before its LF.")
                self._buffer = data
                return None
            line, data = data[:end], data[end + 2 :]
            if self._in_trailer:
                if not line:
                    return data
                self._trailer_size += len(line)
                if self._trailer_size > LONGEST_TRAILER or b":" not in line or not _EXTENSIONS.match(line):
                    raise InvalidRequest("The trailer of the body is too long, or is none.")
                continue
            size, _, extensions = line.partition(b";")
            valid = _SIZE.match(size.rstrip(b" 	")) and _EXTENSIONS.match(extensions)
            if len(line) > LONGEST_CHUNK_LINE or not valid:
                raise InvalidRequest("The line before a chunk begins with its size in hexadecimal.")
            length = int(size, 16)
            if length:
                self._left = length + 2
            else:
                self._in_trailer = True

    def content(self) -> bytes:
        """The whole body."""
        return b"".join(self._pieces)
