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
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\Z")


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
        self._content = bytearray()  # One object: a client may send millions of chunks.
        self._left = 0
        """Bytes of the current chunk that have not come, and of the line end behind it."""
        self._in_trailer = False
        self._trailer_size = 0
        self.size = 0

    def feed(self, data: bytes) -> bytes | None:
        """As :meth:`SizedBody.feed`.

        :raises InvalidRequest: it is not what RFC 9112 section 7.1 says.
        """
        data, at = self._buffer + data, 0  # By position: the rest is not copied for each of many chunks.
        while True:
            if self._left:
                piece = data[at : at + max(0, self._left - 2)]
                self._content += piece
                self.size += len(piece)
                self._left -= len(piece)
                at += len(piece)
                if self._left > 2 or len(data) - at < 2:
                    self._buffer = data[at:]
                    return None
                if not data.startswith(b"\r\n", at):
                    raise InvalidRequest("A chunk is not as long as it says.")
                at, self._left = at + 2, 0
            end = data.find(b"\r\n", at)
            if end < 0:
                self._buffer = data[at:]
                longest = LONGEST_TRAILER if self._in_trailer else LONGEST_CHUNK_LINE
                if len(self._buffer) > longest + 1 or b"\n" in self._buffer:
                    raise InvalidRequest("The line before a chunk is too long, or has no CR before its LF.")
                return None
            line, at = data[at:end], end + 2
            if not self._in_trailer:
                self._begin_chunk(line)
            elif line:
                self._check_trailer(line)
            else:
                return data[at:]

    def _begin_chunk(self, line: bytes) -> None:
        size, _, extensions = line.partition(b";")
        valid = _SIZE.match(size.rstrip(b" \t")) and _EXTENSIONS.match(extensions)
        if len(line) > LONGEST_CHUNK_LINE or not valid:
            raise InvalidRequest("The line before a chunk begins with its size in hexadecimal.")
        if length := int(size, 16):
            self._left = length + 2
        else:
            self._in_trailer = True

    def _check_trailer(self, line: bytes) -> None:
        self._trailer_size += len(line)
        if self._trailer_size > LONGEST_TRAILER or not _FIELD.match(line):
            raise InvalidRequest("The trailer of the body is too long, or is none.")

    def content(self) -> bytes:
        """The whole body."""
        return bytes(self._content)
