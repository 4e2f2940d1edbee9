"""The public names of ``eventcast.security.authorization``: the classes for ``EVENTCAST["AUTHORIZATION"]``."""

from eventcast.security.authorization import (
    Authorization,
    Claim,
    Keys,
    Open,
    Permit,
    Rules,
    SessionClaim,
    Sessions,
    Tokens,
    token,
)

__all__ = ["Authorization", "Claim", "Keys", "Open", "Permit", "Rules", "SessionClaim", "Sessions", "Tokens", "token"]
