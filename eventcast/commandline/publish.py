"""``eventcast publish``: an argument, standard input, or each of its lines."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from eventcast.client import Publisher, channel_url
from eventcast.commandline import ExitCode, Failed, Tool, channel, hints, lines
from eventcast.commandline.sending import Sender
from eventcast.exceptions import EventcastError

STANDARD_INPUT = 0


class Publish(Tool):
    """Publish a message, or each line of standard input, to a channel.

    What is not UTF-8 is published as a binary message. A server that asks for a pause (429 or 503 with Retry-After)
    gets it; what is refused otherwise ends this, and then all before it is published.
    """

    name = "publish"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("path", type=channel, metavar="PATH", help="the channel, such as /orders/42")
        add(
            "data",
            nargs="?",
            metavar="DATA|-",
            help="the message; -: each line of standard input is one, sent as it comes; without: all of standard input",
        )
        add(
            "--retry",
            action="store_true",
            help="wait for a server that cannot be reached, and go on when it is there; lines that were on their way, "
            "1000 at most, may then come twice, and what comes before the subscribers are back, to nobody",
        )
        add("--json", action="store_true", help='print {"channel", "messages", "subscribers"} at the end')
        add(
            "--require-subscribers",
            action="store_true",
            help="end with 1 if nobody was there for one of the messages; all are published nevertheless",
        )

    def run(self, **options: Any) -> None:
        path, data = options["path"], options["data"]
        hints.warn_of_pattern(path, "A message goes to one channel.")
        with Publisher(channel_url(self.url, path), headers=self.headers) as publisher:
            sender = Sender(publisher, retry=options["retry"])
            with hints.asking(hints.whole_path(self.url, path)):
                if data == "-":
                    self._send_lines(sender)
                else:
                    # An argument that is not UTF-8 comes as surrogates, which stand for its bytes.
                    found = lines.whole(STANDARD_INPUT) if data is None else lines.to_message(os.fsencode(data))
                    sender.send([found])
        if options["json"]:
            answer = {"channel": path, "messages": sender.messages, "subscribers": sender.subscribers}
            print(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))
        if options["require_subscribers"] and sender.unheard:
            raise Failed(
                f"Nobody listened to {path} for {sender.unheard} of {sender.messages} messages.", ExitCode.REFUSED
            )

    @staticmethod
    def _send_lines(sender: Sender) -> None:
        try:
            for batch in lines.batches(STANDARD_INPUT):
                sender.send(batch)
        except EventcastError as error:
            raise sender.explain(error) from error
