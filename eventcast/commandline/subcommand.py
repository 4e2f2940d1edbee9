"""The parts of ``manage.py eventcast``, one a file. A new one is added to ``SUBCOMMANDS`` of the command."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django.core.management.base import BaseCommand


class Subcommand:
    """One thing that ``manage.py eventcast`` does; its docstring's first line is its help."""

    name: ClassVar[str]

    def __init__(self, command: BaseCommand) -> None:
        self.stdout = command.stdout
        self.stderr = command.stderr
        self.style = command.style

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Declare the options."""

    def handle(self, **options: Any) -> None:
        """Do it. Raises ``CommandError`` with what to do about it where it cannot."""
        raise NotImplementedError
