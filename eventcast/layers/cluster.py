"""A channel layer of several processes, on a bus that carries messages between them."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from eventcast.exceptions import LayerUnavailable
from eventcast.layers.broadcasts import Broadcast, Note, Sends, add_up
from eventcast.layers.bus import TIMEOUT, Bus, ignore
from eventcast.layers.counting import NOWHERE, Reach, RecentCounts, TrackedCount
from eventcast.layers.memory import InMemoryChannelLayer
from eventcast.layers.peers import GROUP, PROCESS, Peers

connections: list[Callable[[ClusterLayer], None]] = []
"""Functions that are called with each layer that starts: the engine connects itself to the layer in them."""


class ClusterLayer(Peers):
    """Groups and channels of all processes on a bus.

    - **Groups**: group_add() returns when the bus has confirmed that this process gets the group's messages. Members
      in the sending process get a message without the bus, after the bus has taken it.
    - **Channels** of :meth:`new_channel` can be sent to from each process. All others, such as those of ``runworker``,
      exist once for each process.
    - **Loss**: delivery is at most once. While the bus does not work (:attr:`degraded`), a group reaches the members of
      this process only. What arrives for a channel that is full is dropped, as in
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
        """Returns the number of subscribers of this process that a message of a group goes to."""
        self._joining: Counter[str] = Counter()
        self._counts = RecentCounts()
        self._tracked: dict[str, TrackedCount] = {}
        """What other processes have answered, by group, until they tell of a change."""
        self._companions: set[str] = set()
        """The groups that messages to tracked groups go to as well: that of patterns."""
        bus.changed = self._forget_count

    async def start(self) -> None:
        """Start the bus on the running event loop, unless it is started."""
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
            topic, content = PROCESS + process, ["send", channel, message]
            if self.lives:
                await self._at_home(self.bus.published, topic, self._pack(0, content))
            else:
                await asyncio.to_thread(self._publish_now, [(topic, content)])

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
        """Send messages to groups together. If the first fails, this fails; failures of others are logged.

        :param count: whether other processes say how many subscribers they go to, by their :attr:`count_with`.
        :raises LayerUnavailable: the bus did not take the first. The text says whether anything may have been sent.
        """
        if self.lives:
            return await self._at_home(self._broadcast, sends, count)
        # Not on this event loop: async_to_sync() may end it, and with it the bus's connections.
        await asyncio.to_thread(self._publish_now, [(GROUP + group, message) for group, message in sends])
        return Reach()

    def begin(self, sends: Sends, *, count: bool = False, more: int = 0, note: Note = ignore) -> Reach | Broadcast:
        """:meth:`broadcast` without a coroutine. Requires :meth:`is_at_home`.

        :param more: subscribers of this process, counted before.
        :param note: called at the end of the broadcast with its first message, and None or the error.
        :returns: the counts; or the broadcast, if it is not over yet.
        """
        heard = [send for send in sends if self.bus.is_heard(GROUP + send[0])] if self.bus.up else []
        first = sends[0][0]
        known: Reach | None = NOWHERE if self.bus.up else Reach(degraded=True)
        keep: Callable[[Reach], object] = ignore
        if count and self.bus.tells_changes and heard and heard[0] is sends[0]:
            # Also while nobody hears them: the first subscriber of a pattern changes all counts.
            self._companions.update(group for group, _ in sends[1:])
            tracked = self._track([group for group, _ in heard])
            known, keep = tracked.last, tracked.note
        elif count and heard:
            known, keep = self._counts.last(first), functools.partial(self._counts.note, first)
        if known is not None and (self.bus.tells_changes or not heard):
            # Nobody is asked, and this bus takes each message at once.
            for group, message in heard:
                self.bus.publish(GROUP + group, self._pack(0, message))
            self._deliver(sends)
            note(sends[0][1], None)
            return known.with_more(more)
        ways = self._questions, self._heartbeats.living, self._deliver
        broadcast = Broadcast(sends, len(heard), more, known, keep, *ways, note)
        for group, message in heard:
            self.bus.publish(GROUP + group, self._pack(broadcast.number, message), broadcast.sent)
        if isinstance(broadcast.outcome, LayerUnavailable):
            raise broadcast.outcome
        return broadcast if broadcast.outcome is None else broadcast.outcome

    def _track(self, groups: Sequence[str]) -> TrackedCount:
        """What is known of the subscribers of a group and of its companions."""
        tracked = self._tracked.get(groups[0])
        if tracked is None or not all(self.bus.is_current(GROUP + group) for group in groups):
            tracked = self._tracked[groups[0]] = TrackedCount()
        return tracked

    def _forget_count(self, topic: str) -> None:
        group = topic.removeprefix(GROUP)
        self._tracked.pop(group, None)
        if group in self._companions:
            self._tracked.clear()

    def count_changed(self, group: str) -> None:
        """Called after each change of what :attr:`count_with` returns for a group: tell the other processes.

        Call it on the bus's event loop before a new subscriber is let in: then it is in the count of each publish that
        begins later, in any process. Safe in any thread; from other event loops it takes effect a moment later.
        """
        if not self.bus.tells_changes or not self.lives:
            return
        try:
            at_home = self.is_at_home()
        except RuntimeError:  # a thread without an event loop
            at_home = False
        if at_home:
            self.bus.tell_change(GROUP + group)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self.bus.tell_change, GROUP + group)

    def is_at_home(self) -> bool:
        """Whether the bus lives on the running event loop."""
        return self._loop is not None and self._loop is asyncio.get_running_loop()

    def broadcast_now(self, sends: Sends, *, count: bool = False) -> Reach:
        """:meth:`broadcast` for a thread without an event loop."""
        loop = self._loop
        if not self.lives or loop is None:
            self._publish_now([(GROUP + group, message) for group, message in sends])
            return Reach()
        try:
            return asyncio.run_coroutine_threadsafe(self._broadcast(sends, count), loop).result(TIMEOUT + 1)
        except (TimeoutError, FutureTimeoutError):  # two classes until Python 3.11
            raise LayerUnavailable("The server's event loop is blocked; the message may have been sent.") from None

    def _publish_now(self, contents: Sequence[tuple[str, Any]]) -> None:
        add_up(self.bus.publish_now([(topic, self._pack(0, content)) for topic, content in contents]))

    async def _broadcast(self, sends: Sends, count: bool) -> Reach:
        if self.bus.is_crowded():
            await self.bus.wait_for_room([GROUP + group for group, _ in sends])
        begun = self.begin(sends, count=count)
        return begun if isinstance(begun, Reach) else await begun.reach()

    def _deliver(self, sends: Sends) -> None:
        for group, message in sends:
            if group in self.local.groups:
                self.local.group_send_nowait(group, message)

    def _receive_group(self, group: str, message: dict[str, Any], *, count: bool) -> int:
        if group not in self.local.groups:
            self._leave_unused(group)
            return 0
        self.local.group_send_nowait(group, message)
        return self.count_with(message) if count else 0
