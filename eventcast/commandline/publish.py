"""``eventcast publish``: an argument, standard input, or each of its lines."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from eventcast.client import Publisher, channel_url
from eventcast.commandline import Tool, channel, lines
from eventcast.exceptions import MessageTooLarge, Refused

STANDARD_INPUT = 0


class Publish(Tool):
    """Publish a message, or each line of standard input, to a channel.

    What is not UTF-8 is published as a binary message. A server that asks for a pause (429 or 503 with Retry-After)
    gets it; what is refused otherwise ends this, and then all before it is published.
    """

    name = "publish"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("path", type=channel, metavar="PATH", help="the channel, such as /orders/42")
        parser.add_argument(
            "data",
            nargs="?",
            metavar="DATA|-",
            help="the message; -: each line of standard input is one, sent as it comes; without: all of standard input",
        )

    def run(self, **options: Any) -> None:
        data: str | None = options["data"]
        with Publisher(channel_url(self.url, options["path"]), headers=self.headers) as publisher:
            if data == "-":
                for batch in lines.batches(STANDARD_INPUT):
                    _publish(publisher, batch)
            else:
                # An argument that is not UTF-8 comes as surrogates, which stand for its bytes.
                found = lines.whole(STANDARD_INPUT) if data is None else lines.to_message(os.fsencode(data))
                _publish(publisher, [found])


def _publish(publisher: Publisher, batch: Sequence[str | bytes]) -> None:
    """Publish all of them, in order."""
    for kind, group in itertools.groupby(batch, type):
        if kind is str:
            _publish_in_one(publisher, [str(text) for text in group])
        else:
            for data in group:
                _publish_in_one(publisher, [data])


def _publish_in_one(publisher: Publisher, request: Sequence[Any]) -> None:
    """Publish what goes in one request. If that is refused nobody has got any of it, so it may be sent once more."""
    while True:
        try:
            if len(request) == 1:
                publisher.publish(request[0])
            else:
                publisher.publish_texts(request)
            return
        except MessageTooLarge:
            # The request, or one of its messages: by halves, until that one is found and all before it is published.
            if len(request) == 1:
                raise
            middle = len(request) // 2
            _publish_in_one(publisher, request[:middle])
            request = request[middle:]
        except Refused as error:
            if error.status not in (429, 503) or error.retry_after is None:
                raise
            print(f"The server asks for a pause of {error.retry_after:g} s: {error.detail}", file=sys.stderr)
            time.sleep(error.retry_after)
