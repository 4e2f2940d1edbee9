"""Publishing through a Redis that is frozen, or takes a part only, and from code that cannot await."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventcast.engine.names import group_name
from tests.live import servers
from tests.live.clients import HandshakeRefused
from tests.live.conftest import Connect, Fleet, Start, Talk
from tests.live.http_client import HTTP, Response
from tests.live.inside import message
from tests.live.redis_server import LAYERS, Redis, environment
from tests.live.servers import Server

pytest.importorskip("channels_redis")
if shutil.which("redis-server") is None:
    pytest.skip("redis-server is not installed", allow_module_level=True)

CROWD = 20
"""Publishers at once: were they in line, the last would wait for longer than any test does."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """Ask for it before the servers, so that it outlives them."""
    server = Redis(tmp_path)
    yield server
    server.thaw()
    server.stop()


@pytest.fixture(scope="module", params=LAYERS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Redis, Server]]:
    """A Redis that is left alone, and a server, for each layer."""
    folder = tmp_path_factory.mktemp("redis")
    redis, fleet = Redis(folder), Fleet(folder)
    yield redis, fleet.start(servers.serve, env=environment(request.param, redis))
    fleet.stop()
    redis.stop()


async def publish_inside(speaker: HTTP, channel: str, road: str, messages: int) -> Response:
    wanted = {"road": road, "channel": channel, "publisher": road, "sizes": [20] * messages}
    return await speaker.post("/admin/inside/publish", json.dumps(wanted), "application/json")


@pytest.mark.parametrize("road", ["loop", "thread", "apublish"])
async def test_python_code_publishes_in_order_and_without_connections_of_its_own(
    road: str, shared: tuple[Redis, Server], channel: str, connect: Connect, http: Talk
) -> None:
    redis, server = shared
    listener, speaker = await connect(server, channel), http(server)
    assert (await publish_inside(speaker, channel, road, 1)).status == 200  # Once, for what is opened once.
    before = redis.connections()
    assert (await publish_inside(speaker, channel, road, 50)).status == 200
    expected = [message(road, number, 20) for number in (0, *range(50))]
    assert await listener.receive_many(51) == expected
    # The question itself is one; a few may be opened where several messages were under way.
    assert redis.connections() - before < 10


@pytest.mark.parametrize("layer", LAYERS)
async def test_publishers_wait_for_a_frozen_redis_side_by_side_and_for_a_limited_time(
    layer: str, redis: Redis, start: Start, channel: str, connect: Connect, http: Talk
) -> None:
    server = start(servers.serve, env=environment(layer, redis))
    server.allows_tracebacks = True  # channels_redis logs its own
    listener, speakers = await connect(server, channel), [http(server) for _ in range(CROWD)]
    for speaker in speakers:
        await speaker.post("/elsewhere", "a connection")
    redis.freeze()
    answers = await asyncio.gather(*(speaker.post(channel, "frozen") for speaker in speakers))
    for answer in answers:
        assert (answer.status, answer.error) == (503, "layer_unavailable")
        assert "may have been sent" in answer.json()["detail"]
    if layer.endswith("PubSubChannelLayer"):  # It waits for no answer to SUBSCRIBE.
        newcomer = await connect(server, channel)
    else:
        newcomer = listener
        with pytest.raises(HandshakeRefused) as refused:
            await connect(server, channel + "/new")
        assert (refused.value.status, refused.value.error) == (503, "layer_unavailable")
    redis.thaw()
    assert (await speakers[0].post(channel, "thawed")).status == 201
    for each in {listener, newcomer}:
        while await each.receive() != "thawed":
            pass


async def test_failing_send_to_patterns_is_no_error_of_the_publisher(
    redis: Redis, start: Start, channel: str, connect: Connect, http: Talk
) -> None:
    server = start(servers.serve, env=environment(LAYERS[1], redis))
    listener, speaker = await connect(server, channel), http(server)
    # Redis takes from now on only what has subscribers: nothing for the group of patterns.
    heard = [word for word in redis.command("PUBSUB", "CHANNELS").splitlines() if "eventcast" in word]
    assert any(group_name(channel) in word for word in heard)
    redis.command("ACL", "SETUSER", "default", "resetchannels", *(f"&{word}" for word in heard))
    assert (await speaker.post(channel, "once")).status == 201
    assert (await speaker.post(channel, "twice")).status == 201
    assert await listener.receive_many(2) == ["once", "twice"]
    assert server.log.count("to subscribers of patterns failed") == 2
