"""The close codes of a WebSocket and their reasons: the one table that both sides use.

The codes below 3000 are those of RFC 6455 section 7.4.1 and of IANA's registry.
"""

from __future__ import annotations

from typing import NamedTuple


class Closing(NamedTuple):
    """What a close frame says. Pass it on as ``transport.close(*GOING_AWAY)``."""

    code: int
    reason: str


POLICY_VIOLATION = 1008
"""For a handshake that the server cannot refuse otherwise (the reason is the code of the refusal), and for a message
that is not allowed (the reason is the detail of the refusal)."""

MESSAGE_TOO_BIG = 1009
"""For a message over ``MAX_MESSAGE_SIZE``; the reason is the detail of the refusal."""

DISCONNECTED = 3000
"""For a subscriber that an operator disconnects, or that loses its permission: "unauthorized" in IANA's registry."""

GOING_AWAY = Closing(1001, "The server is going away.")
ONLY_LISTENS = Closing(POLICY_VIOLATION, "This WebSocket only listens.")
TOO_SLOW = Closing(1013, "Messages come faster than they are read.")
"""Code 1013 is "try again later": the subscriber has missed messages, and may come back."""

OPERATOR = Closing(DISCONNECTED, "Disconnected by an operator.")
EXPIRED = Closing(DISCONNECTED, "The permission has expired.")
TAKEN_AWAY = Closing(DISCONNECTED, "The permission was taken away.")

PERMISSION_IS_OVER = frozenset({EXPIRED, TAKEN_AWAY})
"""After these a client comes back at once, because the server then asks for its permission again."""
