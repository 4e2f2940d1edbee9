"""The hot loop: one channel's subscribers in this process, and how a batch of messages is written to all of them.

The rules:

- A subscriber is either *straight* (nothing is pending, frames go to its ``send`` in a bare loop that touches nothing
  else) or *buffered* (its transport keeps something, or has no ``send``; it is handed batches one by one, within its
  bound).
- A *pass* takes what is pending and writes it to everybody who was there when it began. It runs in slices; between two
  slices anything may happen to subscribers, and each still gets each batch once, in order, or not at all once it has
  left.
- Hence no index moves while a pass runs: who leaves the straight list leaves a gap behind, and gaps are closed when the
  pass is over. Who comes is appended behind the end of the pass.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from eventcast.engine import names
from eventcast.engine.figures import Figures
from eventcast.engine.messages import Batch, Message
from eventcast.engine.subscribers import Subscriber

logger = logging.getLogger("eventcast.hub")

STRIDE = 128
"""Writes between two looks at the clock: at 5 to 8 µs each about a millisecond."""

BUFFERED_STRIDE = 16
"""The same for subscribers handed messages through their transport, at some 40 µs each."""

JOIN_LIMIT = 128 * 1024
"""Bytes of messages joined into one write: what a socket's send buffer takes at once, so that a subscriber that reads
well is not held up by a join; more gains nothing, as a write's fixed cost is long spread."""

BACKLOG_LIMIT = 16 * 1024 * 1024
"""Bytes that may wait for their turn on one channel; what is published beyond is lost, and counted."""


def _gap(data: bytes) -> int:
    """Stands in the straight list for a subscriber that left during a pass."""
    return len(data)


class LocalChannel:
    """A channel as this process knows it: its subscribers here, what is waiting to be written to them, its figures.

    :param name: the channel's name.
    """

    __slots__ = (
        "_batch",
        "_buffered",
        "_cursor",
        "_end",
        "_gaps",
        "_overrun",
        "_sends",
        "_straight",
        "_todo",
        "_todo_cursor",
        "backlog",
        "count",
        "delivered",
        "last_message_at",
        "lost",
        "messages",
        "name",
        "pending",
        "scheduled",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        """Subscribers now."""
        # As in Figures, since the channel has had subscribers without a break.
        self.messages = self.delivered = self.lost = 0
        self.last_message_at = 0.0
        """When the last message came, seconds since the epoch; 0 if none has."""
        self.pending: deque[Message] = deque()
        self.backlog = 0
        """Bytes waiting for their turn."""
        self.scheduled = False
        """Whether the hub has it in line for a slice."""
        self._straight: list[Subscriber | None] = []
        self._sends: list[Callable[[bytes], int]] = []
        self._buffered: dict[Subscriber, None] = {}
        # Of the pass that is under way:
        self._batch: Batch | None = None
        self._cursor = self._end = self._todo_cursor = 0
        self._todo: list[Subscriber] = []
        self._gaps: list[int] = []
        self._overrun = 0

    @property
    def figures(self) -> Figures:
        """What has come to pass since the channel has had subscribers without a break."""
        return Figures(self.messages, self.delivered, self.lost)

    def __iter__(self) -> Iterator[Subscriber]:
        yield from [subscriber for subscriber in self._straight if subscriber is not None]
        yield from list(self._buffered)

    # --- who is there -----------------------------------------------------------------------------------------------

    def add(self, subscriber: Subscriber) -> None:
        """A subscriber comes; it hears what is published from now on."""
        subscriber.channel = self
        self._buffered[subscriber] = None
        self.count += 1

    def discard(self, subscriber: Subscriber) -> None:
        """A subscriber leaves, at once; nothing happens if it has left already."""
        if subscriber.channel is not self:
            return
        if subscriber.position >= 0:
            self._take_out(subscriber)
        else:
            self._buffered.pop(subscriber, None)
        subscriber.channel = None
        self.count -= 1

    def straighten(self, subscriber: Subscriber) -> None:
        """From buffered to straight: it is owed nothing any more."""
        send = subscriber.transport.send
        if send is not None and subscriber.position < 0 and subscriber.channel is self:
            del self._buffered[subscriber]
            subscriber.position = len(self._straight)
            self._straight.append(subscriber)
            self._sends.append(send)

    def hold(self, subscriber: Subscriber) -> None:
        """From straight to buffered: its transport keeps something that must go first."""
        position = subscriber.position
        if position >= 0 and subscriber.channel is self:
            self._take_out(subscriber)
            self._buffered[subscriber] = None
            if self._cursor <= position < self._end:
                self._todo.append(subscriber)  # The pass under way has not come to it yet.

    def _take_out(self, subscriber: Subscriber) -> None:
        position, subscriber.position = subscriber.position, -1
        if self._batch is not None:
            self._straight[position], self._sends[position] = None, _gap
            self._gaps.append(position)
            if self._cursor <= position < self._end:
                self.delivered -= len(self._batch)
            return
        last, send = self._straight.pop(), self._sends.pop()
        if last is not subscriber and last is not None:
            self._straight[position], self._sends[position] = last, send
            last.position = position

    # --- what is written to them ------------------------------------------------------------------------------------

    def publish(self, messages: list[Message]) -> None:
        """Messages come; they wait for the channel's next pass."""
        self.last_message_at = time.time()
        for message in messages:
            size = len(message.payload)
            if self.backlog and self.backlog + size > BACKLOG_LIMIT:
                if not self._overrun:
                    logger.warning(
                        "%s: messages come faster than they can be written, some are lost.", names.quoted(self.name)
                    )
                self._overrun += 1
                self.lost += self.count
                continue
            self.backlog += size
            self.messages += 1
            self.pending.append(message)

    def advance(self, deadline: float) -> bool:
        """Write until ``deadline`` (seconds of ``time.monotonic()``) has passed; returns whether all is written."""
        while self._batch is not None or self.pending:
            batch = self._batch or self._begin()
            if not (self._write_straight(batch, deadline) and self._write_buffered(batch, deadline)):
                return False
            self._finish()
            if self.pending and time.monotonic() >= deadline:
                return False
        return True

    def _begin(self) -> Batch:
        pending = self.pending
        messages = [pending.popleft()]
        size = len(messages[0].frame)
        while pending and size + len(pending[0].frame) <= JOIN_LIMIT:
            messages.append(pending.popleft())
            size += len(messages[-1].frame)
        self.backlog -= sum(len(message.payload) for message in messages)
        self._batch = batch = Batch(messages)
        self._cursor, self._end = 0, len(self._sends)
        self._todo, self._todo_cursor = list(self._buffered), 0
        return batch

    def _write_straight(self, batch: Batch, deadline: float) -> bool:
        data, sends, end = batch.frames, self._sends, self._end
        size = len(data)
        while self._cursor < end:
            start = position = self._cursor
            try:
                for send in sends[start : min(start + STRIDE, end)]:
                    taken = send(data)
                    if taken != size:
                        self._pass_on(position, data, taken)
                    position += 1
            except OSError:
                # The socket takes nothing (EAGAIN) or is broken: its transport finds out which and acts on it.
                self._pass_on(position, data, 0)
                position += 1
            self._cursor = position
            self.delivered += (position - start) * len(batch)
            if position < end and time.monotonic() >= deadline:
                return False
        return True

    def _pass_on(self, position: int, data: bytes, taken: int) -> None:
        """Leave to the transport what its socket did not take."""
        subscriber = self._straight[position]
        self._cursor = position + 1  # It has had this batch: hold() must not line it up for it again.
        if subscriber is not None:
            try:
                subscriber.transport.write_rest(data, taken)
            except Exception:
                self._leave_out(subscriber)

    def _write_buffered(self, batch: Batch, deadline: float) -> bool:
        while self._todo_cursor < len(self._todo):
            subscriber = self._todo[self._todo_cursor]
            self._todo_cursor += 1
            if subscriber.channel is self:
                try:
                    self.delivered += subscriber.deliver(batch)
                except Exception:
                    self._leave_out(subscriber)
            if self._todo_cursor % BUFFERED_STRIDE == 0 and time.monotonic() >= deadline:
                return self._todo_cursor >= len(self._todo)
        return True

    @staticmethod
    def _leave_out(subscriber: Subscriber) -> None:
        # Nothing one subscriber does may stop the others from hearing.
        logger.error("Delivering to %r failed; it is left out from now on.", subscriber, exc_info=True)  # noqa: LOG014
        subscriber.leave()

    def _finish(self) -> None:
        # From the highest gap down, so that what stands last is never a gap itself when it is moved into one.
        for position in sorted(self._gaps, reverse=True):
            last, send = self._straight.pop(), self._sends.pop()
            if last is not None:
                self._straight[position], self._sends[position] = last, send
                last.position = position
        self._gaps.clear()
        self._batch = None
        self._cursor = self._end = self._todo_cursor = 0
        self._todo = []
        if self._overrun and not self.pending:
            logger.warning("%s: lost %d messages, now caught up.", names.quoted(self.name), self._overrun)
            self._overrun = 0
