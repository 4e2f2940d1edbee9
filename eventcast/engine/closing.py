"""The close codes of a WebSocket and their reasons: the one table that both sides use.

The codes below 3000 are those of RFC 6455 section 7.4.1 and of IANA's registry.
"""

from __future__ import annotations

from typing import NamedTuple


class Closing(NamedTuple):
    """What a close frame says. For :meth:`Subscriber.close`."""

    code: int
    reason: str


PROTOCOL_ERROR, INVALID_DATA = 1002, 1007
"""For a client that breaks the rules of RFC 6455: of frames, and of text, which is UTF-8."""

POLICY_VIOLATION = 1008
"""For a handshake that the server cannot refuse otherwise (the reason is the code of the refusal), and for a message
that is not allowed (the reason is the detail of the refusal)."""

MESSAGE_TOO_BIG = 1009
"""For a message over ``MAX_MESSAGE_SIZE``; the reason is the detail of the refusal."""

DISCONNECTED = 3000
"""For a subscriber that an operator disconnects, or that loses its permission: "unauthorized" in IANA's registry."""

TRY_AGAIN_LATER = 1013
"""For a subscriber that has missed messages, and may come back."""

GOING_AWAY = Closing(1001, "The server is going away.")
ONLY_LISTENS = Closing(POLICY_VIOLATION, "This WebSocket only listens.")
TOO_SLOW = Closing(TRY_AGAIN_LATER, "Messages come faster than they are read.")

TOO_MUCH = Closing(TRY_AGAIN_LATER, "The server has too much pending.")
"""For the slowest subscribers while all of them together are over ``MAX_PENDING_BYTES``."""

OPERATOR = Closing(DISCONNECTED, "Disconnected by an operator.")
EXPIRED = Closing(DISCONNECTED, "The permission has expired.")
REVOKED = Closing(DISCONNECTED, "The permission was taken away.")

PERMISSION_ENDED = frozenset({EXPIRED, REVOKED})
"""After these a client comes back at once, because the server then asks for its permission again."""


def may_be_sent(code: int) -> bool:
    """Whether a client may send a close code (RFC 6455 section 7.4, and the IANA registry)."""
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999
