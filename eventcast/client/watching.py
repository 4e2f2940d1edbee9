"""Whether services live, by their beats.

The rules of :class:`Watches`:

1. A beat is any message on the service's channel. A service without a beat for ``timeout`` seconds is silent: this is
   reported once. Its first beat after that is reported once, too.
2. A service that has never sent a beat is silent after ``timeout`` seconds as well: it has not started.
3. While the connection to eventcast is lost, no service falls silent, because no beat can arrive. The next connection
   starts the seconds again. So a restart of eventcast alone is no alarm.
4. A lost connection does not change a silent service: it is reported again only after a beat.
5. A process that was stopped, or on a machine that slept, for half of ``timeout`` may have unread beats. This starts
   the seconds again, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eventcast.client.reconnecting import OnState, State

TIMEOUT = 30.0
"""Seconds of silence until an alarm, by default: six beats of ``eventcast beat``."""

LIMIT = 10_000
"""Channels that are watched at most: this bounds the memory, because any publisher may use a new channel."""

LOOKS = 20
"""Checks in each timeout: an alarm is late by a twentieth of the timeout at most."""

SLOWEST_LOOK = 1.0
"""Seconds between two looks at most, however long the timeout is."""


@dataclass(frozen=True)
class Heartbeat:
    """A service fell silent, or is back."""

    channel: str
    alive: bool
    """False: the service fell silent; True: it is back."""
    silence: float
    """Seconds since its last beat, outages of eventcast included, until now, or until the beat that ended the silence.
    Without any beat: seconds since watching began."""


@dataclass
class _Service:
    heard_at: float | None
    """The time of the last beat; None if there was none."""
    silent: bool = False
    """Whether its silence was reported."""


class Watches:
    """Watches several services over one connection. Pure: it gets all times, in seconds of a clock that never goes
    back.

    :param timeout: seconds without a beat that make a service silent.
    :param channels: the channels to watch from the beginning; all others are watched from their first beat on.
    :param on_full: called once, with the first channel above :data:`LIMIT`.
    """

    def __init__(
        self, timeout: float, channels: Iterable[str] = (), *, on_full: Callable[[str], object] | None = None
    ) -> None:
        self.timeout = timeout
        self._on_full = on_full
        self._services = {channel: _Service(None) for channel in channels}
        self._began: float | None = None
        """The time of the first connection."""
        self._counted_from: float | None = None
        """The time from which silence counts; None while the connection is lost."""
        self._looked_at = 0.0

    def connected(self, now: float) -> None:
        """The connection to eventcast is open, for the first time or again."""
        if self._began is None:
            self._began = now
        self._counted_from = self._looked_at = now

    def lost(self) -> None:
        """The connection to eventcast is lost."""
        self._counted_from = None

    def beat(self, channel: str, now: float) -> Heartbeat | None:
        """A beat arrived; returns that the service is back, if it was silent."""
        service = self._services.get(channel)
        if service is None:
            if len(self._services) < LIMIT:
                self._services[channel] = _Service(now)
            elif self._on_full is not None:
                self._on_full(channel)
                self._on_full = None
            return None
        found = Heartbeat(channel, alive=True, silence=self._silence(service, now)) if service.silent else None
        service.heard_at, service.silent = now, False
        return found

    def look(self, now: float) -> list[Heartbeat]:
        """Time has passed; returns the services that fell silent. Must be called several times in half of
        ``timeout``."""
        looked_at, self._looked_at = self._looked_at, now
        if self._counted_from is None:
            return []
        if now - looked_at > self.timeout / 2:
            self._counted_from = now
        found = []
        for channel, service in self._services.items():
            since = self._counted_from if service.heard_at is None else max(self._counted_from, service.heard_at)
            if not service.silent and now - since >= self.timeout:
                service.silent = True
                found.append(Heartbeat(channel, alive=False, silence=self._silence(service, now)))
        return found

    def _silence(self, service: _Service, now: float) -> float:
        since = self._began if service.heard_at is None else service.heard_at
        return 0.0 if since is None else now - since


async def watch(
    url: str,
    watches: Watches,
    tell: Callable[[Heartbeat], object],
    *,
    channel_of: Callable[[str | bytes], str | None],
    headers: Mapping[str, str] | None = None,
    on_state: OnState | None = None,
) -> None:
    """Watch services over a subscription until cancelled; waits for a server that is not there, and reconnects.

    :param url: of the subscription.
    :param tell: called with each service that falls silent or is back. It must not wait.
    :param channel_of: returns the channel of a message; None if that channel is not watched.
    :param headers: more headers of the request, such as ``Authorization``.
    :param on_state: as of ``subscribe``.
    :raises Refused: the server refuses the subscription for good.
    :raises ValueError: ``url`` is not a URL.
    """
    from eventcast.client.subscribing import PING_INTERVAL, subscribe  # needs websockets, which Heartbeat does not

    def take(state: State) -> None:
        if state.name in ("open", "lost"):  # Beats may be among what was lost: the seconds start again.
            watches.connected(time.monotonic())
        else:
            watches.lost()
        if on_state is not None:
            on_state(state)

    async def read() -> None:
        # A half-open connection is as silent as a dead service, so it must be closed before the timeout. That takes at
        # most three intervals: until the ping, without a pong, and until the connection is closed.
        interval = min(PING_INTERVAL, watches.timeout / 4)
        async with subscribe(url, wait=True, headers=headers, on_state=take, ping_interval=interval) as messages:
            async for data in messages:
                channel = channel_of(data)
                found = None if channel is None else watches.beat(channel, time.monotonic())
                if found is not None:
                    tell(found)

    async def look() -> None:
        while True:
            await asyncio.sleep(min(SLOWEST_LOOK, watches.timeout / LOOKS))
            for found in watches.look(time.monotonic()):
                tell(found)

    await until_one_ends(read(), look())


async def until_one_ends(*work: Coroutine[Any, Any, object]) -> None:
    """Run coroutines at the same time until one ends or this is cancelled; cancel the others, and wait for their end.

    Raises what one of them raised. (``asyncio.gather`` leaves the others running. Waiting for them as well would cancel
    them twice, and interrupt their clean-up.)
    """
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
