"""What a message of a run holds: its number, over and over, so that a byte out of place shows wherever it is."""

from __future__ import annotations

DIGITS = 8
"""Hexadecimal digits of a message's number, which makes it the smallest message."""

TEXT_FRAME = 0x81
"""First byte of an unfragmented text frame (RFC 6455 section 5.2)."""


def payload(number: int, size: int) -> bytes:
    """The message with this number, ``size`` bytes of ASCII."""
    return (b"%08x" % number * (size // DIGITS + 1))[:size]


def header(size: int) -> bytes:
    """What stands before ``size`` bytes of text in a server's frame."""
    if size < 126:
        return bytes((TEXT_FRAME, size))
    if size < 0x10000:
        return bytes((TEXT_FRAME, 126)) + size.to_bytes(2, "big")
    return bytes((TEXT_FRAME, 127)) + size.to_bytes(8, "big")


def number_in(text: bytes) -> int:
    """The number a payload begins with; -1 if it begins with none."""
    try:
        return int(text[:DIGITS], 16)
    except ValueError:
        return -1
