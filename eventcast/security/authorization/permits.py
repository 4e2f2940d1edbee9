"""Permits: what a client was let in by, and the claims that a permit rests on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, TypeVar

Number = TypeVar("Number", int, float)


class Claim:
    """What a permit rests on that can be taken away, such as a session. Subclasses are hashable: equal claims are
    rechecked once, however many subscribers rest on them."""

    @classmethod
    def lapsed(cls, claims: Sequence[Any]) -> Collection[Claim]:
        """Those of the claims, all of this class, that do not hold any more.

        Called in a thread every ``RECHECK_INTERVAL`` seconds while a subscriber rests on them; may ask the database.
        While it raises, no subscriber is disconnected.
        """
        raise NotImplementedError


class Permit(NamedTuple):
    """What a client was let in by."""

    user: str = ""
    """The name of the user, key or token; empty if none is known."""
    expires_at: float | None = None
    """When it ends, seconds since the epoch; None if it does not. A subscriber is disconnected then."""
    claims: tuple[Claim, ...] = ()
    """What it rests on. When one of them lapses, a subscriber is disconnected."""
    identity: str = ""
    """What ``user`` is, where more than the name is known: ``"key shop"``, ``"token zhang"``, or ``"user 42"`` for the
    site's user with that primary key. Clients with different identities are different, even if the names are alike."""
    revocations: int | None = None
    """Set by the server: the number of revocations before it asked for this permit."""

    @property
    def publisher(self) -> str:
        """The publisher that ``PUBLISH_RATE`` counts for; empty if none is known."""
        return self.identity or (self.user and f"name {self.user}")

    @property
    def ends(self) -> bool:
        """Whether it can be taken away from a subscriber."""
        return self.expires_at is not None or bool(self.claims)

    def __and__(self, other: Permit) -> Permit:
        """Holds while both hold."""
        known = self if self.publisher else other
        return Permit(
            known.user,
            _lesser(self.expires_at, other.expires_at),
            self.claims + other.claims,
            known.identity,
            _lesser(self.revocations, other.revocations),
        )


def _lesser(one: Number | None, other: Number | None) -> Number | None:
    return min((each for each in (one, other) if each is not None), default=None)
