"""``eventcast beat``: publishes a message again and again, as the sign that a service lives."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any

from eventcast.client import beating, channel_url
from eventcast.client.reconnecting import Outage
from eventcast.commandline import Tool, parsing, say, warn_of_pattern
from eventcast.commandline.publish import to_message


class Beat(Tool):
    """Publish a message again and again, so that a watchdog knows that a service lives.

    When the server cannot be reached, each beat tries again. This is told once on standard error, and once when the
    server is back. The command ends when the server refuses for good. SIGTERM ends it with exit code 0.
    """

    name = "beat"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("path", type=parsing.channel, metavar="PATH", help="the channel, such as /heartbeat/logserver")
        every = "seconds between two beats (default: %(default)g)"
        add("--every", type=parsing.seconds, default=beating.EVERY, metavar="S", help=every)
        add("--data", default=beating.DATA, metavar="TEXT", help="the message (default: %(default)s)")

    def run(self, **options: Any) -> None:
        path: str = options["path"]
        warn_of_pattern(path, "Beats go to one channel.")
        beats = beating.beat(
            channel_url(self.url, path),
            every=options["every"],
            data=to_message(os.fsencode(options["data"])),
            on_state=Outage(path, say, meanwhile="Trying again with each beat.").take,
            headers=self.headers,
        )
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            beats.run()
        finally:
            signal.signal(signal.SIGTERM, before)
