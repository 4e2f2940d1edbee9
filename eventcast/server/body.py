"""The body of a request as it comes, by its length or in chunks (RFC 9112 sections 6 and 7). Pure: bytes in, bytes
out."""

from __future__ import annotations

import re

from eventcast.exceptions import InvalidRequest

LONGEST_CHUNK_LINE = 1024
"""Bytes of the line before a chunk: its size, and extensions, which are ignored."""

LONGEST_TRAILER = 8 * 1024
"""Bytes of the headers behind the last chunk, which are ignored too."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\Z")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\Z")


class Body:
    """A body of ``length`` bytes, or in chunks if that is None."""

    def __init__(self, length: int | None) -> None:
        self._chunked = length is None
        self._left = length or 0
        """Bytes still to be received, of the body or of the current chunk and its line end."""
        self._buffer = b""
        self._trailer: int | None = None
        """Bytes of the trailer; None before it."""
        self.content = bytearray()  # One object: a client may send millions of chunks.

    def feed(self, data: bytes) -> bytes | None:
        """Take the bytes of the body. Returns the bytes after it, or None while the body is not complete.

        :raises InvalidRequest: a chunk breaks RFC 9112 section 7.1.
        """
        if self._chunked:
            return self._feed_chunks(self._buffer + data)
        self.content += data[: self._left]
        rest = data[self._left :]
        self._left -= len(data) - len(rest)
        return None if self._left else rest

    def _feed_chunks(self, data: bytes) -> bytes | None:
        at = 0  # A position, because slicing would copy the rest for each chunk.
        while True:
            if self._left:
                piece = data[at : at + max(0, self._left - 2)]
                self.content += piece
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
                longest = LONGEST_CHUNK_LINE if self._trailer is None else LONGEST_TRAILER
                if len(self._buffer) > longest + 1 or b"\n" in self._buffer:
                    raise InvalidRequest("The line before a chunk is too long, or has no CR before its LF.")
                return None
            line, at = data[at:end], end + 2
            if self._trailer is not None and not line:
                return data[at:]
            self._read_line(line)

    def _read_line(self, line: bytes) -> None:
        if self._trailer is not None:
            self._trailer += len(line)
            if self._trailer > LONGEST_TRAILER or not _FIELD.match(line):
                raise InvalidRequest("The trailer of the body is too long, or is none.")
            return
        found = _CHUNK_LINE.match(line)
        if len(line) > LONGEST_CHUNK_LINE or found is None:
            raise InvalidRequest("The line before a chunk begins with its size in hexadecimal.")
        length = int(found[1], 16)
        if length:
            self._left = length + 2
        else:
            self._trailer = 0
