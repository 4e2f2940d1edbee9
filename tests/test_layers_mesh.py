"""The bus between workers: several in one process, linked by pairs of sockets as their parent makes them."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from eventcast.layers import links
from eventcast.layers.links import Changes, Peer
from eventcast.layers.mesh import MeshBus
from tests.layer_tools import link_with, shared_changes
from tests.live.waiting import until


class Member(MeshBus):
    """A bus that keeps what it receives."""

    def __init__(self, peers: Iterable[Peer], changes: Changes, slot: int) -> None:
        super().__init__(peers, changes, slot)
        self.heard: list[tuple[str, bytes]] = []
        self.dropped: list[str] = []
        self.receive = lambda topic, payload: self.heard.append((topic, payload))
        self.lost = lambda topic, number: self.dropped.append(topic)


@pytest.fixture
async def members() -> AsyncIterator[list[Member]]:
    """Three that are linked with each other."""
    made: list[Member] = []
    for _ in range(3):
        await add(made)
    yield made
    for member in made:
        await member.close()


async def add(members: list[Member]) -> Member:
    """Start one more."""
    changes = members[0]._changes if members else shared_changes()
    new = Member(link_with(members), changes, len(members))
    await new.start()
    members.append(new)
    return new


async def test_publish_reaches_subscribers_and_says_how_many_processes(members: list[Member]) -> None:
    await members[1].subscribe(["a", "b"])
    await members[2].subscribe(["b"])
    await members[0].subscribe(["b"])
    assert [await members[0].published(topic, topic.encode()) for topic in ("a", "b", "c")] == [1, 2, 0]
    await until(lambda: members[1].heard == [("a", b"a"), ("b", b"b")])
    await until(lambda: members[2].heard == [("b", b"b")])
    assert members[0].heard == []


async def test_what_is_published_after_subscribing_is_heard(members: list[Member]) -> None:
    for number in range(50):
        await members[0].subscribe([f"t{number}"])
        assert await members[1].published(f"t{number}", b"") == 1


async def test_messages_stay_whole_and_in_order(members: list[Member]) -> None:
    await members[1].subscribe(["t"])
    sent = [b"x" * size + b"%d" % number for number, size in enumerate([0, 10, 300_000, 5_000_000, 1] * 5)]
    for payload in sent:
        await members[0].wait_for_room(["t"])
        await members[0].published("t", payload)
    await until(lambda: len(members[1].heard) == len(sent))
    assert [payload for _, payload in members[1].heard] == sent


async def test_unsubscribed_topic_is_not_received(members: list[Member]) -> None:
    await members[1].subscribe(["t", "u"])
    members[1].unsubscribe(["t"])
    await members[1].subscribe(["v"])  # confirmed: so is what was said before
    assert [await members[0].published(topic, b"") for topic in ("t", "u")] == [0, 1]


async def test_others_are_told_once_that_a_subscription_has_ended(members: list[Member]) -> None:
    await members[1].subscribe(["t"])
    link = next(iter(members[1]._links))
    members[1].unsubscribe(["t"])
    pending = link.pending
    assert pending
    members[1].unsubscribe(["t"])
    assert link.pending == pending


def test_child_that_was_forked_while_the_site_was_loaded_holds_no_link() -> None:
    ours, theirs = socket.socketpair()
    MeshBus([Peer(1, 1, ours)], shared_changes(), 0).disown()
    assert theirs.recv(1) == b""
    theirs.close()


async def test_new_worker_knows_topics_and_is_asked_to_confirm(members: list[Member]) -> None:
    await members[0].subscribe(["old"])
    new = await add(members)
    assert await new.published("old", b"1") == 1
    await members[0].subscribe(["later"])
    assert await new.published("later", b"2") == 1


async def test_topics_of_a_worker_that_ends_are_forgotten_and_what_it_published_is_heard(members: list[Member]) -> None:
    await members[0].subscribe(["t"])
    await members[1].subscribe(["t"])
    await members[0].published("t", b"last")
    await members[0].close()
    await until(lambda: members[1].heard == [("t", b"last")])

    async def is_forgotten() -> bool:
        return await members[2].published("t", b"") == 1

    await until(is_forgotten)
    await members[2].subscribe(["u"])


async def test_worker_that_does_not_read_holds_nothing_up_and_loses_what_is_over_the_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(links, "PATIENCE", 0.01)
    monkeypatch.setattr("eventcast.layers.mesh.PATIENCE", 0.01)
    ours, theirs = socket.socketpair()
    member = Member([Peer(7, 7, ours)], shared_changes(), 0)
    theirs.sendall(links.frame(links.HELLO, "", b"") + links.frame(links.TOPICS, "", b"t"))
    await member.start()
    link = next(iter(member._links))
    await until(lambda: link.serves)
    await member.subscribe(["u"])  # never confirmed
    assert link.stuck
    sent = 0
    while not member.dropped:
        await member.published("t", b"x" * 1_000_000)
        sent += 1
    assert sent > links.BOUND // 1_000_000
    assert member.dropped == ["t"]
    assert "Worker 7 does not read" in caplog.text
    theirs.setblocking(False)

    while link.pending:
        await asyncio.get_running_loop().sock_recv(theirs, 1_000_000)
    assert "Worker 7 reads again; 1 messages for it were lost" in caplog.text
    await member.published("t", b"heard")
    await until(lambda: not link.pending)
    assert len(member.dropped) == 1
    theirs.close()
    await member.close()


async def test_publisher_waits_for_a_worker_that_reads_slowly(members: list[Member]) -> None:
    await members[1].subscribe(["t"])
    for _ in range(100):
        await members[0].wait_for_room(["t"])
        await members[0].published("t", b"x" * 1_000_000)
    assert members[0].dropped == []
    await until(lambda: len(members[1].heard) == 100)


class Starved:
    """A socket of a machine without memory: each call fails the first time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket, self.failed = sock, set[str]()

    def __getattr__(self, name: str) -> Any:
        if name in ("sendmsg", "recv") and name not in self.failed:
            self.failed.add(name)
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return getattr(self._socket, name)


async def test_link_outlives_a_moment_without_memory(members: list[Member], monkeypatch: pytest.MonkeyPatch) -> None:
    await members[1].subscribe(["t"])
    starved = []
    for member in members[:2]:
        [link] = [each for each in member._links if each.number == 1 - members.index(member)]
        starved.append(Starved(link.socket))
        monkeypatch.setattr(link, "socket", starved[-1])
    for number in range(3):
        await members[0].published("t", b"%d" % number)
    await until(lambda: members[1].heard == [("t", b"0"), ("t", b"1"), ("t", b"2")])
    assert [each.failed for each in starved] == [{"sendmsg"}, {"recv"}]
