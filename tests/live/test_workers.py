"""``eventcast serve --workers N``: one eventcast of several processes, whatever happens to one of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from tests.live import servers
from tests.live.clients import WebSocket
from tests.live.conftest import Connect, Start, Talk
from tests.live.http_client import HTTP
from tests.live.servers import Server
from tests.live.waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers need Linux")

WORKERS = 4
CONNECTIONS = 400
CHANNELS = [f"/workers/{number}" for number in range(4)]
PUBLISHERS = 20


def pids(server: Server) -> list[int]:
    """The processes of the workers, the oldest first."""
    return sorted(map(int, Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()))


def shares(server: Server) -> dict[int, int]:
    """How many connections each worker has."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{server.port:04X}") and row[3] == "01"}
    return {pid: sum(os.readlink(each) in ours for each in Path(f"/proc/{pid}/fd").iterdir()) for pid in pids(server)}


async def wait_for_workers(server: Server, count: int, *, without: int = 0) -> None:
    """Wait until so many workers serve, and one process is not among them."""

    async def there() -> bool:
        found = pids(server)
        return len(found) == count and without not in found

    await until(there, f"{count} workers\n{server.log}", 60)


class Publisher:
    """Publishes its number and a count to a channel, one message after the other."""

    def __init__(self, number: int, http: HTTP, channel: str) -> None:
        self.number, self.channel = number, channel
        self.sent = self.answered = 0
        self.doubtful: set[int] = set()
        """Counts without an answer, because their connection was cut: they may have been heard or not."""
        self._http = http

    async def publish(self, count: int) -> None:
        for _ in range(count):
            await self._publish_one()

    async def publish_until(self, end: asyncio.Event, pause: float = 0.1) -> None:
        while not end.is_set():
            await self._publish_one()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(end.wait(), pause)

    async def _publish_one(self) -> None:
        self.sent += 1
        try:
            answer = await self._http.post(self.channel, f"{self.number}:{self.sent}")
        except OSError:
            self.doubtful.add(self.sent)
        else:
            assert answer.status in (201, 202), answer
            self.answered = self.sent


class Listener:
    """A subscriber of a channel from before the first message."""

    def __init__(self, socket: WebSocket, channel: str) -> None:
        self.socket, self.channel = socket, channel

    def counts(self, publisher: Publisher) -> list[int]:
        """What it has heard of a publisher, but for what is doubtful."""
        pairs = (str(message).split(":") for message in self.socket.messages)
        return [
            int(count)
            for number, count in pairs
            if int(number) == publisher.number and int(count) not in publisher.doubtful
        ]

    def check(self, publishers: list[Publisher], least: dict[int, int]) -> None:
        """Fail unless it has heard its channel's publishers, each once and in order, up to at least these counts."""
        for publisher in publishers:
            if publisher.channel == self.channel:
                counts = self.counts(publisher)
                last = max([least[publisher.number], *counts])
                assert counts == [each for each in range(1, last + 1) if each not in publisher.doubtful]


async def open_all(connect: Connect, server: Server, count: int) -> list[Listener]:
    """Subscribers, a fourth of them to each channel."""
    channels = [CHANNELS[number % len(CHANNELS)] for number in range(count)]
    found = []
    for start in range(0, count, 100):
        sockets = await asyncio.gather(*(connect(server, each) for each in channels[start : start + 100]))
        found += [Listener(*pair) for pair in zip(sockets, channels[start:], strict=False)]
    return found


async def check_all(listeners: list[Listener], publishers: list[Publisher]) -> None:
    """Fail unless all hear all that was published, soon."""
    answered = {each.number: each.answered for each in publishers}

    def heard() -> bool:
        for listener in listeners:
            own = [each for each in publishers if each.channel == listener.channel]
            wanted = sum(answered[each.number] - sum(n <= answered[each.number] for n in each.doubtful) for each in own)
            if len(listener.socket.messages) < wanted:
                return False
        return True

    await until(heard, "all that was published")
    for listener in listeners:
        listener.check(publishers, answered)


@pytest.mark.parametrize(
    ("connections", "pause"), [(400, 0.2), pytest.param(2000, 0.1, marks=pytest.mark.slow)], ids=["few", "many"]
)
async def test_workers_are_one_server_though_one_is_killed(
    connections: int, pause: float, start: Start, connect: Connect, http: Talk
) -> None:
    """One test for all this, because starting the workers takes longer than each part."""
    server = start(servers.serve, "--workers", str(WORKERS), env={"EVENTCAST_DRAIN": "1"})
    listeners = await open_all(connect, server, connections)
    connected = shares(server)
    assert len(connected) == WORKERS
    assert sum(connected.values()) == connections
    assert max(connected.values()) <= 1.5 * connections / WORKERS

    # The subscribers and the publishers of each channel are spread over all workers.
    publishers = [Publisher(number, http(server), CHANNELS[number % 4]) for number in range(PUBLISHERS)]
    await asyncio.gather(*(publisher.publish(10) for publisher in publishers))
    await check_all(listeners, publishers)

    # One worker is killed while all publish on: its own subscribers come back, and no other one loses anything.
    end = asyncio.Event()
    tasks = [asyncio.create_task(publisher.publish_until(end, pause)) for publisher in publishers]
    killed = pids(server)[0]
    os.kill(killed, signal.SIGKILL)
    await until(lambda: sum(each.socket.lost.done() for each in listeners) == connected[killed])
    listeners = [each for each in listeners if not each.socket.lost.done()]
    await wait_for_workers(server, WORKERS, without=killed)
    await check_all(listeners, publishers)
    back = [await connect(server, "/workers/back") for _ in range(20)]
    await http(server).post("/workers/back", "you are back")
    for socket in back:
        assert await socket.receive() == "you are back"

    # The end, while all publish on: what was answered before is heard, and all are told why they are closed.
    answered = {each.number: each.answered for each in publishers}
    server.terminate()
    await until(lambda: server.process.poll() is not None, f"the end\n{server.log}", 1 + 5)
    end.set()
    assert server.process.returncode == 0
    codes = [await each.socket.wait_closed() for each in listeners]
    assert codes == [1001] * len(listeners), server.log
    for listener in listeners:
        listener.check(publishers, answered)
    await asyncio.gather(*tasks)


async def test_each_publish_counts_who_has_come_and_gone_at_any_worker(
    start: Start, connect: Connect, http: Talk
) -> None:
    server = start(servers.serve, "--workers", str(WORKERS))
    checked = 0

    async def come_and_go(number: int) -> None:
        nonlocal checked
        chance, channel, there = random.Random(number), f"/counts/{number}", []
        speakers = [http(server) for _ in range(WORKERS)]
        for _ in range(100):
            if chance.random() < 0.4:
                there.append(await connect(server, channel))
            elif there and chance.random() < 0.5:
                await there.pop().leave()
            said = (await chance.choice(speakers).post(channel, "x")).json()
            if "partial" not in said:  # as when a worker of a busy machine does not answer in time
                assert said == {"channel": channel, "messages": 1, "subscribers": len(there)}
                checked += 1

    await asyncio.gather(*map(come_and_go, range(10)))
    assert checked > 500


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
async def test_workers_that_hang_or_are_replaced_lose_nothing(
    times: int, start: Start, connect: Connect, http: Talk
) -> None:
    server = start(servers.serve, "--workers", "2", "--worker-timeout", "2", env={"EVENTCAST_DRAIN": "0"})

    # A worker that gives no sign of life is killed.
    stopped = pids(server)[0]
    os.kill(stopped, signal.SIGSTOP)
    await wait_for_workers(server, 2, without=stopped)
    assert f"(process {stopped}) did not give a sign of life in time and is killed." in server.log

    # SIGHUP: clients connect and publish meanwhile, each on a connection that it keeps and on new ones.
    publisher, end = Publisher(1, http(server), CHANNELS[0]), asyncio.Event()
    tasks = [asyncio.create_task(publisher.publish_until(end, 0.01)), asyncio.create_task(listen_on(server, end))]
    for number in range(1, times + 1):
        before = set(pids(server))
        os.kill(server.pid, signal.SIGHUP)
        await until(lambda n=number: server.log.count("All workers were replaced.") == n, f"{number}\n{server.log}", 60)  # type: ignore[misc]
        assert not before & set(pids(server))
    end.set()
    await tasks[0]
    assert publisher.answered == publisher.sent
    heard = await tasks[1]
    for counts in heard:
        assert counts == list(range(counts[0], counts[0] + len(counts)))

    # Without their parent, the workers end.
    workers = pids(server)
    listener = await connect(server, CHANNELS[0])
    server.process.kill()
    assert await listener.wait_closed() == 1001
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the end of the workers")


async def listen_on(server: Server, end: asyncio.Event) -> list[list[int]]:
    """Subscribe, and again when the server closes; what was heard on each connection."""
    heard: list[list[int]] = []
    while not end.is_set():
        client = await WebSocket.connect(server.port, CHANNELS[0])
        ended = asyncio.ensure_future(end.wait())
        await asyncio.wait({ended, client.lost}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if client.lost.done():
            assert client.close_code == 1001
        heard.append([int(str(message).partition(":")[2]) for message in client.messages])
        await client.leave()
    return [counts for counts in heard if counts]
