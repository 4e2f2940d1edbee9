"""The fan-out: one channel's subscribers in this process, and the loops that write a batch of messages to all of them.

The rules:

- A subscriber is on a *fast path* while its send buffer is empty: a loop calls nothing but its ``send``. A subscriber
  with buffered bytes, or without a ``send``, is on the *slow path*: a loop calls its ``deliver``.
- Each encoder, such as that of WebSocket frames, has its own fast path, so that a batch is encoded once for each path.
- A *pass* writes one batch to every subscriber that the channel had when the pass began. A pass runs in slices.
  Subscribers may join, leave and change paths between two slices; each still gets each batch once, in order, until it
  leaves.
- Hence no index changes during a pass: a subscriber that leaves a fast path leaves a gap, which is closed after the
  pass. A subscriber that joins a fast path during a pass is appended after its end, and starts with the next batch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from eventcast.engine.encoders import Batch, Encoder
from eventcast.engine.fast_path import FastPath, gap
from eventcast.engine.figures import ChannelFigures
from eventcast.engine.logs import SteadyLogger
from eventcast.engine.messages import Message
from eventcast.engine.names import quoted
from eventcast.engine.subscribers import Subscriber
from eventcast.layers.bus import ignore

logger = SteadyLogger("eventcast.hub")

STRIDE, STRIDE_BYTES = 128, 2 * 1024 * 1024
"""Most writes, and most bytes, between two checks of the deadline: about a millisecond."""

SLOW_PATH_STRIDE = 16
"""Subscribers of the slow path between two checks of the deadline, at some 40 µs each."""

JOIN_LIMIT = 128 * 1024
"""Bytes of messages joined into one write: about what a socket takes by one system call."""

BACKLOG_LIMIT = 16 * 1024 * 1024
"""Most bytes pending on one channel. Messages beyond are lost, and counted."""


class LocalChannel(ChannelFigures):
    """A channel in this process: its subscribers here, its pending messages and its figures.

    :param name: the channel's name, or the text of a pattern.
    :param on_count: called with the name after each change of :attr:`count`.
    """

    __slots__ = (
        "_batch",
        "_fast_paths",
        "_on_count",
        "_overrun",
        "_partial",
        "_slow_cursor",
        "_slow_path",
        "_slow_remaining",
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

    def __init__(self, name: str, on_count: Callable[[str], object] = ignore) -> None:
        super().__init__()
        self.name, self._on_count = name, on_count
        self.count = 0
        """Current subscribers."""
        self.watchers = 0  # Pages of the admin that listen. They are not counted as subscribers.
        self.last_message_at = 0.0
        """When the last message arrived, seconds since the epoch; 0 if none has."""
        self.pending: deque[Batch] = deque()
        """Batches not written yet, one for each publish: the messages of one request stay in one batch."""
        self.backlog = 0
        """Bytes in :attr:`pending`."""
        self.behind: set[Subscriber] = set()
        """Subscribers with more bytes buffered than half their bound."""
        self.scheduled = False
        """Whether the hub will write :attr:`pending`."""
        self._fast_paths: dict[Encoder, FastPath] = {}
        self._slow_path: dict[Subscriber, None] = {}
        # State of the current pass:
        self._batch: Batch | None = None
        self._slow_remaining: list[Subscriber] = []
        self._slow_cursor = 0
        self._partial = 0  # Subscribers of the current stride with bytes that their sockets did not take.
        self._overrun = False  # Whether the present burst of losses is logged.
        self._writing = False

    def __iter__(self) -> Iterator[Subscriber]:
        for path in list(self._fast_paths.values()):
            yield from [subscriber for subscriber in path.subscribers if subscriber is not None]
        yield from list(self._slow_path)

    @property
    def crowded(self) -> bool:
        """Whether publishers should wait: many bytes are pending, or a subscriber is behind."""
        if self.backlog > BACKLOG_LIMIT // 2:
            return True
        if self.behind:
            now = time.monotonic()
            self.behind = {subscriber for subscriber in self.behind if subscriber.delays_publishers(now)}
        return bool(self.behind)

    def add(self, subscriber: Subscriber) -> None:
        """Add a subscriber, which gets the messages that are published from now on."""
        subscriber.channel = self
        self._slow_path[subscriber] = None
        self._count(subscriber, 1)

    def discard(self, subscriber: Subscriber) -> None:
        """Remove a subscriber. Safe to call again."""
        if subscriber.channel is not self:
            return
        if subscriber.position >= 0:
            self._remove_from_fast_path(subscriber)
        else:
            self._slow_path.pop(subscriber, None)
        self.behind.discard(subscriber)
        subscriber.channel = None
        self._count(subscriber, -1)

    def _count(self, subscriber: Subscriber, change: int) -> None:
        if subscriber.watching:
            self.watchers += change
        else:
            self.count += change
            self._on_count(self.name)

    def enter_fast_path(self, subscriber: Subscriber) -> None:
        """Move a subscriber with an empty send buffer to the fast path. Pages of the admin are not counted and stay."""
        send = subscriber.send
        if send is not None and not subscriber.watching and subscriber.position < 0 and subscriber.channel is self:
            del self._slow_path[subscriber]
            path = self._fast_paths.get(subscriber.encoder)
            if path is None:
                path = self._fast_paths[subscriber.encoder] = FastPath()
            path.append(subscriber, send)

    def leave_fast_path(self, subscriber: Subscriber) -> None:
        """Move a subscriber with buffered bytes to the slow path."""
        if subscriber.position >= 0 and subscriber.channel is self and self._remove_from_fast_path(subscriber):
            self._slow_remaining.append(subscriber)  # The current pass has not reached it yet.
        if subscriber.channel is self:
            self._slow_path[subscriber] = None

    def _remove_from_fast_path(self, subscriber: Subscriber) -> bool:
        """Returns whether the current pass, if there is one, has not reached the subscriber yet."""
        path = self._fast_paths[subscriber.encoder]
        position, subscriber.position = subscriber.position, -1
        if self._batch is None:
            path.close_gap(position)
            return False
        path.subscribers[position], path.sends[position] = None, gap
        path.gaps.append(position)
        unserved = path.cursor <= position < path.end
        if unserved:
            path.unserved.append(position)
        return unserved

    def publish(self, messages: list[Message]) -> None:
        """Append messages to :attr:`pending`, for the next pass."""
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
        """Write until ``deadline`` (of ``time.monotonic()``); returns whether all messages are written."""
        if self._writing:
            return False  # A log handler published during this method: the outer call continues.
        self._writing = True
        try:
            while self._batch is not None or self.pending:
                batch = self._batch or self._begin()
                for encoder, path in list(self._fast_paths.items()):
                    if path.cursor < path.end and not self._write_fast_path(batch, encoder, path, deadline):
                        return False
                if not self._write_slow_path(batch, deadline):
                    return False
                self._finish()
                if self.pending and time.monotonic() >= deadline:
                    return False
            return True
        finally:
            self._writing = False

    def abandon(self) -> None:
        """Drop the batch that could not be written. It is lost for the subscribers that the pass has not reached."""
        batch, missing = self._batch, self._slow_remaining[self._slow_cursor :]
        for path in self._fast_paths.values():
            missing += [each for each in path.subscribers[path.cursor : path.end] if each is not None]
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
            batch.messages = list(batch.messages)  # Other channels may share the list.
            while pending and batch.size < JOIN_LIMIT:
                batch.join(pending.popleft())
        self.backlog -= batch.size
        self._batch = batch
        for path in self._fast_paths.values():
            path.end = len(path.sends)
        self._slow_remaining, self._slow_cursor = list(self._slow_path), 0
        return batch

    def _write_fast_path(self, batch: Batch, encoder: Encoder, path: FastPath, deadline: float) -> bool:
        data, sends, end = batch.piece(encoder).data, path.sends, path.end
        size = len(data)
        stride = STRIDE if size <= STRIDE_BYTES // STRIDE else max(1, STRIDE_BYTES // size)
        while path.cursor < end:
            start = position = path.cursor
            try:
                for send in sends[start : min(start + stride, end)]:
                    taken = send(data)
                    if taken != size:
                        self._buffer_rest(path, position, batch, taken)
                    position += 1
            except OSError:
                # The socket is full (EAGAIN) or broken. write_rest() schedules a flush, which closes a broken one.
                self._buffer_rest(path, position, batch, 0)
                position += 1
            path.cursor = position
            unserved = sum(start <= each < position for each in path.unserved) if path.unserved else 0
            self.delivered += (position - start - unserved - self._partial) * len(batch)
            self._partial = 0
            if position < end and time.monotonic() >= deadline:
                return False
        return True

    def _buffer_rest(self, path: FastPath, position: int, batch: Batch, taken: int) -> None:
        """Give the subscriber the bytes that its socket did not take, for its send buffer."""
        subscriber = path.subscribers[position]
        path.cursor = position + 1  # leave_fast_path() must not add it to this pass again.
        self._partial += 1
        if subscriber is not None:
            try:
                subscriber.write_rest(batch, taken)
            except Exception:
                self._discard_failing(subscriber, batch)

    def _write_slow_path(self, batch: Batch, deadline: float) -> bool:
        while self._slow_cursor < len(self._slow_remaining):
            subscriber = self._slow_remaining[self._slow_cursor]
            self._slow_cursor += 1
            if subscriber.channel is self:
                try:
                    self.delivered += subscriber.deliver(batch)
                except Exception:
                    self._discard_failing(subscriber, batch)
            if self._slow_cursor % SLOW_PATH_STRIDE == 0 and time.monotonic() >= deadline:
                return self._slow_cursor >= len(self._slow_remaining)
        return True

    @staticmethod
    def _discard_failing(subscriber: Subscriber, batch: Batch) -> None:
        # An exception of one subscriber must not keep messages from the others.
        logger.error("Delivering to %r failed; it gets no more messages.", subscriber, exc_info=True)  # noqa: LOG014
        subscriber.lose(len(batch))
        subscriber.leave()

    def _finish(self) -> None:
        for path in self._fast_paths.values():
            path.finish()
        self._batch = None
        self._slow_remaining, self._slow_cursor, self._partial = [], 0, 0
        self._overrun = self._overrun and bool(self.pending)
