"""``eventcast channels``: lists the live channels and patterns."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from eventcast.client import Publisher
from eventcast.client.answers import WHOLE_PATH
from eventcast.commandline import Tool, parsing, say, write
from eventcast.engine.names import printable
from eventcast.exceptions import Refused

PAGE = 1000
"""Channels of one request, the most that a server lists at once."""

FIGURES = ("subscribers", "messages", "lost")


class Channels(Tool):
    """List the live channels and patterns, with their subscribers, messages and losses.

    The list is that of the whole server. If it is empty, a line on standard error says so.
    """

    name = "channels"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--prefix", default="", type=parsing.text, metavar="PREFIX", help="only names that begin with this")
        lines = 'print a JSON object on each line, {"channel": ...} or {"pattern": ...}, with all figures'
        add("--json", action="store_true", help=lines)

    def run(self, **options: Any) -> None:
        prefix: str = options["prefix"]
        with Publisher(self.url, headers=self.headers) as connection:
            found = list(_records(connection, prefix))
        lines = [json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in found]
        for line in lines if options["json"] else _table(found):
            write(line + "\n")
        if not found:
            say(f"No channel that begins with {prefix} has a subscriber." if prefix else "No channel has a subscriber.")


def _records(connection: Publisher, prefix: str) -> Iterator[dict[str, Any]]:
    """All channels, and then the patterns."""
    path = connection.target.mount + "/-/channels"
    after: str | None = ""
    while after is not None:
        query = urlencode({"prefix": prefix, "after": after, "limit": PAGE})
        answer = connection.request("GET", f"{path}?{query}")
        if not isinstance(answer.get("channels"), list):
            raise Refused(f"{path} does not list channels: {WHOLE_PATH}", status=404)
        yield from answer["channels"]
        after = answer.get("next") or None
    yield from (found for found in answer.get("patterns", ()) if found["pattern"].startswith(prefix))


def _table(records: list[dict[str, Any]]) -> Iterator[str]:
    """A table of channels, and one of patterns if there are any, in the same columns."""
    rows = []
    for kind in ("channel", "pattern"):
        found = [record for record in records if kind in record]
        if found or kind == "channel":
            rows.append((kind.upper(), *(figure.upper() for figure in FIGURES)))
        rows += [(printable(record[kind]), *(str(record[figure]) for figure in FIGURES)) for record in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *figures in rows:
        aligned = (f"{figure:>{width}}" for figure, width in zip(figures, widths[1:], strict=True))
        yield "  ".join([f"{name:<{widths[0]}}", *aligned])
