"""Commands of a shell that talk to a server. ``manage.py eventcast`` and ``python -m eventcast`` share them."""

from __future__ import annotations

import argparse
import enum
import re
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from eventcast.exceptions import EventcastError

EXIT_CODES = "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 server unreachable, 130 Ctrl-C."

_CONVERTER = re.compile(r"<(?:\w+:)?[^\W\d]\w*>")


class ExitCode(enum.IntEnum):
    """The exit codes of a process, for shell scripts."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130  # 128 and the signal's number, as shells have it


class Failed(EventcastError):
    """Raised when a command did not do its work.

    :param exit_code: of the process.
    """

    def __init__(self, detail: str, exit_code: ExitCode) -> None:
        super().__init__(detail)
        self.exit_code = exit_code


class Tool:
    """A command that talks to a running server. The first line of its docstring is its help.

    :param url: of the server.
    :param headers: more headers of every request.
    """

    name: ClassVar[str]

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self.headers = headers

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments, except those that every tool has."""

    def run(self, **options: Any) -> None:
        """Do the work. Raises ``EventcastError`` or ``ValueError`` if it cannot."""
        raise NotImplementedError


class Subcommand:
    """A part of ``manage.py eventcast`` that talks to no server. The first line of its docstring is its help.

    :param command: Django's command: its ``stdout``, ``stderr`` and ``style`` are used.
    """

    name: ClassVar[str]

    def __init__(self, command: Any) -> None:
        self.stdout = command.stdout
        self.stderr = command.stderr
        self.style = command.style

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def handle(self, **options: Any) -> None:
        """Do the work. Raises ``CommandError`` if it cannot."""
        raise NotImplementedError


def say(line: str) -> None:
    """Write a line to standard error at once."""
    print(line, file=sys.stderr, flush=True)


def write(data: str | bytes) -> None:
    """Write to standard output at once. Text is written as UTF-8, whatever the encoding of standard output is."""
    if sys.stdout is not None:  # a daemon may have closed it
        sys.stdout.buffer.write(data.encode(errors="backslashreplace") if isinstance(data, str) else data)
        sys.stdout.buffer.flush()


def looks_like_pattern(path: str) -> bool:
    """Whether a channel's name contains a converter, such as ``<id>`` or ``<int:id>``."""
    return _CONVERTER.search(path) is not None


def warn_of_pattern(path: str, instead: str) -> None:
    """Warn if a channel's name looks like a pattern.

    :param instead: a sentence: what the user may do instead.
    """
    if looks_like_pattern(path):
        say(f"{path} looks like a pattern, but means the channel of that name. {instead}")
