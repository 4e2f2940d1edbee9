"""Publishing: HTTP connections that are kept open, with one request under way each."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable, Sequence

from tests.benchmarks.subscribers import Subscribers
from tests.benchmarks.tapes import Tape, payload

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

PAUSE = 0.00025
"""Seconds that deliveries gather before they are read. To wake this process for each delivery would cost the server
as much as the delivery; subscribers on other machines do not cost that."""

MANY = 64
"""Deliveries on the way that make a pause worthwhile."""


class Channel:
    """A channel that messages are published on."""

    def __init__(self, target: str, subscribers: int = 0) -> None:
        self.target = target
        """The request target, percent-encoded."""
        self.subscribers = subscribers
        self.tape = Tape()
        self.published: dict[int, int] = {}
        """The numbers of the messages, and the publisher of each."""


class Publisher:
    """One connection. It puts itself into ``free`` whenever a publish is answered."""

    def __init__(self, number: int, subscribers: Subscribers, free: deque[Publisher]) -> None:
        self.number = number
        self._subscribers = subscribers
        self._free = free
        self._answer = b""
        self.sock = subscribers.open(b"", self._read)
        free.append(self)

    def publish(self, target: str, message: bytes) -> None:
        """Send a message."""
        head = f"POST {target} HTTP/1.1\r\nHost: {self._subscribers.host}\r\nContent-Type: text/plain\r\n"
        self.sock.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (head.encode(), len(message), message))

    def _read(self, data: bytes) -> None:
        self._answer += data
        if not data:
            raise ConnectionError(f"The server closed the connection of a publisher: {self._answer[:300]!r}")
        head, end, body = self._answer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if end and length and len(body) >= int(length[1]):
            if not head.startswith(b"HTTP/1.1 20"):
                self._subscribers.problems.append(f"A publish was refused: {self._answer[:300]!r}")
            self._answer = b""
            self._free.append(self)


def publish(
    subscribers: Subscribers, channels: Sequence[Channel], numbers: Iterable[int], size: int, publishers: int
) -> None:
    """Publish messages of ``size`` bytes on the channels in turn, and wait until all are delivered.

    As many messages as there are publishers are on the way, at most: a single publisher sends the next message when
    all subscribers have got the last one.
    """
    free: deque[Publisher] = deque()
    everyone = [Publisher(number, subscribers, free) for number in range(publishers)]
    length = subscribers.length
    most = (publishers - 1) * max(channel.subscribers for channel in channels) * length
    waiting = deque(numbers)
    expected, moved = subscribers.received, time.monotonic()
    while waiting or expected > subscribers.received or len(free) < publishers:
        while waiting and free and expected - subscribers.received <= most:
            number, publisher = waiting.popleft(), free.popleft()
            channel = channels[number % len(channels)]
            channel.published[number] = publisher.number
            publisher.publish(channel.target, payload(number, size))
            expected += channel.subscribers * length
        if subscribers.turn(0.1):
            moved = time.monotonic()
        elif time.monotonic() - moved > subscribers.timeout:
            subscribers.problems.append(f"Publishing stopped with {len(waiting)} messages left: nothing came any more.")
            break
        if expected - subscribers.received > MANY * length:
            time.sleep(PAUSE)
    for publisher in everyone:
        subscribers.close(publisher.sock)
