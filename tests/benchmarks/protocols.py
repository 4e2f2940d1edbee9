"""How a subscriber asks for messages, and what their bytes are: WebSockets and Server-Sent Events."""

from __future__ import annotations

from typing import Protocol

# The example of RFC 6455 section 1.3: a key and the proof that the server has understood it.
KEY, PROOF = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

TEXT, PING = 0x81, 0x89


class Subscription(Protocol):
    """One way of subscribing."""

    name: str

    def request(self, target: str, host: str) -> bytes:
        """The request that subscribes."""

    def is_open(self, answer: bytes) -> bool:
        """Whether the answer to the request is complete.

        :raises ConnectionError: the server refuses.
        """

    def frame(self, message: bytes) -> bytes:
        """The bytes that a text message is sent as."""

    def control(self, data: bytes) -> tuple[int, bytes] | None:
        """The length of what ``data`` begins with, if that is no message, and the answer to it.

        The length is 0 if the rest has not come yet.
        """


class WebSocket:
    """A WebSocket (RFC 6455)."""

    name = "WebSocket"

    def request(self, target: str, host: str) -> bytes:
        return (
            b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % (target.encode(), host.encode(), KEY)
        )

    def is_open(self, answer: bytes) -> bool:
        is_complete = b"\r\n\r\n" in answer
        if is_complete and not (answer.startswith(b"HTTP/1.1 101 ") and PROOF in answer):
            raise ConnectionError(f"A WebSocket was refused: {answer[:300]!r}")
        return is_complete

    def frame(self, message: bytes) -> bytes:
        size = len(message)
        if size < 126:
            return bytes((TEXT, size)) + message
        if size < 0x10000:
            return bytes((TEXT, 126)) + size.to_bytes(2, "big") + message
        return bytes((TEXT, 127)) + size.to_bytes(8, "big") + message

    def control(self, data: bytes) -> tuple[int, bytes] | None:
        if not data[0] & 8:
            return None
        end = 2 + data[1] if len(data) > 1 else 2
        if len(data) < end:
            return 0, b""
        # A client masks its frames. A mask of four zeros changes nothing.
        pong = bytes((0x8A, 0x80 | data[1], 0, 0, 0, 0)) + data[2:end]
        return end, pong if data[0] == PING else b""


class EventStream:
    """A stream of Server-Sent Events, in chunks or without."""

    name = "SSE stream"

    def __init__(self) -> None:
        self._chunked = False

    def request(self, target: str, host: str) -> bytes:
        return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode()

    def is_open(self, answer: bytes) -> bool:
        head, _, greeting = answer.partition(b"\r\n\r\n")
        if b"\r\n" in head and not answer.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"A stream was refused: {answer[:300]!r}")
        self._chunked = b"transfer-encoding: chunked" in head.lower()
        return greeting.endswith(b"\n\r\n" if self._chunked else b"\n")

    def frame(self, message: bytes) -> bytes:
        return self._chunk(b"data: " + message + b"\n\n")

    def control(self, data: bytes) -> tuple[int, bytes] | None:
        comment = self._chunk(b":\n")
        if data.startswith(comment):
            return len(comment), b""
        return (0, b"") if comment.startswith(data) else None

    def _chunk(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
