"""What the in-memory channel layer loses: every message is counted, every burst is logged."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from eventcast.layers.mailboxes import Mailbox

logger = logging.getLogger("eventcast.layers")

SUMMARY_INTERVAL = 60.0
"""Seconds at least between two log lines about expired messages, which come in trickles and not in bursts."""


class Losses:
    """Counts, and log lines for :meth:`report` to write.

    Noting is for those who hold the layer's lock, reporting for those who don't: a log handler may hold a lock of its
    own, and publish.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.refused = 0
        self.expired = 0
        self._lines: deque[tuple[Any, ...]] = deque()
        # Expired since the last summary: how many messages, the last one's channel, memberships ended.
        self._unread, self._unread_in, self._ended = 0, "", 0
        self._next_summary = 0.0

    def note_dropped(self, mailbox: Mailbox) -> None:
        """Count a message for a group that had no room in this mailbox; the first one begins a burst."""
        self.dropped += 1
        mailbox.family.dropped += 1
        if mailbox.family.dropped == 1:
            text = "Channel %s is full with %d unread messages; what its groups are sent is dropped until it has room."
            self._lines.append((text, mailbox.name, mailbox.family.size))

    def note_room(self, mailbox: Mailbox) -> None:
        """Messages have been removed: a burst is over when half is free; at the edge it would be over all the time."""
        if mailbox.family.dropped and not mailbox.is_crowded:
            text = "Channel %s has room again; %d messages were dropped."
            self._lines.append((text, mailbox.name, mailbox.family.dropped))
            mailbox.family.dropped = 0

    def note_expired(self, mailbox: Mailbox, messages: int, read: bool, memberships: int) -> None:
        """Count messages that expired in a mailbox; its memberships have ended with them if nobody reads it."""
        self.expired += messages
        if read or memberships:  # else they were on their way to somebody who has left
            self._unread += messages
            self._unread_in = mailbox.name
            self._ended += 0 if read else memberships

    def summarize(self, now: float) -> None:
        """Make a line of what has expired, unless there was one a moment ago."""
        if self._unread and now >= self._next_summary:
            text = "%d messages expired unread, the last in channel %s; %d memberships of unread channels ended."
            self._lines.append((text, self._unread, self._unread_in, self._ended))
            self._unread = self._ended = 0
            self._next_summary = now + SUMMARY_INTERVAL

    def report(self) -> None:
        """Write the lines to the log."""
        while self._lines:
            try:
                line = self._lines.popleft()
            except IndexError:  # another thread was faster
                return
            logger.warning(*line)
