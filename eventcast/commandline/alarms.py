"""A shell command for each alarm, in the background: one at a time, in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import deque

from eventcast.client.watching import Heartbeat
from eventcast.commandline import say

WAITING = 1000
"""Alarms that wait for a command that hangs. The oldest give way: what is the case now matters more."""

GRACE = 5.0
"""Seconds that a running command has when the watching ends, by default: an alarm half sent is none."""


class Commands:
    """Runs a command for each alarm that it is given. Neither its failing nor its hanging holds up whoever gives them.

    :param command: for the shell, with ``EVENTCAST_CHANNEL``, ``EVENTCAST_STATUS`` and ``EVENTCAST_SILENCE`` in its
        environment.
    :param grace: seconds that a running one has to end by itself when the watching ends.
    """

    def __init__(self, command: str, *, grace: float = GRACE) -> None:
        self._command = command
        self._grace = grace
        self._waiting: deque[Heartbeat] = deque(maxlen=WAITING)
        self._given = asyncio.Event()
        self._running: tuple[Heartbeat, float] | None = None

    def give(self, alarm: Heartbeat) -> None:
        """Run the command for this alarm, after those before it."""
        if self._running is not None:
            before, since = self._running
            say(
                f"{alarm.channel}: {status(alarm)}, but the command for {status(before)} of {before.channel} is still "
                f"running after {time.monotonic() - since:.1f} s: this one waits for it."
            )
        self._waiting.append(alarm)
        self._given.set()

    async def run(self) -> None:
        """Run what is given until cancelled. What runs then may end by itself, for a while; what waits is not run."""
        while True:
            await self._given.wait()
            self._given.clear()
            while self._waiting:
                alarm = self._waiting.popleft()
                self._running = alarm, time.monotonic()
                try:
                    await self._execute(alarm)
                except asyncio.CancelledError:
                    for left in self._waiting:
                        say(f"{left.channel}: ended before the command for {status(left)} was run.")
                    raise
                finally:
                    self._running = None

    async def _execute(self, alarm: Heartbeat) -> None:
        variables = {
            "EVENTCAST_CHANNEL": alarm.channel,
            "EVENTCAST_STATUS": status(alarm),
            "EVENTCAST_SILENCE": f"{alarm.silence:.1f}",
        }
        try:
            process = await asyncio.create_subprocess_shell(
                self._command,
                stdin=asyncio.subprocess.DEVNULL,
                env=os.environ | variables,
                start_new_session=True,  # a process group, to be ended with all that the shell has started
            )
        except (OSError, ValueError) as error:  # no process left, or a channel's name with a zero byte
            say(f"{alarm.channel}: the command for {status(alarm)} could not be run: {error}")
            return
        try:
            await process.wait()
        except asyncio.CancelledError:
            await self._end(process)
            raise
        if process.returncode:
            say(f"{alarm.channel}: the command for {status(alarm)} failed with {process.returncode}: {self._command}")

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), self._grace)
            return
        say(f"The command was still running after {self._grace:g} s, and is ended.")
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        await process.wait()


def status(alarm: Heartbeat) -> str:
    """One word for what happened."""
    return "alive" if alarm.alive else "silent"
