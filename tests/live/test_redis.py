"""Two processes and a Redis are one eventcast, with any layer, and with channels_redis after Redis was away."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live import servers
from tests.live.clients import HandshakeRefused, WebSocket
from tests.live.conftest import Connect, Fleet, Start, Talk
from tests.live.http_client import HTTP
from tests.live.redis_server import LAYERS, OURS, Redis, environment
from tests.live.servers import Server
from tests.live.waiting import until

pytest.importorskip("channels_redis")
if shutil.which("redis-server") is None:
    pytest.skip("redis-server is not installed", allow_module_level=True)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis. Ask for it before the servers, so that it outlives them: channels_redis logs a traceback without it."""
    server = Redis(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def start_with(redis: Redis, start: Start) -> Callable[[str], Server]:
    """Starts a daphne whose layer is the one given, on the Redis of the test."""
    return lambda layer: start(servers.daphne, env=environment(layer, redis))


@pytest.fixture(scope="module", params=[OURS, *LAYERS])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two servers with each of the layers, for tests that leave their Redis alone."""
    folder = tmp_path_factory.mktemp("pair")
    redis, fleet = Redis(folder), Fleet(folder)
    env = environment(request.param, redis)
    yield fleet.start(servers.daphne, env=env), fleet.start(servers.daphne, env=env)
    fleet.stop()
    redis.stop()


async def test_redis_url_of_the_standalone_server_is_used(
    redis: Redis, start: Start, channel: str, connect: Connect, http: Talk
) -> None:
    env = {"EVENTCAST_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0"}
    one, other = start(servers.daphne, env=env), start(servers.serve, env=env)
    listener = await connect(other, channel)
    assert (await http(one).post(channel, "hello")).status == 202
    assert await listener.receive() == "hello"


async def test_two_processes_are_one(pair: tuple[Server, Server], channel: str, connect: Connect, http: Talk) -> None:
    one, other = pair
    near, far = await connect(one, channel), await connect(other, channel)
    elsewhere = await connect(other, channel + "/x")
    by_pattern = await connect(other, f"/-/subscribe?pattern={channel[:-1]}%3Cpath:rest%3E")
    speaker, far_speaker = http(one), http(other)
    bodies: list[tuple[str | bytes, str]] = [
        ("hello", "text/plain"),
        ('{"name": "张三"}', "application/json"),
        (b"\x00\xff", "application/octet-stream"),
        ("", "text/plain"),
        (b"", "application/octet-stream"),
        ("x" * 1024 * 1024, "text/plain"),
    ]
    for body, kind in bodies:
        answer = await speaker.post(channel, body, kind)
        assert answer.status == 201
    await far_speaker.post(channel, "from the other side")
    for listener in (near, far):
        found = await listener.receive_many(len(bodies) + 1)
        assert [message for message in found if message != "from the other side"] == [body for body, _ in bodies]
    enveloped = [json.loads(line) for line in await by_pattern.receive_many(len(bodies) + 1)]
    assert {message["channel"] for message in enveloped} == {channel}
    assert [m.get("data") for m in enveloped if "data" in m][:2] == ["hello", '{"name": "张三"}']
    await elsewhere.ping()
    assert not elsewhere.messages


async def test_order_is_kept_across_processes(
    pair: tuple[Server, Server], channel: str, connect: Connect, http: Talk
) -> None:
    one, other = pair
    listeners = [await connect(server, channel) for server in (one, other, other)]
    speaker = http(one)
    for number in range(300):
        assert (await speaker.post(channel, str(number))).status == 201
    for listener in listeners:
        assert await listener.receive_many(300) == [str(number) for number in range(300)]


@pytest.mark.parametrize("layer", LAYERS)
async def test_hearing_resumes_after_redis_was_away(
    layer: str, start_with: Callable[[str], Server], redis: Redis, channel: str, connect: Connect, http: Talk
) -> None:
    one, other = start_with(layer), start_with(layer)
    one.allows_tracebacks = other.allows_tracebacks = True  # channels_redis logs its own
    listeners = [await connect(one, channel), await connect(other, channel)]
    speaker = http(one)
    await speaker.post(channel, "before")
    for listener in listeners:
        assert await listener.receive() == "before"

    redis.stop()
    await until(lambda: _is_refused(speaker, channel), "publishing is refused")
    redis.come_back()
    await until(lambda: _hear_again(speaker, channel, listeners), "all hear again")

    # Clients that were there all the time still are, and who comes now hears as well.
    newcomer = await connect(other, channel)
    await speaker.post(channel, "after")
    assert await newcomer.receive() == "after"
    for listener in listeners:
        await until(lambda heard=listener.messages: "after" in heard)  # type: ignore[misc]


async def _is_refused(speaker: HTTP, channel: str) -> bool:
    return (await speaker.post(channel, "while Redis is away")).status == 503


async def _hear_again(speaker: HTTP, channel: str, listeners: list[WebSocket]) -> bool:
    for listener in listeners:
        listener.check()
        listener.messages.clear()
    answer = await speaker.post(channel, "again")
    assert answer.status in (201, 503), answer
    try:
        await asyncio.gather(*(listener.receive_many(1, timeout=0.5) for listener in listeners))
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("layer", LAYERS)
async def test_redis_that_is_down_is_503(
    layer: str, start_with: Callable[[str], Server], redis: Redis, channel: str, connect: Connect, http: Talk
) -> None:
    server = start_with(layer)
    redis.stop()
    speaker = http(server)
    answer = await speaker.post(channel, "hello")
    assert (answer.status, answer.error) == (503, "layer_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    with pytest.raises(HandshakeRefused) as refused:
        await connect(server, channel)
    assert (refused.value.status, refused.value.error) == (503, "layer_unavailable")
    assert await speaker.count(channel) == 0
    redis.come_back()
    listener = await connect(server, channel)
    assert (await speaker.post(channel, "hello")).status == 201
    assert await listener.receive() == "hello"
