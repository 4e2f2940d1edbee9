"""``eventcast.client`` against a real server."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from eventcast.client import Publisher, State, apublish, channel_url, publish, subscribe
from eventcast.exceptions import ChannelTooLong, DisallowedHost, MessageTooLarge, ReservedChannel, ServerUnreachable
from tests.live import servers
from tests.live.conftest import Connect, Start, Talk, check_log
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT, until

PAYLOADS = ["hello", "", "张三 🎉", "two\r\nlines\n", "a=b&c+d %41", b"\x00\xff", b"", "\x00"]


@pytest.fixture
def server(standalone_server: Server) -> Iterator[Server]:
    """At the door only: what is tested here stands before the server."""
    yield standalone_server
    check_log(standalone_server)


async def next_of(messages: Any) -> str | bytes:
    found: str | bytes = await asyncio.wait_for(messages.__anext__(), TIMEOUT)
    return found


async def test_subscribe_yields_messages_as_they_were_published(server: Server, channel: str) -> None:
    url = server.url + channel
    async with subscribe(url) as messages:
        for payload in PAYLOADS:
            assert await apublish(url, payload) == 1
        assert [await next_of(messages) for _ in PAYLOADS] == PAYLOADS


def test_subscribe_yields_messages_without_asyncio(server: Server, channel: str) -> None:
    url = server.url + channel
    with subscribe(url) as messages:
        for payload in PAYLOADS:
            assert publish(url, payload) == 1
        assert [next(messages) for _ in PAYLOADS] == PAYLOADS


async def test_publish_sends_other_data_as_json(server: Server, channel: str, connect: Connect) -> None:
    listener = await connect(server, channel)
    await apublish(server.url + channel, {"name": "张三", "day": date(2026, 1, 31)})
    assert await listener.receive() == '{"name":"张三","day":"2026-01-31"}'


async def test_publish_many_keeps_order_and_every_message(server: Server, channel: str, connect: Connect) -> None:
    listener = await connect(server, channel)
    with Publisher(server.url) as publisher:
        assert await publisher.apublish_many((channel, payload) for payload in PAYLOADS) == len(PAYLOADS)
    assert await listener.receive_many(len(PAYLOADS)) == PAYLOADS


@pytest.mark.parametrize("name", ["/a b", "/张", "//double", "/per%cent", "/quest?ion#hash", "/end/"])
async def test_channel_url_leads_both_sides_to_the_channel(server: Server, name: str, connect: Connect) -> None:
    url = channel_url(server.url, "/python" + name)
    async with subscribe(url) as messages:
        assert await apublish(url, name) == 1
        assert await next_of(messages) == name


def test_publisher_keeps_one_connection_for_all_channels(server: Server, channel: str) -> None:
    with Publisher(server.url) as publisher:
        publisher.publish(f"{channel}/one", "one")
        (first,) = publisher._idle
        socket_before = first.sock
        publisher.publish(f"{channel}/two", "two")
        (again,) = publisher._idle
        assert again.sock is socket_before is not None


def test_publisher_has_a_connection_for_each_thread_at_once(server: Server, channel: str) -> None:
    with Publisher(server.url) as publisher, subscribe(server.url + channel) as messages:
        threads = [
            threading.Thread(target=publisher.publish_many, args=([(channel, f"{n} {m}") for m in range(20)],))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        found = [str(next(messages)) for _ in range(4 * 20)]
        for thread in threads:
            thread.join(TIMEOUT)
    assert sorted(found) == sorted(f"{n} {m}" for n in range(4) for m in range(20))
    for n in range(4):
        assert [each for each in found if each.startswith(f"{n} ")] == [f"{n} {m}" for m in range(20)]


def test_publisher_connects_again_after_the_server_was_away(start: Start, channel: str) -> None:
    server = start(servers.daphne)
    with Publisher(server.url) as publisher:
        publisher.publish(channel, "one")
        server.stop()
        start(servers.daphne, "-p", str(server.port))
        assert publisher.publish(channel, "two") == 0


def test_publish_raises_what_the_server_raised(server: Server, channel: str) -> None:
    with pytest.raises(MessageTooLarge, match="MAX_MESSAGE_SIZE") as refused:
        publish(server.url + channel, "x" * (1024 * 1024 + 1))
    assert (refused.value.status, refused.value.code) == (413, "message_too_large")
    with pytest.raises(ReservedChannel):
        publish(server.url + "/-/x", "x")


def test_publish_gives_up_a_silent_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ServerUnreachable, match="timed out"):
        publish(f"http://127.0.0.1:{silent.getsockname()[1]}/a", "x", timeout=0.05)


async def test_subscribe_raises_what_was_refused(server: Server) -> None:
    with pytest.raises(ReservedChannel):
        async with subscribe(server.url + "/-/x", wait=True):
            pass
    with pytest.raises(ChannelTooLong):
        async with subscribe(server.url + "/" + "x" * 1024):
            pass


def test_subscribe_raises_what_was_refused_without_asyncio(server: Server) -> None:
    with pytest.raises(ReservedChannel), subscribe(server.url + "/-/x"):
        pass


async def test_subscribe_raises_where_no_server_is() -> None:
    url = f"http://127.0.0.1:{servers.free_port()}/a"
    with pytest.raises(ServerUnreachable):
        async with subscribe(url):
            pass
    with pytest.raises(ServerUnreachable), subscribe(url):
        pass


async def test_subscribe_waits_for_a_server_that_is_not_there_yet(start: Start, channel: str) -> None:
    port, waiting = servers.free_port(), asyncio.Event()

    async def listen() -> str | bytes:
        url = f"http://127.0.0.1:{port}{channel}"
        async with subscribe(url, wait=True, on_state=lambda _: waiting.set()) as messages:
            await apublish(url, "at last")
            return await next_of(messages)

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(waiting.wait(), TIMEOUT)
    await asyncio.to_thread(start, servers.daphne, "-p", str(port))
    assert await asyncio.wait_for(listening, 60) == "at last"


@pytest.mark.parametrize("ends", ["stop", "kill"])
async def test_subscription_comes_back_when_the_server_does(start: Start, channel: str, ends: str, http: Talk) -> None:
    server = start(servers.daphne)
    states: list[State] = []
    async with subscribe(server.url + channel, on_state=states.append) as messages:
        await apublish(server.url + channel, "before")
        assert await next_of(messages) == "before"
        following = asyncio.create_task(messages.__anext__())
        await asyncio.to_thread(getattr(server, ends))
        await asyncio.to_thread(server.process.wait)
        again = await asyncio.to_thread(start, servers.daphne, "-p", str(server.port))
        await until(lambda: len(states) > 1 and states[-1].name == "open", "open again", 60)
        await apublish(again.url + channel, "after")
        assert await asyncio.wait_for(following, TIMEOUT) == "after"
    assert (states[0], states[1].name) == (State("open"), "waiting")
    assert ("1001" if ends == "stop" else "1006") in states[1].reason
    assert states[-2].missed > 0
    assert states[-1] == State("closed")


def test_subscription_comes_back_without_asyncio(start: Start, channel: str) -> None:
    server = start(servers.daphne)
    opened = threading.Semaphore(0)

    def tell(state: State) -> None:
        if state.name == "open":
            opened.release()

    with subscribe(server.url + channel, on_state=tell) as messages:
        assert opened.acquire(timeout=TIMEOUT)
        found: list[str | bytes] = []
        reader = threading.Thread(target=lambda: found.append(next(messages)))
        reader.start()
        server.stop()
        again = start(servers.daphne, "-p", str(server.port))
        assert opened.acquire(timeout=60)
        publish(again.url + channel, "after")
        reader.join(TIMEOUT)
        assert found == ["after"]


async def test_subscription_notices_a_server_that_is_silent(start: Start, channel: str) -> None:
    server = start(servers.daphne)
    states: list[State] = []
    async with subscribe(server.url + channel, on_state=states.append, ping_interval=0.2) as messages:
        following = asyncio.create_task(messages.__anext__())
        server.process.send_signal(signal.SIGSTOP)
        try:
            await until(lambda: states[-1].name == "waiting", "the silence noticed")
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert "ping timeout" in states[-1].reason
        await until(lambda: states[-1].name == "open", "open again", 60)
        await apublish(server.url + channel, "after")
        assert await asyncio.wait_for(following, TIMEOUT) == "after"


def test_subscription_notices_a_server_that_is_silent_without_asyncio(start: Start, channel: str) -> None:
    server = start(servers.daphne)
    with subscribe(server.url + channel, reconnect=False, ping_interval=0.2) as messages:
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(ServerUnreachable, match="ping timeout"):
                next(messages)
        finally:
            server.process.send_signal(signal.SIGCONT)


def test_publish_sends_headers_of_its_own(server: Server, channel: str) -> None:
    with pytest.raises(DisallowedHost):
        publish(server.url + channel, "x", headers={"Host": "example.com"})


async def test_publish_many_takes_what_is_too_much_for_one_request(
    start: Start, channel: str, connect: Connect
) -> None:
    server = start(servers.daphne, env={"EVENTCAST_MAX_BODY_SIZE": "250000"})
    listener = await connect(server, channel)
    with Publisher(server.url) as publisher:
        await publisher.apublish_many((channel, f"{number:01000}") for number in range(1500))
    assert await listener.receive_many(1500) == [f"{number:01000}" for number in range(1500)]


async def test_subscription_ends_with_the_connection_without_reconnect(start: Start, channel: str) -> None:
    server = start(servers.daphne)
    async with subscribe(server.url + channel, reconnect=False) as messages:
        following = asyncio.create_task(messages.__anext__())
        await asyncio.to_thread(server.stop)
        with pytest.raises(ServerUnreachable, match="1001"):
            await asyncio.wait_for(following, TIMEOUT)


async def test_close_ends_the_loop(server: Server, channel: str, http: Talk) -> None:
    async with subscribe(server.url + channel) as messages:
        following = asyncio.create_task(messages.__anext__())
        await asyncio.sleep(0)
        await messages.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(following, TIMEOUT)
    await http(server).wait_for_count(channel, 0)


def test_close_by_another_thread_ends_the_loop(server: Server, channel: str) -> None:
    with subscribe(server.url + channel) as messages:
        found: list[str | bytes] = []
        reader = threading.Thread(target=lambda: found.extend(messages))
        reader.start()
        messages.close()
        reader.join(TIMEOUT)
        assert not reader.is_alive()
        assert found == []


async def test_subscription_that_is_cancelled_leaves(server: Server, channel: str, http: Talk) -> None:
    async def listen() -> None:
        async with subscribe(server.url + channel) as messages:
            async for _ in messages:
                pass

    listening = asyncio.create_task(listen())
    await http(server).wait_for_count(channel, 1)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    await http(server).wait_for_count(channel, 0)
