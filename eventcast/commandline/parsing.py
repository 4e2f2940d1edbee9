"""How the arguments of a command are read."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class SubcommandParser(argparse.ArgumentParser):
    """Accepts options between the other arguments, and reports unknown arguments itself.

    Python's own parser of a sub-command does neither: it accepts options at one place only, and the parser above it
    reports unknown arguments with its own usage.
    """

    _is_parsing = False

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """As Python's, but an unknown argument ends the process."""
        if self._is_parsing:  # parse_known_intermixed_args() calls this method again
            return super().parse_known_args(args, namespace)
        given = sys.argv[1:] if args is None else args
        self._is_parsing = True
        try:
            # Python's intermixing forgets "--", and would take the arguments after it for options.
            parse = super().parse_known_args if "--" in given else self.parse_known_intermixed_args
            found, unknown = parse(given, namespace)
        finally:
            self._is_parsing = False
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def channel(value: str) -> str:
    """The name of a channel."""
    value = _as_utf_8(value)
    if not value.startswith("/"):
        raise argparse.ArgumentTypeError(f"a channel is an absolute path that begins with '/', not {value!r}")
    return value


def seconds(value: str) -> float:
    """A number of seconds above 0."""
    if not (found := seconds_or_0(value)):
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {value!r}")
    return found


def seconds_or_0(value: str) -> float:
    """A number of seconds, or 0."""
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {value!r}")
    return found


def count(value: str) -> int:
    """A whole number above 0."""
    if not value.isdecimal() or not int(value):
        raise argparse.ArgumentTypeError(f"a whole number above 0, not {value!r}")
    return int(value)


def _as_utf_8(value: str) -> str:
    """An argument in UTF-8, whatever the encoding of the locale is. One that is not UTF-8 is returned as it is."""
    try:
        return os.fsencode(value).decode()
    except UnicodeError:
        return value


def text(value: str) -> str:
    """Text that is valid UTF-8."""
    value = _as_utf_8(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"a channel's name is UTF-8, and {value!r} is not") from None
    return value


def header(value: str) -> tuple[str, str]:
    """The name and the value of a header."""
    name, colon, content = value.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"not a header such as 'Authorization: Bearer abc': {value!r}")
    return name.strip(), content.strip()


def key_file(value: str) -> str:
    """The key, or token, in a file."""
    try:
        found = Path(value).read_text().strip()
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"the key cannot be read: {error}") from None
    if not found:
        raise argparse.ArgumentTypeError(f"there is no key in the file {value!r}")
    return found
