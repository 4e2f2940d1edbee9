"""What the in-memory channel layer keeps: mailboxes and groups, the end of both, and what was lost.

Each method is called with the layer's lock held, except :meth:`Keeping._report`.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from channels import layers as channels_layers

from eventcast.layers.mailboxes import Mailbox

logger = logging.getLogger("eventcast.layers")

SUMMARY_INTERVAL = 60.0
"""Seconds at least between two log lines about expired messages, because messages expire one by one, not in bursts."""


class Keeping(channels_layers.InMemoryChannelLayer):
    """The inside of ``eventcast.layers.InMemoryChannelLayer``, which describes the arguments."""

    def __init__(
        self,
        expiry: int = 60,
        group_expiry: int = 86400,
        capacity: int = 10_000,
        channel_capacity: dict[str | re.Pattern[str], int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(expiry=expiry, group_expiry=group_expiry, capacity=capacity, **kwargs)
        compiled: Any = self.compile_capacities(channel_capacity or {})
        self.channel_capacity = compiled
        self.channels: dict[str, Any] = {}
        """The mailboxes of channels that have a message, a waiting reader or a membership."""
        self.groups: dict[str, dict[str, float]] = {}
        """The time of the last group_add(), by group and channel."""
        self._receivers: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._now: Callable[[], float] = time.monotonic
        # Reentrant: a signal handler or a finalizer may publish while its thread is in here.
        self._lock = threading.RLock()
        self._next_cleaning = self._next_ageing = -math.inf
        self._sent = self._dropped = self._refused = self._expired = 0
        self._lines: list[tuple[Any, ...]] = []
        """Pending log lines. They are logged without the lock: a log handler may hold its own lock, and may publish."""
        # Since the last summary: expired messages, the channel of the last one, memberships ended.
        self._unread, self._unread_in, self._ended = 0, "", 0
        self._next_summary = 0.0

    def _open(self, channel: str) -> Mailbox:
        mailbox: Mailbox | None = self.channels.get(channel)
        if mailbox is None:
            self.require_valid_channel_name(channel)
            mailbox = self.channels[channel] = Mailbox(channel, self.get_capacity(channel))
        return mailbox

    def _tidy(self, mailbox: Mailbox) -> None:
        """A mailbox has lost messages, readers or memberships: end a burst of losses, remove an unused mailbox."""
        # At half of the capacity: near the limit, each read would end a burst.
        if mailbox.dropped and not mailbox.is_crowded:
            text = "Channel %s has room again; %d messages were dropped."
            self._lines.append((text, mailbox.name, mailbox.dropped))
            mailbox.dropped = 0
        if not mailbox.is_used and self.channels.get(mailbox.name) is mailbox:
            del self.channels[mailbox.name]

    def _put(self, mailbox: Mailbox, message: dict[str, Any], now: float) -> bool:
        """Put a message in a mailbox, if there is room. Expired messages of other channels stay, as Channels' own tests
        expect."""
        self._expire(mailbox, now)
        if len(mailbox.messages) >= mailbox.capacity:
            return False
        self.channels[mailbox.name] = mailbox  # It may just have been removed.
        mailbox.put(message, now, now + self.expiry)
        self._sent += 1
        return True

    def _leave(self, group: str, mailbox: Mailbox) -> None:
        mailbox.groups.discard(group)
        members = self.groups.get(group, {})
        members.pop(mailbox.name, None)
        if not members:
            self.groups.pop(group, None)
        self._tidy(mailbox)

    def _is_over(self, mailbox: Mailbox, added: float, now: float) -> bool:
        """Whether a membership ends by its age."""
        return max(added, mailbox.read_at) + self.group_expiry < now and not mailbox.is_awaited()

    def _expire(self, mailbox: Mailbox, now: float) -> None:
        """Remove a channel's expired messages. If there are any and the channel has no reader, end its memberships."""
        if not mailbox.messages or mailbox.messages[0][0] >= now:
            return
        read, groups = mailbox.has_reader(), list(mailbox.groups)
        expired = mailbox.remove_expired(now)
        self._expired += expired
        if not read:
            for group in groups:
                self._leave(group, mailbox)
        if read or groups:  # else their reader has left
            self._unread += expired
            self._unread_in = mailbox.name
            self._ended += 0 if read else len(groups)
        self._tidy(mailbox)

    def _clean(self, now: float) -> None:
        """Now and then, remove expired messages and memberships of channels that are not used."""
        if now > self._next_cleaning:
            self._next_cleaning = now + self.expiry
            for mailbox in list(self.channels.values()):
                self._expire(mailbox, now)
            if self._unread and now >= self._next_summary:
                text = "%d messages expired unread, the last in channel %s; %d memberships of unread channels ended."
                self._lines.append((text, self._unread, self._unread_in, self._ended))
                self._unread = self._ended = 0
                self._next_summary = now + SUMMARY_INTERVAL
        if now > self._next_ageing:
            self._next_ageing = now + self.group_expiry
            for group, members in list(self.groups.items()):
                for channel, added in list(members.items()):
                    mailbox = self._open(channel)
                    if channel not in self._receivers and self._is_over(mailbox, added, now):
                        self._leave(group, mailbox)

    def _note_dropped(self, mailbox: Mailbox) -> None:
        self._dropped += 1
        mailbox.dropped += 1
        if mailbox.dropped == 1:
            text = "Channel %s is full (%d unread messages); messages for its groups are dropped until it has room."
            self._lines.append((text, mailbox.name, len(mailbox.messages)))

    def _report(self) -> None:
        """Write the log lines. Without the lock."""
        while self._lines:
            try:
                line = self._lines.pop(0)
            except IndexError:  # another thread was faster
                return
            logger.warning(*line)
