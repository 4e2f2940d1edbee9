"""The publishers: HTTP/1.1 connections that are kept alive and have one request under way each, in an epoll loop."""

from __future__ import annotations

import re
import select
import socket
from collections import deque

from eventcast.bench.contents import payload
from eventcast.bench.exceptions import BenchError
from eventcast.bench.target import Target

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)

QUOTE = 300
"""Bytes of an answer that are shown if it is an error."""


class Publishers:
    """All publishers of a run.

    :param epoll: their sockets are registered there. :param channels: message ``n`` goes to channel ``n % channels``.
    """

    def __init__(self, epoll: select.epoll, target: Target, size: int, channels: int) -> None:
        paths = [f"{target.path}/{channel}" if channels > 1 else target.path for channel in range(channels)]
        # The body is the message itself: the shortest way into any server.
        headers = f"Host: {target.host}\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
        self._heads = [f"POST {path} HTTP/1.1\r\n{headers}".encode() for path in paths]
        self._size = size
        self._epoll = epoll
        self._target = target
        self.free: deque[Publisher] = deque()
        """Who has no request under way."""
        self.accepted = 0
        """Requests answered with a status of success."""
        self.refused: list[int] = []
        """The messages that were not."""
        self.complaint = ""
        """What the server said to the first of them."""
        self._publishers: dict[int, Publisher] = {}

    def connect(self, count: int) -> None:
        """Open so many connections. :raises BenchError: one cannot be."""
        for index in range(count):
            self._open(index)

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._publishers

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return len(self.free) < len(self._publishers)

    def publish(self, publisher: Publisher, number: int) -> None:
        """Send the message with this number."""
        publisher.number = number
        publisher.unsent = self._heads[number % len(self._heads)] + payload(number, self._size)
        self._send(publisher)

    def handle(self, descriptor: int) -> list[int]:
        """Something has happened on a publisher's socket; returns the messages that nobody will get.

        :raises BenchError: not even the first message was accepted.
        """
        publisher = self._publishers[descriptor]
        if publisher.unsent:
            self._send(publisher)
        try:
            data = publisher.sock.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        publisher.answer += data
        status = publisher.status()
        if status is not None:
            return self._finish(publisher, status)
        if not data:
            publisher.ends = True
            return self._finish(publisher, 0)
        return []

    def close(self) -> None:
        """Close all connections."""
        for publisher in self._publishers.values():
            publisher.sock.close()
        self._publishers.clear()
        self.free.clear()

    def _open(self, index: int) -> None:
        sock = socket.socket(self._target.family, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(self._target.address)
        except OSError as error:
            sock.close()
            raise BenchError(f"Publisher {index} cannot connect to {self._target.url}: {error.strerror}") from None
        sock.setblocking(False)
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        self._publishers[sock.fileno()] = publisher = Publisher(index, sock)
        self.free.append(publisher)

    def _send(self, publisher: Publisher) -> None:
        try:
            taken = publisher.sock.send(publisher.unsent)
        except BlockingIOError:
            taken = 0
        except OSError:
            return  # Reading tells the same, and what the server has said before.
        publisher.unsent = publisher.unsent[taken:]
        waiting = bool(publisher.unsent)
        if waiting != publisher.waiting:
            publisher.waiting = waiting
            self._epoll.modify(publisher.sock.fileno(), select.EPOLLIN | (select.EPOLLOUT if waiting else 0))

    def _finish(self, publisher: Publisher, status: int) -> list[int]:
        lost = []
        if 200 <= status < 300:
            self.accepted += 1
        elif publisher.number >= 0:
            said = publisher.answer[:QUOTE].decode("latin-1").strip() or "the connection was closed"
            self.complaint = self.complaint or said
            lost.append(publisher.number)
            self.refused += lost
            if not self.accepted:
                raise BenchError(f"The server does not accept messages to {self._target.path}:\n{said}")
        publisher.number = -1
        publisher.answer = b""
        if publisher.ends:
            publisher.sock.close()
            self._publishers = {key: value for key, value in self._publishers.items() if value is not publisher}
            self.free = deque(other for other in self.free if other is not publisher)
            self._open(publisher.index)
        else:
            self.free.append(publisher)
        return lost


class Publisher:
    """One connection."""

    __slots__ = ("answer", "ends", "index", "number", "sock", "unsent", "waiting")

    def __init__(self, index: int, sock: socket.socket) -> None:
        self.index = index
        self.sock = sock
        self.number = -1
        """The message under way; -1 if there is none."""
        self.unsent = b""
        self.answer = b""
        self.waiting = False
        """Whether the epoll waits until more can be sent."""
        self.ends = False
        """Whether the server closes the connection after this answer."""

    def status(self) -> int | None:
        """The status of the answer; None if it is not all there."""
        head, end, body = self.answer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = LENGTH.search(head)
        if length:
            if len(body) < int(length[1]):
                return None
        elif CHUNKED.search(head) and not body.endswith(b"0\r\n\r\n"):
            return None
        self.ends = CLOSE.search(head) is not None
        return int(head[9:12]) if head[9:12].isdigit() else 0
