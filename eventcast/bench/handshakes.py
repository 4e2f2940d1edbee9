"""Opening many WebSockets, so many at a time that no listen backlog overflows."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from typing import Any

WINDOW = 50
"""Handshakes under way at a time. Daphne's listen backlog is 50 unless told otherwise."""

PER_ADDRESS = 25_000
"""Connections from one source address: Linux has 28 232 ephemeral ports by default."""

# Any key will do: the proof is the server's to give (RFC 6455 section 4.2.2 has both as its example).
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

EXPLANATIONS = {
    errno.ECONNRESET: "the connection was reset; is the server out of open files (ulimit -n)?",
    errno.EADDRNOTAVAIL: "there are no ports left for more connections from this machine to that address",
    errno.EMFILE: "this process may not open more files (ulimit -n)",
}


class Refused(Exception):
    """Raised when a handshake fails; says why."""


class Handshakes:
    """Handshakes under way, in an epoll of somebody else's.

    :param epoll: sockets are registered there: for writing until connected, for reading from then on, edge-triggered.
    :param address: what to connect to, as the socket module has it. :param host: the header ``Host``.
    """

    def __init__(self, epoll: select.epoll, family: int, address: Any, host: str) -> None:
        self._epoll = epoll
        self._family = family
        self._address = address
        self._host = host.encode()
        self._loopback = family == socket.AF_INET and address[0].startswith("127.")
        self._targets: dict[int, bytes] = {}
        self._answers: dict[int, bytes] = {}
        self.sockets: dict[int, socket.socket] = {}
        """By file descriptor, all that are connected or connecting."""

    def __len__(self) -> int:
        return len(self._answers)

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._answers

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._answers))

    def begin(self, index: int, target: str) -> int:
        """Begin to connect subscriber number ``index`` to a request target; returns the file descriptor."""
        sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._loopback and index >= PER_ADDRESS:
                # All of 127.0.0.0/8 is this machine: another source address has ports of its own.
                sock.bind((f"127.0.0.{1 + index // PER_ADDRESS}", 0))
            found = sock.connect_ex(self._address)
        except OSError as error:
            sock.close()
            raise Refused(explain(error.errno)) from None
        if found not in (0, errno.EINPROGRESS):
            sock.close()
            raise Refused(explain(found))
        descriptor = sock.fileno()
        self.sockets[descriptor] = sock
        self._answers[descriptor] = b""
        self._targets[descriptor] = target.encode()
        self._epoll.register(descriptor, select.EPOLLOUT)
        return descriptor

    def connected(self, descriptor: int) -> None:
        """The socket can be written to: send the request, unless that has been done. :raises Refused: it failed."""
        target = self._targets.pop(descriptor, None)
        if target is None:
            return
        lines = [b"GET %s HTTP/1.1" % target, b"Host: " + self._host, b"Upgrade: websocket", b"Connection: Upgrade"]
        lines += [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY, b"", b""]
        try:
            self.sockets[descriptor].sendall(b"\r\n".join(lines))
        except OSError as error:
            raise Refused(explain(error.errno)) from None
        self._epoll.modify(descriptor, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def answered(self, descriptor: int, data: bytes) -> bytes | None:
        """Take what was read; returns None until the handshake is over, then what came after it.

        :raises Refused: the server turned it down, or what it says is no answer to a handshake.
        """
        answer = self._answers[descriptor] + data
        head, end, rest = answer.partition(b"\r\n\r\n")
        if not data:
            raise Refused(f"closed without an answer{': ' + _first_line(head) if head else ''}")
        if not end:
            self._answers[descriptor] = answer
            return None
        if not head.startswith(b"HTTP/1.1 101 ") or ACCEPT not in head:
            raise Refused(f"the answer was {_first_line(head)!r}")
        del self._answers[descriptor]
        return rest

    def close(self, descriptor: int) -> None:
        """Close a socket, connected or not."""
        self._answers.pop(descriptor, None)
        self._targets.pop(descriptor, None)
        self.sockets.pop(descriptor).close()


def explain(number: int | None) -> str:
    """What an error of the operating system means here."""
    return EXPLANATIONS.get(number or 0) or os.strerror(number or 0)


def _first_line(head: bytes) -> str:
    return head.partition(b"\r\n")[0].decode("latin-1")
