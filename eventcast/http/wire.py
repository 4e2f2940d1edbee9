"""Answers as bytes of HTTP/1.1 (RFC 9112), for connections that are our own."""

from __future__ import annotations

import functools
import time
from email.utils import formatdate
from http import HTTPStatus

from eventcast.http.answers import Answer

_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

CLOSE = b"Connection: close\r\n"
"""What an answer says after which the connection is closed."""


def answer_head(answer: Answer, more: bytes = b"") -> bytes:
    """The status line and the headers of an answer, up to the empty line.

    :param more: further header lines.
    """
    status = answer.status_code
    line = _LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status
    return b"%b%b%b%b\r\n" % (line, _date_line(int(time.time())), _field_lines(tuple(answer.headers.items())), more)


def answer_bytes(answer: Answer, more: bytes = b"", *, head_only: bool = False) -> bytes:
    """A whole answer.

    :param more: further header lines.
    :param head_only: whether its body is left out, as for HEAD (RFC 9110 section 9.3.2).
    """
    content = answer.content
    if answer.status_code not in (204, 304):
        more = b"%bContent-Length: %d\r\n" % (more, len(content))
    head = answer_head(answer, more)
    return head if head_only else head + content


@functools.lru_cache(maxsize=128)
def _field_lines(fields: tuple[tuple[str, str], ...]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("latin-1", "replace")


@functools.lru_cache(maxsize=1)
def _date_line(second: int) -> bytes:
    """The ``Date`` header (RFC 9110 section 6.6.1), made once a second."""
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
