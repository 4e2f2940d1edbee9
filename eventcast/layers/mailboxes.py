"""Mailboxes: the in-memory channel layer keeps the messages of each channel here until they are read.

Nothing here takes a lock, because the layer holds its own during each call.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Reminders(Generic[Key]):
    """Keys with a time each, the earliest first. Each method costs the same for any number of keys.

    Times must be set in ascending order, as they are when each key is set the same time ahead.
    """

    # Not a plain dict: deleted entries at its beginning make finding the first one slow.
    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def set(self, key: Key, when: float) -> None:
        """Set the time of ``key`` (seconds of any clock) and forget its time before."""
        self._times[key] = when
        self._times.move_to_end(key)

    def discard(self, key: Key) -> None:
        """Remove ``key``, if it is there."""
        self._times.pop(key, None)

    def clear(self) -> None:
        """Remove all keys."""
        self._times.clear()

    def first(self) -> float:
        """The earliest time; infinity if there is no key."""
        return next(iter(self._times.values()), math.inf)

    def due(self, now: float) -> Iterator[Key]:
        """Remove the keys with a time before ``now``, one after the other. The caller may set them again meanwhile."""
        while self.first() < now:
            yield self._times.popitem(last=False)[0]


class Family:
    """Channels with the same name up to ``!``. A channel without ``!`` is a family of one.

    The specification says: they share one capacity, and receive() of the common part takes the messages of all of them.
    """

    __slots__ = ("__weakref__", "dropped", "size", "unread", "waiting")

    def __init__(self) -> None:
        self.size = 0
        """Unread messages in all its mailboxes."""
        self.unread: dict[Mailbox, None] = {}
        """Its mailboxes that have unread messages."""
        self.waiting: list[asyncio.Future[None]] = []
        """The receive() calls that wait for a message of any of its mailboxes."""
        self.dropped = 0
        """Messages dropped in the current burst; 0 when there is room."""


class Mailbox:
    """The unread messages of one channel, oldest first, and the receive() calls that wait for one.

    A message stays here until a running reader takes it. Readers are woken and are never handed a message: so no
    message is lost when a reader is cancelled, or its event loop is closed, before the reader runs.
    """

    __slots__ = ("capacity", "family", "groups", "is_common", "messages", "name", "read_at", "reader", "waiting")

    def __init__(self, name: str, capacity: int, family: Family) -> None:
        self.name = name
        self.is_common = name.endswith("!")
        """Whether receive() of this channel takes the messages of its whole family."""
        self.capacity = capacity if capacity > 0 else sys.maxsize
        self.family = family
        self.messages: deque[tuple[float, int, dict[str, Any]]] = deque()
        """Each message with its time of expiry and its number in the order of arrival."""
        self.waiting = family.waiting if self.is_common else []
        self.groups: set[str] = set()
        self.read_at = -math.inf
        """The time of the last receive(), or of the last time that a reader was woken."""
        self.reader: weakref.ref[asyncio.Task[Any]] | None = None
        """The task of the last receive()."""

    @property
    def is_full(self) -> bool:
        """Whether the family's messages reach this mailbox's capacity."""
        return self.family.size >= self.capacity

    @property
    def is_crowded(self) -> bool:
        """Whether the mailbox is more than half full."""
        return self.family.size > self.capacity // 2

    def empty(self) -> bool:
        """Whether there is no unread message; a method, because tests of Channels' layer call it."""
        return not self.messages

    def has_reader(self) -> bool:
        """Whether a receive() waits for a message, or the task of the last receive() still runs."""
        task = None if self.reader is None else self.reader()
        return (task is not None and not task.done() and not task.get_loop().is_closed()) or self.is_awaited()

    def is_awaited(self) -> bool:
        """Whether a receive() waits for a message on an event loop that is not closed."""
        return any(not waiter.get_loop().is_closed() for waiter in (*self.waiting, *self.family.waiting))

    def note_reader(self, now: float) -> None:
        """Remember the current task as this channel's reader."""
        self.read_at = now
        task = asyncio.current_task()
        self.reader = None if task is None else weakref.ref(task)

    def oldest(self) -> Mailbox | None:
        """The mailbox with the next message for a reader of this mailbox, if there is a message."""
        if not self.is_common:
            return self if self.messages else None
        return min(self.family.unread, key=lambda mailbox: mailbox.messages[0][1], default=None)

    def wake(self, now: float) -> None:
        """Wake one reader on its own event loop. Readers with a closed loop are skipped."""
        waiting = self.waiting or self.family.waiting
        if not waiting:
            return
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        while waiting:
            waiter = waiting.pop(0)
            loop = waiter.get_loop()
            if loop is here:
                _finish(waiter)
            else:
                try:
                    loop.call_soon_threadsafe(_finish, waiter)
                except RuntimeError:
                    continue
            self.read_at = now
            return


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # Else its reader was cancelled; stop_waiting() wakes the next one.
        waiter.set_result(None)


class Mailboxes:
    """All mailboxes of a layer that have a message, a reader or a membership. The others are removed."""

    def __init__(self) -> None:
        self.active: dict[str, Mailbox] = {}
        """The mailboxes with an unread message or a waiting reader, by channel."""
        self.expiring: Reminders[str] = Reminders()
        """When to look for expired messages, by channel. The time is too early if messages were read meanwhile."""
        self.arrived = 0
        """The number of messages put so far."""
        self._all: dict[str, Mailbox] = {}
        self._families: weakref.WeakValueDictionary[str, Family] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._all)

    def get(self, channel: str) -> Mailbox | None:
        """The mailbox of a channel, if it has one."""
        return self._all.get(channel)

    def add(self, channel: str, capacity: int) -> Mailbox:
        """Make the mailbox of a channel. A capacity of 0 means no limit, as for asyncio's queues."""
        common, mark, _ = channel.partition("!")
        family = self._families.setdefault(common, Family()) if mark else Family()
        mailbox = self._all[channel] = Mailbox(channel, capacity, family)
        return mailbox

    def put(self, mailbox: Mailbox, message: dict[str, Any], now: float, expires: float) -> None:
        """Add a copy of a message and wake a reader."""
        if not mailbox.messages:
            self._use(mailbox)
            self.expiring.set(mailbox.name, expires)
            mailbox.family.unread[mailbox] = None
        self.arrived += 1
        mailbox.family.size += 1
        mailbox.messages.append((expires, self.arrived, dict(message)))
        mailbox.wake(now)

    def take(self, mailbox: Mailbox) -> dict[str, Any]:
        """Remove the oldest message and return it."""
        message = mailbox.messages.popleft()[2]
        self._shrink(mailbox, 1)
        return message

    def wait(self, mailbox: Mailbox) -> asyncio.Future[None]:
        """A future on the running event loop that is done when there may be a message."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mailbox.waiting.append(waiter)
        self._use(mailbox)
        return waiter

    def stop_waiting(self, channel: str, waiter: asyncio.Future[None], now: float) -> None:
        """Forget a future of :meth:`wait`. If a message is there, wake the next reader."""
        mailbox = self._all.get(channel)
        if mailbox is None:
            return
        with contextlib.suppress(ValueError):
            mailbox.waiting.remove(waiter)
        if mailbox.oldest() is not None:
            mailbox.wake(now)
        self.tidy(mailbox)

    def remove_expired(self, mailbox: Mailbox, now: float) -> int:
        """Remove the expired messages. Return their number."""
        removed = 0
        while mailbox.messages and mailbox.messages[0][0] < now:
            mailbox.messages.popleft()
            removed += 1
        self._shrink(mailbox, removed)
        return removed

    def clear(self) -> list[Mailbox]:
        """Remove all messages and memberships; waiting readers stay. Return all mailboxes."""
        mailboxes = list(self._all.values())
        for mailbox in mailboxes:
            removed = len(mailbox.messages)
            mailbox.messages.clear()
            mailbox.groups.clear()
            self._shrink(mailbox, removed)
        return mailboxes

    def tidy(self, mailbox: Mailbox) -> None:
        """Remove a mailbox without message, reader and membership."""
        name = mailbox.name
        if not mailbox.messages and not mailbox.waiting and self._all.get(name) is mailbox:
            self.active.pop(name, None)
            if not mailbox.groups:
                del self._all[name]

    def _use(self, mailbox: Mailbox) -> None:
        self.active[mailbox.name] = mailbox
        self._all[mailbox.name] = mailbox  # It may have been removed since the caller got it.

    def _shrink(self, mailbox: Mailbox, removed: int) -> None:
        mailbox.family.size -= removed
        if not mailbox.messages:
            self.expiring.discard(mailbox.name)
            mailbox.family.unread.pop(mailbox, None)
            self.tidy(mailbox)
