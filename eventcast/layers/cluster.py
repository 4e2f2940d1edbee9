"""A channel layer of several processes, on a bus that carries messages between them."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from eventcast.exceptions import LayerUnavailable
from eventcast.layers.bus import TIMEOUT, Bus
from eventcast.layers.counting import NOWHERE, Reach, RecentCounts
from eventcast.layers.memory import InMemoryChannelLayer
from eventcast.layers.peers import GROUP, PROCESS, Peers, logger

Sends = Sequence[tuple[str, dict[str, Any]]]


connections: list[Callable[[ClusterLayer], None]] = []
"""Called with a layer each time that it starts: how the engine sets what the layer asks it for."""


class ClusterLayer(Peers):
    """Groups and channels of all processes on a bus.

    - **Groups**: group_add() returns when the bus has confirmed that this process hears the group, so that what is sent
      afterwards arrives. A process delivers what it sends to its own members itself, after the bus has taken it.
    - **Channels** of :meth:`new_channel` can be sent to from each process. All others, such as those of ``runworker``,
      exist once for each process.
    - **Loss**: at most once. While the bus does not work (:attr:`degraded`), a group reaches the members of this
      process only. What arrives for a channel that is full is dropped, as in
      :class:`~eventcast.layers.InMemoryChannelLayer`, which also explains the options.
    - **Event loops**: the bus lives on the first loop that joins a group or reads a channel, and moves when that loop
      has ended. The methods can be called on any loop, and :meth:`broadcast_now` in any thread.
    """

    extensions = ("groups", "flush")

    def __init__(self, bus: Bus, **options: Any) -> None:
        self.local = InMemoryChannelLayer(**options)
        """The members and the unread messages of this process."""
        super().__init__(bus, expiry=self.local.expiry, capacity=self.local.capacity)
        self.channel_capacity = self.local.channel_capacity
        self.count_with: Callable[[dict[str, Any]], int] = lambda message: 0
        """Says how many subscribers of this process a message of a group goes to."""
        self._joining: Counter[str] = Counter()
        self._counts = RecentCounts()

    async def start(self) -> None:
        """Live on the running event loop, unless the layer lives already."""
        if not self.lives:
            for connect in connections:
                connect(self)
            await super().start()

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message to one channel, of another process too if its name is of :meth:`new_channel`.

        :raises ChannelFull: it is a channel of this process and at its capacity.
        :raises LayerUnavailable: the bus did not take the message.
        """
        process = channel.partition("!")[0].rpartition(".")[2] if "!" in channel else self.id
        if process == self.id:
            await self.local.send(channel, message)
        else:
            await self._publish([(PROCESS + process, ["send", channel, message])])

    def _receive_sent(self, channel: str, message: dict[str, Any]) -> None:
        self.local.send_nowait(channel, message)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the next message of a channel of this process."""
        await self.start()
        return await self.local.receive(channel)

    async def new_channel(self, prefix: str = "specific.") -> str:
        """A new channel name, for a reader in this process."""
        await self.start()
        return f"{prefix}.{self.id}!{secrets.token_hex(8)}"

    def receive_with(self, channel: str, receiver: Callable[[dict[str, Any]], None] | None) -> None:
        """Call ``receiver`` with each message that a group sends to a channel, on the bus's event loop; see
        :meth:`InMemoryChannelLayer.receive_with`."""
        self.local.receive_with(channel, receiver)

    async def group_add(self, group: str, channel: str) -> None:
        """Make a channel of this process a member of a group.

        :raises LayerUnavailable: the bus works and did not confirm it in time.
        """
        self.local.require_valid_group_name(group)
        self.local.require_valid_channel_name(channel)
        await self._at_home(self._join, group, channel)

    async def _join(self, group: str, channel: str) -> None:
        self._joining[group] += 1
        try:
            await self.bus.subscribe([GROUP + group])
            self.local.group_add_nowait(group, channel)
        finally:
            self._joining[group] -= 1
            self._leave_unused(group)

    async def group_discard(self, group: str, channel: str) -> None:
        """End a channel's membership in a group, if there is one."""
        self.local.group_discard_nowait(group, channel)
        if self.lives:
            await self._at_home(self._leave, group)

    async def _leave(self, group: str) -> None:
        self._leave_unused(group)

    def _leave_unused(self, group: str) -> None:
        if not self._joining[group]:
            del self._joining[group]
            if group not in self.local.groups:
                self.bus.unsubscribe([GROUP + group])

    async def flush(self) -> None:
        """Remove all messages and memberships of this process."""
        groups = self._groups_here()
        await self.local.flush()
        for group in groups if self.lives else []:
            await self._at_home(self._leave, group)

    def _groups_here(self) -> Sequence[str]:
        return list(self.local.groups)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to every channel of a group.

        :raises LayerUnavailable: the bus did not take it. The text says whether it may have been sent.
        """
        self.local.require_valid_group_name(group)
        await self.broadcast([(group, message)])

    async def broadcast(self, sends: Sends, *, count: bool = False) -> Reach:
        """Send messages to groups, in one go: the first decides whether it worked.

        :param count: whether other processes say how many subscribers they go to, by their :attr:`count_with`.
        :raises LayerUnavailable: the bus did not take the first. The text says whether anything may have been sent.
        """
        if self._loop is asyncio.get_running_loop():
            return await self._broadcast(sends, count)
        if self.lives:
            return await self._at_home(self._broadcast, sends, count)
        await self._publish([(GROUP + group, message) for group, message in sends])
        return Reach()

    def reach_at_once(self, groups: Sequence[str]) -> Reach | None:
        """How many subscribers of other processes :meth:`broadcast_at_once` would reach, if it can be used now; None if
        a publisher has to wait, for the bus or for a count."""
        heard = False
        for group in groups:
            found = self.bus.is_heard(GROUP + group)
            if found is None:
                return None
            heard = heard or found
        if self._loop is None or self._loop is not asyncio.get_running_loop():
            return None
        return self._counts.last(groups[0]) if heard else NOWHERE

    def broadcast_at_once(self, sends: Sends) -> None:
        """:meth:`broadcast` without waiting, directly after :meth:`reach_at_once`."""
        for group, message in sends:
            if self.bus.is_heard(GROUP + group):
                self.bus.publish(GROUP + group, self._pack(0, message))
        self._deliver(sends)

    def broadcast_now(self, sends: Sends) -> None:
        """:meth:`broadcast` for a thread without an event loop."""
        loop = self._loop
        if not self.lives or loop is None:
            self._publish_now([(GROUP + group, message) for group, message in sends])
            return
        try:
            asyncio.run_coroutine_threadsafe(self._broadcast(sends, False), loop).result(TIMEOUT + 1)
        except (TimeoutError, FutureTimeoutError):  # two classes until Python 3.11
            raise LayerUnavailable("The server's event loop is blocked; the message may have been sent.") from None

    async def _publish(self, contents: Sequence[tuple[str, Any]]) -> None:
        if self.lives:
            await self._at_home(self._publish_here, contents)
        else:
            # Connections of an event loop that async_to_sync() has made would end with it.
            await asyncio.to_thread(self._publish_now, contents)

    async def _publish_here(self, contents: Sequence[tuple[str, Any]]) -> None:
        for topic, content in contents:
            await self.bus.publish(topic, self._pack(0, content))

    def _publish_now(self, contents: Sequence[tuple[str, Any]]) -> None:
        for topic, content in contents:
            self.bus.publish_now(topic, self._pack(0, content))

    async def _broadcast(self, sends: Sends, count: bool) -> Reach:
        if not self.bus.up:
            self._deliver(sends)
            return Reach(degraded=True)
        group = sends[0][0]
        heard = [send for send in sends if self.bus.is_heard(GROUP + send[0]) is not False]
        known = self._counts.last(group) if count and heard else NOWHERE
        number = self._questions.open() if known is None else 0
        try:
            publishes = [self.bus.publish(GROUP + to, self._pack(number, message)) for to, message in heard]
            receivers = await _receivers(publishes, self._heartbeats.living)
            self._deliver(sends)
            if known is not None:
                return known
            answers, missing = await self._questions.wait(number, receivers)
        finally:
            if number:
                self._questions.close(number)
        return self._counts.note(group, Reach(sum(answers), missing))

    def _deliver(self, sends: Sends) -> None:
        for group, message in sends:
            if group in self.local.groups:
                self.local.group_send_nowait(group, message)

    def _receive_group(self, group: str, message: dict[str, Any]) -> int:
        if group not in self.local.groups:
            self._leave_unused(group)
            return 0
        self.local.group_send_nowait(group, message)
        return self.count_with(message)


async def _receivers(publishes: Sequence[asyncio.Future[int]], living: Callable[[int], int]) -> int:
    """How many live processes have got messages that were sent in one go, one that got two of them counted twice. The
    first message decides whether it worked."""
    refusal: LayerUnavailable | None = None
    receivers = 0
    for publish in publishes:
        try:
            receivers += living(await publish)
        except LayerUnavailable as error:
            if publish is publishes[0]:
                refusal = error
            elif refusal is None:
                # Not the publisher's error: a publisher that tried again would send the message twice.
                logger.error("Publishing to subscribers of patterns failed: %s", error)
    if refusal is not None:
        raise LayerUnavailable("Only subscribers of patterns have got the message.") if receivers else refusal
    return receivers
