"""Permission that is taken away while somebody listens by it: the subscriber is closed.

- A permit that expires ends with its second. One timer for each event loop, and no cost for permits without an end.
- What a permit rests on, such as a session, is asked about again every ``RECHECK_INTERVAL`` seconds: equal ones once,
  in a thread, spread over that time, so that thousands of them are no burst.
- A user who logs out in this process is closed at once, as is whom :func:`disconnect` names.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from eventcast.conf import conf
from eventcast.engine import names, patterns
from eventcast.engine.closing import EXPIRED, TAKEN_AWAY, Closing
from eventcast.engine.hub import Hub, hubs
from eventcast.engine.patterns import Pattern
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import InvalidPattern
from eventcast.security.authorization import Claim, Permit, SessionClaim, in_thread
from eventcast.security.authorization.permits import identity_of

logger = logging.getLogger("eventcast.subscribe")

TICK = 1.0
"""Seconds between two questions to the database, for a share of what there is to ask."""

LONGEST_SLEEP = 60.0
"""Seconds after which a timer looks at the clock again, which may have been set meanwhile."""


class Watch:
    """The subscribers of one event loop whose permits can end. Everything in it happens on that loop."""

    def __init__(self) -> None:
        self._ending: dict[int, set[Subscriber]] = {}
        """Who ends with which second since the epoch."""
        self._timer: asyncio.TimerHandle | None = None
        self._claims: dict[Subscriber, tuple[Claim, ...]] = {}
        self._round: list[Claim] = []
        """What is still to be asked about in this round."""
        self._share = 1
        self._recheck: asyncio.TimerHandle | asyncio.Task[None] | None = None

    def add(self, subscriber: Subscriber, permit: Permit) -> None:
        """Close the subscriber when its permit ends, unless it leaves before."""
        if permit.expires_at is not None:
            self._ending.setdefault(math.ceil(permit.expires_at), set()).add(subscriber)
            self._set_timer()
        if permit.claims:
            self._claims[subscriber] = permit.claims
            if self._recheck is None:
                self._recheck_later()

    def discard(self, subscriber: Subscriber, permit: Permit) -> None:
        """The subscriber has left."""
        if permit.expires_at is not None:
            second = math.ceil(permit.expires_at)
            others = self._ending.get(second, set())
            others.discard(subscriber)
            if not others:
                self._ending.pop(second, None)
        self._claims.pop(subscriber, None)
        # A timer holds on to its event loop.
        if not self._ending and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._claims and isinstance(self._recheck, asyncio.TimerHandle):
            self._recheck.cancel()
            self._recheck, self._round = None, []

    # --- what expires -----------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        if not self._ending:
            return
        delay = min(LONGEST_SLEEP, max(0.0, min(self._ending) - time.time()))
        if self._timer is not None:
            if self._timer.when() <= asyncio.get_running_loop().time() + delay:
                return
            self._timer.cancel()
        self._timer = _later(delay, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = time.time()
        for second in [second for second in self._ending if second <= now]:
            close(self._ending.pop(second), EXPIRED)
        self._set_timer()

    # --- what is asked about ----------------------------------------------------------------------------------------

    def _recheck_later(self) -> None:
        if not self._round or not self._claims:
            self._round = list({claim for claims in self._claims.values() for claim in claims})
            self._share = math.ceil(len(self._round) * TICK / conf.RECHECK_INTERVAL)
        self._recheck = _later(TICK, self._begin) if self._round else None

    def _begin(self) -> None:
        self._recheck = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        asked, self._round = self._round[: self._share], self._round[self._share :]
        try:
            self.drop({claim for kind in {type(claim) for claim in asked} for claim in await _lapsed(kind, asked)})
        except Exception:
            logger.exception("Nobody can tell whether %d permissions still hold; asked again later.", len(asked))
        self._recheck_later()

    def drop(self, claims: Iterable[Claim]) -> None:
        """Close those whose permits rest on one of the claims."""
        gone = set(claims)
        if gone:
            close([subscriber for subscriber, held in self._claims.items() if not gone.isdisjoint(held)], TAKEN_AWAY)

    def drop_session(self, session_key: str) -> None:
        """Close those whose permits rest on this session."""
        held = {claim for claims in self._claims.values() for claim in claims}
        self.drop(claim for claim in held if isinstance(claim, SessionClaim) and claim.session_key == session_key)


def _later(delay: float, function: Callable[[], None]) -> asyncio.TimerHandle:
    # In an empty context: that of the request which happens to be the first would be kept, and may be over.
    return asyncio.get_running_loop().call_later(delay, function, context=contextvars.Context())


async def _lapsed(kind: type[Claim], claims: Sequence[Claim]) -> Iterable[Claim]:
    return await in_thread(kind.lapsed, [claim for claim in claims if type(claim) is kind])


_watches: weakref.WeakKeyDictionary[Hub, Watch] = weakref.WeakKeyDictionary()


def watch(hub: Hub, subscriber: Subscriber, permit: Permit) -> None:
    """Close a subscriber of the running event loop when the permit by which it was let in ends."""
    if permit.ends:
        if hub not in _watches:
            _watches[hub] = Watch()
        _watches[hub].add(subscriber, permit)


def forget(hub: Hub, subscriber: Subscriber, permit: Permit) -> None:
    """The subscriber has left."""
    if permit.ends and hub in _watches:
        _watches[hub].discard(subscriber, permit)


def close(subscribers: Iterable[Subscriber], closing: Closing) -> None:
    """Close subscribers of the running event loop."""
    for subscriber in list(subscribers):
        if subscriber.transport.closed:
            continue
        logger.info("Closing %r of user %s: %s", subscriber, names.quoted(subscriber.user), closing.reason)
        subscriber.transport.close(*closing)
        subscriber.leave()


def logged_out(sender: Any = None, request: Any = None, **kwargs: Any) -> None:
    """A user logs out: close whom that session has let in. A receiver of Django's ``user_logged_out``."""
    session_key = getattr(getattr(request, "session", None), "session_key", None)
    if session_key is not None:
        for hub in hubs():
            if (watching := _watches.get(hub)) is not None:
                hub.call(watching.drop_session, session_key)


def disconnect(*, channel: str | None = None, user: Any = None) -> None:
    """Close the subscribers of a channel, of a user, or with both those of the user on that channel.

    For permission that was taken away in a way that eventcast cannot see. They are closed with 3000, may try to come
    back, and are asked for their permission then. Only those of this process; in any thread; they go a moment later.

    :param channel: a channel's name, for all who hear it, by a pattern too; or a pattern such as
        ``"/orders/<path:any>"``, for all who hear a channel that matches by its name, or listen by a pattern within it.
    :param user: a name, for all who have it: users, keys and tokens; or a user object, for that user alone, told by
        its primary key, or by its name where an ``Authorization`` of one's own has let in somebody by no more.
    :raises InvalidChannel: it is no channel's name.
    :raises ValueError: neither is given, or ``user`` is nobody: an empty name, or one who is not logged in.
    """
    if channel is None and user is None:
        raise ValueError("Say whom to disconnect: channel=, user= or both.")
    wanted = None if channel is None else _channel_or_pattern(channel)
    is_meant = _chooser(user)

    def close_there(hub: Hub) -> None:
        close([each for each in _hearing(hub, wanted) if is_meant(each)], TAKEN_AWAY)

    for hub in hubs():
        hub.call(close_there, hub)


def _chooser(user: Any) -> Callable[[Subscriber], bool]:
    """Whether a subscriber is the one that ``disconnect(user=…)`` means."""
    if user is None:
        return lambda subscriber: True
    name = user.get_username() if hasattr(user, "get_username") else user
    if not name:
        # All who are nobody to us would go.
        raise ValueError(f"user={user!r} is nobody: say a name, or leave it out to disconnect all of a channel.")
    if name is user:
        return lambda subscriber: bool(subscriber.user == name)
    identity = identity_of(user)
    return lambda subscriber: subscriber.identity == identity if subscriber.identity else bool(subscriber.user == name)


def _channel_or_pattern(text: str) -> str | Pattern:
    names.check_channel(text)
    try:
        pattern = patterns.parse(text)
    except InvalidPattern:
        return text  # A channel may be named like that, too.
    return pattern if any(segment.kind for segment in pattern.segments) else text


def _hearing(hub: Hub, wanted: str | Pattern | None) -> Iterator[Subscriber]:
    if isinstance(wanted, str):
        found = hub.heard_by(wanted)
    else:
        found = [local for local in hub.channels.values() if wanted is None or wanted.matches(local.name)]
        found += [local for local in hub.patterns if wanted is None or wanted.covers(patterns.parse(local.name))]
    for local in found:
        yield from local
