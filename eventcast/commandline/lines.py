"""Lines of a pipe as messages, as many at a time as are there."""

from __future__ import annotations

import os
from collections.abc import Iterator

from eventcast.client.publishing import BATCH
from eventcast.exceptions import MessageTooLarge

READ = 64 * 1024
"""Bytes to read at most at a time: what a pipe holds."""

LONGEST = 16 * 1024 * 1024
"""Bytes of one message from a pipe, sixteen times what servers take by default. No more is kept in memory."""


def batches(descriptor: int) -> Iterator[list[str | bytes]]:
    """The lines that come from a file descriptor, in batches: what is there now, so that a slow pipe's line is handed
    on at once and a fast one's by the thousand.

    A message is what stands before the line feed, a carriage return and blank lines included; what is not UTF-8 is a
    binary message.

    :raises MessageTooLarge: a line is over :data:`LONGEST`.
    """
    rest = bytearray()
    while chunk := os.read(descriptor, READ):
        *lines, last = chunk.split(b"\n")
        if lines:
            lines[0] = bytes(rest) + lines[0]
            rest.clear()
        rest += last
        if len(rest) > LONGEST:
            raise _too_long()
        for first in range(0, len(lines), BATCH):
            yield [to_message(line) for line in lines[first : first + BATCH]]
    if rest:
        yield [to_message(bytes(rest))]


def whole(descriptor: int) -> str | bytes:
    """All that comes from a file descriptor, as one message.

    :raises MessageTooLarge: it is over :data:`LONGEST`.
    """
    found = bytearray()
    while chunk := os.read(descriptor, READ):
        found += chunk
        if len(found) > LONGEST:
            raise _too_long()
    return to_message(bytes(found))


def to_message(data: bytes) -> str | bytes:
    """Text if it is UTF-8, else binary."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _too_long() -> MessageTooLarge:
    return MessageTooLarge(f"A message from standard input is over {LONGEST} bytes. Publish a link to it, or split it.")
