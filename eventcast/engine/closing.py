"""Why a server closes a connection that it had let in: what both sides know of it. Pure."""

from __future__ import annotations

DISCONNECTED = 3000
"""The close code for whom an operator disconnects, or whose permission is over: "unauthorized" in IANA's registry."""

OPERATOR = "Disconnected by an operator."
EXPIRED = "The permission has expired."
TAKEN_AWAY = "The permission was taken away."
"""Reasons that such a close frame gives."""

PERMISSION_IS_OVER = frozenset({EXPIRED, TAKEN_AWAY})
"""Reasons after which one may come right back: one is asked for a permission then."""
