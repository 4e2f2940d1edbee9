"""Several processes in one: buses that a :class:`Switch` connects, with whatever faults a test wants."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from typing import Any

from eventcast.exceptions import LayerUnavailable
from eventcast.layers.bus import Bus, Then, ignore
from eventcast.layers.cluster import ClusterLayer


class Switch:
    """What connects the buses.

    :param returns: whether a process gets what it publishes itself, as with Redis.
    """

    def __init__(self, *, returns: bool) -> None:
        self.returns = returns
        self.buses: list[SharedBus] = []
        self.published: list[str] = []
        """The topics of all that was published."""
        self.refusal: LayerUnavailable | None = None

    def layer(self, **options: Any) -> ClusterLayer:
        """The channel layer of one more process."""
        self.buses.append(SharedBus(self))
        return ClusterLayer(self.buses[-1], **options)


class SharedBus(Bus):
    encode = staticmethod(pickle.dumps)
    decode = staticmethod(pickle.loads)

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self.topics: set[str] = set()
        self.deaf = False
        self.suspicions: list[str] = []

    async def start(self) -> None:
        self.topics.clear()

    async def close(self) -> None:
        self.topics.clear()

    async def subscribe(self, topics: Sequence[str]) -> None:
        await asyncio.sleep(0)
        self.topics.update(topics)

    def unsubscribe(self, topics: Sequence[str]) -> None:
        self.topics.difference_update(topics)

    def publish(self, topic: str, payload: bytes, then: Then = ignore) -> None:
        refusal = self._switch.refusal
        then(self._send(topic, payload) if refusal is None else refusal)

    def _send(self, topic: str, payload: bytes) -> int:
        self._switch.published.append(topic)
        receivers = [bus for bus in self._switch.buses if topic in bus.topics]
        if not self._switch.returns:
            receivers = [bus for bus in receivers if bus is not self]
        for bus in receivers:
            if not bus.deaf:
                asyncio.get_running_loop().call_soon(bus.arrive, topic, payload)
        return len(receivers)

    def arrive(self, topic: str, payload: bytes) -> None:
        self.receive(topic, payload)
        self.paused()

    def suspect(self, reason: str) -> None:
        self.suspicions.append(reason)
