"""The bus on a real Redis: what a process without an event loop is told, databases, and addresses."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventcast.exceptions import LayerUnavailable
from tests.live.redis_server import Redis
from tests.live.waiting import until

pytest.importorskip("redis")
if shutil.which("redis-server") is None:
    pytest.skip("redis-server is not installed", allow_module_level=True)

from eventcast.layers.redis import Address, RedisBus, RedisChannelLayer


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.thaw()
    server.stop()


def address(redis: Redis, database: int = 0) -> str:
    return f"redis://127.0.0.1:{redis.port}/{database}"


def test_process_without_an_event_loop_is_told_what_was_sent(redis: Redis) -> None:
    bus = RedisBus(Address(address(redis)), "test.")

    def publish() -> object:
        (result,) = bus.publish_now([("a", b"")])
        return result

    assert publish() == 0
    before = redis.connections()
    assert [publish() for _ in range(10)] == [0] * 10
    assert redis.connections() == before + 1  # the question itself

    redis.stop()
    with pytest.raises(LayerUnavailable, match="nothing was sent"):
        publish()
    redis.come_back()
    assert publish() == 0
    redis.freeze()
    with pytest.raises(LayerUnavailable, match="may have been sent"):
        publish()
    with pytest.raises(LayerUnavailable, match="nothing was sent"):
        publish()
    redis.thaw()
    assert publish() == 0


def test_process_without_an_event_loop_is_told_by_the_first_message_if_it_worked(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    layer = RedisChannelLayer([address(redis)], prefix="test.")
    sends: list[tuple[str, dict[str, Any]]] = [("g", {}), ("patterns", {})]
    layer.broadcast_now(sends)
    redis.command("ACL", "SETUSER", "default", "resetchannels", "&test.group.g")
    layer.broadcast_now(sends)
    assert "Publishing to subscribers of patterns failed: Redis has refused it" in caplog.text
    redis.command("ACL", "SETUSER", "default", "resetchannels")
    with pytest.raises(LayerUnavailable, match=r"no permissions.*nothing was sent"):
        layer.broadcast_now(sends)


async def test_databases_of_one_redis_do_not_hear_each_other_and_prefixes_do(redis: Redis) -> None:
    layers = [
        RedisChannelLayer([address(redis)]),
        RedisChannelLayer([{"address": address(redis)}]),
        RedisChannelLayer([address(redis, 1)]),
        RedisChannelLayer([address(redis, 1)], prefix="eventcast.0."),
    ]
    heard: list[list[dict[str, Any]]] = []
    for layer in layers:
        heard.append([])
        channel = await layer.new_channel()
        layer.receive_with(channel, heard[-1].append)
        await layer.group_add("g", channel)
    await layers[2].group_send("g", {"type": "x", "data": b"\xff", "text": "张三"})
    await layers[0].group_send("g", {"type": "y"})
    await until(lambda: heard[1] and heard[3])
    assert [[message["type"] for message in each] for each in heard] == [["y"], ["y"], ["x"], ["y"]]
    assert heard[2] == [{"type": "x", "data": b"\xff", "text": "张三"}]
    for layer in layers:
        await layer.close()


async def test_many_groups_are_subscribed_again_when_redis_is_back(redis: Redis) -> None:
    layer, other = RedisChannelLayer([address(redis)]), RedisChannelLayer([address(redis)])
    channel, heard = await layer.new_channel(), list[dict[str, Any]]()
    layer.receive_with(channel, heard.append)
    await asyncio.gather(*(layer.group_add(f"g{number}", channel) for number in range(2000)))
    await layer.group_discard("g0", channel)
    await other.start()
    redis.command("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: layer.degraded or other.degraded)
    await until(lambda: not layer.degraded and not other.degraded)
    for number in range(2000):
        await other.group_send(f"g{number}", {"n": number})
    await until(lambda: len(heard) == 1999)
    assert [message["n"] for message in heard] == list(range(1, 2000))
    assert await other.broadcast([("g0", {})], count=True) == await other.broadcast([("none", {})], count=True)
    await layer.close()
    await other.close()


@pytest.mark.parametrize(
    ("hosts", "name", "prefix"),
    [
        (["redis://user:secret@cache.example:6380/4"], "cache.example:6380", b"eventcast.4."),
        (["unix://:secret@/run/redis.sock?db=2"], "/run/redis.sock", b"eventcast.2."),
        ([{"address": "rediss://cache.example", "ssl_ca_certs": "ca.pem"}], "cache.example", b"eventcast.0."),
        ([{"sentinels": [("10.0.0.1", 26379)], "master_name": "mymaster", "db": 1}], "mymaster", b"eventcast.1."),
        ([], "127.0.0.1:6379", b"eventcast.0."),
    ],
)
def test_hosts_are_those_of_redis_py_and_the_log_has_no_password(hosts: list[Any], name: str, prefix: bytes) -> None:
    bus = RedisChannelLayer(hosts).bus
    assert isinstance(bus, RedisBus)
    assert (bus._address.name, bus._prefix) == (name, prefix)


@pytest.mark.parametrize(
    "hosts", ["redis://127.0.0.1", ["redis://a", "redis://b"], [{"master_name": "x"}], ["http://a"]]
)
def test_hosts_that_are_no_redis_are_refused(hosts: Any) -> None:
    with pytest.raises(ValueError):
        RedisChannelLayer(hosts)
