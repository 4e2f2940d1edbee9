"""Hints for users: a question beside a refusal, a warning about a channel's name that looks like a pattern."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from eventcast.client.answers import sentence
from eventcast.commandline import say
from eventcast.exceptions import Refused

_ELSEWHERE = frozenset({200, 404, 405, 500})
"""Statuses of answers where eventcast is not: a page, or an error of Django or Channels."""

_CONVERTER = re.compile(r"<(?:\w+:)?[^\W\d]\w*>")


def whole_path(url: str, path: str) -> str:
    """The question where the server at ``url`` has no channel ``path``."""
    mount = urlsplit(url).path.rstrip("/") or "/live"
    example = "/a" if path.startswith(mount + "/") else path
    return f"A PATH is the whole path, the mount included: {mount}{example}?"


@contextlib.contextmanager
def asking(question: str) -> Iterator[None]:
    """Add a question to the detail of a refusal, if the request may have gone to a wrong place."""
    try:
        yield
    except Refused as error:
        if error.status == 404 or (error.code == Refused.code and error.status in _ELSEWHERE):
            error.detail = f"{sentence(error.detail)} {question}"
        raise


def looks_like_pattern(path: str) -> bool:
    """Whether a channel's name contains a converter, such as ``<id>`` or ``<int:id>``."""
    return _CONVERTER.search(path) is not None


def warn_of_pattern(path: str, instead: str) -> None:
    """Warn if a channel's name looks like a pattern.

    :param instead: a sentence: what the user may do instead.
    """
    if looks_like_pattern(path):
        say(f"{path} looks like a pattern, but means the channel of that name. {instead}")
