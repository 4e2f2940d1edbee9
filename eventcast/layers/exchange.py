"""Delivery in the in-memory channel layer: groups, sending, receiving, the end of old messages and memberships.

All of it works in every thread, with an event loop or without.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from channels.layers import InMemoryChannelLayer as StockInMemoryChannelLayer

from eventcast.layers.losses import Losses
from eventcast.layers.mailboxes import Mailbox, Mailboxes, Reminders


class Exchange:
    """The mailboxes of one layer, the groups of their channels, and the lock around both.

    :param layer: gives the limits and checks the names of channels.
    """

    def __init__(self, layer: StockInMemoryChannelLayer) -> None:
        self.mailboxes = Mailboxes()
        self.groups: dict[str, dict[str, float]] = {}
        """The time of the last group_add(), by group and channel."""
        self.receivers: dict[str, Callable[[dict[str, Any]], None]] = {}
        """The callables that take a channel's messages at once, in place of its mailbox, by channel."""
        self.losses = Losses()
        self.now: Callable[[], float] = time.monotonic
        self._layer = layer
        # Reentrant: a signal handler or a finalizer may publish while its thread is in here.
        self._lock = threading.RLock()
        self._ageing: Reminders[tuple[str, str]] = Reminders()
        self._next_cleaning = -math.inf

    def send(self, channel: str, message: dict[str, Any]) -> tuple[bool, bool]:
        """Put a message in a channel. Return whether there was room, and whether the channel is more than half full.

        Expired messages of other channels stay, as Channels' own tests expect.
        """
        with self._lock:
            now = self.now()
            mailbox = self._mailbox(channel)
            accepted = self._deliver(mailbox, message, now)
            if not accepted:
                self.losses.refused += 1
            crowded = mailbox.is_crowded
            self.losses.summarize(now)
        self.losses.report()
        return accepted, crowded

    def send_to_group(self, group: str, message: dict[str, Any]) -> bool:
        """Put a message in each channel of a group that has room. Return whether a channel is more than half full."""
        crowded = False
        with self._lock:
            now = self.now()
            if now > self._next_cleaning:
                self._clean(now)
            receivers = []
            for channel in list(self.groups.get(group, ())):
                if (receiver := self.receivers.get(channel)) is not None:
                    receivers.append(receiver)
                    continue
                mailbox = self._mailbox(channel)
                if not self._deliver(mailbox, message, now):
                    self.losses.note_dropped(mailbox)
                crowded = crowded or mailbox.is_crowded
            self.losses.summarize(now)
        self.losses.report()
        for receiver in receivers:  # without the lock, because a receiver may publish
            receiver(message)
        return crowded

    def receive(self, channel: str) -> dict[str, Any] | asyncio.Future[None]:
        """Take the next message of a channel. Without one, return a future: call again when it is done."""
        with self._lock:
            now = self.now()
            if now > self._next_cleaning:
                self._clean(now)
            mailbox = self._mailbox(channel)
            mailbox.note_reader(now)
            message = self._take(mailbox, now)
            answer = self.mailboxes.wait(mailbox) if message is None else message
            self.mailboxes.tidy(mailbox)
            self.losses.summarize(now)
        self.losses.report()
        return answer

    def stop_waiting(self, channel: str, waiter: asyncio.Future[None]) -> None:
        """Forget a future that :meth:`receive` returned, because its reader is cancelled."""
        with self._lock:
            self.mailboxes.stop_waiting(channel, waiter, self.now())

    def join(self, group: str, channel: str) -> None:
        """Make a channel a member of a group, or renew its membership."""
        with self._lock:
            self._mailbox(channel).groups.add(group)
            now = self.groups.setdefault(group, {})[channel] = self.now()
            self._ageing.set((group, channel), now + self._layer.group_expiry)

    def leave(self, group: str, channel: str) -> None:
        """End a membership, if there is one."""
        with self._lock:
            self._ageing.discard((group, channel))
            members = self.groups.get(group, {})
            if members.pop(channel, None) is not None and not members:
                del self.groups[group]
            mailbox = self.mailboxes.get(channel)
            if mailbox is not None:
                mailbox.groups.discard(group)
                self.mailboxes.tidy(mailbox)

    def flush(self) -> None:
        """Remove all messages and memberships. Waiting readers go on waiting."""
        with self._lock:
            for mailbox in self.mailboxes.clear():
                self.losses.note_room(mailbox)
            self.groups.clear()
            self._ageing.clear()
        self.losses.report()

    # --- The caller of the methods below holds the lock -------------------------------------------------------------

    def _mailbox(self, channel: str) -> Mailbox:
        mailbox = self.mailboxes.get(channel)
        if mailbox is None:
            self._layer.require_valid_channel_name(channel)
            mailbox = self.mailboxes.add(channel, self._layer.get_capacity(channel))
        return mailbox

    def _deliver(self, mailbox: Mailbox, message: dict[str, Any], now: float) -> bool:
        self._expire(mailbox, now)
        if mailbox.is_full:
            self.mailboxes.tidy(mailbox)
            return False
        self.mailboxes.put(mailbox, message, now, now + self._layer.expiry)
        return True

    def _take(self, mailbox: Mailbox, now: float) -> dict[str, Any] | None:
        while (source := mailbox.oldest()) is not None:
            if not self._expire(source, now):
                message = self.mailboxes.take(source)
                if source is not mailbox:
                    source.note_reader(now)
                self.losses.note_room(source)
                return message
        return None

    def _expire(self, mailbox: Mailbox, now: float) -> bool:
        """Remove a channel's expired messages. If there are any and the channel has no reader, end its memberships."""
        if not mailbox.messages or mailbox.messages[0][0] >= now:
            return False
        groups, read = list(mailbox.groups), mailbox.has_reader()
        if not read:
            for group in groups:
                self.leave(group, mailbox.name)
        expired = self.mailboxes.remove_expired(mailbox, now)
        self.losses.note_expired(mailbox, expired, read, len(groups))
        self.losses.note_room(mailbox)
        return True

    def _clean(self, now: float) -> None:
        """Remove expired messages and memberships, and set the time of the next cleaning."""
        expiry, age = self._layer.expiry, self._layer.group_expiry
        for channel in self.mailboxes.expiring.due(now):
            mailbox = self._mailbox(channel)
            self._expire(mailbox, now)
            if mailbox.messages:
                self.mailboxes.expiring.set(channel, now + expiry)
        for group, channel in self._ageing.due(now):
            mailbox = self._mailbox(channel)
            if channel in self.receivers or mailbox.is_awaited() or mailbox.read_at + age > now:
                self._ageing.set((group, channel), now + age)
            else:
                self.leave(group, channel)
        soonest = now + min(expiry, age)
        self._next_cleaning = min(soonest, self.mailboxes.expiring.first(), self._ageing.first())
