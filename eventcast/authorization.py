"""What a site imports for ``EVENTCAST["AUTHORIZATION"]``: the shipped classes, and what a class of its own needs."""

from eventcast.security.authorization.base import Authorization, Open
from eventcast.security.authorization.keys import Keys
from eventcast.security.authorization.permits import Claim, Permit
from eventcast.security.authorization.rules import Rules
from eventcast.security.authorization.sessions import Sessions
from eventcast.security.authorization.tokens import Tokens, token
from eventcast.security.users import SessionClaim

__all__ = ["Authorization", "Claim", "Keys", "Open", "Permit", "Rules", "SessionClaim", "Sessions", "Tokens", "token"]
