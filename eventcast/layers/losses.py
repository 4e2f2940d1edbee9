"""Losses of the in-memory channel layer: each lost message is counted, each burst is logged."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from eventcast.layers.mailboxes import Mailbox

logger = logging.getLogger("eventcast.layers")

SUMMARY_INTERVAL = 60.0
"""Seconds at least between two log lines about expired messages, because messages expire one by one, not in bursts."""


class Losses:
    """Counters, and the log lines that :meth:`report` writes.

    Only :meth:`report` is called without the layer's lock: a log handler may hold a lock of its own, and may publish.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.refused = 0
        self.expired = 0
        self._lines: deque[tuple[Any, ...]] = deque()
        # Since the last summary: expired messages, the channel of the last one, memberships ended.
        self._unread, self._unread_in, self._ended = 0, "", 0
        self._next_summary = 0.0

    def note_dropped(self, mailbox: Mailbox) -> None:
        """Count a message for a group that found this mailbox full. The first one begins a burst."""
        self.dropped += 1
        mailbox.family.dropped += 1
        if mailbox.family.dropped == 1:
            text = "Channel %s is full (%d unread messages); messages for its groups are dropped until it has room."
            self._lines.append((text, mailbox.name, mailbox.family.size))

    def note_room(self, mailbox: Mailbox) -> None:
        """End a burst when half of the mailbox is free again: near the limit, each read would end a burst."""
        if mailbox.family.dropped and not mailbox.is_crowded:
            text = "Channel %s has room again; %d messages were dropped."
            self._lines.append((text, mailbox.name, mailbox.family.dropped))
            mailbox.family.dropped = 0

    def note_expired(self, mailbox: Mailbox, messages: int, read: bool, memberships: int) -> None:
        """Count messages that expired in a mailbox. ``read``: it has a reader, so its memberships stay."""
        self.expired += messages
        if read or memberships:  # else their reader has left
            self._unread += messages
            self._unread_in = mailbox.name
            self._ended += 0 if read else memberships

    def summarize(self, now: float) -> None:
        """Add a log line about expired messages, at most once in SUMMARY_INTERVAL."""
        if self._unread and now >= self._next_summary:
            text = "%d messages expired unread, the last in channel %s; %d memberships of unread channels ended."
            self._lines.append((text, self._unread, self._unread_in, self._ended))
            self._unread = self._ended = 0
            self._next_summary = now + SUMMARY_INTERVAL

    def report(self) -> None:
        """Write the log lines."""
        while self._lines:
            try:
                line = self._lines.popleft()
            except IndexError:  # another thread was faster
                return
            logger.warning(*line)
