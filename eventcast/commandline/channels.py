"""``eventcast channels``: who is there."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from eventcast.client.publishing import HTTPConnection
from eventcast.commandline import Tool, hints, say
from eventcast.engine.names import printable
from eventcast.exceptions import Refused

PAGE = 1000
"""Channels to ask for at a time, the most that a server lists at once."""

KINDS = ("channel", "pattern")
"""What is listed: what a record is of stands in it by this name."""

FIGURES = ("subscribers", "messages", "lost")


class Channels(Tool):
    """List the live channels and patterns, with their subscribers, messages and losses.

    They are those of the process that answers. Where nobody listens, that is said on standard error.
    """

    name = "channels"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--prefix", default="", type=_text, metavar="PREFIX", help="only those whose names begin with it"
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help='a JSON object a line, {"channel": …} or {"pattern": …}, with all figures',
        )

    def run(self, **options: Any) -> None:
        prefix: str = options["prefix"]
        with hints.asking(hints.MOUNT), HTTPConnection(self.url, headers=self.headers) as connection:
            found = list(_records(connection, prefix))
        if options["json"]:
            for record in found:
                _write(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
        else:
            _write_tables(found)
        if not found:
            say(f"Nobody listens to a channel that begins with {prefix}." if prefix else "Nobody listens.")


def _records(connection: HTTPConnection, prefix: str) -> Iterator[dict[str, Any]]:
    """All channels, and then the patterns."""
    path = connection.target.path.partition("?")[0].rstrip("/") + "/-/channels"
    after: str | None = ""
    while after is not None:
        query = urlencode({"prefix": prefix, "after": after, "limit": PAGE})
        answer = connection.request("GET", f"{path}?{query}")
        if not isinstance(answer.get("channels"), list):
            raise Refused(f"{path} does not list channels.", status=404)
        yield from answer["channels"]
        after = answer.get("next") or None
    yield from (found for found in answer.get("patterns", ()) if found["pattern"].startswith(prefix))


def _write_tables(records: list[dict[str, Any]]) -> None:
    """A table of channels, and one of patterns if there are any, in the same columns."""
    rows = []
    for kind in KINDS:
        found = [record for record in records if kind in record]
        if found or kind == "channel":
            rows.append((kind.upper(), *(figure.upper() for figure in FIGURES)))
        rows += [(printable(record[kind]), *(str(record[figure]) for figure in FIGURES)) for record in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *figures in rows:
        aligned = (f"{figure:>{width}}" for figure, width in zip(figures, widths[1:], strict=True))
        _write("  ".join([f"{name:<{widths[0]}}", *aligned]))


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"a channel's name is UTF-8, and {value!r} is not") from None
    return value


def _write(line: str) -> None:
    sys.stdout.buffer.write(line.encode() + b"\n")
