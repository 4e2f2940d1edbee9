"""``eventcast publish``: publishes an argument, standard input, or each of its lines."""

from __future__ import annotations

import argparse
import json
from typing import Any

from eventcast.client import Publisher, channel_url
from eventcast.commandline import ExitCode, Failed, Tool, hints, lines, parsing
from eventcast.commandline.sending import Sender
from eventcast.exceptions import EventcastError

STANDARD_INPUT = 0


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
        hints.warn_of_pattern(path, "A message goes to one channel.")
        with Publisher(channel_url(self.url, path), headers=self.headers) as publisher:
            sender = Sender(publisher, path, retry=options["retry"])
            with hints.asking(hints.whole_path(self.url, path)):
                if data == "-":
                    self._send_lines(sender)
                else:
                    sender.send([lines.whole(STANDARD_INPUT) if data is None else lines.from_argument(data)])
        if options["json"]:
            answer = {"channel": path, "messages": sender.messages, "subscribers": sender.subscribers}
            print(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))
        if options["require_subscribers"] and sender.unheard:
            unheard = f"{path} had no subscriber for {sender.unheard} of {sender.messages} messages."
            raise Failed(unheard, ExitCode.REFUSED)

    @staticmethod
    def _send_lines(sender: Sender) -> None:
        try:
            for batch in lines.batches(STANDARD_INPUT):
                sender.send(batch)
        except EventcastError as error:
            raise sender.explain(error) from error
