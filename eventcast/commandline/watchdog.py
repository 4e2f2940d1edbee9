"""``eventcast watchdog``: an alarm when a service falls silent, and another when it is back."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from eventcast.client import channel_url
from eventcast.client.reconnecting import Outage
from eventcast.client.watching import TIMEOUT, Heartbeat, Watches, watch
from eventcast.commandline import Tool, looks_like_pattern, parsing, say, write
from eventcast.commandline.running import execute, until_done

GRACE = 5.0
"""Seconds that a running command has when the watchdog ends, so that it can send its alarm."""


class Watchdog(Tool):
    """Tell when a channel has been silent for too long, and when it is back.

    Each is told once: by a line on standard output, or by a shell command. While the server cannot be reached, no
    channel counts as silent; then the seconds start again. So a restart of the server and a lost connection are no
    alarms. A channel without any message is silent, too. SIGTERM ends this with exit code 0.
    """

    name = "watchdog"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("path", type=parsing.channel, metavar="PATH", help="the channel, such as /heartbeat/logserver")
        timeout = "seconds of silence until the alarm (default: %(default)g)"
        add("--timeout", type=parsing.seconds, default=TIMEOUT, metavar="S", help=timeout)
        add(
            "--run",
            metavar="CMD",
            help="run this shell command for each, with EVENTCAST_CHANNEL, EVENTCAST_STATUS (silent or alive) and "
            "EVENTCAST_SILENCE (seconds) in its environment",
        )

    def run(self, **options: Any) -> None:
        path: str = options["path"]
        if looks_like_pattern(path):
            raise ValueError(
                f"{path} looks like a pattern, but this watches one channel. A function in listeners.py with "
                f"@heartbeat({path!r}) watches each channel that matches."
            )
        asyncio.run(self._watch(path, options["timeout"], options["run"]))

    async def _watch(self, path: str, timeout: float, command: str | None) -> None:
        alarms = Alarms(command) if command is not None else None
        outage = Outage(
            path, say, meanwhile="Until the server is back there is no alarm.", after="The timeout starts again."
        )
        watching = watch(
            channel_url(self.url, path),
            Watches(timeout, [path]),
            alarms.add if alarms else _print,
            channel_of=lambda _: path,
            headers=self.headers,
            on_state=outage.take,
        )
        await until_done(asyncio.Event(), [watching, alarms.run()] if alarms else [watching])


class Alarms:
    """Runs a shell command for each alarm, one at a time, in order. A command that fails or hangs does not stop the
    watch.

    :param command: gets the alarm in its environment.
    :param grace: seconds that a running command has to end when the watch ends.
    """

    def __init__(self, command: str, *, grace: float = GRACE) -> None:
        self._command = command
        self._grace = grace
        self._waiting: asyncio.Queue[Heartbeat] = asyncio.Queue()
        self._running: tuple[str, float] | None = None

    def add(self, alarm: Heartbeat) -> None:
        """Run the command for this alarm, after the alarms before it."""
        if self._running is not None:
            what, began = self._running
            say(f"{what} is still running after {time.monotonic() - began:.1f} s. {_name(alarm)} waits for it.")
        self._waiting.put_nowait(alarm)

    async def run(self) -> None:
        """Run the commands until cancelled. The running command may end then; the waiting commands do not run."""
        try:
            while True:
                alarm = await self._waiting.get()
                self._running = _name(alarm), time.monotonic()
                variables = {
                    "EVENTCAST_CHANNEL": alarm.channel,
                    "EVENTCAST_STATUS": _status(alarm),
                    "EVENTCAST_SILENCE": f"{alarm.silence:.1f}",
                }
                await execute(self._command, _name(alarm), variables, grace=self._grace)
                self._running = None
        finally:
            while not self._waiting.empty():
                say(f"{_name(self._waiting.get_nowait())} did not run: the watchdog ends.")


def _name(alarm: Heartbeat) -> str:
    return f"{alarm.channel}: the command for {_status(alarm)}"


def _status(alarm: Heartbeat) -> str:
    return "alive" if alarm.alive else "silent"


def _print(alarm: Heartbeat) -> None:
    what = "alive again after" if alarm.alive else "silent for"
    write(f"{alarm.channel}: {what} {alarm.silence:.1f} s\n")
