"""Revocation: the server closes a subscriber when its permission ends.

- A permit that expires ends with its second. An event loop looks at the clock once a second while it has a subscriber
  with a permit that can end.
- Claims, such as a session, are rechecked every ``RECHECK_INTERVAL`` seconds: equal claims once, in a thread, and
  spread over that time, so that thousands of them are no burst.
- A log-out, and :func:`disconnect`, close their subscribers at once, in all processes.
- What is revoked during a handshake is revoked: admission notes the number of revocations before it asks, in
  ``Permit.revocations``, and :func:`watch` applies those that came since.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from eventcast.conf import conf
from eventcast.engine import asking, names, patterns
from eventcast.engine.closing import EXPIRED, REVOKED, Closing
from eventcast.engine.hub import Hub, hubs, running_loop
from eventcast.engine.patterns import Pattern
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import InvalidPattern
from eventcast.security.authorization.grants import covers
from eventcast.security.authorization.permits import Claim, Permit
from eventcast.security.threads import in_thread
from eventcast.security.users import SessionClaim, identity_of

logger = logging.getLogger("eventcast.subscribe")

TICK = 1.0
"""Seconds between two looks at the clock, each with rechecks of a share of the claims."""

REMEMBERED = 1000
"""Revocations that are remembered for handshakes under way. A handshake that outlasts more of them is closed."""


class Watch:
    """The subscribers of one event loop with permits that can end. Everything in it happens on that loop."""

    def __init__(self) -> None:
        self._permits: dict[Subscriber, Permit] = {}
        self._ending: dict[int, set[Subscriber]] = {}
        """Subscribers by the second since the epoch with which their permit expires."""
        self._round: list[Claim] = []
        """Claims still to be rechecked in this round."""
        self._share = 1
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    def add(self, subscriber: Subscriber, permit: Permit) -> None:
        """Close the subscriber when its permit ends, unless it leaves before."""
        self._permits[subscriber] = permit
        if permit.expires_at is not None:
            self._ending.setdefault(math.ceil(permit.expires_at), set()).add(subscriber)
        if self._timer is None:
            self._sleep()

    def discard(self, subscriber: Subscriber) -> None:
        """The subscriber has left."""
        permit = self._permits.pop(subscriber, None)
        if permit is not None and permit.expires_at is not None:
            second = math.ceil(permit.expires_at)
            others = self._ending.get(second, set())
            others.discard(subscriber)
            if not others:
                self._ending.pop(second, None)
        if not self._permits and self._timer is not None:
            self._timer.cancel()  # A timer holds on to its event loop.
            self._timer, self._round = None, []

    def _sleep(self) -> None:
        # Just past the beginning of a second, with which permits expire. In an empty context: that of the request which
        # happens to be the first would be kept, and may be over.
        delay = 1.001 * TICK - time.time() % TICK
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick, context=contextvars.Context())

    def _tick(self) -> None:
        self._sleep()
        now = time.time()
        for second in [second for second in self._ending if second <= now]:
            close(self._ending.pop(second), EXPIRED)
        if self._asking is None and self._permits:
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        if not self._round:
            self._round = list({claim for permit in self._permits.values() for claim in permit.claims})
            self._share = math.ceil(len(self._round) * TICK / conf.RECHECK_INTERVAL)
        asked, self._round = self._round[: self._share], self._round[self._share :]
        try:
            gone: set[Claim] = set()
            for kind in {type(claim) for claim in asked}:
                gone |= set(await in_thread(kind.lapsed, [claim for claim in asked if type(claim) is kind]))
        except Exception:
            logger.exception("Rechecking %d permissions failed; retrying.", len(asked))
        else:
            if gone:
                _remember(_rests_on(gone.__contains__))
                self.drop(gone.__contains__)
        finally:
            self._asking = None

    def drop(self, is_over: Callable[[Claim], bool]) -> None:
        """Close the subscribers with a permit that rests on a claim that is over."""
        close([each for each, permit in self._permits.items() if any(map(is_over, permit.claims))], REVOKED)


_watches: weakref.WeakKeyDictionary[Hub, Watch] = weakref.WeakKeyDictionary()


def watch(hub: Hub, wanted: str | Pattern, subscriber: Subscriber, permit: Permit) -> None:
    """Close a subscriber when its permit ends. To be called as soon as the hub, that of the running event loop, has let
    the subscriber in."""
    if permit.ends:
        if hub not in _watches:
            _watches[hub] = Watch()
        _watches[hub].add(subscriber, permit)
        subscriber.on_end = functools.partial(_watches[hub].discard, subscriber)
    if permit.revocations is not None and _revoked_since(permit.revocations, wanted, subscriber, permit):
        close([subscriber], REVOKED)


def close(subscribers: Iterable[Subscriber], closing: Closing) -> None:
    """Close subscribers of the running event loop."""
    for subscriber in list(subscribers):
        if subscriber.closed:
            continue
        logger.info("Closing %r of user %s: %s", subscriber, names.quoted(subscriber.user), closing.reason)
        subscriber.close(closing)


# --- revocations that handshakes under way must hear of --------------------------------------------------------------

Revocation = Callable[[str | Pattern, Subscriber, Permit], bool]
"""Tells whether a subscriber, what it listens to, and its permit are meant."""

_recent: deque[Revocation] = deque(maxlen=REMEMBERED)
_count = 0
_lock = threading.RLock()  # A finalizer may run while the lock is held, and disconnect a user.


def count() -> int:
    """The number of revocations in this process so far."""
    return _count


def _remember(revocation: Revocation) -> None:
    global _count
    with _lock:
        _recent.append(revocation)
        _count += 1


def _revoked_since(number: int, wanted: str | Pattern, subscriber: Subscriber, permit: Permit) -> bool:
    if number == _count:
        return False
    with _lock:
        missed, recent = _count - number, list(_recent)
    return missed > len(recent) or any(revoked(wanted, subscriber, permit) for revoked in recent[-missed:])


def _rests_on(is_over: Callable[[Claim], bool]) -> Revocation:
    return lambda wanted, subscriber, permit: any(map(is_over, permit.claims))


def logged_out(sender: Any = None, request: Any = None, **kwargs: Any) -> None:
    """A user logs out: close the subscribers of that session. A receiver of Django's ``user_logged_out``."""
    session_key = getattr(getattr(request, "session", None), "session_key", None)
    if session_key is not None:
        asking.tell("end_session", session_key=session_key)


@asking.question
def end_session(session_key: str) -> None:
    """Close the subscribers of this process that a session has let in."""

    def is_over(claim: Claim) -> bool:
        return isinstance(claim, SessionClaim) and claim.session_key == session_key

    _remember(_rests_on(is_over))
    for hub in hubs():
        if (watching := _watches.get(hub)) is not None:
            hub.call(watching.drop, is_over)


def disconnect(*, channel: str | None = None, user: Any = None) -> int:
    """Close the subscribers of a channel, of a user, or with both those of the user on that channel; in all processes.

    For permission that was taken away in a way that eventcast cannot see. The subscribers are closed with 3000, a
    moment later. Their clients may connect again, and are then asked for their permission. Safe in any thread. With a
    channel layer that is not eventcast's, only subscribers of this process are closed.

    :param channel: a channel's name: its subscribers, and those by a pattern that matches it; or a pattern such as
        ``"/orders/<path:any>"``: the subscribers of all channels that it matches, and of patterns within it.
    :param user: a name: all users, keys and tokens of that name; or a user object: that user alone, told by its primary
        key, or by its name where an ``Authorization`` of your own gives no :attr:`Permit.identity`.
    :returns: how many are closed. A process that does not answer within 250 ms is not in the number, and closes its
        subscribers nevertheless if the request reaches it. On the thread of a running event loop, which must not wait,
        only those of this process are counted: use :func:`adisconnect` there.
    :raises InvalidChannel: ``channel`` cannot be a channel's name.
    :raises ValueError: neither is given, or ``user`` is an empty name or not logged in.
    """
    chosen = _chosen(channel, user)
    if running_loop() is not None:
        return int(asking.tell("revoke", **chosen))
    return _counted(asking.ask_now("revoke", **chosen))


async def adisconnect(*, channel: str | None = None, user: Any = None) -> int:
    """The same as :func:`disconnect`, to be awaited: the number is that of all processes."""
    return _counted(await asking.ask("revoke", **_chosen(channel, user)))


def _counted(answers: asking.Answers) -> int:
    if answers.missing:
        logger.warning("Disconnecting: %d processes have not answered, which may be cut off.", answers.missing)
    return sum(answers.found)


def _chosen(channel: str | None, user: Any) -> dict[str, Any]:
    if channel is None and user is None:
        raise ValueError("Say which subscribers to disconnect: channel=, user= or both.")
    if channel is not None:
        names.check_channel(channel)
    if user is None:
        return {"channel": channel, "user": None, "identity": None}
    name = user.get_username() if hasattr(user, "get_username") else user
    if not name:
        # All subscribers without a known user would go.
        raise ValueError(f"user={user!r} has no name: give one, or leave user= out to disconnect all of a channel.")
    return {"channel": channel, "user": name, "identity": None if name is user else identity_of(user)}


@asking.question
def revoke(channel: str | None, user: str | None, identity: str | None) -> int:
    """Close the chosen subscribers of this process; returns how many."""
    is_heard, is_meant = _chosen_channels(channel), _chosen_users(user, identity)
    _remember(lambda wanted, subscriber, permit: is_heard(wanted) and is_meant(subscriber))
    number = 0
    for hub in hubs():
        heard = [local for local in list(hub.channels.values()) if is_heard(local.name)]
        heard += [local for local in hub.patterns if is_heard(patterns.parse(local.name))]
        found = [each for local in heard for each in local if is_meant(each)]
        hub.call(close, found, REVOKED)
        number += len(found)
    return number


def _chosen_users(name: str | None, identity: str | None) -> Callable[[Subscriber], bool]:
    """Whether a subscriber is one that ``disconnect(user=…)`` means."""
    if name is None:
        return lambda subscriber: True
    if identity is None:
        return lambda subscriber: subscriber.user == name
    return lambda subscriber: (subscriber.identity == identity) if subscriber.identity else (subscriber.user == name)


def _chosen_channels(text: str | None) -> Callable[[str | Pattern], bool]:
    """Whether subscribers of a channel or a pattern are among those that ``disconnect(channel=…)`` means."""
    if text is None:
        return lambda wanted: True
    with contextlib.suppress(InvalidPattern):  # A channel may be named like that, too.
        pattern = patterns.parse(text)
        if any(segment.kind for segment in pattern.segments):
            return lambda wanted: covers(pattern, wanted)
    return lambda wanted: wanted.matches(text) if isinstance(wanted, Pattern) else wanted == text
