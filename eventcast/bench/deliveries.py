"""Counting what a worker's subscribers have got: per message, until all of them have it, and how long it took."""

from __future__ import annotations

import array
from collections import Counter

from eventcast.bench.latencies import Latencies
from eventcast.bench.shared import Shared
from eventcast.bench.tapes import Tape


class Deliveries:
    """The deliveries of one worker.

    :param tapes: those of the channels that are published to.
    """

    def __init__(self, tapes: list[Tape], shared: Shared) -> None:
        self.due = 0
        """Deliveries that are still to come of the messages that have come to somebody."""
        self.count = 0
        self.total = 0
        """The same, whatever was reset."""
        self.last = 0.0
        """When the latest came, seconds of ``time.monotonic()``."""
        self.latencies = Latencies()
        self.noticed = 0
        """Messages below this one were noticed when they came; being read now is all that is new."""
        self._tapes = tapes
        self._sent = shared.sent
        self._missing = array.array("i", [-1]) * len(shared.sent)
        """By message, how many subscribers have not got it; -1 before anybody has."""
        self._open: set[int] = set()

    def add(self, numbers: list[int], now: float) -> list[int]:
        """Each of ``numbers`` is a message that was read; returns the messages that everybody has got now."""
        self.count += len(numbers)
        self.total += len(numbers)
        came = Counter(numbers).items()
        return [number for number, count in came if number >= self.noticed and self.notice(number, count, now)]

    def notice(self, number: int, count: int, now: float) -> bool:
        """A message has come to so many, read or not; True if now everybody has it who had not."""
        self.last = now
        self.latencies.add(now - self._sent[number], count)
        missing = self._missing[number]
        if missing < 0:
            missing = self._tapes[number % len(self._tapes)].alive
            self.due += missing
            self._open.add(number)
        return self._take_off(number, missing, count)

    def forget(self, tape: Tape, had: set[int]) -> list[int]:
        """A subscriber has gone that had got ``had``; returns the messages that everybody else has got."""
        waiting = [number for number in self._open if number % len(self._tapes) == tape.channel and number not in had]
        return [number for number in waiting if self._take_off(number, self._missing[number], 1)]

    def reset(self) -> None:
        """Begin to count anew."""
        self.count = 0
        self.last = 0.0
        self.latencies = Latencies()

    def _take_off(self, number: int, missing: int, count: int) -> bool:
        """Whether nobody misses the message any more, and somebody did until now."""
        taken = min(missing, count)  # Who had it and left was taken off already.
        self._missing[number] = missing - taken
        self.due -= taken
        if missing and missing == taken:
            self._open.discard(number)
            return True
        return False
