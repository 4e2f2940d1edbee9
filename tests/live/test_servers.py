"""The same under servers whose insides nobody here knows: uvicorn, hypercorn, granian; and what we know beside them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator

import pytest

from tests.live import servers
from tests.live.clients import HandshakeRefused
from tests.live.conftest import Connect, Fleet, Open, Talk, check_log
from tests.live.servers import Server

KIB = 1024


@pytest.fixture(scope="module", params=["uvicorn", "hypercorn", "granian", "daphne", "serve"])
def shared_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param != "serve" and importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    fleet = Fleet(tmp_path_factory.mktemp(request.param))
    yield fleet.start(getattr(servers, request.param))
    fleet.stop()


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    yield shared_server
    check_log(shared_server)


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("text/plain", "hello 张三".encode(), "hello 张三"),
        ("text/plain", b"", ""),
        ("application/octet-stream", b"\x00\xff", b"\x00\xff"),
        ("application/octet-stream", b"", b""),
        ("application/x-www-form-urlencoded", b"data=%E5%BC%A0", "张"),
        ("text/plain", b"x" * KIB * KIB, "x" * KIB * KIB),
        ("application/octet-stream", b"x" * 70_000, b"x" * 70_000),
    ],
    ids=["text", "empty text", "binary", "empty binary", "form", "1 MiB", "70 000 bytes"],
)
async def test_message_arrives(
    kind: str, body: bytes, message: str | bytes, server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    listeners, speaker = [await connect(server, channel) for _ in range(3)], http(server)
    elsewhere = await connect(server, channel + "/x")
    answer = await speaker.post(channel, body, kind)
    assert (answer.status, answer.json()) == (201, {"channel": channel, "messages": 1, "subscribers": 3})
    await speaker.post(channel + "/x", "the end")
    for listener in listeners:
        assert await listener.receive() == message
    assert await elsewhere.receive() == "the end"


async def test_thousand_messages_arrive_in_order(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listeners, speaker = [await connect(server, channel) for _ in range(5)], http(server)
    lines = [f"line {number}" for number in range(800)]
    for message in (*lines[:200], "\n".join(lines[200:])):
        kind = "application/x-ndjson" if "\n" in message else "text/plain"
        assert (await speaker.post(channel, message, kind)).json()["subscribers"] == 5
    for message in lines[:200]:
        await speaker.post(channel, message)
    for listener in listeners:
        assert await listener.receive_many(1000) == lines + lines[:200]


async def test_count_is_right_after_each_kind_of_leaving(
    server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    asker = http(server)
    closes, vanishes, resets, stays = [await connect(server, channel) for _ in range(4)]
    assert await asker.count(channel) == 4
    await closes.leave()
    await asker.wait_for_count(channel, 3)
    vanishes.transport.abort()
    await resets.reset()
    await asker.wait_for_count(channel, 1)
    assert (await asker.post(channel, "hello")).json()["subscribers"] == 1
    assert await stays.receive() == "hello"
    await stays.leave()
    await asker.wait_for_count(channel, 0)
    assert (await asker.post(channel, "hello")).status == 202


@pytest.mark.parametrize(
    "target", ["/%FF", "/a/%FE", "/a/../b", "/a/%2E/b", "/" + "x" * 1024, "/-/x", "/admin/x", "/static/x"]
)
async def test_path_that_is_no_channel_is_refused(target: str, server: Server, connect: Connect, http: Talk) -> None:
    assert 400 <= (await http(server).post(target, "hello")).status < 500
    with pytest.raises(HandshakeRefused) as refused:
        await connect(server, target)
    assert 400 <= refused.value.status < 500


@pytest.mark.parametrize(
    "target", ["/a%20b", "/a%2Fb", "//a/b", "/a;b", "/a/", "/a.b/..c", "/a%0Ab", "/%E5%BC%A0", "/a?b=c"]
)
async def test_path_means_the_same_to_both_sides(target: str, server: Server, connect: Connect, http: Talk) -> None:
    listener = await connect(server, target)
    assert (await http(server).post(target, "hello")).json()["subscribers"] == 1
    assert await listener.receive() == "hello"
    await listener.leave()
    await http(server).wait_for_count(target, 0)


async def test_listener_that_does_not_read_is_closed(
    server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    sleeper = await connect(server, channel, receive_buffer=4096)
    listener, speaker = await connect(server, channel), http(server)
    sleeper.stop_reading()
    sent = 0
    while (await speaker.post(channel, b"x" * 256 * KIB, "application/octet-stream")).json()["subscribers"] == 2:
        sent += 1
        assert sent < 200, "50 MiB were published, and it is still there"
        await listener.receive()
    # The one that reads was not disturbed, and the one that did not is told why, if it reads on in time.
    assert await speaker.count(channel) == 1
    await listener.receive()
    sleeper.read_on()
    assert await sleeper.wait_closed(timeout=8) in (1013, None)


async def test_listener_that_talks_is_not_minded(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listener = await connect(server, channel)
    for _ in range(100):
        listener.send_frame(1, b"who asked you")
    listener.send_frame(2, b"\xff" * 1000)
    await listener.ping()
    assert (await http(server).post(channel, "hello")).json()["subscribers"] == 1
    assert await listener.receive() == "hello"


async def test_bad_request_is_refused(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listener, speaker = await connect(server, channel), http(server)
    form = "application/x-www-form-urlencoded"
    bad = [(b"date=x", form, "missing_data"), (b"data=%FF", form, "invalid_encoding")]
    bad += [(b"x" * (KIB * KIB + 1), "text/plain", "message_too_large"), (b"", "application/x-ndjson", "missing_data")]
    for body, kind, code in bad:
        answer = await speaker.post(channel, body, kind)
        assert (answer.status // 100, answer.error) == (4, code)
    await speaker.post(channel, "the next")
    assert await listener.receive() == "the next"


@pytest.mark.parametrize("path", ["/-/health/live", "/-/health/ready"])
async def test_health_is_told_by_any_host(path: str, server: Server, http: Talk) -> None:
    client = http(server)
    for method, body in (("GET", b'{"status": "ok"}'), ("HEAD", b""), ("GET", b'{"status": "ok"}')):
        await client.send(f"{method} {path} HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n".encode())
        answer = await client.read_response(method)
        assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PROPFIND", "TRACE"])
async def test_other_methods_are_not_allowed(method: str, server: Server, channel: str, http: Talk) -> None:
    answer = await http(server).request(method, channel)
    assert (answer.status, answer.error) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST, PUT"


async def test_one_stream_has_several_channels(server: Server, channel: str, listen: Open, http: Talk) -> None:
    others = [f"{channel}/{number}" for number in range(8)]
    query = "&".join(f"channel={name}" for name in [*others, "/-/x"])
    stream, speaker = await listen(server, f"{channel}?{query}", "application/x-ndjson"), http(server)

    async def line() -> dict[str, object]:
        while (found := await stream.read_until(b"\n")) == b"\n":
            pass
        return dict(json.loads(found))

    told = [await line() for _ in range(10)]
    assert [each["channel"] for each in told] == [channel, *others, "/-/x"]
    assert {str(each["type"]) for each in told[:-1]} == {"hello"}
    assert (told[-1]["type"], told[-1]["code"]) == ("bye", "reserved_path")
    for name in [*others, channel]:
        assert (await speaker.post(name, "x" * 70_000)).json()["subscribers"] == 1
        assert (await line())["channel"] == name
    stream.cut()
    for name in (channel, others[-1]):
        await speaker.wait_for_count(name, 0)
