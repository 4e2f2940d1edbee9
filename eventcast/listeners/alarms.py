"""Alarms on their way to a function: made again where the function raises, as long as what they tell is so.

A mail server that restarts just when a service dies must not be the end of the alarm.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eventcast.client.watching import Heartbeat
from eventcast.engine.names import printable
from eventcast.listeners.calls import Call

if TYPE_CHECKING:
    from eventcast.listeners.heartbeats import HeartbeatListener
    from eventcast.listeners.running import Runner

DELAYS = (5.0, 15.0, 40.0)
"""Seconds to wait before a call is made again, each time that it raises: a minute together."""

logger = logging.getLogger("eventcast.listen")


class Alarms:
    """The alarms of one listener. Made inside the event loop that supplies its runner.

    :param delays: seconds before each repetition; there are no more than these.
    """

    def __init__(self, listener: HeartbeatListener, runner: Runner, *, delays: Sequence[float] = DELAYS) -> None:
        self._listener, self._runner, self._delays = listener, runner, delays
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Queue[tuple[Heartbeat, int]] = asyncio.Queue()
        self._latest: dict[str, Heartbeat] = {}

    def tell(self, heartbeat: Heartbeat) -> None:
        """Have the function called with this one. Waits for nothing."""
        name, channel = self._listener.name, printable(heartbeat.channel)
        status = "is alive again" if heartbeat.alive else "is silent"
        logger.info("%s: %s %s, last heard %.1f s ago", name, channel, status, heartbeat.silence)
        self._latest[heartbeat.channel] = heartbeat
        self._told.put_nowait((heartbeat, 0))

    async def supply(self) -> None:
        """Put the calls into the runner, until cancelled. This may wait, and the beats must be read meanwhile."""
        while True:
            heartbeat, failures = await self._told.get()
            if self._is_so(heartbeat) or not failures:
                failed = functools.partial(self._tell_failed, heartbeat, failures + 1)
                arguments = functools.partial(self._listener.arguments, heartbeat)
                await self._runner.put(Call(arguments, heartbeat.channel, on_failure=failed))

    def _is_so(self, heartbeat: Heartbeat) -> bool:
        return self._latest[heartbeat.channel] is heartbeat

    def _tell_failed(self, heartbeat: Heartbeat, failures: int) -> None:
        # In the thread of the call.
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nothing is made again
            self._loop.call_soon_threadsafe(self._failed, heartbeat, failures)

    def _failed(self, heartbeat: Heartbeat, failures: int) -> None:
        name, channel = self._listener.name, printable(heartbeat.channel)
        if not self._is_so(heartbeat):
            logger.warning("%s: the call for %s is not made again: what it tells is no longer so.", name, channel)
        elif failures > len(self._delays):
            logger.error("%s: the call for %s has failed %d times, and is given up.", name, channel, failures)
        else:
            delay = self._delays[failures - 1]
            logger.warning("%s: the call for %s is made again in %g s.", name, channel, delay)
            self._loop.call_later(delay, self._told.put_nowait, (heartbeat, failures))
