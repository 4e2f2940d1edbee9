"""What carries messages between processes, for :class:`eventcast.layers.cluster.ClusterLayer`."""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from eventcast.exceptions import LayerUnavailable

TIMEOUT = 1.7
"""Seconds in which a bus answers each call, whatever the state of what it runs on: 2 s with the time for counts."""


Then = Callable[[int | LayerUnavailable], object]
"""Is called once with what has become of a payload: how many processes receive it, or why none does."""


def ignore(*arguments: object) -> None:
    """What is called where nothing is to be done."""


class Bus(ABC):
    """Carries payloads to the processes that have subscribed to a topic. A process has one bus.

    A bus lives on one event loop: that of its last :meth:`start`. All methods but :meth:`publish_now` are called on it.
    """

    receive: Callable[[str, bytes], None] = staticmethod(ignore)
    """Called on the event loop with each topic and payload that arrives."""
    paused: Callable[[], None] = staticmethod(ignore)
    """Called on the event loop when all is received that has arrived in one piece."""
    lost: Callable[[str, int], None] = staticmethod(ignore)
    """Called on the event loop with a topic and the number of payloads that this process had for it and dropped."""
    returned: Callable[[], None] = staticmethod(ignore)
    """Called on the event loop when the other processes can be reached again."""
    encode: Callable[[Any], bytes]
    """Turns a message of plain types into bytes."""
    decode: Callable[[bytes], Any]
    """The reverse. It may raise anything for bytes of another program."""
    up = True
    """Whether the other processes can be reached now, as far as the bus knows."""

    @abstractmethod
    async def start(self) -> None:
        """Begin on the running event loop, without subscriptions. What was left on a loop that has ended is dropped.

        A bus that cannot reach the others now goes on trying, and :attr:`up` is False until then.
        """

    @abstractmethod
    async def close(self) -> None:
        """End what :meth:`start` has begun."""

    @abstractmethod
    async def subscribe(self, topics: Sequence[str]) -> None:
        """What is published to these topics after this has returned is received, while the bus is up.

        :raises LayerUnavailable: it is up and has not confirmed that within :data:`TIMEOUT`.
        """

    @abstractmethod
    def unsubscribe(self, topics: Sequence[str]) -> None:
        """End subscriptions soon. What arrives until then is received."""

    @abstractmethod
    def publish(self, topic: str, payload: bytes, then: Then = ignore) -> None:
        """Send a payload. What is published first arrives first.

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

    def is_crowded(self) -> bool:
        """Whether so much waits to be sent that publishers should wait."""
        return False

    async def wait_for_room(self, topics: Sequence[str]) -> None:  # noqa: B027 (most buses are never crowded)
        """Wait while too much waits to be sent to processes that hear these topics, within a bound of time."""

    def publish_now(self, sends: Sequence[tuple[str, bytes]]) -> Sequence[int | LayerUnavailable]:
        """:meth:`publish` topics and payloads without an event loop, in any thread of a process that has not started
        the bus.

        :raises LayerUnavailable: none can be sent, or what has become of them is not known.
        """
        raise LayerUnavailable("This process is not connected with the others; nothing was sent.")

    def suspect(self, reason: str) -> None:  # noqa: B027 (most buses have nothing to do)
        """What this process has published to itself did not come back: a bus that returns it connects again."""


def settle(future: asyncio.Future[Any], result: Any) -> None:
    """Give a future its result or its exception, unless what waited for it has been cancelled."""
    if future.done():
        pass
    elif isinstance(result, LayerUnavailable):
        future.set_exception(result)
    else:
        future.set_result(result)
