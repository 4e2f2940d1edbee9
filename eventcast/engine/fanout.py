"""The hot loop: one channel's subscribers in this process, and how a batch of messages is written to all of them.

The rules:

- A subscriber is either in a *lane* (nothing is owed to its client, and a batch goes to its ``send`` in a bare loop
  that touches nothing else) or *waiting* (something is owed, or it has no ``send``; it is handed batches one by one).
- There is one lane for each encoder, such as that of WebSocket frames, so that a batch is encoded once for all.
- A *pass* takes what is pending and writes it to every subscriber that was there when the pass began. A pass runs in
  slices; between two slices anything may happen to subscribers, and each still gets each batch once, in order, or not
  at all once it has left.
- Hence no index moves while a pass runs: a subscriber that leaves its lane leaves a gap, and gaps are closed when the
  pass is over. A subscriber that joins a lane during a pass is appended after the end of the pass, and starts with the
  next batch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from eventcast.engine.encoders import Batch, Encoder
from eventcast.engine.figures import Account
from eventcast.engine.lanes import Lane, gap
from eventcast.engine.logs import SteadyLogger
from eventcast.engine.messages import Message
from eventcast.engine.names import quoted
from eventcast.engine.subscribers import Subscriber

logger = SteadyLogger("eventcast.hub")

STRIDE, STRIDE_BYTES = 128, 2 * 1024 * 1024
"""Writes, and bytes of them, between two looks at the clock: about a millisecond."""

WAITING_STRIDE = 16
"""Waiting subscribers between two looks at the clock, at some 40 µs each."""

JOIN_LIMIT = 128 * 1024
"""Bytes of messages joined into one write: what a socket's send buffer takes at once."""

BACKLOG_LIMIT = 16 * 1024 * 1024
"""Bytes that may wait for their turn on one channel; what is published beyond is lost, and counted."""


class LocalChannel(Account):
    """A channel as this process knows it: its subscribers here, what is waiting to be written to them, its figures.

    :param name: the channel's name, or the text of a pattern.
    """

    __slots__ = (
        "_batch",
        "_kept",
        "_lanes",
        "_overrun",
        "_todo",
        "_todo_cursor",
        "_waiting",
        "_writing",
        "backlog",
        "behind",
        "count",
        "last_message_at",
        "name",
        "pending",
        "scheduled",
        "watchers",
    )

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.count = 0
        """Subscribers now."""
        self.watchers = 0  # Pages of the admin that listen: they are no subscribers, in no figure and no answer.
        self.last_message_at = 0.0
        """When the last message came, seconds since the epoch; 0 if none has."""
        self.pending: deque[Batch] = deque()
        """What is waiting, by publish: the messages of one request are never split into several batches."""
        self.backlog = 0
        """Bytes waiting for their turn."""
        self.behind: set[Subscriber] = set()
        """Subscribers that owe more than half their bound."""
        self.scheduled = False
        """Whether the hub has it in line for a slice."""
        self._lanes: dict[Encoder, Lane] = {}
        self._waiting: dict[Subscriber, None] = {}
        # Of the pass that is under way:
        self._batch: Batch | None = None
        self._todo: list[Subscriber] = []
        self._todo_cursor = 0
        self._kept = 0  # Subscribers whose sockets did not take all, in the stride under way.
        self._overrun = False  # One line in the log for a burst of losses.
        self._writing = False

    def __iter__(self) -> Iterator[Subscriber]:
        for lane in list(self._lanes.values()):
            yield from [subscriber for subscriber in lane.subscribers if subscriber is not None]
        yield from list(self._waiting)

    @property
    def crowded(self) -> bool:
        """Whether a publisher should wait: much is waiting to be written, or a subscriber has to catch up."""
        if self.backlog > BACKLOG_LIMIT // 2:
            return True
        if self.behind:
            now = time.monotonic()
            self.behind = {subscriber for subscriber in self.behind if subscriber.holds_up(now)}
        return bool(self.behind)

    def add(self, subscriber: Subscriber) -> None:
        """A subscriber comes; it hears what is published from now on."""
        subscriber.channel = self
        self._waiting[subscriber] = None
        self.count += not subscriber.watching
        self.watchers += subscriber.watching

    def discard(self, subscriber: Subscriber) -> None:
        """A subscriber leaves, at once; nothing happens if it has left already."""
        if subscriber.channel is not self:
            return
        if subscriber.position >= 0:
            self._take_out(subscriber)
        else:
            self._waiting.pop(subscriber, None)
        self.behind.discard(subscriber)
        subscriber.channel = None
        self.count -= not subscriber.watching
        self.watchers -= subscriber.watching

    def enter_lane(self, subscriber: Subscriber) -> None:
        """A waiting subscriber owes nothing any more. A page of the admin goes on waiting: it is in no figure."""
        send = subscriber.send
        if send is not None and not subscriber.watching and subscriber.position < 0 and subscriber.channel is self:
            del self._waiting[subscriber]
            lane = self._lanes.get(subscriber.encoder)
            if lane is None:
                lane = self._lanes[subscriber.encoder] = Lane()
            lane.append(subscriber, send)

    def leave_lane(self, subscriber: Subscriber) -> None:
        """A subscriber owes something that has to go first."""
        if subscriber.position >= 0 and subscriber.channel is self and self._take_out(subscriber):
            self._todo.append(subscriber)  # The pass under way has not come to it yet.
        if subscriber.channel is self:
            self._waiting[subscriber] = None

    def _take_out(self, subscriber: Subscriber) -> bool:
        """Take a subscriber out of its lane; returns whether a pass is under way that has not come to it yet."""
        lane = self._lanes[subscriber.encoder]
        position, subscriber.position = subscriber.position, -1
        if self._batch is None:
            lane.fill(position)
            return False
        lane.subscribers[position], lane.sends[position] = None, gap
        lane.gaps.append(position)
        missed = lane.cursor <= position < lane.end
        if missed:
            lane.missed.append(position)
        return missed

    def publish(self, messages: list[Message]) -> None:
        """Messages come; they wait for the channel's next pass."""
        self.last_message_at = time.time()
        batch = Batch(messages, self)
        if self.backlog and self.backlog + batch.size > BACKLOG_LIMIT:
            if not self._overrun:
                logger.warning("%s: messages come faster than they can be written, some are lost.", quoted(self.name))
            self._overrun = True
            self.lost += self.count * len(messages)
            return
        self.backlog += batch.size
        self.messages += len(messages)
        self.pending.append(batch)

    def advance(self, deadline: float) -> bool:
        """Write until ``deadline`` (of ``time.monotonic()``) has passed; returns whether all is written."""
        if self._writing:
            return False  # Called from within, by a log handler that publishes: the call outside goes on.
        self._writing = True
        try:
            while self._batch is not None or self.pending:
                batch = self._batch or self._begin()
                for encoder, lane in list(self._lanes.items()):
                    if lane.cursor < lane.end and not self._write_lane(batch, encoder, lane, deadline):
                        return False
                if not self._write_waiting(batch, deadline):
                    return False
                self._finish()
                if self.pending and time.monotonic() >= deadline:
                    return False
            return True
        finally:
            self._writing = False

    def abandon(self) -> None:
        """Give up the batch under way, which could not be written: it is lost for those that have not had it."""
        batch, missing = self._batch, self._todo[self._todo_cursor :]
        for lane in self._lanes.values():
            missing += [each for each in lane.subscribers[lane.cursor : lane.end] if each is not None]
        if batch is not None:
            self.lost += len(batch) * sum(each.channel is self for each in missing)
        elif self.pending:
            batch = self.pending.popleft()
            self.backlog -= batch.size
            self.lost += len(batch) * self.count
        self._finish()

    def _begin(self) -> Batch:
        pending = self.pending
        batch = pending.popleft()
        if pending:
            batch.messages = list(batch.messages)  # Other channels may have the same list.
            while pending and batch.size < JOIN_LIMIT:
                batch.join(pending.popleft())
        self.backlog -= batch.size
        self._batch = batch
        for lane in self._lanes.values():
            lane.end = len(lane.sends)
        self._todo, self._todo_cursor = list(self._waiting), 0
        return batch

    def _write_lane(self, batch: Batch, encoder: Encoder, lane: Lane, deadline: float) -> bool:
        data, sends, end = batch.piece(encoder).data, lane.sends, lane.end
        size = len(data)
        stride = STRIDE if size <= STRIDE_BYTES // STRIDE else max(1, STRIDE_BYTES // size)
        while lane.cursor < end:
            start = position = lane.cursor
            try:
                for send in sends[start : min(start + stride, end)]:
                    taken = send(data)
                    if taken != size:
                        self._keep_rest(lane, position, batch, taken)
                    position += 1
            except OSError:
                # The socket takes nothing (EAGAIN) or is broken: its subscriber finds out which and acts on it.
                self._keep_rest(lane, position, batch, 0)
                position += 1
            lane.cursor = position
            missed = sum(start <= each < position for each in lane.missed) if lane.missed else 0
            self.delivered += (position - start - missed - self._kept) * len(batch)
            self._kept = 0
            if position < end and time.monotonic() >= deadline:
                return False
        return True

    def _keep_rest(self, lane: Lane, position: int, batch: Batch, taken: int) -> None:
        """Leave to the subscriber what its socket did not take."""
        subscriber = lane.subscribers[position]
        lane.cursor = position + 1  # It has had this batch: leave_lane() must not line it up for it again.
        self._kept += 1
        if subscriber is not None:
            try:
                subscriber.write_rest(batch, taken)
            except Exception:
                self._leave_out(subscriber, batch)

    def _write_waiting(self, batch: Batch, deadline: float) -> bool:
        while self._todo_cursor < len(self._todo):
            subscriber = self._todo[self._todo_cursor]
            self._todo_cursor += 1
            if subscriber.channel is self:
                try:
                    self.delivered += subscriber.deliver(batch)
                except Exception:
                    self._leave_out(subscriber, batch)
            if self._todo_cursor % WAITING_STRIDE == 0 and time.monotonic() >= deadline:
                return self._todo_cursor >= len(self._todo)
        return True

    @staticmethod
    def _leave_out(subscriber: Subscriber, batch: Batch) -> None:
        # Nothing one subscriber does may stop the others from hearing.
        logger.error("Delivering to %r failed; it is left out from now on.", subscriber, exc_info=True)  # noqa: LOG014
        subscriber.lose(len(batch))
        subscriber.leave()

    def _finish(self) -> None:
        for lane in self._lanes.values():
            lane.finish()
        self._batch = None
        self._todo, self._todo_cursor, self._kept = [], 0, 0
        self._overrun = self._overrun and bool(self.pending)
