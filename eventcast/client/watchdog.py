"""Watching services over a subscription: reads the beats, and looks at the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from eventcast.client.reconnecting import OnState, State
from eventcast.client.subscribing import PING_INTERVAL, subscribe
from eventcast.client.tasks import until_one_ends
from eventcast.client.watching import Heartbeat, Watches

LOOKS = 20
"""Looks at the clock in each timeout: an alarm is late by a twentieth at most."""

SLOWEST_LOOK = 1.0
"""Seconds between two looks at most, for those with a long timeout."""


def ping_interval(timeout: float) -> float:
    """Seconds between two pings, such that a connection nobody is at the other end of is lost before ``timeout``.

    A half-open connection is as silent as a service that has died. It takes an interval until the next ping, one more
    until its answer is overdue, and at most one until the connection is closed: three quarters.
    """
    return min(PING_INTERVAL, timeout / 4)


async def watch(
    url: str,
    watches: Watches,
    tell: Callable[[Heartbeat], object],
    *,
    channel_of: Callable[[str | bytes], str | None],
    headers: Mapping[str, str] | None = None,
    on_state: OnState | None = None,
) -> None:
    """Watch until cancelled; waits for a server that is not there, and comes back to it.

    :param url: of what to subscribe to.
    :param tell: called with each service that falls silent or comes back. May not wait.
    :param channel_of: tells from a message whose beat it is; None if nobody's.
    :param headers: more headers of the request, such as ``Authorization``.
    :param on_state: as of ``subscribe``.
    :raises Refused: the server turns the subscription down for good.
    :raises ValueError: ``url`` is none.
    """

    def take(state: State) -> None:
        if state.name == "open":
            watches.connected(time.monotonic())
        else:
            watches.lost()
        if on_state is not None:
            on_state(state)

    async def read() -> None:
        interval = ping_interval(watches.timeout)
        async with subscribe(url, wait=True, headers=headers, on_state=take, ping_interval=interval) as messages:
            async for data in messages:
                channel = channel_of(data)
                found = None if channel is None else watches.beat(channel, time.monotonic())
                if found is not None:
                    tell(found)

    await until_one_ends(read(), _look(watches, tell))


async def _look(watches: Watches, tell: Callable[[Heartbeat], object]) -> None:
    while True:
        await asyncio.sleep(min(SLOWEST_LOOK, watches.timeout / LOOKS))
        for found in watches.look(time.monotonic()):
            tell(found)
