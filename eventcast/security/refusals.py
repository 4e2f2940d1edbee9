"""Refusals: each is counted by its code, and has a line in the log, under the logger of what was refused.

In :data:`INTERVAL` seconds the log gets :data:`LINES` lines of each code. The next refusal after that writes one line
with the number of the others. Otherwise a client could fill the disk with its refusals.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from eventcast.exceptions import InvalidRequest, Refused

PUBLISH, SUBSCRIBE, REQUEST = (logging.getLogger(f"eventcast.{name}") for name in ("publish", "subscribe", "request"))
"""For what would publish, what would subscribe, and every other request."""

LINES, INTERVAL = 100, 10.0
"""Lines of one code in the log, within so many seconds."""

_counts: Counter[str] = Counter()
_bursts: dict[str, tuple[float, int]] = {}
"""By the codes: when the interval began, and what was counted before."""
_lock = threading.RLock()  # A finalizer may run while the lock is held, and log or publish.


def note(logger: logging.Logger, refusal: Refused, request: str, *, what: str = "") -> None:
    """Count a refusal, and write its line in the log: ``Refused: 403 forbidden, POST '/a'. The detail.``

    :param logger: that of what was refused.
    :param request: the request or the client, fit for the log: what the client chose is quoted.
    :param what: what was refused, if it is no request.
    """
    if count(refusal.code, logger):
        # 501 and 505 may be said of what a client wants.
        ours = refusal.status >= 500 and not isinstance(refusal, InvalidRequest)
        level = logging.ERROR if ours else logging.WARNING
        logger.log(level, "Refused%s: %d %s, %s. %s", what, refusal.status, refusal.code, request, refusal.detail)


def count(code: str, logger: logging.Logger = REQUEST) -> bool:
    """Count a refused request or connection. Returns whether to write a line in the log."""
    now = time.monotonic()
    with _lock:
        began, before = _bursts.get(code, (now, _counts[code]))
        untold = 0
        if now - began > INTERVAL:
            untold, began, before = _counts[code] - before - LINES, now, _counts[code]
        _bursts[code] = began, before
        _counts[code] += 1
        worth_a_line = _counts[code] - before <= LINES
    if untold > 0:  # Without the lock: a log handler may be slow, and ask for these counts.
        logger.warning("Refused: %s, %d more than are in the log, within %g seconds.", code, untold, INTERVAL)
    return worth_a_line


def counts() -> dict[str, int]:
    """The refusals of this process since it began, by their codes."""
    with _lock:
        return dict(_counts)
