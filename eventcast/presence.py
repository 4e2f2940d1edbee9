"""Who is there: subscriber counts of this process, readable from any thread."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from eventcast.hub import hubs


@dataclass(frozen=True)
class ChannelInfo:
    """What is known of a live channel in this process."""

    channel: str
    """Its name."""
    subscribers: int
    """Live connections that listen to it now."""


def subscriber_count(channel: str) -> int:
    """How many subscribers of ``channel`` are connected to this process right now."""
    return sum(local.count for hub in hubs() if (local := hub.channels.get(channel)) is not None)


def live_channels(*, prefix: str = "", after: str = "", limit: int = 100) -> list[ChannelInfo]:
    """The channels that have subscribers in this process, in the order of their names.

    :param prefix: only those whose names begin with it.
    :param after: only those whose names come after it: the last one of the page before.
    :param limit: how many at most.
    """
    counts: dict[str, int] = {}
    for hub in hubs():
        for name, local in list(hub.channels.items()):
            if local.count and name > after and name.startswith(prefix):
                counts[name] = counts.get(name, 0) + local.count
    return [ChannelInfo(name, counts[name]) for name in heapq.nsmallest(limit, counts)]
