"""The close codes of WebSockets and their reasons, for the server and the client.

The codes below 3000 are those of RFC 6455 section 7.4.1 and of IANA's registry.
"""

from __future__ import annotations

from typing import NamedTuple


class Closing(NamedTuple):
    """The content of a close frame, for :meth:`Subscriber.close`."""

    code: int
    reason: str


PROTOCOL_ERROR, INVALID_DATA = 1002, 1007
"""For a client that violates RFC 6455: its framing, or the UTF-8 of text."""

POLICY_VIOLATION = 1008
"""For a handshake that the server cannot refuse by HTTP (the reason is the refusal's code), and for a message that is
not allowed (the reason is the refusal's detail)."""

MESSAGE_TOO_BIG = 1009
"""For a message over ``MAX_MESSAGE_SIZE`` (the reason is the refusal's detail)."""

DISCONNECTED = 3000
"""For a subscriber that an operator disconnects, or that loses its permission: "unauthorized" in IANA's registry."""

TRY_AGAIN_LATER = 1013
"""For a subscriber that has missed messages, and may reconnect."""

GOING_AWAY = Closing(1001, "The server is going away.")
ONLY_LISTENS = Closing(POLICY_VIOLATION, "This WebSocket only listens.")
TOO_SLOW = Closing(TRY_AGAIN_LATER, "Messages come faster than they are read.")

TOO_MUCH = Closing(TRY_AGAIN_LATER, "The server has too much pending.")
"""For the slowest subscribers while all together exceed ``MAX_PENDING_BYTES``."""

OPERATOR = Closing(DISCONNECTED, "Disconnected by an operator.")
EXPIRED = Closing(DISCONNECTED, "The permission has expired.")
REVOKED = Closing(DISCONNECTED, "The permission was taken away.")

PERMISSION_ENDED = frozenset({EXPIRED, REVOKED})
"""After these a client reconnects at once, because the server then checks its permission again."""


def may_be_sent(code: int) -> bool:
    """Whether a client may send a close code (RFC 6455 section 7.4, and the IANA registry)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999
