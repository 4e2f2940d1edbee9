"""What carries messages between processes, for :class:`eventcast.layers.cluster.ClusterLayer`."""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from eventcast.exceptions import LayerUnavailable

TIMEOUT = 1.7
"""Seconds within which a bus answers each call, also while Redis or a worker hangs: 2 s with the time for counts."""


Then = Callable[[int | LayerUnavailable], object]
"""Is called once with what has become of a payload: how many processes receive it, or why none does."""


def ignore(*arguments: object) -> None:
    """A callback that does nothing."""


class Bus(ABC):
    """Carries payloads to the processes that have subscribed to a topic. A process has one bus.

    A bus lives on one event loop: that of its last :meth:`start`. All methods but :meth:`publish_now` are called on it.
    """

    receive: Callable[[str, bytes], None] = staticmethod(ignore)
    """Called on the event loop with each topic and payload that arrives."""
    paused: Callable[[], None] = staticmethod(ignore)
    """Called on the event loop after the last message of each piece that was read."""
    lost: Callable[[str, int], None] = staticmethod(ignore)
    """Called on the event loop with a topic and the number of its payloads that this process dropped unsent."""
    returned: Callable[[], None] = staticmethod(ignore)
    """Called on the event loop when the other processes can be reached again."""
    encode: Callable[[Any], bytes]
    """Turns a message of plain types into bytes."""
    decode: Callable[[bytes], Any]
    """Turns bytes into a message. It may raise any exception for bytes of another program."""
    changed: Callable[[str], None] = staticmethod(ignore)
    """Called on the event loop with each topic that has other subscribers in other processes than before, if the bus
    :attr:`tells_changes`."""
    up = True
    """Whether the other processes can be reached now, as far as the bus knows."""
    tells_changes = False
    """Whether processes tell each other when their subscribers change, so that they may remember what they have
    answered. Such a bus takes each payload at once."""

    @abstractmethod
    async def start(self) -> None:
        """Begin on the running event loop, without subscriptions. Connections of an ended event loop are dropped.

        A bus that cannot reach the others now goes on trying, and :attr:`up` is False until then.
        """

    @abstractmethod
    async def close(self) -> None:
        """End what :meth:`start` has begun."""

    @abstractmethod
    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe to topics. Payloads published after this returns are received, while the bus is up.

        :raises LayerUnavailable: it is up and has not confirmed that within :data:`TIMEOUT`.
        """

    @abstractmethod
    def unsubscribe(self, topics: Sequence[str]) -> None:
        """End subscriptions soon. Payloads that arrive until then are received."""

    @abstractmethod
    def publish(self, topic: str, payload: bytes, then: Then = ignore) -> None:
        """Send a payload. Payloads arrive in the order of their publishing.

        :param then: called within :data:`TIMEOUT`, or before this returns: with the number of processes that receive
            it, each once. This process is among them if the bus returns to a process what it has published itself; the
            layer recognises that. Or with an error, whose text says whether the payload may have been sent.
        """

    async def published(self, topic: str, payload: bytes) -> int:
        """:meth:`publish` to be awaited."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.publish(topic, payload, functools.partial(settle, future))
        return await future

    def is_heard(self, topic: str) -> bool:
        """False if no other process hears a topic; True if one may."""
        return True

    def tell_change(self, topic: str) -> None:  # noqa: B027 (only if it tells changes)
        """Tell the processes that have published to a topic that its subscribers here have changed.

        When this returns, :meth:`is_current` is false in them, until they have called :attr:`changed`.
        """

    def is_current(self, topic: str) -> bool:
        """Whether this process knows all changes of those that hear a topic, and they all get what it publishes."""
        return False

    def is_crowded(self) -> bool:
        """Whether so many bytes wait to be sent that publishers should wait."""
        return False

    async def wait_for_room(self, topics: Sequence[str]) -> None:  # noqa: B027 (most buses are never crowded)
        """Wait, for a bounded time, while too many bytes are unsent to processes that subscribe to these topics."""

    def publish_now(self, sends: Sequence[tuple[str, bytes]]) -> Sequence[int | LayerUnavailable]:
        """:meth:`publish` topics and payloads without an event loop, in any thread of a process that has not started
        the bus.

        :raises LayerUnavailable: none can be sent, or what has become of them is not known.
        """
        raise LayerUnavailable("This process is not connected with the others; nothing was sent.")

    def suspect(self, reason: str) -> None:  # noqa: B027 (most buses have nothing to do)
        """The heartbeats of this process do not come back: a bus that returns them connects again."""


def settle(future: asyncio.Future[Any], result: Any) -> None:
    """Give a future its result or its exception, unless what waited for it has been cancelled."""
    if future.done():
        pass
    elif isinstance(result, LayerUnavailable):
        future.set_exception(result)
    else:
        future.set_result(result)
