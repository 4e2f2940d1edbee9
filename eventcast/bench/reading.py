"""The hot loop of a worker: read what has come, have it checked, count it."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable

from eventcast.bench.audience import Audience
from eventcast.bench.deliveries import Deliveries
from eventcast.bench.pacing import Pacing

READ = 64 * 1024
"""Bytes to read at most at a time."""

SMALL_READ = 4 * 1024
"""The same where less is to come: a smaller buffer is quicker to get."""

Event = tuple[int, int]
"""File descriptor and what epoll says about it."""


class Reader:
    """Reads from an audience's sockets.

    :param expected: bytes that may come to one subscriber at once.
    :param pacing: which messages are not read when they come; None if all are.
    :param other: called with a file descriptor and what was read where it is not what the tape has in that place.
    :param failed: called with a file descriptor and the error of reading.
    :param complete: called with the messages that everybody has got.
    """

    def __init__(
        self,
        audience: Audience,
        deliveries: Deliveries,
        expected: int,
        pacing: Pacing | None,
        *,
        other: Callable[[int, bytes], None],
        failed: Callable[[int, OSError], None],
        complete: Callable[[list[int]], None],
    ) -> None:
        self._audience = audience
        self._deliveries = deliveries
        self._size = min(READ, max(SMALL_READ, expected + 512))
        self._pacing = pacing
        self._other = other
        self._failed = failed
        self._complete = complete

    def handle(self, events: list[Event]) -> None:
        """Read what has come, but for what may lie unread for now."""
        if self._pacing is not None:
            events = self._notice(self._pacing, events)
        self._read(events)

    def read_all(self, descriptors: Iterable[int]) -> None:
        """Read whatever there is, noticed or not."""
        if self._pacing is not None:
            self._deliveries.noticed = self._pacing.number + 1
        self._read([(descriptor, select.EPOLLIN) for descriptor in descriptors])

    def _notice(self, pacing: Pacing, events: list[Event]) -> list[Event]:
        """Count the messages that have come and are not read now; returns the other events."""
        now = time.monotonic()
        if pacing.look(now):
            self._deliveries.noticed = pacing.number
        if not pacing.leaves_unread:
            return events
        # Anything but EPOLLIN alone is told once only, such as that the connection is over.
        tape, tape_of, coming = pacing.tape, self._audience.tape_of, select.EPOLLIN
        others = [event for event in events if event[1] != coming or tape_of[event[0]] is not tape]
        count = len(events) - len(others)
        if count and self._deliveries.notice(pacing.number, count, now):
            self._complete([pacing.number])
        return others

    def _read(self, events: Iterable[Event]) -> None:
        read, size, length, coming = os.read, self._size, self._audience.contents.length, select.EPOLLIN
        positions, tape_of, seen = self._audience.positions, self._audience.tape_of, self._audience.seen
        # What was read last, where on which tape that was, where it ended and which messages ended in it. Most others
        # read the same at the same place.
        last, begin, on, end, numbers = b"", -1, self._audience.nobody, -1, [0]
        for descriptor, mask in events:
            try:
                data = read(descriptor, size)
                if data == last and mask == coming and positions[descriptor] == begin and tape_of[descriptor] is on:
                    positions[descriptor] = end
                    seen += numbers
                    continue
                while True:
                    tape, position = tape_of[descriptor], positions[descriptor]
                    if data and tape.data.startswith(data, position - tape.base):
                        positions[descriptor] = following = position + len(data)
                        came = tape.order[position // length : following // length]
                        seen += came
                        if len(data) < size:
                            last, begin, on, end, numbers = data, position, tape, following, came
                    else:
                        self._other(descriptor, data)
                    if len(data) < size and (mask == coming or not data):
                        break
                    # There may be more, or the end of it, which is not told again: the epoll is edge-triggered.
                    data = read(descriptor, size)
            except OSError as error:
                self._failed(descriptor, error)
        if seen:
            complete = self._deliveries.add(seen, time.monotonic())
            seen.clear()
            if complete:
                self._complete(complete)
