"""The processes of a channel layer: their start on the bus, heartbeats, and questions to each other."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import secrets
import socket
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from channels.layers import BaseChannelLayer

from eventcast.exceptions import LayerUnavailable
from eventcast.layers.bus import Bus, settle
from eventcast.layers.heartbeats import Heartbeats, Process
from eventcast.layers.questions import Question, Questions

logger = logging.getLogger("eventcast.layers")

ALL = "all"
"""The topic of all processes. Those of groups and of single processes begin otherwise."""

GROUP = "group."
PROCESS = "process."

Result = TypeVar("Result")


class Peers(BaseChannelLayer):
    """The inside of :class:`eventcast.layers.cluster.ClusterLayer`: one process among others.

    A payload on the bus is the sender's identity (8 bytes), the number of its question (4 bytes, 0 for none), and the
    encoded content. So what the bus returns to its sender is recognised before it is decoded.
    """

    def __init__(self, bus: Bus, **options: Any) -> None:
        super().__init__(**options)
        self.bus = bus
        bus.receive, bus.paused, bus.lost = self._receive, self._send_counts, self._note_lost
        bus.returned = lambda: self._heartbeats.start()
        self.describe_with: Callable[[], dict[str, Any]] = dict
        """Describes this process in its heartbeats, always in about the same number of bytes."""
        self.losses: Counter[str] = Counter()
        """Messages that the bus has dropped, by group."""
        self._answering: dict[str, Callable[[Any], Any]] = {}
        self._in_threads: set[str] = set()
        self._replies: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsent_counts: dict[bytes, list[tuple[int, int]]] = {}
        """Counts for other processes. They are sent after the last message of the piece that asked for them."""
        self._name()

    def _name(self) -> None:
        """Make the identity of this process; a forked process makes a new one."""
        self._pid, self._id, self._loop = os.getpid(), secrets.token_bytes(8), None
        self.id = self._id.hex()
        """The name of this process on the bus."""
        self._heartbeats = Heartbeats(
            lambda: self._tell(ALL, ["beats", self._about()]), self.bus.suspect, lambda: self.bus.up
        )

    @property
    def lives(self) -> bool:
        """Whether the bus lives on an event loop of this process that runs."""
        return self._loop is not None and self._loop.is_running() and self._pid == os.getpid()

    @property
    def degraded(self) -> bool:
        """Whether the other processes cannot be reached now."""
        return self.lives and not self.bus.up

    @property
    def lag(self) -> float:
        """Seconds that this process's last heartbeat took to come back; 0 if the bus does not return them."""
        return self._heartbeats.lag

    async def start(self) -> None:
        """Start on the running event loop, unless the layer is started."""
        if self.lives:
            return
        if self._pid != os.getpid():
            self._name()
        self._loop, self._questions = asyncio.get_running_loop(), Questions()
        await self.bus.start()
        await self.bus.subscribe([ALL, PROCESS + self.id, *(GROUP + group for group in self._groups_here())])
        self._heartbeats.start()

    async def close(self) -> None:
        """Tell the other processes that this one ends, and close the bus. The layer can be used again."""
        if self._loop is not asyncio.get_running_loop():
            return
        self._heartbeats.stop()
        if self.bus.up:
            with contextlib.suppress(LayerUnavailable):
                await self.bus.published(ALL, self._pack(0, ["ends"]))
        self._loop = None
        await self.bus.close()

    async def _at_home(self, function: Callable[..., Coroutine[Any, Any, Result]], *arguments: Any) -> Result:
        """Run a coroutine on the event loop on which the bus lives."""
        await self.start()
        home = self._loop
        if home is None or home is asyncio.get_running_loop():
            return await function(*arguments)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(*arguments), home))

    def answer(self, name: str, function: Callable[[Any], Any], *, in_thread: bool = False) -> None:
        """Answer questions with this name by a function of what was asked.

        It is called on the event loop. Both are made of JSON's types or bytes, and the answer's size has a bound.

        :param in_thread: call it in a thread instead, because it takes long.
        """
        self._answering[name] = function
        if in_thread:
            self._in_threads.add(name)

    async def _answer(self, name: str, data: Any) -> Any:
        function = self._answering[name]
        return await asyncio.to_thread(function, data) if name in self._in_threads else function(data)

    async def ask(self, name: str, data: Any = None) -> tuple[list[Any], int]:
        """The answers of all live processes, this one's first; and how many have not answered in time."""
        return await self._at_home(self._ask, name, data)

    async def _ask(self, name: str, data: Any) -> tuple[list[Any], int]:
        if not self.bus.up:
            return [await self._answer(name, data)], len(self._heartbeats.others())
        asked = _Asked()
        payload = self._pack(self._questions.open(asked), ["ask", name, data])
        self._questions.limit(asked)  # A bus that hangs reports it later than that.
        self.bus.publish(ALL, payload, functools.partial(self._was_asked, asked))
        try:
            own = await self._answer(name, data)
            await asked.done
        finally:
            self._questions.close(asked)
        if asked.expected is None:
            return [own], len(self._heartbeats.others())
        return [own, *asked.answers], max(asked.expected - asked.arrived, 0)

    def _was_asked(self, asked: Question, receivers: int | LayerUnavailable) -> None:
        if isinstance(receivers, int):
            self._questions.expect(asked, self._heartbeats.living(receivers))
        else:
            self._questions.end(asked)

    def processes(self) -> list[Process]:
        """The processes that live, this one first."""
        return [Process(self.id, self._about()), *self._heartbeats.others()]

    def _about(self) -> dict[str, Any]:
        return {"host": socket.gethostname(), "pid": self._pid, **self.describe_with()}

    def _pack(self, number: int, content: Any) -> bytes:
        return self._id + number.to_bytes(4, "big") + self.bus.encode(content)

    def _tell(self, topic: str, content: Any) -> None:
        """Publish without waiting for the result. The bus logs its own failures."""
        self.bus.publish(topic, self._pack(0, content))

    def _receive(self, topic: str, payload: bytes) -> None:
        sender, number = payload[:8], int.from_bytes(payload[8:12], "big")
        if sender == self._id:
            if number:
                self._questions.add(number)
            elif topic == ALL:
                self._heartbeats.note_return()
            return
        try:
            content = self.bus.decode(payload[12:])
            if topic.startswith(GROUP):
                count = self._receive_group(topic[len(GROUP) :], content, count=bool(number))
                if number:
                    self._unsent_counts.setdefault(sender, []).append((number, count))
            else:
                self._receive_own(sender.hex(), number, *content)
        except Exception:
            # It may be a message of another version. This process must go on receiving.
            logger.exception("What came from another process could not be passed on.")

    def _receive_own(self, sender: str, number: int, kind: str, *content: Any) -> None:
        if kind == "beats":
            self._heartbeats.note(sender, *content)
        elif kind == "ends":
            self._heartbeats.note(sender, None)
        elif kind == "counts":
            for asked, count in content[0]:
                self._questions.add(asked, count)
        elif kind == "ask":
            name, data = content
            if name in self._in_threads and self._loop is not None:
                reply = self._loop.create_task(self._reply(sender, number, name, data))
                self._replies.add(reply)  # The event loop itself keeps only weak references.
                reply.add_done_callback(self._replies.discard)
            else:
                self._tell(PROCESS + sender, ["answer", number, self._answering[name](data)])
        elif kind == "answer":
            self._questions.add(*content)
        else:
            self._receive_sent(*content)

    async def _reply(self, sender: str, number: int, name: str, data: Any) -> None:
        try:
            self._tell(PROCESS + sender, ["answer", number, await self._answer(name, data)])
        except Exception:
            logger.exception("The question %r of another process could not be answered.", name)

    def _send_counts(self) -> None:
        if self._unsent_counts:
            unsent, self._unsent_counts = self._unsent_counts, {}
            for sender, counts in unsent.items():
                self._tell(PROCESS + sender.hex(), ["counts", counts])

    def _note_lost(self, topic: str, number: int) -> None:
        self.losses[topic.removeprefix(GROUP)] += number

    @abstractmethod
    def _groups_here(self) -> Sequence[str]:
        """The groups that have members in this process."""

    @abstractmethod
    def _receive_group(self, group: str, message: dict[str, Any], *, count: bool) -> int:
        """Deliver a message of another process to the group's members here; returns the subscribers it goes to, or 0
        if they need not be counted."""

    @abstractmethod
    def _receive_sent(self, channel: str, message: dict[str, Any]) -> None:
        """Another process has sent a message to a channel of this one."""


class _Asked(Question):
    __slots__ = ("done",)

    def __init__(self) -> None:
        super().__init__()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def over(self) -> None:
        settle(self.done, None)
