"""``manage.py eventcast``: one command, with a sub-command for each thing it does."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from eventcast.commandline.listen import ListenSubcommand
from eventcast.commandline.parsing import SubcommandParser
from eventcast.commandline.remote import REMOTE
from eventcast.commandline.subcommand import Subcommand
from eventcast.commandline.token import Token
from eventcast.server.serve import Serve

SUBCOMMANDS: tuple[type[Subcommand], ...] = (Serve, *REMOTE, Token, ListenSubcommand)


class Parser(SubcommandParser, CommandParser):
    """The same, with an exception in place of an exit where the command was called by Python code."""


class Command(BaseCommand):
    help = "Every URL path is a channel: serve them, publish, subscribe, listen."

    def add_arguments(self, parser: CommandParser) -> None:
        subparsers = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True, parser_class=Parser)
        for subcommand in SUBCOMMANDS:
            about = (subcommand.__doc__ or "").strip().splitlines()[0]
            subparser = subparsers.add_parser(subcommand.name, help=about, description=about)
            subcommand.add_arguments(subparser)
            _add_base_arguments(subparser)

    def handle(self, *args: Any, subcommand: str, **options: Any) -> None:
        chosen = next(candidate for candidate in SUBCOMMANDS if candidate.name == subcommand)
        chosen(self).handle(**options)


def _add_base_arguments(parser: argparse.ArgumentParser) -> None:
    """Django's own options, so that they may stand behind the sub-command too; where they don't, nothing is set."""
    group = parser.add_argument_group("options of every Django command")
    group.add_argument("-v", "--verbosity", type=int, choices=range(4), nargs="?", const=2, default=argparse.SUPPRESS)
    for option in ("--settings", "--pythonpath"):
        group.add_argument(option, default=argparse.SUPPRESS)
    for option in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        group.add_argument(option, action="store_true", default=argparse.SUPPRESS)
