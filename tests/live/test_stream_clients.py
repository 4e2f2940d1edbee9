"""Clients of Server-Sent Events that nobody here wrote: npm's eventsource and Python's httpx-sse."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from tests.live import servers
from tests.live.conftest import Start, Talk
from tests.live.http_client import HTTP
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT

TEXTS = ["one\ntwo\r\n\nfive", "张三 😀", "", " data: <b>", '{"a": 1}']
BINARY = b"\x00\xff"

# Prints what it hears as lines of JSON.
EVENTSOURCE = """\
const { EventSource } = require("eventsource");
const source = new EventSource(process.argv[2]);
const say = (...words) => console.log(JSON.stringify(words));
source.onopen = () => say("open");
source.onerror = (event) => say("error");
source.onmessage = (event) => say("message", event.data);
source.addEventListener("binary", (event) => say("binary", event.data));
"""


async def publish_all(speaker: HTTP, target: str) -> None:
    for text in TEXTS:
        await speaker.post(target, text)
    await speaker.post(target, BINARY, "application/octet-stream")


async def test_eventsource_of_npm_hears_everything_and_comes_back(start: Start, node_folder: Path, http: Talk) -> None:
    server = start(servers.daphne)
    script = node_folder / "eventsource.js"
    script.write_text(EVENTSOURCE)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("node", str(script), server.url + "/a", cwd=node_folder, stdout=pipe)

    async def heard() -> list[str]:
        assert process.stdout is not None
        return list(json.loads(await asyncio.wait_for(process.stdout.readline(), TIMEOUT)))

    try:
        assert await heard() == ["open"]
        await http(server).wait_for_count("/a", 1)
        await publish_all(http(server), "/a")
        # The standard makes every kind of line break one kind.
        expected = [["message", text.replace("\r\n", "\n")] for text in TEXTS]
        assert [await heard() for _ in range(6)] == [*expected, ["binary", base64.b64encode(BINARY).decode()]]

        server.kill()
        server.process.wait()
        again = start(servers.daphne, "-p", str(server.port))
        again.allows_tracebacks = True  # Django's, if it is stopped before it knows that the stream has ended
        while (state := await heard()) != ["open"]:
            assert state == ["error"]
        await http(again).wait_for_count("/a", 1)
        await http(again).post("/a", "back")
        assert await heard() == ["message", "back"]
    finally:
        process.kill()
        await process.communicate()


async def test_httpx_sse_hears_everything(server: Server, channel: str, http: Talk) -> None:
    events: list[ServerSentEvent] = []
    async with httpx.AsyncClient() as client, aconnect_sse(client, "GET", server.url + channel) as source:
        stream = source.aiter_sse()
        await http(server).wait_for_count(channel, 1)
        await publish_all(http(server), channel)
        while not events or events[-1].event != "binary":
            events.append(await asyncio.wait_for(anext(stream), TIMEOUT))
        await stream.aclose()
    # And nothing else: it would make an event without data of a time to retry that a blank line follows.
    texts = [event.data for event in events[:-1]]
    assert texts == [text.replace("\r\n", "\n") for text in TEXTS]
    assert base64.b64decode(events[-1].data) == BINARY
    retries = [event.retry for event in events if event.retry is not None]
    assert len(retries) == 1
    assert 1000 <= retries[0] <= 5000
