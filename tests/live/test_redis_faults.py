"""Four processes over one Redis, and what may happen to it: nothing is heard twice or out of order, what may be lost is
said, and all is as before when Redis is."""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
CHANNELS = [f"/faults/{number}" for number in range(3)]

FEW, MANY = (36, 8), (2000, 20)
"""Subscribers and publishers."""

LONGEST = 2.0
"""Seconds in which each publish is answered. The test allows as many more for a busy machine."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """Ask for it before the servers, so that it outlives them."""
    server = Redis(tmp_path)
    yield server
    server.thaw()
    server.stop()


@dataclass(frozen=True)
class Sent:
    """A message, and how its publish was answered."""

    message: str
    status: int
    detail: str
    degraded: bool
    subscribers: int
    took: float


class Publisher:
    """Publishes numbered messages to a channel at one of the servers, one after the other."""

    def __init__(self, number: int, http: HTTP) -> None:
        self.name, self.channel = f"p{number}", CHANNELS[number % len(CHANNELS)]
        self.sent: list[Sent] = []
        self._http = http

    async def publish(self) -> Sent:
        loop = asyncio.get_running_loop()
        message, began = f"{self.name}:{len(self.sent)}", loop.time()
        answer = await self._http.post(self.channel, message)
        said = answer.json()
        self.sent.append(
            Sent(
                message,
                answer.status,
                said.get("detail", ""),
                said.get("degraded", False),
                said.get("subscribers", -1),
                loop.time() - began,
            )
        )
        return self.sent[-1]

    async def publish_until(self, end: asyncio.Event, pause: float) -> None:
        while not end.is_set():
            await self.publish()
            await asyncio.sleep(pause)


class Cluster:
    """The servers, their subscribers and publishers, and what must hold whatever happens."""

    def __init__(self, running: list[Server], listeners: list[tuple[str, WebSocket]], publishers: list[Publisher]):
        self.servers, self.listeners, self.publishers = running, listeners, publishers
        self.heard: dict[WebSocket, list[str]] = defaultdict(list)

    def expected(self, channel: str) -> int:
        return sum(each == channel for each, _ in self.listeners)

    async def publish_in_peace(self) -> None:
        """All messages are heard by all subscribers of their channel, and counted."""
        sent: list[tuple[str, Sent]] = []
        for publisher in self.publishers:
            sent += [(publisher.channel, await publisher.publish()) for _ in range(3)]
        assert {(each.status, each.degraded) for _, each in sent} == {(201, False)}, sent
        assert {each.subscribers - self.expected(channel) for channel, each in sent} == {0}, sent
        for channel, listener in self.listeners:
            wanted = {each.message for to, each in sent if to == channel}
            await until(lambda w=wanted, who=listener: w <= set(self.take(who)), "all is heard")  # type: ignore[misc]

    def take(self, listener: WebSocket) -> list[str]:
        listener.check()
        self.heard[listener] += [str(message) for message in listener.messages]
        listener.messages.clear()
        return self.heard[listener]

    async def counts_truly(self) -> bool:
        answers = [await publisher.publish() for publisher in self.publishers]
        return all(
            answer.status == 201 and not answer.degraded and answer.subscribers == self.expected(publisher.channel)
            for answer, publisher in zip(answers, self.publishers, strict=True)
        )

    def check(self) -> None:
        """Each subscriber has heard each publisher in its order and once, and nothing of what was not sent."""
        unsent = {each.message for each in self.all_sent() if "nothing was sent" in each.detail}
        for channel, listener in self.listeners:
            numbers: dict[str, list[int]] = defaultdict(list)
            for message in self.take(listener):
                assert message not in unsent
                name, _, number = message.partition(":")
                numbers[name].append(int(number))
            assert set(numbers) == {each.name for each in self.publishers if each.channel == channel}
            for found in numbers.values():
                assert found == sorted(set(found))
        assert max(each.took for each in self.all_sent()) < 2 * LONGEST

    def all_sent(self) -> list[Sent]:
        return [each for publisher in self.publishers for each in publisher.sent]


@pytest.fixture(params=[FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])
async def cluster(request: pytest.FixtureRequest, redis: Redis, start: Start, connect: Connect, http: Talk) -> Cluster:
    subscribers, publishing = request.param
    env = {"EVENTCAST_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0"}
    running = await asyncio.gather(*(asyncio.to_thread(start, servers.serve, env=env) for _ in range(PROCESSES)))
    listeners = []
    for number in range(subscribers):
        channel = CHANNELS[number % len(CHANNELS)]
        listeners.append((channel, await connect(running[number // len(CHANNELS) % PROCESSES], channel)))
    publishers = [Publisher(number, http(running[number % PROCESSES])) for number in range(publishing)]
    return Cluster(running, listeners, publishers)


async def test_whatever_happens_to_redis_is_said_and_heals(redis: Redis, cluster: Cluster, http: Talk) -> None:
    many = len(cluster.listeners) == MANY[0]
    readiness, done = http(cluster.servers[0]), list[object]()

    async def ready() -> int:
        return (await readiness.request("GET", "/-/health/ready")).status

    async def all_log(line: str) -> None:
        """Each server logs that once for each fault."""
        number = len(done) + 1
        await until(lambda: all(server.log.count(line) == number for server in cluster.servers), line)

    async def see_the_loss() -> None:
        await all_log("cannot be reached")
        await until(lambda: all(each.sent and each.sent[-1].degraded for each in cluster.publishers), "all go on")
        assert await ready() == 503

    async def cut_subscriptions() -> None:
        redis.command("CLIENT", "KILL", "TYPE", "pubsub")

    async def restart() -> None:
        redis.stop()
        await see_the_loss()
        redis.come_back()

    async def freeze() -> None:
        redis.freeze()
        await see_the_loss()
        if many:  # for longer than a heartbeat may be missing, and than the kernel's buffers tell nothing of it
            thaw_at = asyncio.get_running_loop().time() + 20
            await until(lambda: asyncio.get_running_loop().time() > thaw_at, "20 s", 30)
            assert all(each.sent[-1].degraded for each in cluster.publishers)
        redis.thaw()

    async def refuse() -> None:
        redis.command("ACL", "SETUSER", "default", "-publish")
        await see_the_loss()
        redis.command("ACL", "SETUSER", "default", "+publish")

    await cluster.publish_in_peace()
    redis.command("CONFIG", "SET", "maxmemory", "1")  # Redis goes on to publish then.
    await cluster.publish_in_peace()
    redis.command("CONFIG", "SET", "maxmemory", "0")
    for fault in (cut_subscriptions, restart, freeze, refuse):
        end = asyncio.Event()
        going_on = [asyncio.create_task(each.publish_until(end, 0.2 if many else 0.01)) for each in cluster.publishers]
        await fault()
        await all_log(" is back")
        done.append(fault)
        end.set()
        await asyncio.gather(*going_on)
        await until(cluster.counts_truly, f"counts are true after {fault.__name__}", 10)
        assert await ready() == 200
        await cluster.publish_in_peace()
    cluster.check()
    said = {each.detail for each in cluster.all_sent()}
    assert any("may have been sent" in detail for detail in said), said
    assert any("nothing was sent" in detail for detail in said), said
    for server in cluster.servers:
        lines = [line for line in server.log.splitlines() if "eventcast.layers" in line]
        assert [("cannot be reached" in line, " is back" in line) for line in lines] == [
            (True, False),
            (False, True),
        ] * 4


async def test_process_that_is_killed_is_out_of_the_counts_and_others_lose_nothing(cluster: Cluster) -> None:
    killed, turn = cluster.servers[-1], PROCESSES * len(CHANNELS)
    own = {one for number, (_, one) in enumerate(cluster.listeners) if number % turn >= turn - len(CHANNELS)}
    cluster.publishers = [each for number, each in enumerate(cluster.publishers) if (number + 1) % PROCESSES]
    await cluster.publish_in_peace()
    end = asyncio.Event()
    going_on = [asyncio.create_task(each.publish_until(end, 0.05)) for each in cluster.publishers]
    await until(lambda: all(len(each.sent) > 5 for each in cluster.publishers), "all publish on")
    killed.process.kill()
    await until(lambda: all(one.lost.done() for one in own), "its own subscribers are told")
    end.set()
    await asyncio.gather(*going_on)
    cluster.listeners = [(channel, one) for channel, one in cluster.listeners if one not in own]
    await until(cluster.counts_truly, "counts are true", 10)
    await cluster.publish_in_peace()
    cluster.check()
    for channel, listener in cluster.listeners:
        sent = {
            each.message for publisher in cluster.publishers if publisher.channel == channel for each in publisher.sent
        }
        assert sent == set(cluster.heard[listener])
