"""``eventcast subscribe``: prints messages, or runs a command for each."""

from __future__ import annotations

import argparse
import asyncio
import itertools
from typing import Any

from eventcast.client import channel_url, pattern_url
from eventcast.client.frames import decode_frame
from eventcast.client.reconnecting import Outage
from eventcast.commandline import Tool, parsing, say, warn_of_pattern, write
from eventcast.commandline.running import execute, until_done
from eventcast.engine.messages import Message


class Subscribe(Tool):
    """Print the messages of channels, one on each line, or run a command for each.

    Only the message is printed; --json adds its channel. Binary messages are printed as they are, or as base64 with
    --json. A lost connection comes back by itself. SIGTERM ends this with exit code 0.
    """

    name = "subscribe"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("paths", nargs="*", type=parsing.channel, metavar="PATH", help="a channel, such as /orders/42")
        add(
            "--pattern",
            action="append",
            default=[],
            type=parsing.channel,
            metavar="PATTERN",
            help="many channels, such as '/orders/<int:id>'; may be repeated. --url must name the mount",
        )
        add("-n", "--count", type=parsing.count, metavar="COUNT", help="end after so many messages (default: never)")
        add("--json", action="store_true", help="print a JSON object for each: time, channel, and data or base64")
        add(
            "--exec",
            metavar="CMD",
            help="run this shell command for each message, one at a time, with the message on its standard input and "
            "EVENTCAST_CHANNEL in its environment",
        )
        add("--wait", action="store_true", help="wait for a server that is not there yet")

    def run(self, **options: Any) -> None:
        from eventcast.client.subscribing import subscribe  # the other tools do not need websockets

        done, turn, numbers = asyncio.Event(), asyncio.Lock(), itertools.count(1)

        async def listen(name: str, url: str, *, by_pattern: bool) -> None:
            tell = Outage(name, say, after="Messages of that time are missing.").take
            subscription = subscribe(url, wait=options["wait"], headers=self.headers, on_state=tell)
            async with subscription as messages:
                async for frame in messages:
                    path, data = decode_frame(frame) if by_pattern else (name, frame)
                    async with turn:
                        await output(Message(data, path))

        async def output(message: Message) -> None:
            if done.is_set():
                return
            data = message.line() if options["json"] else message.payload
            if options["exec"] is not None:
                what = f"{message.channel}: the command"
                await execute(options["exec"], what, {"EVENTCAST_CHANNEL": message.channel}, data)
            else:
                write(data if options["json"] else data + b"\n")
            if next(numbers) == options["count"]:
                done.set()

        paths, patterns = dict.fromkeys(options["paths"]), dict.fromkeys(options["pattern"])
        if not paths and not patterns:
            raise ValueError("Name a channel (PATH), or a --pattern.")
        for path in paths:
            warn_of_pattern(path, "For many channels use --pattern.")
        for pattern in patterns:
            if "<" not in pattern:
                say(f"The pattern {pattern} has no converter such as <id>, and matches only that channel.")
        work = [listen(path, channel_url(self.url, path), by_pattern=False) for path in paths]
        work += [listen(pattern, pattern_url(self.url, pattern), by_pattern=True) for pattern in patterns]
        asyncio.run(until_done(done, work))
