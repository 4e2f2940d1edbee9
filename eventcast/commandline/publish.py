"""``eventcast publish``: publishes an argument, standard input, or each of its lines."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import Any

from eventcast.client import Publisher
from eventcast.commandline import ExitCode, Failed, Tool, parsing, warn_of_pattern, write
from eventcast.commandline.sending import Sender
from eventcast.exceptions import EventcastError, MessageTooLarge

STANDARD_INPUT = 0

READ = 64 * 1024
"""Bytes to read at a time: the size of a pipe."""

LONGEST = 16 * 1024 * 1024
"""Bytes of one message from standard input, sixteen times the default limit of servers. This bounds the memory."""


class Publish(Tool):
    """Publish a message, or each line of standard input, to a channel.

    Bytes that are not UTF-8 are published as a binary message. When the server asks for a pause (429 or 503 with
    Retry-After), the command waits. When the server refuses a message, the command ends; all messages before it are
    published.
    """

    name = "publish"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("path", type=parsing.channel, metavar="PATH", help="the channel, such as /orders/42")
        add(
            "data",
            nargs="?",
            metavar="DATA|-",
            help="the message; -: each line of standard input, sent at once; without: all of standard input",
        )
        add(
            "--retry",
            action="store_true",
            help="wait for a server that cannot be reached, and go on when it is back; lines that were on their way, "
            "1000 at most, may then come twice, and lines before the subscribers are back reach no subscriber",
        )
        add("--json", action="store_true", help='print {"channel", "messages", "subscribers"} at the end')
        add(
            "--require-subscribers",
            action="store_true",
            help="end with exit code 1 if a message had no subscriber; all messages are published nevertheless",
        )

    def run(self, **options: Any) -> None:
        path, data = options["path"], options["data"]
        warn_of_pattern(path, "A message goes to one channel.")
        with Publisher(self.url, headers=self.headers) as publisher:
            sender = Sender(publisher, path, retry=options["retry"])
            if data == "-":
                try:
                    for batch in batches(STANDARD_INPUT):
                        sender.send(batch)
                except EventcastError as error:
                    raise sender.explain(error) from error
            else:
                sender.send([whole(STANDARD_INPUT) if data is None else to_message(os.fsencode(data))])
        if options["json"]:
            answer = {"channel": path, "messages": sender.messages, "subscribers": sender.subscribers}
            write(json.dumps(answer, ensure_ascii=False, separators=(",", ":")) + "\n")
        if options["require_subscribers"] and sender.unheard:
            unheard = f"{path} had no subscriber for {sender.unheard} of {sender.messages} messages."
            raise Failed(unheard, ExitCode.REFUSED)


def batches(descriptor: int) -> Iterator[list[str | bytes]]:
    """The lines of a file descriptor, in batches of what is there: one line of a slow pipe, thousands of a fast one.

    A message is a line without its line feed; blank lines are messages, and a carriage return is kept.

    :raises MessageTooLarge: a line is over :data:`LONGEST`.
    """
    rest = bytearray()
    while chunk := os.read(descriptor, READ):
        *lines, last = chunk.split(b"\n")
        if lines:
            lines[0] = bytes(rest) + lines[0]
            rest.clear()
        rest += last
        _check_length(rest)
        if lines:
            yield [to_message(line) for line in lines]
    if rest:
        yield [to_message(bytes(rest))]


def whole(descriptor: int) -> str | bytes:
    """Everything from a file descriptor, as one message.

    :raises MessageTooLarge: it is over :data:`LONGEST`.
    """
    found = bytearray()
    while chunk := os.read(descriptor, READ):  # A file object would return half of what comes without blocking.
        found += chunk
        _check_length(found)
    return to_message(bytes(found))


def to_message(data: bytes) -> str | bytes:
    """Text if the bytes are UTF-8, else binary."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _check_length(found: bytes | bytearray) -> None:
    if len(found) > LONGEST:
        raise MessageTooLarge(
            f"A message from standard input is over {LONGEST} bytes. Publish a link to it, or split it."
        )
