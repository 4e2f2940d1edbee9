"""Publishing, subscribing and looking from a shell: what ``manage.py eventcast`` and ``python -m eventcast`` share."""

from __future__ import annotations

import argparse
import enum
import math
import os
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from eventcast.exceptions import EventcastError, Refused, ServerUnreachable

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where ``eventcast serve`` listens by default."""


class ExitCode(enum.IntEnum):
    """What a process ends with, for shell scripts to tell what happened."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130  # 128 and the number of the signal, as shells have it


EXIT_CODES = "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 server unreachable, 130 Ctrl-C."


class Failed(EventcastError):
    """Raised when a command did not do what it was for.

    :param exit_code: what the process should end with.
    """

    def __init__(self, detail: str, exit_code: ExitCode) -> None:
        super().__init__(detail)
        self.exit_code = exit_code


class Tool:
    """One thing to do on a command line, by way of a running server; its docstring's first line is its help.

    :param url: of the server.
    :param headers: more headers of every request.
    """

    name: ClassVar[str]

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self.headers = headers

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Declare the options; those of every tool are there already."""

    def run(self, **options: Any) -> None:
        """Do it. Raises ``EventcastError`` or ``ValueError`` with what to do about it where it cannot."""
        raise NotImplementedError


def add_arguments(tool: type[Tool], parser: argparse.ArgumentParser, default_url: str) -> None:
    """Declare all options of ``tool``.

    :param default_url: what the help says about where the server's URL comes from.
    """
    parser.epilog = EXIT_CODES
    tool.add_arguments(parser)
    parser.add_argument("--url", metavar="URL", help=f"of the server (default: {default_url})")
    parser.add_argument(
        "-H", "--header", action="append", default=[], type=_header, metavar="'NAME: VALUE'", help="one more header"
    )


def run(tool: type[Tool], url: str, options: dict[str, Any]) -> None:
    """Run ``tool`` with the options that :func:`add_arguments` declared.

    :param url: of the server, where ``--url`` says none.
    :raises Failed: it did not do what it was for.
    """
    given = options.pop("url")
    chosen = tool(url if given is None else given, dict(options.pop("header")))
    try:
        chosen.run(**options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has had enough. What is still to be flushed when Python ends would fail once more.
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


def channel(value: str) -> str:
    """A channel's name as an argument."""
    if not value.startswith("/"):
        raise argparse.ArgumentTypeError(f"a channel is an absolute path that begins with '/', not {value!r}")
    return value


def seconds(value: str) -> float:
    """A number of seconds as an argument."""
    try:
        found = float(value)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {value!r}")
    return found


def sentence(text: str) -> str:
    """``text`` with one full stop, whether it ended in one or not."""
    return text if text.endswith(("?", "!")) else text.rstrip(".") + "."


def say(line: str) -> None:
    """Write a line to standard error, at once."""
    print(line, file=sys.stderr, flush=True)


def _header(value: str) -> tuple[str, str]:
    name, colon, content = value.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"not a header such as 'Authorization: Bearer abc': {value!r}")
    return name.strip(), content.strip()
