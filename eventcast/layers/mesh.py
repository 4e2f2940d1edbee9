"""The bus between the worker processes of one machine: each is linked to each other one by a pair of Unix sockets.

The parent of the workers makes the pairs, so that only these processes have an end of them. Nothing here is a promise
beyond one machine. Each worker knows the topics of all others: so a message goes only where it is wanted, and
:meth:`MeshBus.publish` knows at once how many processes that are.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
import struct
from collections.abc import Iterable, Sequence

from eventcast.layers.bus import Bus, Then, ignore
from eventcast.layers.links import (
    BOUND,
    CHANGE,
    CONFIRM,
    HELLO,
    HIGH_WATER,
    MESSAGE,
    PATIENCE,
    SUBSCRIBE,
    TOPICS,
    UNSUBSCRIBE,
    Changes,
    Link,
    Peer,
    frame,
    within,
)

NUMBER = struct.Struct("!Q")

GREETING = 5.0
"""Seconds that a new worker waits for the topics of the others."""

FAREWELL = 1.0
"""Seconds in which pending frames may still leave when a worker ends."""


class MeshBus(Bus):
    """The bus of one worker. A process does not receive its own messages from it.

    :param peers: the workers that there are.
    :param changes: the numbers that all workers see.
    :param slot: of this worker in them.
    """

    # Both ends of a link are the same program, and no other program has an end.
    encode = staticmethod(pickle.dumps)
    decode = staticmethod(pickle.loads)

    tells_changes = True

    def __init__(self, peers: Iterable[Peer], changes: Changes, slot: int) -> None:
        self._peers, self._changes, self._slot = list(peers), changes, slot
        self._topics: set[str] = set()
        self._links: set[Link] = set()
        self._wanting: dict[str, tuple[Link, ...]] = {}
        """The links whose workers have subscribed to a topic. The tuples are never changed."""
        self._numbers = itertools.count(1)
        self._unconfirmed: dict[int, tuple[set[Link], asyncio.Future[None]]] = {}

    async def start(self) -> None:
        """Begin on the running event loop, and wait until the topics of the workers that there are are known."""
        await within(GREETING, *[self.link(peer).greeted for peer in self._peers])

    def link(self, peer: Peer) -> Link:
        """Connect this worker with another one."""
        link = Link(peer, self._changes, self._slot, self._take, lambda: self.paused(), self._forget)
        self._links.add(link)
        return link

    async def close(self) -> None:
        """Send the pending frames, then end all links."""
        loop = asyncio.get_running_loop()
        end = loop.time() + FAREWELL
        while any(link.pending for link in self._links) and loop.time() < end:  # noqa: ASYNC110 (no event for it)
            await asyncio.sleep(0.01)
        for link in list(self._links):
            link.close()

    def disown(self) -> None:
        """Close the sockets in a forked child, or the others would not see when this worker ends."""
        for sock in [peer.socket for peer in self._peers] + [link.socket for link in self._links]:
            sock.close()

    async def subscribe(self, topics: Sequence[str]) -> None:
        self._topics.update(topics)
        number = next(self._numbers)
        said = frame(SUBSCRIBE, "", NUMBER.pack(number) + "\n".join(topics).encode())
        asked = {link for link in self._links if link.serves}
        waited_for = {link for link in asked if not link.stuck}
        for link in asked:
            link.put(said)
        if not waited_for:
            return
        done = asyncio.get_running_loop().create_future()
        self._unconfirmed[number] = waited_for, done
        try:
            await asyncio.wait({done}, timeout=PATIENCE)
        finally:
            for link in self._unconfirmed.pop(number)[0]:
                link.stuck = link.stuck or not done.done()

    def unsubscribe(self, topics: Sequence[str]) -> None:
        topics = [topic for topic in topics if topic in self._topics]
        if not topics:
            return  # Each message that comes too late asks for this again.
        self._topics.difference_update(topics)
        said = frame(UNSUBSCRIBE, "", "\n".join(topics).encode())
        for link in self._links:
            link.relies_on.difference_update(topics)
            if link.serves:
                link.put(said)

    def publish(self, topic: str, payload: bytes, then: Then = ignore) -> None:
        links = self._wanting.get(topic, ())
        message = frame(MESSAGE, topic, payload) if links else b""
        for link in links:
            if link.pending < BOUND:
                link.put(message)
            else:
                link.lose()
                self.lost(topic, 1)
        then(len(links))

    def is_heard(self, topic: str) -> bool:
        return topic in self._wanting

    def tell_change(self, topic: str) -> None:
        for link in self._links:
            link.tell_change(topic)

    def is_current(self, topic: str) -> bool:
        return all(map(Link.is_current, self._wanting.get(topic, ())))

    def is_crowded(self) -> bool:
        return any(link.pending >= HIGH_WATER and not link.stuck for link in self._links)

    async def wait_for_room(self, topics: Sequence[str]) -> None:
        for link in {link for topic in topics for link in self._wanting.get(topic, ())}:
            await link.wait_for_room()

    def _take(self, link: Link, kind: int, topic: str, payload: bytes) -> None:
        """Take a frame that came over a link."""
        if kind == MESSAGE:
            if topic in self._topics:
                link.relies_on.add(topic)
            self.receive(topic, payload)  # Also one that has come too late: it may ask for a count.
        elif kind == HELLO:
            link.serves = True
            link.put(frame(TOPICS, "", "\n".join(self._topics).encode()))
        elif kind == TOPICS:
            self._add(link, payload)
            link.greeted.set()
        elif kind == SUBSCRIBE:
            self._add(link, payload[NUMBER.size :])
            link.put(frame(CONFIRM, "", payload[: NUMBER.size]))
        elif kind == CONFIRM:
            self._confirm(link, NUMBER.unpack(payload)[0])
        elif kind == UNSUBSCRIBE:
            self._discard(link, set(payload.decode().split("\n")))
        elif kind == CHANGE:
            link.know_change()
            self.changed(topic)

    def _add(self, link: Link, topics: bytes) -> None:
        for topic in topics.decode().split("\n") if topics else ():
            if topic not in link.topics:
                link.topics.add(topic)
                self._wanting[topic] = (*self._wanting.get(topic, ()), link)
                self.changed(topic)

    def _discard(self, link: Link, topics: set[str]) -> None:
        for topic in topics & link.topics:
            if rest := tuple(each for each in self._wanting[topic] if each is not link):
                self._wanting[topic] = rest
            else:
                del self._wanting[topic]
            self.changed(topic)
        link.topics -= topics

    def _confirm(self, link: Link, number: int) -> None:
        if number in self._unconfirmed:
            missing, done = self._unconfirmed[number]
            missing.discard(link)
            if not missing and not done.done():
                done.set_result(None)

    def _forget(self, link: Link) -> None:
        """A link is closed."""
        self._links.discard(link)
        self._discard(link, set(link.topics))
        for number in list(self._unconfirmed):
            self._confirm(link, number)
