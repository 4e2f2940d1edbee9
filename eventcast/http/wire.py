"""Answers as bytes of HTTP/1.1 (RFC 9112), for connections that are our own."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

from eventcast.http.answers import Answer

_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

_date = (0, b"")


def date_line() -> bytes:
    """The ``Date`` header (RFC 9110 section 6.6.1), made once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
    return _date[1]


def answer_head(answer: Answer, *, more: bytes = b"") -> bytes:
    """The status line and the headers of an answer, up to the empty line.

    :param more: further header lines.
    """
    status = answer.status_code
    line = _LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status
    fields = "".join([f"{name}: {value}\r\n" for name, value in answer.headers.items()])
    return b"%b%b%b%b\r\n" % (line, date_line(), fields.encode("latin-1", "replace"), more)


def answer_bytes(answer: Answer, *, close: bool = False, keep_alive: bool = False, head_only: bool = False) -> bytes:
    """A whole answer.

    :param close: whether the connection is closed after it, which the answer then says.
    :param keep_alive: whether the answer says that it is not, which a client of HTTP/1.0 has to be told.
    :param head_only: whether its body is left out, as for HEAD (RFC 9110 section 9.3.2).
    """
    more = b"Connection: close\r\n" if close else b"Connection: keep-alive\r\n" if keep_alive else b""
    if answer.status_code not in (204, 304):
        more += b"Content-Length: %d\r\n" % len(answer.content)
    head = answer_head(answer, more=more)
    return head if head_only else head + answer.content
