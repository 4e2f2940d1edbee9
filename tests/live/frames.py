"""WebSocket frames (RFC 6455 section 5) from a client's side: what servers send is checked to the letter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class ProtocolError(AssertionError):
    """Raised for what a server may not send."""


def read_frames(buffer: bytes, messages: deque[str | bytes], control: Callable[[int, bytes], None]) -> int:
    """Take the whole frames at the beginning of ``buffer``; returns how many bytes they are.

    One long loop with the common frame first, for there may be a million of them.

    :param messages: where the messages go.
    :param control: called with the opcode and the payload of each ping, pong and close frame.
    :raises ProtocolError: a rule is broken. Servers send nothing in fragments here, so those are refused as well.
    """
    start, available, closed = 0, len(buffer), False
    append = messages.append
    while available - start >= 2:
        first, size = buffer[start], buffer[start + 1]
        begin = start + 2
        if size >= 126:
            if size > 127:
                raise ProtocolError("a masked frame from the server")
            begin += 2 if size == 126 else 8
            if available < begin:
                break
            length = int.from_bytes(buffer[start + 2 : begin], "big")
            if length < (126 if size == 126 else 0x10000):
                raise ProtocolError(f"the length {length} is not encoded in the fewest bytes")
            size = length
        end = begin + size
        if end > available:
            break
        if closed:
            raise ProtocolError("a frame after the close frame")
        if first == 0x80 | TEXT:
            append(buffer[begin:end].decode())
        elif first == 0x80 | BINARY:
            append(buffer[begin:end])
        else:
            control(check_control(first, buffer[begin:end]), buffer[begin:end])
            closed = first == 0x80 | CLOSE
        start = end
    return start


def check_control(first: int, payload: bytes) -> int:
    """The opcode of a control frame, if it is one."""
    if first not in (0x80 | CLOSE, 0x80 | PING, 0x80 | PONG):
        raise ProtocolError(f"a frame that begins with {first:#x}: reserved bits, a fragment or an unknown opcode")
    if len(payload) > 125:
        raise ProtocolError(f"a control frame of {len(payload)} bytes")
    if first == 0x80 | CLOSE and len(payload) == 1:
        raise ProtocolError("a close code of one byte")
    return first & 15


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """One masked frame; the mask is zero, which makes masking cheap."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 0x10000:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload
