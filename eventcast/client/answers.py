"""What a server's answer means to a client that was turned down, and what it means that there is none."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Iterator

from eventcast.exceptions import Refused, ServerUnreachable


def refusal(status: int, body: bytes, *, reason: str = "", retry_after: str | None = None) -> Refused:
    """The error that an answer stands for: the same class that the server raised, if it is one of eventcast's.

    :param body: ``{"error": …, "detail": …}``; of what stands in front of the server, such as a proxy, anything.
    :param reason: the answer's reason phrase. The code stands there where a WebSocket is refused under Daphne, which
        has a body of its own for that.
    :param retry_after: the answer's header of that name. A date in it is left out of account.
    """
    try:
        found = json.loads(body)
        code, detail = str(found["error"]), str(found["detail"])
    except (ValueError, LookupError, TypeError):
        if re.fullmatch(r"[a-z]+(_[a-z]+)*", reason):
            code, detail = reason, "The server's log says more."
        else:
            code, detail = Refused.code, f"An answer that is not eventcast's: {status} {reason}".rstrip()
    kind = next((kind for kind in _kinds(Refused) if (kind.status, kind.code) == (status, code)), Refused)
    return kind(detail, status=status, code=code, retry_after=_seconds(retry_after))


def no_answer(whom: str, error: Exception, *, secure: bool) -> ServerUnreachable:
    """The error of a client that got no answer.

    :param whom: it has asked.
    :param error: what happened instead.
    :param secure: whether over TLS.
    """
    detail = f"No answer from {whom}: {error or type(error).__name__}"
    # Some servers answer what is no HTTP to them with an error, some with nothing.
    is_no_tls = isinstance(error, (ssl.SSLError, TimeoutError, asyncio.TimeoutError))
    if secure and is_no_tls and not isinstance(error, ssl.SSLCertVerificationError):
        detail += ". If the server speaks no TLS there, its URL begins with http:"
    return ServerUnreachable(detail)


def _kinds(base: type[Refused]) -> Iterator[type[Refused]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.strip().isdecimal() else None
