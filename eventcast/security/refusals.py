"""Counts of refusals in this process by their codes, and a limit on their lines in the log.

All refusals are counted. In :data:`INTERVAL` seconds the log gets :data:`LINES` lines of each code. The next refusal
after that writes one line with the number of the others. Otherwise a client could fill the disk with its refusals.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

logger = logging.getLogger("eventcast.refusals")

LINES, INTERVAL = 100, 10.0
"""Lines of one code in the log, within so many seconds."""

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
    """Count a refused request or connection.

    :returns: whether to write a line in the log.
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
    """Begin a new interval for every code. For tests."""
    with _lock:
        _bursts.clear()
