"""Who may do what: the class that ``EVENTCAST["AUTHORIZATION"]`` names, those that are shipped, and how it is asked."""

from eventcast.authorization.asking import current, in_thread, permit
from eventcast.authorization.base import Authorization, Open
from eventcast.authorization.keys import Keys
from eventcast.authorization.permits import Claim, Permit
from eventcast.authorization.rules import Rules
from eventcast.authorization.sessions import SessionClaim, Sessions
from eventcast.authorization.tokens import Tokens, token

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
