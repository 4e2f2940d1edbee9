"""Four processes over one Redis, and what may happen to it and to them: nothing is heard twice or out of order, what
may be lost is said, and all is as before when Redis is."""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.live import servers
from tests.live.clients import WebSocket
from tests.live.conftest import Connect, Start, Talk
from tests.live.http_client import HTTP
from tests.live.redis_server import Redis
from tests.live.servers import Server
from tests.live.waiting import until

pytest.importorskip("redis")
if shutil.which("redis-server") is None:
    pytest.skip("redis-server is not installed", allow_module_level=True)

PROCESSES = 4

LONGEST = 2.0
"""Seconds in which each publish is answered. The test allows as many more for a busy machine."""

COUNTED = 10.0
"""Seconds after a fault until counts are true."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """Ask for it before the servers, so that it outlives them."""
    server = Redis(tmp_path)
    yield server
    server.thaw()
    server.stop()


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(eq=False)
class Listener:
    """A subscriber of a channel at one of the servers."""

    channel: str
    server: Server
    socket: WebSocket
    since: float
    heard: list[str] = field(default_factory=list)

    def take(self) -> list[str]:
        self.socket.check()
        self.heard += [str(message) for message in self.socket.messages]
        self.socket.messages.clear()
        return self.heard


@dataclass(frozen=True)
class Sent:
    """A message, and how its publish was answered."""

    message: str
    server: Server
    expected: int
    """Subscribers that it should reach."""
    began: float
    ended: float
    status: int
    """0 without an answer."""
    said: dict[str, Any]

    @property
    def detail(self) -> str:
        return str(self.said.get("detail", ""))

    @property
    def is_true(self) -> bool:
        """Whether it says that it has reached all subscribers, by the last count perhaps."""
        return self.said.get("subscribers") == self.expected and not {"degraded", "partial"} & set(self.said)

    @property
    def is_partial(self) -> bool:
        """Whether it says that a process did not count in time, as one on a busy machine may not."""
        return bool(self.said.get("missing")) and "degraded" not in self.said


class Publisher:
    """Publishes numbered messages to a channel at one of the servers, one after the other."""

    def __init__(self, name: str, channel: str, cluster: Cluster, server: Server, http: HTTP) -> None:
        self.name, self.channel, self.sent = name, channel, list[Sent]()
        self.server, self.http = server, http
        self._cluster = cluster

    async def publish(self) -> Sent:
        message, server, began = f"{self.name}:{len(self.sent)}", self.server, now()
        expected = self._cluster.count(self.channel)
        try:
            answer = await self.http.post(self.channel, message)
            status, said = answer.status, answer.json()
        except OSError:
            status, said = 0, {}
        self.sent.append(Sent(message, server, expected, began, now(), status, said))
        return self.sent[-1]

    async def publish_until(self, end: asyncio.Event, pause: float) -> None:
        while not end.is_set():
            await self.publish()
            await asyncio.sleep(pause)


class Cluster:
    """The servers, their subscribers and publishers, and what must hold whatever happens."""

    def __init__(self, running: list[Server]) -> None:
        self.servers = running
        self.listeners: list[Listener] = []
        self.publishers: list[Publisher] = []
        self.away: list[tuple[float, float]] = []
        """When Redis was away: all of that time, until all servers have said that it is back."""

    def count(self, channel: str) -> int:
        return sum(each.channel == channel for each in self.listeners)

    async def publish_in_peace(self) -> None:
        """All messages are heard by all subscribers of their channel, and counted or said to be in part."""
        for _ in range(3):
            sent = await asyncio.gather(*(publisher.publish() for publisher in self.publishers))
            assert all(each.is_true or each.is_partial for each in sent), sent
        for listener in self.listeners:
            wanted = {each.sent[-1].message for each in self.publishers if each.channel == listener.channel}
            await until(lambda w=wanted, who=listener: w <= set(who.take()[-1000:]), "all is heard")  # type: ignore[misc]

    async def counts_truly(self) -> bool:
        return all([(await publisher.publish()).is_true for publisher in self.publishers])

    def check(self) -> None:
        """Each subscriber has heard each publisher in its order and once, all but what was published while Redis was
        away and was not said to have reached all, and nothing of what was not sent."""
        for listener in self.listeners:
            numbers: dict[str, list[int]] = defaultdict(list)
            for message in listener.take():
                name, _, number = message.partition(":")
                numbers[name].append(int(number))
            own = [each for each in self.publishers if each.channel == listener.channel]
            assert set(numbers) == {each.name for each in own}
            for publisher in own:
                found = numbers[publisher.name]
                assert found == sorted(set(found)), publisher.name
                self._check(listener, publisher.sent, set(found))

    def _check(self, listener: Listener, sent: list[Sent], heard: set[int]) -> None:
        for number, each in enumerate(sent):
            if number in heard:
                assert "nothing was sent" not in each.detail, each
            elif each.status in (201, 202) and each.began >= listener.since:
                assert each.server is not listener.server, f"lost in its own process: {each}"
                assert not each.is_true or "counted" in each.said, f"lost, and not said: {each}"
                assert any(start <= each.ended and each.began <= end for start, end in self.away), each


class Faults:
    """What happens to Redis, and when all servers have seen it."""

    def __init__(self, redis: Redis, cluster: Cluster, connect: Connect, http: Talk, frozen: float) -> None:
        self.redis, self.cluster, self.frozen = redis, cluster, frozen
        self.faults = 0
        self._connect = connect
        self._readiness = [http(server) for server in cluster.servers]

    async def statuses(self) -> set[int]:
        return {(await each.request("GET", "/-/health/ready")).status for each in self._readiness}

    async def all_log(self, line: str) -> None:
        """Each server logs that once for each fault."""
        await until(lambda: all(each.log.count(line) == self.faults for each in self.cluster.servers), line)

    async def see_the_loss(self) -> None:
        await self.all_log("cannot be reached")
        publishers = self.cluster.publishers
        await until(lambda: all(each.sent[-1].said.get("degraded") for each in publishers), "all go on")
        assert await self.statuses() == {503}
        channel, server = publishers[0].channel, self.cluster.servers[0]
        newcomer = await self._connect(server, channel)
        self.cluster.listeners.append(Listener(channel, server, newcomer, now()))

    async def cut_subscriptions(self) -> None:
        self.redis.command("CLIENT", "KILL", "TYPE", "pubsub")

    async def restart(self) -> None:
        self.redis.stop()
        await self.see_the_loss()
        self.redis.come_back()

    async def freeze(self) -> None:
        self.redis.freeze()
        end = now() + self.frozen
        await self.see_the_loss()
        await asyncio.sleep(end - now())
        self.redis.thaw()

    async def refuse(self) -> None:
        self.redis.command("ACL", "SETUSER", "default", "-publish")
        await self.see_the_loss()
        self.redis.command("ACL", "SETUSER", "default", "+publish")


async def open_listeners(cluster: Cluster, connect: Connect, places: list[tuple[str, Server]]) -> None:
    for start in range(0, len(places), 100):
        group = places[start : start + 100]
        sockets = await asyncio.gather(*(connect(server, channel) for channel, server in group))
        cluster.listeners += [Listener(*place, socket, now()) for place, socket in zip(group, sockets, strict=True)]


@pytest.mark.parametrize(
    ("subscribers", "publishers", "channels", "pause", "frozen"),
    [(36, 8, 3, 0.01, 0.0), pytest.param(2000, 20, 20, 0.2, 20.0, marks=pytest.mark.slow)],
    ids=["few", "many"],
)
async def test_whatever_happens_to_redis_or_a_process_is_said_and_heals(
    subscribers: int,
    publishers: int,
    channels: int,
    pause: float,
    frozen: float,
    redis: Redis,
    start: Start,
    connect: Connect,
    http: Talk,
) -> None:
    env = {"EVENTCAST_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0"}
    running = await asyncio.gather(*(asyncio.to_thread(start, servers.serve, env=env) for _ in range(PROCESSES)))
    cluster = Cluster(running)
    numbers = range(subscribers)
    places = [(f"/faults/{n % channels}", cluster.servers[n // channels % PROCESSES]) for n in numbers]
    await open_listeners(cluster, connect, places)
    for number in range(publishers):
        server = cluster.servers[number % PROCESSES]
        cluster.publishers.append(
            Publisher(f"p{number}", f"/faults/{number % channels}", cluster, server, http(server))
        )

    await cluster.publish_in_peace()
    redis.command("CONFIG", "SET", "maxmemory", "1")  # Redis goes on to publish then.
    await cluster.publish_in_peace()
    redis.command("CONFIG", "SET", "maxmemory", "0")
    faults = Faults(redis, cluster, connect, http, frozen)
    for fault in (faults.cut_subscriptions, faults.restart, faults.freeze, faults.refuse):
        end, began = asyncio.Event(), now()
        going_on = [asyncio.create_task(each.publish_until(end, pause)) for each in cluster.publishers]
        faults.faults += 1
        await fault()
        await faults.all_log(" is back")
        cluster.away.append((began, now()))
        end.set()
        await asyncio.gather(*going_on)
        await until(cluster.counts_truly, f"counts are true after {fault.__name__}", COUNTED)
        assert await faults.statuses() == {200}
        await cluster.publish_in_peace()
    for server in cluster.servers:
        lines = [line for line in server.log.splitlines() if "eventcast.layers" in line]
        told = [("cannot be reached" in line, " is back" in line) for line in lines]
        assert told == [(True, False), (False, True)] * faults.faults

    # One process is killed: its own subscribers come back elsewhere, and no other one loses anything.
    end, killed = asyncio.Event(), cluster.servers[-1]
    going_on = [asyncio.create_task(each.publish_until(end, pause)) for each in cluster.publishers]
    killed.kill()
    for publisher in [each for each in cluster.publishers if each.server is killed]:
        publisher.server, publisher.http = cluster.servers[0], http(cluster.servers[0])
    gone = [each for each in cluster.listeners if each.server is killed]
    await asyncio.gather(*(each.socket.wait_closed() for each in gone))
    cluster.listeners = [each for each in cluster.listeners if each.server is not killed]
    await open_listeners(cluster, connect, [(each.channel, cluster.servers[0]) for each in gone])
    end.set()
    await asyncio.gather(*going_on)
    await until(cluster.counts_truly, "counts are true after a process was killed", COUNTED)
    await cluster.publish_in_peace()

    cluster.check()
    sent = [each for publisher in cluster.publishers for each in publisher.sent]
    slowest = max(each.ended - each.began for each in sent)
    print(f"{len(sent)} messages, the slowest answer took {slowest:.2f} s")
    assert slowest < 2 * LONGEST
    said = {each.detail for each in sent}
    assert any("may have been sent" in detail for detail in said), said
    assert any("nothing was sent" in detail for detail in said), said
