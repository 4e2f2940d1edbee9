"""What can go wrong with a benchmark, other than the figures."""

from __future__ import annotations

from eventcast.exceptions import EventcastError


class BenchError(EventcastError):
    """Raised when a run cannot be made or finished; says why, and what to do about it."""
