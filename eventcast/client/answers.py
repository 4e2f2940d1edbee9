"""What a server's answer, or its silence, means to a client; and the sentences that clients say about it."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Iterator

from eventcast.exceptions import Refused, ServerUnreachable

MOUNT_HINT = "Does the URL name the mount, such as http://host/live?"
"""What to check first where a server has nothing at a path that every eventcast server has."""


def sentence(text: str) -> str:
    """``text`` with exactly one full stop at its end."""
    return text if text.endswith(("?", "!")) else text.rstrip(".") + "."


def refusal(status: int, body: bytes, *, reason: str = "", retry_after: str | None = None) -> Refused:
    """The error that an answer stands for: the class that the server raised, if eventcast has it.

    :param body: ``{"error": …, "detail": …}``; a proxy in front of the server may send anything else.
    :param reason: the answer's reason phrase. Daphne sends a body of its own when it refuses a WebSocket; the error
        code is the reason phrase then.
    :param retry_after: the answer's header of that name. A date is ignored.
    """
    try:
        found = json.loads(body)
        code, detail = str(found["error"]), str(found["detail"])
    except (ValueError, LookupError, TypeError):
        if re.fullmatch(r"[a-z]+(_[a-z]+)*", reason):
            code, detail = reason, "The server's log says more."
        else:
            code, detail = Refused.code, f"The answer is not eventcast's: {status} {reason}".rstrip()
    seconds = float(retry_after) if retry_after is not None and retry_after.strip().isdecimal() else None
    kind = next((kind for kind in _subclasses(Refused) if (kind.status, kind.code) == (status, code)), Refused)
    return kind(detail, status=status, code=code, retry_after=seconds)


def no_answer(server: str, error: Exception, *, secure: bool) -> ServerUnreachable:
    """The error of a client that got no answer.

    :param error: what happened instead.
    :param secure: whether the client uses TLS.
    """
    detail = f"No answer from {server}: {error or type(error).__name__}"
    # A server without TLS answers a TLS handshake with an error, or with nothing.
    may_lack_tls = isinstance(error, (ssl.SSLError, TimeoutError, asyncio.TimeoutError))
    if secure and may_lack_tls and not isinstance(error, ssl.SSLCertVerificationError):
        detail += ". If the server does not use TLS, its URL begins with http:"
    return ServerUnreachable(detail)


def _subclasses(base: type[Refused]) -> Iterator[type[Refused]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _subclasses(kind)
