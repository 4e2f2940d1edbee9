"""What is to be looked at again when: found, set and discarded at the same cost however much there is."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Reminders(Generic[Key]):
    """Keys with a time each, the earliest first.

    Times must be given in ascending order, as they are when every reminder is set the same time ahead.
    """

    # Not a plain dict: finding its first entry takes the longer the more entries before it have been deleted.
    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def set(self, key: Key, when: float) -> None:
        """Remind of ``key`` at ``when`` (seconds of any clock), instead of the time it was set to before."""
        self._times[key] = when
        self._times.move_to_end(key)

    def discard(self, key: Key) -> None:
        """Remind of ``key`` no more."""
        self._times.pop(key, None)

    def clear(self) -> None:
        """Remind of nothing."""
        self._times.clear()

    def first(self) -> float:
        """The time of the next reminder; infinity if there is none."""
        return next(iter(self._times.values()), math.inf)

    def due(self, now: float) -> Iterator[Key]:
        """Take out, one after the other, those whose time is over; they may be set again meanwhile."""
        while self.first() < now:
            yield self._times.popitem(last=False)[0]
