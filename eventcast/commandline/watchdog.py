"""``eventcast watchdog``: an alarm when a service falls silent, and another when it is back."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

from eventcast.client import channel_url
from eventcast.commandline import Tool, channel, hints, say, seconds, sentence
from eventcast.commandline.alarms import Commands
from eventcast.commandline.running import until_done

TIMEOUT = 30.0
"""Seconds of silence until the alarm, by default: six beats of ``eventcast beat``."""


class Watchdog(Tool):
    """Tell when a channel has been silent for too long, and when it is back.

    Each is told once: by a line of standard output, or by running a command. While the server cannot be reached
    nothing is judged, and after that the seconds are counted anew; so neither a restart of the server nor a lost
    connection is an alarm. A channel on which nothing has ever come is silent, too. SIGTERM ends this in good order,
    with 0.
    """

    name = "watchdog"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("path", type=channel, metavar="PATH", help="the channel, such as /heartbeat/logserver")
        add(
            "--timeout",
            type=seconds,
            default=TIMEOUT,
            metavar="S",
            help="seconds of silence until the alarm (default: %(default)g)",
        )
        add(
            "--run",
            metavar="CMD",
            help="run this shell command for each, with EVENTCAST_CHANNEL, EVENTCAST_STATUS (silent or alive) and "
            "EVENTCAST_SILENCE (seconds) in its environment",
        )

    def run(self, **options: Any) -> None:
        # Here, so that the other commands do without websockets.
        from eventcast.client.watching import Watches, watch

        path: str = options["path"]
        if hints.looks_like_pattern(path):
            raise ValueError(
                f"{path} looks like a pattern, and this watches one channel. A function in listeners.py with "
                f"@heartbeat({path!r}) watches each channel that matches."
            )

        async def watch_and_tell() -> None:
            done, work = asyncio.Event(), []
            tell: Callable[[Any], None] = _print
            if options["run"] is not None:
                commands = Commands(options["run"])
                tell = commands.give
                work.append(commands.run())
            watches = Watches(options["timeout"], [path])
            watching = watch(
                channel_url(self.url, path),
                watches,
                tell,
                channel_of=lambda _: path,
                headers=self.headers,
                on_state=_Connection(path).take,
            )
            with hints.asking(hints.whole_path(self.url, path)):
                await until_done(done, [watching, *work])

        asyncio.run(watch_and_tell())


class _Connection:
    """Says when the server cannot be reached, and when it is back, each once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_lost = False

    def take(self, state: Any) -> None:
        if state.name == "waiting" and not self._is_lost:
            self._is_lost = True
            say(f"{self._path}: {sentence(state.reason)} Nothing is judged until the server is there.")
        elif state.name == "open" and self._is_lost:
            self._is_lost = False
            say(f"{self._path}: the server is there. Watching.")


def _print(alarm: Any) -> None:
    what = "alive again after" if alarm.alive else "silent for"
    print(f"{alarm.channel}: {what} {alarm.silence:.1f} s", flush=True)
