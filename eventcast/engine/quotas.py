"""Limits on the subscribers of this process: in all, of one channel and of one address; and on patterns.

The rules:

- A place is reserved before the first ``await`` and released when the connection is over, so subscribers that arrive at
  the same time are counted exactly.
- A limit of 0 means no limit. Places are counted nevertheless, except for addresses, so a limit may be set any time.

Safe in any thread, because the event loops of the process share the limits.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable

from eventcast.conf import conf
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import ChannelFull, Refused, ServerFull, TooManyConnections, TooManyPatterns

Place = tuple[Hashable, str]
"""The channel or pattern, and the address that counts the subscriber; empty for none."""


class Quotas:
    """Counts the places of a process."""

    def __init__(self) -> None:
        self.subscribers = 0
        """Reserved places."""
        self._per_channel: defaultdict[Hashable, int] = defaultdict(int)
        self._per_address: defaultdict[str, int] = defaultdict(int)
        self._patterns = 0
        self._lock = threading.RLock()  # A finalizer may end a connection while the lock is held.

    def check(self, wanted: str | Pattern, address: str) -> None:
        """Check that a place is free, without reserving it. Arguments and error are those of :meth:`reserve`."""
        if (refusal := self._refusal(_key(wanted), wanted, address)) is not None:
            raise refusal

    def reserve(self, wanted: str | Pattern, address: str) -> Place:
        """Reserve a place, until :meth:`release`.

        :param address: the client's address, see ``security.clients.group``; empty for no limit.
        :raises Refused: a limit is reached.
        """
        place = key, counted = _key(wanted), address if conf.MAX_SUBSCRIBERS_PER_ADDRESS else ""
        with self._lock:
            if (refusal := self._refusal(key, wanted, counted)) is not None:
                raise refusal
            self.subscribers += 1
            if isinstance(wanted, Pattern) and key not in self._per_channel:
                self._patterns += 1
            self._per_channel[key] += 1
            if counted:
                self._per_address[counted] += 1
        return place

    def release(self, place: Place) -> None:
        """Release a place when the connection is over."""
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
        is_new_pattern = isinstance(wanted, Pattern) and key not in self._per_channel
        if 0 < (limit := conf.MAX_SUBSCRIBERS) <= self.subscribers:
            return ServerFull(
                "The server has {limit} subscribers (EVENTCAST['MAX_SUBSCRIBERS']). Try again later.", limit=limit
            )
        if 0 < (limit := conf.MAX_SUBSCRIBERS_PER_CHANNEL) <= self._per_channel.get(key, 0):
            return ChannelFull(
                "The channel has {limit} subscribers (EVENTCAST['MAX_SUBSCRIBERS_PER_CHANNEL']). Try again later.",
                limit=limit,
            )
        if address and 0 < (limit := conf.MAX_SUBSCRIBERS_PER_ADDRESS) <= self._per_address.get(address, 0):
            return TooManyConnections(
                "{limit} subscribers come from {address} (EVENTCAST['MAX_SUBSCRIBERS_PER_ADDRESS']). Close one first.",
                limit=limit,
                address=address,
            )
        if is_new_pattern and 0 < (limit := conf.MAX_PATTERNS) <= self._patterns:
            return TooManyPatterns(
                "{limit} patterns have subscribers (EVENTCAST['MAX_PATTERNS']). Subscribe to channels, or try later.",
                limit=limit,
            )
        return None


def _key(wanted: str | Pattern) -> Hashable:
    # Patterns that differ only in their parameters' names are equal.
    return wanted.segments if isinstance(wanted, Pattern) else wanted


quotas = Quotas()
