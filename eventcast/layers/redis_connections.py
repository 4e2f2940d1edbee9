"""The two connections to a Redis: one publishes, one subscribes.

redis-py opens them: it knows addresses, TLS, passwords and Sentinel. Then they are protocols of their own on its
transport, because a publish through its client would cost more than all the rest of a publish.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from eventcast.exceptions import LayerUnavailable
from eventcast.layers.bus import TIMEOUT, Then, ignore
from eventcast.layers.resp import Answers, Refusal, command

LIMIT = 64 * 1024 * 1024
"""Bytes that may wait to be sent to Redis. A publish beyond is refused."""

BATCH = 500
"""Topics in one command. Redis serves no other client meanwhile."""


DROP = struct.pack("ii", 1, 0)
"""``SO_LINGER`` without time."""


class _Connection(asyncio.Protocol):
    """A connection that redis-py has opened.

    :param lose: called with the reason when it does not work any more.
    :param pause: called after the last message of each piece that was read.
    """

    def __init__(self, opened: Any, lose: Callable[[str], None], pause: Callable[[], None] = ignore) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened = opened  # Its writer would close the connection when it is freed.
        self._transport: asyncio.Transport = opened._writer.transport
        self._lose, self._pause = lose, pause
        self._answers = Answers()
        self._out: list[bytes] = []
        self._transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        try:
            for answer in self._answers.feed(data):
                self._take(answer)
        except ValueError as error:
            self._lose(str(error))
        self._pause()

    def connection_lost(self, error: Exception | None) -> None:
        self._lose("the connection has broken" if error is None else repr(error))

    def _take(self, answer: Any) -> None:
        raise NotImplementedError

    def _write(self, data: bytes) -> None:
        """Send, in one write with all other data of this turn of the event loop."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        self._transport.write(b"".join(self._out))
        self._out.clear()

    def end(self) -> None:
        """Close it. Unsent data is dropped, by the kernel too, which would send it when the network is back."""
        self._lose = lambda reason: None
        if not self._loop.is_closed():
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, DROP)
            self._transport.abort()
        self._opened._writer = self._opened._reader = None


class Publishing(_Connection):
    """Sends payloads. Redis answers in the order in which they were sent."""

    def __init__(self, opened: Any, lose: Callable[[str], None]) -> None:
        super().__init__(opened, lose)
        self._pending: deque[tuple[float, Then]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def publish(self, topic: bytes, payload: bytes, then: Then) -> None:
        if self._transport.get_write_buffer_size() > LIMIT:
            then(LayerUnavailable("Too much waits to be sent to Redis; nothing was sent."))
            return
        deadline = self._loop.time() + TIMEOUT
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check)
        self._pending.append((deadline, then))
        self._write(b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(topic), topic, len(payload), payload))

    def _take(self, answer: Any) -> None:
        if not self._pending:
            raise ValueError("Redis answers what was not asked.")
        then = self._pending.popleft()[1]
        if isinstance(answer, int):
            then(answer)
        else:
            then(LayerUnavailable(f"Redis has refused it ({answer}); nothing was sent."))

    def _check(self) -> None:
        self._timer = None
        if not self._pending:
            return
        deadline = self._pending[0][0]
        if deadline <= self._loop.time():
            self._lose(f"it has not answered for {TIMEOUT:g} s")
        else:
            self._timer = self._loop.call_at(deadline, self._check)

    def end(self) -> None:
        super().end()
        if self._timer is not None:
            self._timer.cancel()
        while self._pending and not self._loop.is_closed():
            self._pending.popleft()[1](LayerUnavailable("Redis has not answered; the message may have been sent."))


class Subscribing(_Connection):
    """Receives payloads.

    :param receive: called with a topic and a payload.
    """

    def __init__(
        self,
        opened: Any,
        lose: Callable[[str], None],
        receive: Callable[[bytes, bytes], None],
        pause: Callable[[], None],
    ) -> None:
        super().__init__(opened, lose, pause)
        self._receive = receive
        self._confirmed: set[bytes] = set()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._asked: Counter[bytes] = Counter()
        """Confirmations that are still to come. After the last one, Redis has carried out all commands."""
        self._topics: list[bytes] = []
        self._word = b""

    def subscribe(self, topics: Iterable[bytes]) -> list[asyncio.Future[None]]:
        """Futures that are done when all these are confirmed, or the connection has ended."""
        waiting = []
        for topic in topics:
            if topic in self._confirmed:
                continue
            if topic not in self._waiting:
                self._waiting[topic] = self._loop.create_future()
                self._asked[topic] += 1
                self._queue(b"SUBSCRIBE", topic)
            waiting.append(self._waiting[topic])
        self._send()
        return waiting

    def unsubscribe(self, topics: Iterable[bytes]) -> None:
        for topic in topics:
            self._confirmed.discard(topic)
            if (waiting := self._waiting.pop(topic, None)) is not None and not waiting.done():
                waiting.set_result(None)
            self._queue(b"UNSUBSCRIBE", topic)
        self._send()

    def _queue(self, word: bytes, topic: bytes) -> None:
        if word != self._word or len(self._topics) >= BATCH:
            self._send()
        self._word = word
        self._topics.append(topic)

    def _send(self) -> None:
        if self._topics:
            self._write(command(self._word, *self._topics))
            self._topics.clear()

    def _take(self, answer: Any) -> None:
        if isinstance(answer, Refusal):
            self._lose(str(answer))
        elif not isinstance(answer, list) or len(answer) != 3:
            raise ValueError(f"Redis pushes what was not asked: {answer!r:.100}")
        elif answer[0] == b"message":
            self._receive(answer[1], answer[2])
        elif answer[0] == b"subscribe":
            self._confirm(answer[1])

    def _confirm(self, topic: bytes) -> None:
        self._asked[topic] -= 1
        if self._asked[topic] > 0:
            return
        del self._asked[topic]
        if (waiting := self._waiting.pop(topic, None)) is not None:
            self._confirmed.add(topic)
            if not waiting.done():
                waiting.set_result(None)

    def end(self) -> None:
        super().end()
        for waiting in self._waiting.values():
            if not waiting.done() and not self._loop.is_closed():
                waiting.set_result(None)
        self._waiting.clear()
