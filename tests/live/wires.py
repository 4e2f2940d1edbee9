"""A blocking connection on which any bytes may be sent, and whose answers are read as a strict proxy reads them."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

from tests.live.waiting import TIMEOUT


@dataclass
class Answer:
    """A whole answer (RFC 9112 section 6)."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The stable code of a refusal."""
        assert self.headers["content-type"] == "application/json", self
        found: dict[str, Any] = json.loads(self.body)
        assert set(found) == {"error", "detail"}, found
        return str(found["error"])

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends."""
        return self.headers.get("connection", "").lower() == "close"


class Wire:
    """One connection: ``with Wire(server.port) as wire``.

    :param place: a port of this machine, or the path of a Unix socket.
    """

    def __init__(self, place: int | str, first: bytes = b"") -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(place if isinstance(place, str) else ("127.0.0.1", place))
        self._buffer = b""
        self.send(first)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, method: str = "POST") -> Answer:
        """The next answer."""
        head = self.read_until(b"\r\n\r\n").decode("latin-1")
        line, *lines = head[:-4].split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        if method == "HEAD" or status in ("204", "304"):
            return Answer(int(status), headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(int(status), headers, self._chunks())
        if "content-length" in headers:
            return Answer(int(status), headers, self.read(int(headers["content-length"])))
        assert headers.get("connection", "").lower() == "close", f"an answer without an end: {head}"
        return Answer(int(status), headers, self.rest())

    def ask(self, data: bytes, method: str = "POST") -> Answer:
        """Send a request, and read its answer."""
        self.send(data)
        return self.answer(method)

    def read_until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._receive()
        found, _, self._buffer = self._buffer.partition(end)
        return found + end

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def rest(self) -> bytes:
        """All that comes until the server closes its side, in an orderly way."""
        while more := self.socket.recv(65536):
            self._buffer += more
        found, self._buffer = self._buffer, b""
        return found

    def _receive(self) -> None:
        more = self.socket.recv(65536)
        assert more, f"the connection has ended within an answer: {self._buffer!r}"
        self._buffer += more

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.read_until(b"\r\n"), 16):
            body += self.read(size)
            assert self.read(2) == b"\r\n"
        assert self.read(2) == b"\r\n"
        return body


def request(method: str, target: str, body: bytes = b"", *headers: str, version: str = "1.1") -> bytes:
    """A request as a careful client writes it."""
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def publish(target: str, body: bytes = b"x", *headers: str, version: str = "1.1") -> bytes:
    """A request that publishes a text."""
    return request("POST", target, body, "Content-Type: text/plain", *headers, version=version)
