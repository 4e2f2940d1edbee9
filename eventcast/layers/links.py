"""The frames between two workers of one machine, over a pair of Unix stream sockets.

A frame is a head (:data:`HEAD`), a topic and a payload. Frames that wait at the end of an iteration of the event
loop are joined into one write.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

logger = logging.getLogger("eventcast.layers")

HEAD = struct.Struct("!BHI")
"""Kind of the frame, bytes of its topic, bytes of its payload."""

MESSAGE, HELLO, TOPICS, SUBSCRIBE, CONFIRM, UNSUBSCRIBE, CHANGE = range(7)
"""``HELLO`` asks for all topics of the other worker, and ``TOPICS`` answers. ``SUBSCRIBE`` has a number, which
``CONFIRM`` returns. ``CHANGE`` says that the subscribers of a topic have changed. Topics are separated by line
feeds."""

READ_SIZE = 64 * 1024
BUFFERS = 256
"""Frames that one write joins at most."""

HIGH_WATER = 4 * 1024 * 1024
"""Pending bytes on a link at which publishers wait, unless the other worker is stuck."""

BOUND = 16 * 1024 * 1024
"""Pending bytes on a link at which further messages are lost, and counted."""

NO_MEMORY = errno.ENOBUFS, errno.ENOMEM
"""Errors that say nothing about the other worker: the kernel, or the control group, has no memory at this moment."""

RETRY = 0.05
"""Seconds after such an error until the link is written to again."""

PATIENCE = 1.0
"""Seconds that a publisher or a new subscriber waits for another worker. After them, that worker counts as stuck:
nothing waits for it until it sends again. The parent process kills a worker that hangs."""


SLOTS = 512
"""Workers that there may be at the same time, also while they replace each other."""

Changes = memoryview
"""Numbers of 8 bytes in memory that all workers share: how many changes each has told each other one. So a worker knows
that a change is on its way. The index is the slot of the one that tells, times :data:`SLOTS`, plus the other's slot."""

CHANGES_SIZE = 8 * SLOTS * SLOTS


class Peer(NamedTuple):
    """Another worker, as the parent describes it."""

    number: int
    slot: int
    """Its place in the memory that all workers share."""
    socket: socket.socket
    """This end of a pair of Unix stream sockets."""


class Link:
    """The link to one other worker, on the running event loop.

    :param peer: the other worker.
    :param changes: the counters that both workers see.
    :param slot: of this worker in them.
    :param take: called with the link and each received frame: its kind, topic and payload.
    :param pause: called after the last frame of each read. Frames that are put until then are written at once.
    :param forget: called once, when the link is closed.
    """

    def __init__(
        self,
        peer: Peer,
        changes: Changes,
        slot: int,
        take: Callable[[Link, int, str, bytes], None],
        pause: Callable[[], None],
        forget: Callable[[Link], None],
    ) -> None:
        self.number = peer.number
        self.topics: set[str] = set()
        """What the other worker has subscribed to."""
        self.relies_on: set[str] = set()
        """Topics to which it has published since it was told of a change: it may rely on a count of then."""
        self.greeted = asyncio.Event()
        """Set once all topics of the other worker are known, or the link is closed."""
        self.serves = False
        """Whether the other worker has said HELLO: from then on it confirms subscriptions."""
        self.stuck = False
        self.pending = 0
        """Bytes that are not written yet."""
        self.closed = False
        self._take, self._pause, self._forget = take, pause, forget
        self.socket = sock = peer.socket
        self._changes, self._told_at, self._known_at = changes, slot * SLOTS + peer.slot, peer.slot * SLOTS + slot
        self._known = changes[self._known_at]
        self._loop = asyncio.get_running_loop()
        self._pending: deque[bytes | memoryview] = deque()
        self._rest = bytearray()
        """Bytes of an incomplete frame."""
        self._has_writer = self._flush_due = False
        self._room = asyncio.Event()
        self._lost = 0
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)
        self.put(HEAD.pack(HELLO, 0, 0))

    # --- writing ----------------------------------------------------------------------------------------------------

    def put(self, frame: bytes) -> None:
        """Write a frame at the end of this iteration of the event loop."""
        if self.closed:
            return
        self._pending.append(frame)
        self.pending += len(frame)
        if not self._has_writer and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self.flush)

    def tell_change(self, topic: str) -> None:
        """Tell the other worker that the subscribers of a topic have changed, if it relies on them."""
        if topic in self.relies_on:
            said = frame(CHANGE, topic, b"")
            self.relies_on.discard(topic)
            self._changes[self._told_at] += 1
            self.put(said)

    def know_change(self) -> None:
        """A change has arrived that the other worker has told."""
        self._known += 1

    def is_current(self) -> bool:
        """Whether all changes have arrived that the other worker has told, and it gets what is put now."""
        return self._known == self._changes[self._known_at] and self.pending < BOUND

    def lose(self) -> None:
        """Count a message that is lost, because too much is pending."""
        self._lost += 1
        if self._lost == 1:
            logger.error("Worker %d does not read what the others publish: messages for it are lost.", self.number)

    async def wait_for_room(self) -> None:
        """Wait until less than :data:`HIGH_WATER` is pending, but not for a worker that is stuck."""
        if not self.stuck and self.pending >= HIGH_WATER:
            self._room.clear()
            self.stuck = not await within(PATIENCE, self._room)

    def flush(self) -> None:
        """Write what is pending, as far as the kernel takes it."""
        self._flush_due = False
        if self.closed:
            return
        try:
            while self._pending:
                sent = self.socket.sendmsg(list(itertools.islice(self._pending, BUFFERS)))
                self.pending -= sent
                while sent:
                    size = len(self._pending[0])
                    if sent < size:
                        self._pending[0] = memoryview(self._pending[0])[sent:]
                        break
                    self._pending.popleft()
                    sent -= size
        except (BlockingIOError, InterruptedError):
            if not self._has_writer:
                self._has_writer = True
                self._loop.add_writer(self.socket.fileno(), self.flush)
        except OSError as error:
            if error.errno not in NO_MEMORY:
                self.close()  # That worker is gone.
            elif not self._has_writer:
                self._flush_due = True
                self._loop.call_later(RETRY, self.flush)
        else:
            if self._has_writer:
                self._has_writer = False
                self._loop.remove_writer(self.socket.fileno())
            if self._lost:
                logger.warning("Worker %d reads again; %d messages for it were lost.", self.number, self._lost)
                self._lost = 0
        if self.pending < HIGH_WATER:
            self._room.set()

    # --- reading ----------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno in NO_MEMORY:
                return
            data = b""
        if not data:
            self.close()
            return
        self.stuck, flush_due, self._flush_due = False, self._flush_due, True
        if self._rest:
            self._rest += data
        received: bytes | bytearray = self._rest or data
        start = 0
        while len(received) - start >= HEAD.size:
            kind, topic_size, size = HEAD.unpack_from(received, start)
            begin = start + HEAD.size + topic_size
            if len(received) < begin + size:
                break
            topic = received[start + HEAD.size : begin].decode()
            start = begin + size
            try:
                self._take(self, kind, topic, bytes(received[begin:start]))
            except Exception:
                # An error of one message must not stop the next ones.
                logger.exception("A message of worker %d could not be passed on.", self.number)
        if received is data:
            self._rest += data[start:]
        else:
            del self._rest[:start]
        self._pause()
        self._flush_due = flush_due
        if not flush_due and self._pending and not self._has_writer:
            self.flush()

    def close(self) -> None:
        """Close the link: the other worker is gone, or this one ends."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self.socket.fileno())
        self._loop.remove_writer(self.socket.fileno())
        self.socket.close()
        self._pending.clear()
        self.pending = 0
        self._room.set()
        self.greeted.set()
        self._forget(self)


async def within(seconds: float, *events: asyncio.Event) -> bool:
    """Wait for all events, for at most so many seconds; returns whether all are set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events if not event.is_set()]
    try:
        # Not wait_for(), which on Python 3.10 and 3.11 loses a cancellation that comes as the time runs out.
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
    finally:
        for task in waiting:
            task.cancel()
    return all(event.is_set() for event in events)


def frame(kind: int, topic: str, payload: bytes) -> bytes:
    """The bytes of a frame."""
    name = topic.encode()
    return b"".join((HEAD.pack(kind, len(name), len(payload)), name, payload))
