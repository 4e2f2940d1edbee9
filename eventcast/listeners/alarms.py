"""How beats become calls of a heartbeat listener: one when a service falls silent, and one when it is back.

A call that raises is repeated as long as its alarm is still true: an alarm must survive the restart of a mail server.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Sequence

from eventcast.client.watching import Heartbeat, Watches, watch
from eventcast.engine.names import printable
from eventcast.listeners.calls import Call
from eventcast.listeners.heartbeats import HeartbeatListener
from eventcast.listeners.running import Runner
from eventcast.listeners.sources import Server, log_states, read_frame

DELAYS = (5.0, 15.0, 40.0)
"""Seconds before each repetition of a call that raises: one minute together."""

logger = logging.getLogger("eventcast.listen")


async def watch_heartbeats(listener: HeartbeatListener, server: Server, runner: Runner) -> None:
    """Put a call into the runner for each alarm, until cancelled; raises the errors of ``listen``."""
    watches = Watches(listener.timeout, [listener.path] if listener.route.pattern is None else [])
    alarms = Alarms(listener, runner, watches)
    await watch(
        server.url_of(listener),
        watches,
        alarms.tell,
        channel_of=alarms.channel_of,
        headers=server.headers,
        on_state=log_states(listener),
    )


class Alarms:
    """The alarms of one listener. Made inside an event loop.

    :param delays: seconds before each repetition.
    """

    def __init__(
        self, listener: HeartbeatListener, runner: Runner, watches: Watches, *, delays: Sequence[float] = DELAYS
    ) -> None:
        self._listener, self._runner, self._watches, self._delays = listener, runner, watches, delays
        self._loop = asyncio.get_running_loop()
        self._latest: dict[str, Heartbeat] = {}
        self._limit_was_logged = False

    def channel_of(self, frame: str | bytes) -> str | None:
        """The channel of a beat; None if that channel is not watched."""
        found = read_frame(frame, self._runner)
        if found is None:
            return None
        channel, _ = found
        if channel in self._watches or not self._watches.are_full:
            return channel
        if not self._limit_was_logged:
            self._limit_was_logged = True
            name, count = self._listener.name, len(self._watches)
            logger.error("%s watches %d channels, and no more: not %s and others.", name, count, printable(channel))
        return None

    def tell(self, heartbeat: Heartbeat) -> None:
        """Have the function called with an alarm. Does not wait."""
        status = "is alive again" if heartbeat.alive else "is silent"
        name, channel = self._listener.name, printable(heartbeat.channel)
        logger.info("%s: %s %s, last heard %.1f s ago", name, channel, status, heartbeat.silence)
        self._latest[heartbeat.channel] = heartbeat
        self._call(heartbeat, failures=0)

    def _call(self, heartbeat: Heartbeat, failures: int) -> None:
        def on_failure() -> None:  # in the thread of the call
            with contextlib.suppress(RuntimeError):  # the event loop has ended, and no call is repeated
                self._loop.call_soon_threadsafe(self._repeat, heartbeat, failures + 1)

        prepare = functools.partial(self._listener.arguments, heartbeat)
        self._runner.offer(Call(prepare, heartbeat.channel, on_failure=on_failure))

    def _repeat(self, heartbeat: Heartbeat, failures: int) -> None:
        name, channel = self._listener.name, printable(heartbeat.channel)
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
            name, channel = self._listener.name, printable(heartbeat.channel)
            logger.warning("%s: the call for %s is not repeated: its alarm is no longer true.", name, channel)
