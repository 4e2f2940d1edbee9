"""Reading less often than messages come, where that changes nothing for the server.

With one message in flight, every read takes one message and makes the kernel send an acknowledgement for it. That is
about as much work as the server's ``send``, in C too. But that something has come is told by the edge-triggered epoll
already, and with one message in flight it is that message. So it may lie unread for some rounds, and then one read
takes and checks them all.

Not for long: TCP acknowledges by itself what is not read after 40 ms, or when more than one segment lies there. On the
loopback that work is done in the server's CPU time, which is what is to be measured. Both limits are kept.
"""

from __future__ import annotations

from eventcast.bench.shared import Shared
from eventcast.bench.tapes import Tape

UNREAD_BYTES = 536
"""Bytes that may lie unread: the smallest segment that Linux reckons with (TCP_MSS_DEFAULT; RFC 9293 section 3.7.1)."""

UNREAD_TIME = 0.02
"""Seconds that they may. Linux acknowledges after 40 ms (TCP_DELACK_MIN), what comes after 30 ms at once, and no round
is exactly as long as the one before."""


class Pacing:
    """Which rounds are read; a round is one message on its way to all subscribers of the one channel there is.

    :attr number: the message of the present round, -1 before the first. :attr leaves_unread: it is not read now.
    """

    def __init__(self, tape: Tape, length: int, shared: Shared) -> None:
        self.tape = tape
        self.number = -1
        self.leaves_unread = False
        self._sent = shared.sent
        self._most = UNREAD_BYTES // length
        self._unread = 0
        self._unread_since = 0.0
        self._begun = 0.0

    @staticmethod
    def is_possible(channels: int, in_flight: int, length: int) -> bool:
        """Whether an edge tells which message it is: one in flight, in one segment, on one channel."""
        return channels == in_flight == 1 and 2 * length <= UNREAD_BYTES

    def look(self, now: float) -> bool:
        """See whether a new round has begun, and decide whether it is read; False if there is no new one."""
        latest = self.number
        while latest + 1 < len(self._sent) and self._sent[latest + 1] > 0:
            latest += 1
        if latest == self.number:
            return False
        # When the next round will begin, if it is as long as the last.
        next_begin = now + (now - self._begun)
        since = self._unread_since if self._unread else now
        self.leaves_unread = self._unread + 1 < self._most and next_begin - since < UNREAD_TIME
        if self.leaves_unread:
            self._unread += 1
            self._unread_since = since
        else:
            self._unread = 0
        self.number = latest
        self._begun = now
        return True
