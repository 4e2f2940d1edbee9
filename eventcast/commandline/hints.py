"""What somebody may have meant: a question beside a refusal, a word about a name that looks like something else."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from eventcast.commandline import say, sentence
from eventcast.exceptions import Refused

MOUNT = "Does the URL name the mount, such as http://host/live?"

_ELSEWHERE = frozenset({200, 404, 405, 500})
"""Statuses of what answers where eventcast is not: a page, Django's or Channels' errors."""

_CONVERTER = re.compile(r"<(?:\w+:)?[^\W\d]\w*>")


def whole_path(url: str, path: str) -> str:
    """What to ask where ``path`` leads to no channel of the server at ``url``."""
    mount = urlsplit(url).path.rstrip("/") or "/live"
    example = "/a" if path.startswith(mount + "/") else path
    return f"A PATH is the whole path, the mount included: {mount}{example}?"


@contextlib.contextmanager
def asking(question: str) -> Iterator[None]:
    """Ask ``question`` beside a refusal that says, if anything, that one is in the wrong place."""
    try:
        yield
    except Refused as error:
        if error.status == 404 or (error.code == Refused.code and error.status in _ELSEWHERE):
            error.detail = f"{sentence(error.detail)} {question}"
        raise


def looks_like_pattern(path: str) -> bool:
    """Whether a channel's name has in it what is a converter in a pattern, such as ``<id>`` or ``<int:id>``."""
    return _CONVERTER.search(path) is not None


def warn_of_pattern(path: str, instead: str) -> None:
    """Say that ``path`` is taken for one channel, if it looks like a pattern, and what to do ``instead``."""
    if looks_like_pattern(path):
        say(f"{path} looks like a pattern, and is taken for the channel of that name. {instead}")
