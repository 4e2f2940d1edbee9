"""How the arguments of a sub-command are read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any


class SubcommandParser(argparse.ArgumentParser):
    """Takes options between the other arguments, too, and answers for what it does not know itself.

    Python's own leaves the first to ``parse_intermixed_args``, which no sub-command is parsed by, and the second to the
    parser above, whose usage says nothing of the sub-command.
    """

    _is_parsing = False

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """As Python's; but exits where an argument is unknown."""
        if self._is_parsing:  # what Python calls in there is this again
            return super().parse_known_args(args, namespace)
        given = sys.argv[1:] if args is None else args
        self._is_parsing = True
        try:
            # Python's intermixing forgets that "--" was there, and takes what stands behind it for options.
            parse = super().parse_known_args if "--" in given else self.parse_known_intermixed_args
            found, unknown = parse(given, namespace)
        finally:
            self._is_parsing = False
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown
