"""``eventcast channels``: who is there."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from eventcast.client.publishing import HTTPConnection
from eventcast.commandline import Tool
from eventcast.exceptions import Refused
from eventcast.names import printable

PAGE = 1000
"""Channels to ask for at a time, the most that a server lists at once."""

HEAD = ("CHANNEL", "SUBSCRIBERS", "MESSAGES")


class Channels(Tool):
    """List the live channels, with their subscribers and messages.

    They are those of the process that answers.
    """

    name = "channels"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--prefix", default="", metavar="PREFIX", help="only those whose names begin with it")
        parser.add_argument("--json", action="store_true", help="one JSON object a line, with all figures")

    def run(self, **options: Any) -> None:
        with HTTPConnection(self.url, headers=self.headers) as connection:
            channels = _channels(connection, options["prefix"])
            if options["json"]:
                for found in channels:
                    _write(json.dumps(found, ensure_ascii=False, separators=(",", ":")))
            else:
                _write_table([HEAD, *map(_row, channels)])


def _channels(connection: HTTPConnection, prefix: str) -> Iterator[dict[str, Any]]:
    path = connection.target.path.partition("?")[0].rstrip("/") + "/-/channels"
    after = ""
    while True:
        query = urlencode({"prefix": prefix, "after": after, "limit": PAGE})
        answer = connection.request("GET", f"{path}?{query}")
        if not isinstance(answer.get("channels"), list):
            raise Refused(f"{path} does not list channels. Does the URL name a mount, such as http://host/live?")
        yield from answer["channels"]
        if not answer.get("next"):
            return
        after = answer["next"]


def _row(found: dict[str, Any]) -> tuple[str, str, str]:
    return printable(found["channel"]), str(found["subscribers"]), str(found["messages"])


def _write_table(rows: list[tuple[str, str, str]]) -> None:
    names, subscribers, messages = (max(map(len, column)) for column in zip(*rows, strict=True))
    for row in rows:
        _write(f"{row[0]:<{names}}  {row[1]:>{subscribers}}  {row[2]:>{messages}}")


def _write(line: str) -> None:
    sys.stdout.buffer.write(line.encode() + b"\n")
