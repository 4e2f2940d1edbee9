"""``manage.py eventcast token``: make a token on the server's side, for whoever shall listen or publish."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import CommandError

from eventcast.commandline import ExitCode
from eventcast.commandline.subcommand import Subcommand
from eventcast.conf import PASSING_KEY
from eventcast.exceptions import Refused
from eventcast.security.authorization import token
from eventcast.security.authorization.tokens import HOUR


class Token(Subcommand):
    """Print a token for EVENTCAST['AUTHORIZATION'] = 'eventcast.authorization.Tokens'.

    Whoever has it may listen to and publish to what it names until it expires. It is signed with SECRET_KEY, which has
    to be the server's.
    """

    name = "token"

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        add = parser.add_argument
        for action in ("subscribe", "publish"):
            add(
                f"--{action}",
                action="append",
                default=[],
                metavar="PATTERN",
                help=f"may {action} to these channels, such as /orders/42 or '/orders/<path:any>'; may be given again",
            )
        add(
            "--expires",
            type=float,
            default=HOUR,
            metavar="SECONDS",
            help="is good for that long (default: %(default)g)",
        )
        add("--user", default="", metavar="NAME", help="whom it is for, as the list of subscribers shows it")

    def handle(self, **options: Any) -> None:
        if settings.SECRET_KEY.startswith(PASSING_KEY):
            raise CommandError("No server would take it: set DJANGO_SECRET_KEY, here and for the server.")
        try:
            made = token(
                subscribe=options["subscribe"],
                publish=options["publish"],
                expires_in=options["expires"],
                user=options["user"],
            )
        except Refused as refusal:
            raise CommandError(refusal.detail, returncode=ExitCode.USAGE) from refusal
        except ValueError as error:
            detail = f"{error} (--subscribe, --publish, --expires)"
            raise CommandError(detail, returncode=ExitCode.USAGE) from error
        self.stdout.write(made)
