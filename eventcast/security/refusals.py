"""How often something was refused in this process, by the code of the refusal, and which of that stands in the log.

Everything is counted. Of each code the log gets :data:`LINES` in :data:`INTERVAL` seconds; of the rest one line, when
another comes after that. Whoever is refused can go on for ever, and would fill the disk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

logger = logging.getLogger("eventcast.refusals")

LINES, INTERVAL = 100, 10.0
"""Lines of one code in the log within so many seconds."""

_counts: Counter[str] = Counter()
_bursts: dict[str, _Burst] = {}
_lock = threading.RLock()  # A finalizer may run while the lock is held, and log or publish.


class _Burst:
    """The refusals of one code in as many seconds as :data:`INTERVAL` has."""

    __slots__ = ("began", "size")

    def __init__(self, began: float) -> None:
        self.began = began
        self.size = 0


def count(code: str) -> bool:
    """Note that a request or a connection was turned down with this code.

    :returns: whether it is worth a line in the log.
    """
    now = time.monotonic()
    with _lock:
        _counts[code] += 1
        burst, untold = _bursts.get(code), 0
        if burst is None or now - burst.began > INTERVAL:
            untold = burst.size - LINES if burst else 0
            burst = _bursts[code] = _Burst(now)
        burst.size += 1
        worth_a_line = burst.size <= LINES
    if untold > 0:  # Without the lock: a log handler may be slow, and ask for these counts.
        logger.warning("Refused: %s, %d more than are in the log, within %g seconds.", code, untold, INTERVAL)
    return worth_a_line


def counts() -> dict[str, int]:
    """The refusals of this process since it began, by their codes."""
    with _lock:
        return dict(_counts)


def begin_anew() -> None:
    """Let the next of every code be the first in the log."""
    with _lock:
        _bursts.clear()
