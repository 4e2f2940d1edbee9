"""Listening by plain HTTP, as curl and EventSource do."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import signal

import pytest

from tests.live import servers
from tests.live.conftest import Connect, Open, Start, Talk
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT, until

SSE, NDJSON = "text/event-stream", "application/x-ndjson"


async def test_events_are_as_the_html_standard_has_them(server: Server, listen: Open, http: Talk, channel: str) -> None:
    stream = await listen(server, channel, SSE)
    assert "content-type: text/event-stream" in stream.head
    assert "cache-control: no-cache" in stream.head
    assert "x-accel-buffering: no" in stream.head
    speaker = http(server)
    assert (await speaker.post(channel, "one\ntwo\r\n张三")).json()["subscribers"] == 1
    assert await stream.read_until(b"\n\n") == "data: one\ndata: two\ndata: 张三\n\n".encode()
    await speaker.post(channel, "")
    assert await stream.read_until(b"\n\n") == b"data: \n\n"
    await speaker.post(channel, b"\x00\xff", "application/octet-stream")
    assert await stream.read_until(b"\n\n") == b"event: binary\ndata: " + base64.b64encode(b"\x00\xff") + b"\n\n"


async def test_lines_are_json(server: Server, listen: Open, http: Talk, channel: str) -> None:
    stream = await listen(server, channel, NDJSON)
    speaker = http(server)
    await speaker.post(channel, "a\nb")
    await speaker.post(channel, b"\xff", "application/octet-stream")
    text, binary = [json.loads(await stream.read_until(b"\n")) for _ in range(2)]
    assert (text["channel"], text["data"]) == (channel, "a\nb")
    assert binary["base64"] == "/w=="
    assert text["time"] <= binary["time"]


@pytest.mark.parametrize("form", [SSE, NDJSON])
async def test_stream_that_goes_away_leaves_the_count(
    server: Server, listen: Open, http: Talk, channel: str, form: str
) -> None:
    stream = await listen(server, channel, form)
    speaker = http(server)
    assert await speaker.count(channel) == 1
    stream.cut()
    await speaker.wait_for_count(channel, 0)


async def test_streams_and_sockets_hear_the_same(
    server: Server, listen: Open, connect: Connect, http: Talk, channel: str
) -> None:
    socket, events, lines = (
        await connect(server, channel), await listen(server, channel, SSE), await listen(server, channel, NDJSON),
    )  # fmt: skip
    body = "\n".join(str(number) for number in range(500))
    assert (await http(server).post(channel, body, NDJSON)).json()["subscribers"] == 3
    expected = [str(number) for number in range(500)]
    assert await socket.receive_many(500) == expected
    assert [(await events.read_until(b"\n\n")).decode()[6:-2] for _ in range(500)] == expected
    assert [json.loads(await lines.read_until(b"\n"))["data"] for _ in range(500)] == expected


@pytest.mark.parametrize("policy", ["close", "drop"])
@pytest.mark.parametrize(("kind", "transport"), [("serve", "auto"), ("daphne", "auto"), ("daphne", "asgi")])
async def test_stream_that_is_not_read_is_bounded(
    start: Start, listen: Open, http: Talk, kind: str, transport: str, policy: str
) -> None:
    env = {"EVENTCAST_SLOW_SUBSCRIBERS": policy, "EVENTCAST_SUBSCRIBER_BUFFER": "200000"}
    server = start(getattr(servers, kind), env=env | {"EVENTCAST_TRANSPORT": transport})
    stream = await listen(server, "/slow", SSE)
    stream.writer.transport.pause_reading()
    speaker = http(server)
    before = server.memory()

    async def total_lost() -> int:
        for _ in range(20):
            await speaker.post("/slow", "x" * 50_000)
        return int((await speaker.request("GET", "/-/channels")).json()["total"]["lost"])

    await until(total_lost, "a loss that is counted", timeout=60)
    assert await speaker.count("/slow") == (0 if policy == "close" else 1)
    assert server.memory() - before < 8 * 1024 * 1024

    async def has_left() -> bool:
        return await speaker.count("/slow") == 0

    # Before the server stops: Django logs a traceback where a client leaves in the moment in which a server stops.
    stream.writer.transport.abort()
    await until(has_left, "the end of the subscriber")


@pytest.mark.parametrize("kind", ["serve", "daphne"])
async def test_streams_end_when_the_server_stops(start: Start, listen: Open, kind: str) -> None:
    server = start(getattr(servers, kind))
    stream = await listen(server, "/a", SSE)
    assert server.stop() < 5
    assert server.process.returncode == 0
    await asyncio.wait_for(stream.reader.read(), TIMEOUT)


@pytest.mark.parametrize("form", [SSE, NDJSON])
@pytest.mark.parametrize("kind", ["serve", "daphne", "uvicorn"])
async def test_stream_gets_what_was_published_before_the_server_stops(
    start: Start, listen: Open, http: Talk, kind: str, form: str
) -> None:
    server = start(getattr(servers, kind))
    streams, speaker = [await listen(server, "/a", form), await listen(server, "/a?channel=/b", form)], http(server)
    end = b"\n\n" if form == SSE else b"\n"
    for _ in ("/a", "/b"):
        assert b'"hello"' in await streams[1].read_until(end)
    for number in range(20):
        assert (await speaker.post("/a", f"number {number}")).status == 201
    server.terminate()
    for stream in streams:
        for number in range(20):
            assert f"number {number}".encode() in await stream.read_until(end)
    for _ in ("/a", "/b"):
        assert b'"code":1001' in await streams[1].read_until(end)
    # uvicorn ends by the signal that it was sent.
    assert await asyncio.to_thread(server.process.wait, 10) == (-signal.SIGTERM if kind == "uvicorn" else 0)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_hears_a_stream(server: Server, http: Talk, channel: str) -> None:
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sN", "-H", f"Accept: {SSE}", server.url + channel, stdout=asyncio.subprocess.PIPE
    )
    assert curl.stdout is not None
    speaker = http(server)
    await speaker.wait_for_count(channel, 1)
    await speaker.post(channel, "hello")
    while (line := await asyncio.wait_for(curl.stdout.readline(), TIMEOUT)) != b"data: hello\n":
        assert line
    curl.terminate()
    await curl.wait()
