"""How alarms become calls of a heartbeat listener: one when a service falls silent, and one when it is back.

A call that raises is repeated as long as its alarm is still true: an alarm must survive the restart of a mail server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from eventcast.client.watching import LIMIT, Heartbeat
from eventcast.engine.names import printable
from eventcast.listeners.queues import Call
from eventcast.listeners.running import Runner

DELAYS = (5.0, 15.0, 40.0)
"""Seconds before each repetition of a call that raises: one minute together."""

logger = logging.getLogger("eventcast.listen")


class Alarms:
    """The alarms of one listener. Made inside an event loop.

    :param delays: seconds before each repetition.
    """

    def __init__(self, runner: Runner, *, delays: Sequence[float] = DELAYS) -> None:
        self._runner, self._delays = runner, delays
        self._loop = asyncio.get_running_loop()
        self._latest: dict[str, Heartbeat] = {}

    def too_many(self, channel: str) -> None:
        """Log that this channel is not watched, and that no others will be."""
        name = self._runner.name
        logger.error("%s watches %d channels, and no more: not %s and others.", name, LIMIT, printable(channel))

    def tell(self, heartbeat: Heartbeat) -> None:
        """Have the function called with an alarm. Does not wait."""
        status = "is alive again" if heartbeat.alive else "is silent"
        name, channel = self._runner.name, printable(heartbeat.channel)
        logger.info("%s: %s %s, last heard %.1f s ago", name, channel, status, heartbeat.silence)
        self._latest[heartbeat.channel] = heartbeat
        self._call(heartbeat, failures=0)

    def _call(self, heartbeat: Heartbeat, failures: int) -> None:
        def on_failure() -> None:  # in the thread of the call
            with contextlib.suppress(RuntimeError):  # the event loop has ended, and no call is repeated
                self._loop.call_soon_threadsafe(self._repeat, heartbeat, failures + 1)

        self._runner.queue.offer(Call(heartbeat.channel, heartbeat, on_failure=on_failure))

    def _repeat(self, heartbeat: Heartbeat, failures: int) -> None:
        name, channel = self._runner.name, printable(heartbeat.channel)
        if failures > len(self._delays):
            logger.error("%s: the call for %s has failed %d times, and is given up.", name, channel, failures)
            return
        delay = self._delays[failures - 1]
        logger.warning("%s: the call for %s is repeated in %g s.", name, channel, delay)
        self._loop.call_later(delay, self._call_if_true, heartbeat, failures)

    def _call_if_true(self, heartbeat: Heartbeat, failures: int) -> None:
        if self._latest[heartbeat.channel] is heartbeat:
            self._call(heartbeat, failures)
        else:
            name, channel = self._runner.name, printable(heartbeat.channel)
            logger.warning("%s: the call for %s is not repeated: its alarm is no longer true.", name, channel)
