"""Messages from arguments and from pipes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from eventcast.client.publishing import BATCH
from eventcast.exceptions import MessageTooLarge

READ = 64 * 1024
"""Bytes to read at a time: the size of a pipe."""

LONGEST = 16 * 1024 * 1024
"""Bytes of one message from a pipe, sixteen times the default limit of servers. This bounds the memory."""


def batches(descriptor: int) -> Iterator[list[str | bytes]]:
    """The lines of a file descriptor, in batches of all that is there: one line of a slow pipe, a thousand of a fast
    one.

    A message is a line without its line feed; blank lines are messages, and a carriage return is kept. A line that is
    not UTF-8 is a binary message.

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
    """Everything from a file descriptor, as one message.

    :raises MessageTooLarge: it is over :data:`LONGEST`.
    """
    found = bytearray()
    while chunk := os.read(descriptor, READ):
        found += chunk
        if len(found) > LONGEST:
            raise _too_long()
    return to_message(bytes(found))


def from_argument(argument: str) -> str | bytes:
    """The message in an argument. Python represents bytes that are not UTF-8 by surrogates."""
    return to_message(os.fsencode(argument))


def to_message(data: bytes) -> str | bytes:
    """Text if the bytes are UTF-8, else binary."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _too_long() -> MessageTooLarge:
    return MessageTooLarge(f"A message from standard input is over {LONGEST} bytes. Publish a link to it, or split it.")
