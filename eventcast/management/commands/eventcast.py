"""``manage.py eventcast``: one command with several sub-commands."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventcast.commandline import Failed, Subcommand, Tool
from eventcast.commandline.listen import Listen
from eventcast.commandline.parsing import SubcommandParser
from eventcast.commandline.token import Token
from eventcast.commandline.tools import TOOLS, add_parsers, run
from eventcast.conf import conf
from eventcast.server.command import Serve

SUBCOMMANDS: tuple[type[Subcommand | Tool], ...] = (Serve, *TOOLS, Token, Listen)


class Parser(SubcommandParser, CommandParser):
    """Raises an exception, and does not end the process, when Python code has called the command."""


class Command(BaseCommand):
    help = "Every URL path is a channel: serve channels, publish, subscribe, run listeners."

    def add_arguments(self, parser: CommandParser) -> None:
        for subparser in add_parsers(parser, SUBCOMMANDS, "EVENTCAST['URL'] of the settings", Parser):
            _add_base_arguments(subparser)

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        chosen = next(candidate for candidate in SUBCOMMANDS if candidate.name == command)
        if issubclass(chosen, Subcommand):
            chosen(self).handle(**options)
            return
        try:
            run(chosen, options, url=conf.URL, key=conf.KEY)
        except Failed as failure:
            raise CommandError(str(failure), returncode=failure.exit_code) from failure


def _add_base_arguments(parser: argparse.ArgumentParser) -> None:
    """Accept Django's own options after the sub-command, too. There they have no defaults."""
    group = parser.add_argument_group("options of every Django command")
    group.add_argument("-v", "--verbosity", type=int, choices=range(4), nargs="?", const=2, default=argparse.SUPPRESS)
    for option in ("--settings", "--pythonpath"):
        group.add_argument(option, default=argparse.SUPPRESS)
    for option in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        group.add_argument(option, action="store_true", default=argparse.SUPPRESS)
