"""``eventcast subscribe``: messages to standard output, or to a command each."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from eventcast.client import channel_url, pattern_url
from eventcast.commandline import Tool, channel, hints, say, sentence
from eventcast.commandline.running import until_done
from eventcast.engine.messages import Message

Decode = Callable[["str | bytes"], "tuple[str, str | bytes]"]
"""The channel and the message of a frame."""


class Subscribe(Tool):
    """Print the messages of channels, one a line, or run a command for each.

    Nothing but the message is printed: which channel it came on is said by --json. Binary messages are printed as they
    are, or as base64 with --json. A lost connection comes back by itself. SIGTERM ends this in good order, with 0.
    """

    name = "subscribe"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("paths", nargs="*", type=channel, metavar="PATH", help="a channel, such as /orders/42")
        add(
            "--pattern",
            action="append",
            default=[],
            type=channel,
            metavar="PATTERN",
            help="many channels, such as '/orders/<int:id>'; may be given more than once. --url has to name the mount",
        )
        add("-n", "--count", type=_count, metavar="COUNT", help="end after so many messages (default: never)")
        add("--json", action="store_true", help="a JSON object for each, with time, channel, and data or base64")
        add(
            "--exec",
            metavar="CMD",
            help="run this shell command for each message, one after the other, with the message on its standard input "
            "and EVENTCAST_CHANNEL in its environment",
        )
        add("--wait", action="store_true", help="wait for a server that is not there yet")

    def run(self, **options: Any) -> None:
        from eventcast.client import subscribe  # here, so that the other commands do without websockets
        from eventcast.client.subscribing import decode_frame

        async def listen(url: str, name: str, question: str, decode: Decode) -> None:
            tell = functools.partial(_tell, name)
            subscription = subscribe(url, wait=options["wait"], headers=self.headers, on_state=tell)
            with hints.asking(question):
                async with subscription as messages:
                    async for frame in messages:
                        path, data = decode(frame)
                        await handler.handle(Message(data, path))

        paths, patterns = dict.fromkeys(options["paths"]), dict.fromkeys(options["pattern"])
        if not paths and not patterns:
            raise ValueError("Say what to listen to: a PATH, or a --pattern.")
        for path in paths:
            hints.warn_of_pattern(path, "For many channels use --pattern.")
        for pattern in patterns:
            if "<" not in pattern:
                say(f"The pattern {pattern} has no converter such as <id> in it, and matches that one channel.")
        handler = _Handler(options["count"], as_json=options["json"], command=options["exec"])
        wanted = [
            *((channel_url(self.url, path), path, hints.whole_path(self.url, path), _of(path)) for path in paths),
            *((pattern_url(self.url, pattern), pattern, hints.MOUNT, decode_frame) for pattern in patterns),
        ]
        asyncio.run(until_done(handler.done, [listen(*each) for each in wanted]))


def _of(path: str) -> Decode:
    """Takes every frame for a message of that channel."""
    return lambda data: (path, data)


class _Handler:
    """Does with each message what was asked for.

    :param count: messages after which it is :attr:`done`.
    """

    def __init__(self, count: int | None, *, as_json: bool, command: str | None) -> None:
        self.done = asyncio.Event()
        self._left = count
        self._as_json = as_json
        self._command = command
        self._turn = asyncio.Lock()

    async def handle(self, message: Message) -> None:
        async with self._turn:
            if self.done.is_set():
                return
            if self._command is not None:
                await _execute(self._command, message.channel, message.line() if self._as_json else message.payload)
            else:
                output = sys.stdout.buffer
                output.write(message.line() if self._as_json else message.payload + b"\n")
                output.flush()
            if self._left is not None:
                self._left -= 1
                if not self._left:
                    self.done.set()


async def _execute(command: str, path: str, data: bytes) -> None:
    """Run a shell command with ``data`` on its standard input; that it fails is said and no more."""
    try:
        process = await asyncio.create_subprocess_shell(
            command, stdin=asyncio.subprocess.PIPE, env=os.environ | {"EVENTCAST_CHANNEL": path}
        )
    except (OSError, ValueError) as error:  # no process left, or a channel's name with a zero byte
        say(f"{path!r}: the command could not be run: {error}")
        return
    try:
        await process.communicate(data)
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        raise
    if process.returncode:
        say(f"The command failed with {process.returncode}: {command}")


def _tell(path: str, state: Any) -> None:
    if state.name == "waiting":
        say(f"{path}: {sentence(state.reason)} Trying again in {state.delay:.1f} s.")
    elif state.name == "open" and state.missed:
        say(f"{path}: here again. Messages of {state.missed:.1f} s are missing.")


def _count(value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {value!r}")
    return int(value)
