"""``eventcast beat``: says on a channel, again and again, that a service lives."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import threading
from typing import Any

from eventcast.client import beating, channel_url
from eventcast.client.reconnecting import State
from eventcast.commandline import Tool, channel, hints, lines, say, seconds, sentence
from eventcast.commandline.running import until_done


class Beat(Tool):
    """Publish a message again and again, for a watchdog to know that a service lives.

    A server that cannot be reached is tried again with the next beat; that is said once on standard error, and once
    when it is back. What is refused for good ends this. SIGTERM ends it in good order, with 0.
    """

    name = "beat"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("path", type=channel, metavar="PATH", help="the channel, such as /heartbeat/logserver")
        add(
            "--every",
            type=seconds,
            default=beating.EVERY,
            metavar="S",
            help="seconds between two (default: %(default)g)",
        )
        add("--data", default=beating.DATA, metavar="TEXT", help="the message (default: %(default)s)")

    def run(self, **options: Any) -> None:
        path: str = options["path"]
        hints.warn_of_pattern(path, "One beats on one channel.")
        beats = beating.beat(
            channel_url(self.url, path),
            every=options["every"],
            # An argument that is not UTF-8 comes as surrogates, which stand for its bytes.
            data=lines.to_message(os.fsencode(options["data"])),
            on_state=functools.partial(_tell, path),
            headers=self.headers,
        )
        with hints.asking(hints.whole_path(self.url, path)):
            asyncio.run(until_done(asyncio.Event(), [_run(beats)]))


async def _run(beats: beating.Beat) -> None:
    """Run the beats in a thread that the end of the process need not wait for, as it would for asyncio's own."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def work() -> None:
        try:
            beats.run()
        except Exception as error:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
                loop.call_soon_threadsafe(ended.set_exception, error)

    threading.Thread(target=work, name="eventcast beat", daemon=True).start()
    try:
        await ended
    finally:
        beats.close()


def _tell(path: str, state: State) -> None:
    if state.name == "waiting":
        say(f"{path}: {sentence(state.reason)} Trying again with each beat.")
    elif state.missed:
        say(f"{path}: here again after {state.missed:.1f} s.")
