"""Whether a service lives, judged by its beats. Pure: times are handed in, and nothing is waited for.

The rules of a :class:`Watch`:

1. A beat is any message on the service's channel. Without one for ``timeout`` seconds the service is silent: that is
   told once. The first beat after that says that it is alive again: that is told once, too.
2. A service that has never been heard is silent after ``timeout`` seconds as well: it has not come up.
3. While the connection to eventcast is lost nothing is judged, for nothing can be heard. With the next connection the
   seconds are counted anew. So a restart of eventcast alone alarms nobody.
4. What was told stays told: after a lost connection a silent service is not told of again, until it beats.
5. Who did not look for half of ``timeout``, because the process was stopped or its machine asleep, may have beats
   unread. The seconds are counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LIMIT = 10_000
"""Channels that are watched at most: bounds the memory, where anybody may name a new one."""


@dataclass(frozen=True)
class Heartbeat:
    """A service fell silent, or came back."""

    channel: str
    alive: bool
    """False: it fell silent; True: it is back."""
    silence: float
    """Seconds since its last beat, an outage of eventcast included, to now or to the beat that ended them; if there was
    none, since watching began."""


class Watch:
    """Watches one service. All times are seconds of one clock that never goes back.

    :param timeout: seconds without a beat that make it silent.
    """

    __slots__ = ("_counted_from", "_heard_at", "_looked_at", "channel", "silent", "timeout")

    def __init__(self, channel: str, timeout: float) -> None:
        self.channel = channel
        self.timeout = timeout
        self.silent = False
        """Whether it was told to be silent, and nothing else since."""
        self._heard_at: float | None = None
        self._counted_from: float | None = None
        """From when the seconds are counted; None while the connection is lost."""
        self._looked_at = 0.0

    def connected(self, now: float) -> None:
        """The connection to eventcast stands, for the first time or again."""
        if self._heard_at is None:
            self._heard_at = now
        self._counted_from = self._looked_at = now

    def lost(self) -> None:
        """The connection to eventcast is lost. Nothing happens the second time."""
        self._counted_from = None

    def beat(self, now: float) -> Heartbeat | None:
        """The service was heard; returns that it is back, if it was told to be silent."""
        found = self._tell(now) if self.silent else None
        self._heard_at = now
        if self._counted_from is not None:
            self._counted_from = now
        return found

    def look(self, now: float) -> Heartbeat | None:
        """Time has passed; returns that the service is silent, if it is that from now on.

        To be called several times in each half of ``timeout``.
        """
        looked_at, self._looked_at = self._looked_at, now
        if self._counted_from is None or self.silent:
            return None
        if now - looked_at > self.timeout / 2:
            self._counted_from = now
        return self._tell(now) if now - self._counted_from >= self.timeout else None

    def _tell(self, now: float) -> Heartbeat:
        told = Heartbeat(self.channel, self.silent, now - (now if self._heard_at is None else self._heard_at))
        self.silent = not self.silent
        return told


class Watches:
    """Watches several services over one connection: those named, and those that are heard, from their first beat on.

    :param timeout: seconds without a beat that make one silent.
    :param channels: those to watch from the beginning.
    :param limit: how many are watched at most.
    """

    def __init__(self, timeout: float, channels: Iterable[str] = (), *, limit: int = LIMIT) -> None:
        self.timeout = timeout
        self._limit = limit
        self._is_connected = False
        self._watches = {channel: Watch(channel, timeout) for channel in channels}

    def __contains__(self, channel: str) -> bool:
        return channel in self._watches

    def __len__(self) -> int:
        return len(self._watches)

    def connected(self, now: float) -> None:
        """The connection to eventcast stands, for the first time or again."""
        self._is_connected = True
        for watch in self._watches.values():
            watch.connected(now)

    def lost(self) -> None:
        """The connection to eventcast is lost."""
        self._is_connected = False
        for watch in self._watches.values():
            watch.lost()

    def beat(self, channel: str, now: float) -> Heartbeat | None:
        """The service of that channel was heard; returns that it is back, if it was told to be silent."""
        watch = self._watches.get(channel)
        if watch is None:
            if len(self._watches) >= self._limit:
                return None
            watch = self._watches[channel] = Watch(channel, self.timeout)
            if self._is_connected:
                watch.connected(now)
        return watch.beat(now)

    def look(self, now: float) -> list[Heartbeat]:
        """Time has passed; returns those that are silent from now on."""
        return [found for watch in self._watches.values() if (found := watch.look(now)) is not None]
