"""Who may do what: the class that ``EVENTCAST["AUTHORIZATION"]`` names, those that are shipped, and how it is asked."""

from eventcast.authorization.asking import current, permit
from eventcast.authorization.base import Authorization, Open
from eventcast.authorization.keys import Keys
from eventcast.authorization.permits import Claim, Permit

__all__ = ["Authorization", "Claim", "Keys", "Open", "Permit", "current", "permit"]
