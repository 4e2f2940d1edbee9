"""All tools, and how both programs declare and run them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import Any

from eventcast.client.answers import sentence
from eventcast.client.targets import key_headers
from eventcast.commandline import EXIT_CODES, ExitCode, Failed, Tool, parsing
from eventcast.commandline.beat import Beat
from eventcast.commandline.channels import Channels
from eventcast.commandline.publish import Publish
from eventcast.commandline.subscribe import Subscribe
from eventcast.commandline.watchdog import Watchdog
from eventcast.exceptions import Refused, ServerUnreachable

HEADER = "one more header of each request"
KEY_FILE = "file with the key or token that each request carries (default: the key in $EVENTCAST_KEY)"

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
        about = (command.__doc__ or command.name).strip().splitlines()[0]  # python -OO leaves out docstrings
        subparser = subparsers.add_parser(command.name, help=about, description=about)
        command.add_arguments(subparser)
        if issubclass(command, Tool):
            subparser.epilog = EXIT_CODES
            add = subparser.add_argument
            add("--url", metavar="URL", help=f"of the server (default: {default_url})")
            add(
                "-H", "--header", action="append", default=[], type=parsing.header, metavar="'NAME: VALUE'", help=HEADER
            )
            add("--key-file", type=parsing.key_file, metavar="FILE", help=KEY_FILE)
        added.append(subparser)
    return added


def run(tool: type[Tool], options: dict[str, Any], *, url: str, key: str = "") -> None:
    """Run a tool with the parsed arguments.

    :param url: of the server, if there is no ``--url``.
    :param key: that each request carries, if there is neither ``--key-file`` nor ``EVENTCAST_KEY`` in the environment.
    :raises Failed: the tool did not do its work.
    """
    given, key_file, headers = options.pop("url"), options.pop("key_file", None), dict(options.pop("header"))
    url = url if given is None else given
    if not {"authorization", "x-api-key"} & {name.lower() for name in headers}:
        headers |= key_headers(url, key_file or os.environ.get("EVENTCAST_KEY") or key)
    chosen = tool(url, headers)
    try:
        chosen.run(**options)
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
