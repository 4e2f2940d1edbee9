"""``manage.py eventcast token``: makes a token for a client, with the server's settings."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import CommandError

from eventcast.commandline import ExitCode, Subcommand, parsing
from eventcast.conf import PASSING_KEY
from eventcast.exceptions import Refused
from eventcast.security.authorization.tokens import HOUR, token


class Token(Subcommand):
    """Print a token for EVENTCAST['AUTHORIZATION'] = 'eventcast.authorization.Tokens'.

    A client with the token may subscribe and publish to the channels that it names, until it expires. The token is
    signed with SECRET_KEY, which must be that of the server.
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
                type=parsing.text,
                metavar="PATTERN",
                help=f"channels to {action} to, such as /orders/42 or '/orders/<path:any>'; may be repeated",
            )
        expires = "seconds until the token expires (default: %(default)g)"
        add("--expires", type=float, default=HOUR, metavar="SECONDS", help=expires)
        add("--user", default="", metavar="NAME", help="name of the client, for the list of subscribers")

    def handle(self, **options: Any) -> None:
        if settings.SECRET_KEY.startswith(PASSING_KEY):
            raise CommandError("No server would accept the token: set DJANGO_SECRET_KEY, here and for the server.")
        try:
            made = token(
                subscribe=options["subscribe"],
                publish=options["publish"],
                expires_in=options["expires"],
                user=options["user"],
            )
        except ValueError as error:
            detail = error.detail if isinstance(error, Refused) else f"{error} (--subscribe, --publish, --expires)"
            raise CommandError(detail, returncode=ExitCode.USAGE) from error
        self.stdout.write(made)
