"""What carries messages between processes, for :class:`eventcast.layers.cluster.ClusterLayer`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from eventcast.exceptions import LayerUnavailable

TIMEOUT = 1.7
"""Seconds in which a bus answers each call, whatever the state of what it runs on: 2 s with the time for counts."""


def ignore(topic: str, payload: bytes) -> None:
    """What a bus calls until a layer has set its ``receive``."""


class Bus(ABC):
    """Carries payloads to the processes that have subscribed to a topic. A process has one bus.

    A bus lives on one event loop: that of its last :meth:`start`. All methods but :meth:`publish_now` are called on it.
    """

    receive: Callable[[str, bytes], None] = staticmethod(ignore)
    """Called on the event loop with each topic and payload that arrives."""
    lost: Callable[[str, int], None] = staticmethod(lambda topic, number: None)
    """Called on the event loop with a topic and the number of payloads that this process had for it and dropped."""
    returned: Callable[[], None] = staticmethod(lambda: None)
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
    def publish(self, topic: str, payload: bytes) -> asyncio.Future[int]:
        """Send a payload. What is published first arrives first.

        The result comes within :data:`TIMEOUT`: the number of processes that receive it, each once. This process is
        among them if the bus returns to a process what it has published itself; the layer recognises that.

        The future's exception is ``LayerUnavailable``. Its text says whether the payload may have been sent.
        """

    def is_heard(self, topic: str) -> bool | None:
        """Whether another process hears a topic, where :meth:`publish` is over at once; None if it may take a while."""
        return None

    def publish_now(self, topic: str, payload: bytes) -> int:
        """:meth:`publish` without an event loop, in any thread of a process that has not started the bus.

        :raises LayerUnavailable: likewise.
        """
        raise LayerUnavailable("This process is not connected with the others; nothing was sent.")

    def suspect(self, reason: str) -> None:  # noqa: B027 (most buses have nothing to do)
        """What this process has published to itself did not come back: a bus that returns it connects again."""
