"""The base of the parts of ``manage.py eventcast`` that do not talk to a server."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django.core.management.base import BaseCommand


class Subcommand:
    """One part of ``manage.py eventcast``. The first line of its docstring is its help."""

    name: ClassVar[str]

    def __init__(self, command: BaseCommand) -> None:
        self.stdout = command.stdout
        self.stderr = command.stderr
        self.style = command.style

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Declare the arguments."""

    def handle(self, **options: Any) -> None:
        """Do the work. Raises ``CommandError`` if it cannot."""
        raise NotImplementedError
