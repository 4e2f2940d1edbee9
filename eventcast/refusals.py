"""How often something was refused in this process, by the code of the refusal."""

from __future__ import annotations

import threading
from collections import Counter

_counts: Counter[str] = Counter()
_lock = threading.Lock()


def count(code: str) -> None:
    """Note that a request or a connection was turned down with this code."""
    with _lock:
        _counts[code] += 1


def counts() -> dict[str, int]:
    """The refusals of this process since it began, by their codes."""
    with _lock:
        return dict(_counts)
