"""Authorization: the shipped classes for ``EVENTCAST["AUTHORIZATION"]``, and how they are asked."""

from eventcast.security.authorization.asking import current, in_thread, permit
from eventcast.security.authorization.base import Authorization, Open
from eventcast.security.authorization.keys import Keys
from eventcast.security.authorization.permits import Claim, Permit
from eventcast.security.authorization.rules import Rules
from eventcast.security.authorization.sessions import SessionClaim, Sessions
from eventcast.security.authorization.tokens import Tokens, token

__all__ = [
    "Authorization",
    "Claim",
    "Keys",
    "Open",
    "Permit",
    "Rules",
    "SessionClaim",
    "Sessions",
    "Tokens",
    "current",
    "in_thread",
    "permit",
    "token",
]
