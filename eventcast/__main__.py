"""``python -m eventcast``: publishes, subscribes and looks, without a Django project."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import eventcast
from eventcast.commandline import EXIT_CODES, ExitCode, Failed
from eventcast.commandline.tools import TOOLS, add_parsers, run

DEFAULT_URL = "http://127.0.0.1:8000"
"""The URL of ``eventcast serve`` by default."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in the arguments; returns the exit code.

    :param arguments: default: those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m eventcast",
        description="Every URL path is a channel: publish and subscribe through a running server.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"eventcast {eventcast.__version__}")
    add_parsers(parser, TOOLS, f"$EVENTCAST_URL, else {DEFAULT_URL}")
    options = vars(parser.parse_args(arguments))
    name = options.pop("command")
    try:
        tool = next(tool for tool in TOOLS if tool.name == name)
        run(tool, options, url=os.environ.get("EVENTCAST_URL") or DEFAULT_URL)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
