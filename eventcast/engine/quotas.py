"""How many may listen: in all, to one channel, from one address, and by how many patterns, in this process.

The rules:

- a place is taken before anything is awaited and given back when the connection is over, so that those who come at the
  same time are counted exactly;
- a limit of 0 is none. Places are counted all the same, but for addresses, so that a limit may be set at any time.

It is safe in any thread: every event loop of the process has a hub of its own, and the limits are the process's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable

from eventcast.conf import conf
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import ChannelFull, Refused, ServerFull, TooManyConnections, TooManyPatterns

Place = tuple[Hashable, str]
"""What a subscriber listens to, and the address it counts for; empty if for none."""


class Quotas:
    """The places of a process."""

    def __init__(self) -> None:
        self.subscribers = 0
        """Places taken."""
        self._per_channel: Counter[Hashable] = Counter()
        self._per_address: Counter[str] = Counter()
        self._patterns = 0
        self._lock = threading.Lock()

    def check(self, wanted: str | Pattern, address: str) -> None:
        """Find out whether there is a place, without taking it.

        :param address: that of the client, see ``security.addresses.group``; empty if it counts for none.
        :raises Refused: there is none, or not for this one.
        """
        if (refusal := self._refusal(_key(wanted), wanted, address)) is not None:
            raise refusal

    def reserve(self, wanted: str | Pattern, address: str) -> Place:
        """Take a place; it wants its :meth:`release`.

        :raises Refused: there is none, or not for this one.
        """
        place = key, counted = _key(wanted), address if conf.MAX_SUBSCRIBERS_PER_ADDRESS else ""
        with self._lock:
            if (refusal := self._refusal(key, wanted, counted)) is not None:
                raise refusal
            self.subscribers += 1
            self._per_channel[key] += 1
            if isinstance(wanted, Pattern) and self._per_channel[key] == 1:
                self._patterns += 1
            if counted:
                self._per_address[counted] += 1
        return place

    def release(self, place: Place) -> None:
        """The connection is over."""
        key, address = place
        with self._lock:
            self.subscribers -= 1
            self._per_channel[key] -= 1
            if not self._per_channel[key]:
                del self._per_channel[key]
                if not isinstance(key, str):
                    self._patterns -= 1
            if address:
                self._per_address[address] -= 1
                if not self._per_address[address]:
                    del self._per_address[address]

    def _refusal(self, key: Hashable, wanted: str | Pattern, address: str) -> Refused | None:
        if 0 < (limit := conf.MAX_SUBSCRIBERS) <= self.subscribers:
            return ServerFull(f"The server has {limit} subscribers (EVENTCAST['MAX_SUBSCRIBERS']). Try again later.")
        if 0 < (limit := conf.MAX_SUBSCRIBERS_PER_CHANNEL) <= self._per_channel.get(key, 0):
            return ChannelFull(
                f"The channel has {limit} subscribers (EVENTCAST['MAX_SUBSCRIBERS_PER_CHANNEL']). Try again later."
            )
        if address and 0 < (limit := conf.MAX_SUBSCRIBERS_PER_ADDRESS) <= self._per_address.get(address, 0):
            return TooManyConnections(
                f"{limit} subscribers come from {address} (EVENTCAST['MAX_SUBSCRIBERS_PER_ADDRESS']). Close one first."
            )
        new = isinstance(wanted, Pattern) and key not in self._per_channel
        if new and 0 < (limit := conf.MAX_PATTERNS) <= self._patterns:
            return TooManyPatterns(
                f"{limit} patterns are listened by (EVENTCAST['MAX_PATTERNS']). Listen to channels, or try later."
            )
        return None


def _key(wanted: str | Pattern) -> Hashable:
    # Two patterns that differ only in their parameters' names are one.
    return wanted.segments if isinstance(wanted, Pattern) else wanted


quotas = Quotas()
