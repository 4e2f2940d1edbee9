"""Notices: JSON objects that tell a client about its connection, beside messages. Each has a ``type``.

docs/protocol.md describes them for clients, as the frames of ``eventcast.v1``.
"""

from __future__ import annotations

import json
import time
from typing import Any

import eventcast
from eventcast.engine.closing import (
    DISCONNECTED,
    INVALID_DATA,
    MESSAGE_TOO_BIG,
    PERMISSION_ENDED,
    POLICY_VIOLATION,
    PROTOCOL_ERROR,
    Closing,
)
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Refused

AT_ONCE, SOON, LATER = (0, 1), (0.5, 4), (15, 30)
"""Seconds after which a client reconnects, from and to: with a new permission, after a restart, after a refusal."""

RETRYABLE = frozenset({408, 425, 429})
"""Statuses from 400 to 499 after which a client may retry (RFC 9110, RFC 8470, RFC 6585)."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def hello(wanted: str | Pattern, heartbeat: float, expires_at: float | None = None, *, publish: bool) -> str:
    """The first notice of a subscription.

    :param heartbeat: most seconds until the client gets the next message or notice.
    :param expires_at: when the permission ends, seconds since the epoch; None if it does not.
    :param publish: whether messages of the client are published.
    """
    listens_to = {"pattern": wanted.text} if isinstance(wanted, Pattern) else {"channel": wanted}
    server = {"type": "hello", "server": f"eventcast/{eventcast.__version__}", "heartbeat": heartbeat}
    ends = {} if expires_at is None else {"expires": round(max(0.0, expires_at - time.time()), 3)}
    return _encode(server | listens_to | {"publish": publish} | ends)


def heartbeat() -> str:
    """A notice that the connection works."""
    return '{"type":"heartbeat"}'


def lost(count: int) -> str:
    """A notice in the place of ``count`` missing messages."""
    return f'{{"type":"lost","messages":{count},"reason":"slow"}}'


def bye(closing: Closing, **about: Any) -> str:
    """The last notice before a close frame: why the connection ends, and when to reconnect.

    :param about: further members, such as the channel if only its subscription ends.
    """
    retry: tuple[float, float] | None = SOON
    if closing.code in (PROTOCOL_ERROR, INVALID_DATA):
        retry = None
    elif closing in PERMISSION_ENDED:
        retry = AT_ONCE
    elif closing.code in (DISCONNECTED, POLICY_VIOLATION, MESSAGE_TOO_BIG):
        retry = LATER
    return _encode({"type": "bye", "code": closing.code, "reason": closing.reason, "retry": retry} | about)


def refused(refusal: Refused, detail: str, **about: Any) -> str:
    """The same for a refused subscription, after the HTTP status was sent.

    :param detail: the detail of the refusal in the client's language.
    """
    after = refusal.retry_after
    retry: tuple[float, float] | None = SOON if after is None else (after, 1.5 * after)
    if 400 <= refusal.status < 500 and refusal.status not in RETRYABLE:
        retry = None
    said = {"type": "bye", "code": refusal.code, "status": refusal.status, "reason": detail, "retry": retry}
    return _encode(said | about)
