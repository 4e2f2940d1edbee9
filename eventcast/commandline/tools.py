"""All tools, and how both programs declare and run them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import Any

from eventcast.client.answers import sentence
from eventcast.commandline import EXIT_CODES, ExitCode, Failed, Tool, parsing
from eventcast.commandline.beat import Beat
from eventcast.commandline.channels import Channels
from eventcast.commandline.publish import Publish
from eventcast.commandline.subscribe import Subscribe
from eventcast.commandline.watchdog import Watchdog
from eventcast.exceptions import Refused, ServerUnreachable

MORE = "one more header of each request"

TOOLS: tuple[type[Tool], ...] = (Publish, Subscribe, Channels, Watchdog, Beat)


def add_parsers(
    parser: argparse.ArgumentParser,
    commands: Iterable[type[Any]],
    default_url: str,
    parser_class: type[argparse.ArgumentParser] = parsing.SubcommandParser,
) -> list[argparse.ArgumentParser]:
    """Add a parser for each tool, or other command; returns the parsers. The chosen command's name is ``command``.

    :param default_url: where the server's URL comes from by default, for the help.
    """
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=parser_class)
    added = []
    for command in commands:
        about = (command.__doc__ or "").strip().splitlines()[0]
        subparser = subparsers.add_parser(command.name, help=about, description=about)
        command.add_arguments(subparser)
        if issubclass(command, Tool):
            subparser.epilog = EXIT_CODES
            add = subparser.add_argument
            add("--url", metavar="URL", help=f"of the server (default: {default_url})")
            add("-H", "--header", action="append", default=[], type=parsing.header, metavar="'NAME: VALUE'", help=MORE)
        added.append(subparser)
    return added


def run(tool: type[Tool], default_url: str, options: dict[str, Any]) -> None:
    """Run a tool with the parsed arguments.

    :param default_url: of the server, if there is no ``--url``.
    :raises Failed: the tool did not do its work.
    """
    given = options.pop("url")
    chosen = tool(default_url if given is None else given, dict(options.pop("header")))
    try:
        chosen.run(**options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has ended. Python would fail once more when it flushes the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Refused as error:
        refused = f"Refused: {error.status} {error.code}. {sentence(error.detail)}"
        raise Failed(refused, ExitCode.REFUSED) from error
    except ServerUnreachable as error:
        raise Failed(sentence(str(error)), ExitCode.UNREACHABLE) from error
    except KeyboardInterrupt as error:
        raise Failed("Interrupted.", ExitCode.INTERRUPTED) from error
    except (ValueError, ImportError) as error:
        raise Failed(str(error), ExitCode.USAGE) from error
