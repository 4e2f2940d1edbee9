"""Where the in-memory channel layer keeps messages until somebody reads them.

Nothing here takes a lock: the layer holds its own around every call.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import weakref
from collections import deque
from typing import Any

from eventcast.layers.reminders import Reminders


class Family:
    """What the channels have in common whose names are the same up to ``!``; any other channel is a family of one.

    Channels' specification wants it: they share one capacity, and to receive by that part of the name is to receive
    from all of them.
    """

    __slots__ = ("__weakref__", "dropped", "size", "unread", "waiting")

    def __init__(self) -> None:
        self.size = 0
        """Unread messages in all its mailboxes."""
        self.unread: dict[Mailbox, None] = {}
        """Its mailboxes that have unread messages."""
        self.waiting: list[asyncio.Future[None]] = []
        """The receive() calls that wait for a message of any of them."""
        self.dropped = 0
        """Messages dropped since it was full; 0 again once it has room."""


class Mailbox:
    """The unread messages of one channel, oldest first, and the receive() calls that wait for one.

    A message stays here until a running reader takes it: a reader is only woken, never handed a message, so none is
    lost with a reader that is cancelled, or whose event loop is closed, before it gets to run.
    """

    __slots__ = ("capacity", "family", "groups", "is_common", "messages", "name", "read_at", "reader", "waiting")

    def __init__(self, name: str, capacity: int, family: Family) -> None:
        self.name = name
        self.is_common = name.endswith("!")
        """Whether who reads this channel reads its whole family."""
        self.capacity = capacity if capacity > 0 else sys.maxsize
        self.family = family
        self.messages: deque[tuple[float, int, dict[str, Any]]] = deque()
        """When each expires, its number in the order of arrival, and itself."""
        self.waiting = family.waiting if self.is_common else []
        self.groups: set[str] = set()
        self.read_at = -math.inf
        """When a reader last came or was woken."""
        self.reader: weakref.ref[asyncio.Task[Any]] | None = None
        """The task that read last."""

    @property
    def is_full(self) -> bool:
        """Whether it, with its family, is at its capacity."""
        return self.family.size >= self.capacity

    @property
    def is_crowded(self) -> bool:
        """Whether it is more than half full."""
        return self.family.size > self.capacity // 2

    def empty(self) -> bool:
        """Whether it has no unread message."""
        return not self.messages

    def has_reader(self) -> bool:
        """Whether somebody reads this channel, however slowly: a receive() waits, or the last reader's task goes on."""
        task = None if self.reader is None else self.reader()
        return (task is not None and not task.done() and not task.get_loop().is_closed()) or self.is_awaited()

    def is_awaited(self) -> bool:
        """Whether a receive() waits for a message; one whose event loop is closed waits no more."""
        return any(not waiter.get_loop().is_closed() for waiter in (*self.waiting, *self.family.waiting))

    def note_reader(self, now: float) -> None:
        """Remember that the current task reads this channel."""
        self.read_at = now
        task = asyncio.current_task()
        self.reader = None if task is None else weakref.ref(task)

    def oldest(self) -> Mailbox | None:
        """The mailbox that has the next message for a reader of this one, if there is a message."""
        if not self.is_common:
            return self if self.messages else None
        return min(self.family.unread, key=lambda mailbox: mailbox.messages[0][1], default=None)

    def wake(self, now: float) -> None:
        """Wake one reader, on its own event loop, passing over those whose loop is closed."""
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
    if not waiter.done():  # Else its reader has been cancelled, and will see that another is woken.
        waiter.set_result(None)


class Mailboxes:
    """All mailboxes of a layer that have a message, a reader or a membership; the others are forgotten."""

    def __init__(self) -> None:
        self.active: dict[str, Mailbox] = {}
        """Those with an unread message or a waiting reader, by channel."""
        self.expiring: Reminders[str] = Reminders()
        """When to look at one with messages for those that have expired; too early if some were read meanwhile."""
        self.arrived = 0
        """Messages put since this was made."""
        self._all: dict[str, Mailbox] = {}
        self._families: weakref.WeakValueDictionary[str, Family] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._all)

    def get(self, channel: str) -> Mailbox | None:
        """The mailbox of a channel, if it has one."""
        return self._all.get(channel)

    def add(self, channel: str, capacity: int) -> Mailbox:
        """Make the mailbox of a channel that has none. A capacity of 0 means no limit, as with asyncio's queues."""
        common, mark, _ = channel.partition("!")
        family = self._families.setdefault(common, Family()) if mark else Family()
        mailbox = self._all[channel] = Mailbox(channel, capacity, family)
        return mailbox

    def put(self, mailbox: Mailbox, message: dict[str, Any], now: float, expires: float) -> None:
        """Add a message, copied, and wake a reader."""
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
        """The reader of ``waiter`` is cancelled; if it was woken for a message, the next one is."""
        mailbox = self._all.get(channel)
        if mailbox is None:
            return
        with contextlib.suppress(ValueError):
            mailbox.waiting.remove(waiter)
        if mailbox.oldest() is not None:
            mailbox.wake(now)
        self.tidy(mailbox)

    def remove_expired(self, mailbox: Mailbox, now: float) -> int:
        """Remove the messages whose time is over. Returns how many."""
        removed = 0
        while mailbox.messages and mailbox.messages[0][0] < now:
            mailbox.messages.popleft()
            removed += 1
        self._shrink(mailbox, removed)
        return removed

    def clear(self) -> list[Mailbox]:
        """Remove all messages and memberships; whoever waits goes on waiting. Returns the mailboxes there were."""
        mailboxes = list(self._all.values())
        for mailbox in mailboxes:
            removed = len(mailbox.messages)
            mailbox.messages.clear()
            mailbox.groups.clear()
            self._shrink(mailbox, removed)
        return mailboxes

    def tidy(self, mailbox: Mailbox) -> None:
        """Forget a mailbox that has nothing to be remembered for."""
        name = mailbox.name
        if not mailbox.messages and not mailbox.waiting and self._all.get(name) is mailbox:
            self.active.pop(name, None)
            if not mailbox.groups:
                del self._all[name]

    def _use(self, mailbox: Mailbox) -> None:
        self.active[mailbox.name] = mailbox
        self._all[mailbox.name] = mailbox  # It may have been forgotten since the caller got it.

    def _shrink(self, mailbox: Mailbox, removed: int) -> None:
        mailbox.family.size -= removed
        if not mailbox.messages:
            self.expiring.discard(mailbox.name)
            mailbox.family.unread.pop(mailbox, None)
            self.tidy(mailbox)
