"""The subscribers of a run: one epoll loop that reads what has come and compares it with the tape of the channel."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from types import TracebackType

from tests.benchmarks.protocols import Subscription
from tests.benchmarks.tapes import Tape

EVENTS = 256
"""Connections that are read from in one turn."""

READ = 65536
"""Bytes of one read."""

OPENING = 40
"""Subscribers that connect at the same time: less than the listen backlog of plain ``daphne``, which is 50."""


class Subscribers:
    """Subscribers, and everything else that waits for bytes in this process.

    :param address: host and port of the server.
    :param timeout: seconds without anything to read after which the server is given up.
    """

    def __init__(self, subscription: Subscription, address: tuple[str, int], timeout: float) -> None:
        self.received = 0
        """Bytes of messages, of all subscribers."""
        self.length = 1
        """Bytes of each message on the wire."""
        self.problems: list[str] = []
        self._subscription = subscription
        self._address = address
        self.host = "{}:{}".format(*address)
        self.timeout = timeout
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        # By file descriptor: the tape of the channel, and how many of its bytes the subscriber has got.
        self._tapes: dict[int, Tape] = {}
        self._positions: dict[int, int] = {}
        # By file descriptor: the beginning of a control frame that has not come to its end.
        self._rests: dict[int, bytes] = {}
        # By file descriptor: what reads from a connection that is no subscriber, or not yet.
        self._readers: dict[int, Callable[[bytes], None]] = {}

    def __enter__(self) -> Subscribers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._epoll.close()

    def open(self, request: bytes, reader: Callable[[bytes], None]) -> socket.socket:
        """Connect and send a request. ``reader`` is called with what comes, and with ``b""`` at the end."""
        sock = socket.create_connection(self._address, self.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if request:
            sock.sendall(request)
        self._sockets[sock.fileno()] = sock
        self._readers[sock.fileno()] = reader
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return sock

    def close(self, sock: socket.socket) -> None:
        """Close a connection of :meth:`open`."""
        del self._sockets[sock.fileno()], self._readers[sock.fileno()]
        sock.close()

    def subscribe(self, targets: list[tuple[str, Tape]]) -> None:
        """Connect one subscriber to each request target, and wait until all are subscribed.

        :raises ConnectionError: the server refuses one of them.
        """
        for target, tape in targets:
            self._subscribe(self._subscription.request(target, self.host), tape)
            while len(self._readers) >= OPENING:
                self._wait()
        while self._readers:
            self._wait()

    def run(self, seconds: float) -> None:
        """Do nothing but answer pings, for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(left)

    def turn(self, timeout: float) -> bool:
        """Wait until something has come, and read it; False if nothing has come in ``timeout`` seconds."""
        read, tapes, positions = os.read, self._tapes, self._positions
        events = self._epoll.poll(timeout, EVENTS)
        for descriptor, _ in events:
            try:
                data = read(descriptor, READ)
            except ConnectionError:
                data = b""
            tape = tapes.get(descriptor)
            if tape is None:
                self._readers[descriptor](data)
                continue
            position = positions[descriptor]
            if data and tape.startswith(data, position):
                positions[descriptor] = position + len(data)
                self.received += len(data)
            else:
                self._read_by_frame(descriptor, tape, data)
        return bool(events)

    def rewind(self, length: int) -> None:
        """Begin with empty tapes; messages are so many bytes long on the wire from now on."""
        self.length = length
        for descriptor, tape in self._tapes.items():
            tape.clear()
            self._positions[descriptor] = 0

    def missing(self) -> int:
        """Deliveries that have not come: to each subscriber, those that are on the tape of its channel."""
        return sum(len(tape) - self._positions[descriptor] for descriptor, tape in self._tapes.items()) // self.length

    def _subscribe(self, request: bytes, tape: Tape) -> None:
        answer = bytearray()

        def read(data: bytes) -> None:
            answer.extend(data)
            if self._subscription.is_open(bytes(answer)):
                del self._readers[descriptor]
                self._tapes[descriptor], self._positions[descriptor] = tape, len(tape)
            elif not data:
                raise ConnectionError(f"The server closed the connection of a subscriber: {bytes(answer[:300])!r}")

        descriptor = self.open(request, read).fileno()

    def _wait(self) -> None:
        if not self.turn(self.timeout):
            raise ConnectionError(f"Subscribers wait for the server's answer for {self.timeout} s.")

    def _read_by_frame(self, descriptor: int, tape: Tape, data: bytes) -> None:
        """Read what is new on the tape, between control frames; or what differs from the tape."""
        if not data:
            self._give_up(descriptor, "was disconnected")
            return
        data = self._rests.pop(descriptor, b"") + data
        while data:
            position = self._positions[descriptor]
            left = self.length - position % self.length
            control = self._subscription.control(data) if left == self.length else None
            if control is None:
                part, data = data[:left], data[left:]
                if not tape.learn(part, position):
                    self._give_up(descriptor, f"got {part[:40]!r} at byte {position}, and others did not")
                    return
                self._positions[descriptor] += len(part)
                self.received += len(part)
            elif control[0]:
                data = data[control[0] :]
                self._sockets[descriptor].sendall(control[1])
            else:
                self._rests[descriptor] = data
                return

    def _give_up(self, descriptor: int, fault: str) -> None:
        self._epoll.unregister(descriptor)
        self.problems.append(f"A subscriber {fault}.")
