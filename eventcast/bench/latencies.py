"""A histogram of latencies: as many as there are deliveries, in a few hundred buckets."""

from __future__ import annotations

from collections.abc import Mapping

PRECISION = 8
"""Significant bits that are kept: within 0.4 %."""


class Latencies:
    """Counts of latencies by microsecond, rounded.

    :param buckets: counts by rounded microseconds, and :param longest: the longest in microseconds, of another one.
    """

    def __init__(self, buckets: Mapping[int, int] | None = None, longest: int = 0) -> None:
        self.buckets = dict(buckets or {})
        self.longest = longest

    def add(self, seconds: float, count: int) -> None:
        """``count`` deliveries took that long."""
        microseconds = int(seconds * 1e6)
        if microseconds > self.longest:
            self.longest = microseconds
        shift = max(0, microseconds.bit_length() - PRECISION)
        bucket = microseconds >> shift << shift
        self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def merge(self, other: Latencies) -> None:
        """Take over what another one has counted."""
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.longest = max(self.longest, other.longest)

    def percentile(self, percent: float) -> float:
        """Milliseconds that this share of the deliveries took at most; 0 if there were none."""
        wanted = sum(self.buckets.values()) * percent / 100
        for bucket in sorted(self.buckets):
            wanted -= self.buckets[bucket]
            if wanted <= 0:
                return bucket / 1e3
        return self.longest / 1e3
