"""The errors that clients raise for a server's answer, or if there is none, and their texts."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from typing import Any

from eventcast.exceptions import Refused, ServerUnreachable

WHOLE_PATH = (
    "eventcast has nothing at this path. A channel's name is the whole path, the mount included, such as "
    "/live/orders/42; a pattern and the list of channels need the mount in the server's URL, such as http://host/live."
)
NO_UPGRADE = (
    "the server took a WebSocket's handshake for a plain request. It is a WSGI server, where 'manage.py eventcast "
    "serve' or Daphne is needed; or a proxy in front does not pass on the headers Upgrade and Connection."
)


def sentence(text: str) -> str:
    """``text`` with exactly one full stop at its end."""
    return text if text.endswith(("?", "!")) else text.rstrip(".") + "."


def refusal(
    status: int, body: bytes, *, reason: str = "", headers: Mapping[str, str] | Any = None, websocket: bool = False
) -> Refused:
    """The error for an answer: of the class that the server raised, if eventcast has it.

    :param body: ``{"error": …, "detail": …}``; a proxy in front of the server may send anything else.
    :param reason: the answer's reason phrase. Daphne sends a body of its own when it refuses a WebSocket; the error
        code is the reason phrase then.
    :param headers: the headers of the answer. A date in ``Retry-After`` is ignored.
    :param websocket: whether the request was the handshake of a WebSocket.
    """
    headers = headers or {}
    try:
        found = json.loads(body)
        code, detail = str(found["error"]), str(found["detail"])
    except (ValueError, LookupError, TypeError):
        if status >= 400 and re.fullmatch(r"[a-z]+(_[a-z]+)*", reason):
            code, detail = reason, WHOLE_PATH if status == 404 else "The server's log says more."
        else:
            came = f"The answer is not eventcast's, but {status} {reason}".rstrip()
            code, detail = Refused.code, f"{came}: {_cause(status, headers, websocket)}"
    retry_after = headers.get("Retry-After") or ""
    seconds = float(retry_after) if retry_after.strip().isdecimal() else None
    kind = next((kind for kind in Refused.kinds() if (kind.status, kind.code) == (status, code)), Refused)
    return kind(detail, status=status, code=code, retry_after=seconds)


def _cause(status: int, headers: Mapping[str, str], websocket: bool) -> str:
    """The probable cause of an answer that is not eventcast's, and what to do."""
    if 300 <= status < 400:
        target = headers.get("Location") or "no other URL"
        return (
            f"a redirect to {target:.200}. It is not followed, because a key might go to another server. Use that URL."
        )
    if status < 300:
        kind = headers.get("Content-Type") or "no Content-Type"
        return NO_UPGRADE if websocket else f"a page or file of something else ({kind:.100}). {WHOLE_PATH}"
    if status in (404, 405):
        return WHOLE_PATH
    if status in (502, 503, 504):
        return "a proxy does not reach the server. Does the server run?"
    if status >= 500:
        routes = " Channels does the same where none of its routes has the path." if websocket else ""
        return f"the server has failed, and its log says why.{routes}"
    return "a proxy, or another part of the site such as its middleware, refuses the request."


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
