"""``python -m eventcast``: publish, subscribe and look without a Django project."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import eventcast
from eventcast import commandline
from eventcast.commandline.parsing import SubcommandParser
from eventcast.commandline.tools import TOOLS


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code.

    :param arguments: default: those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m eventcast",
        description="Every URL path is a channel: publish and subscribe by way of a running server.",
        epilog=commandline.EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"eventcast {eventcast.__version__}")
    subparsers = parser.add_subparsers(dest="tool", metavar="COMMAND", required=True, parser_class=SubcommandParser)
    for tool in TOOLS:
        about = (tool.__doc__ or "").strip().splitlines()[0]
        subparser = subparsers.add_parser(tool.name, help=about, description=about)
        commandline.add_arguments(tool, subparser, f"$EVENTCAST_URL, else {commandline.DEFAULT_URL}")
    options = vars(parser.parse_args(arguments))
    name = options.pop("tool")
    chosen = next(tool for tool in TOOLS if tool.name == name)
    try:
        commandline.run(chosen, os.environ.get("EVENTCAST_URL") or commandline.DEFAULT_URL, options)
    except commandline.Failed as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    return commandline.ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
