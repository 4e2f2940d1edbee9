"""Clients that nobody here wrote hear and speak: npm's ws, Python's websockets and aiohttp, curl."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
import websockets

from tests.live.conftest import Connect, Talk
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT

# The order as it was asked for, and the path it is published to.
ORDER = '{"name":"张三","amount":365,"Mobile":"13800000000"}'
PATH = "/eventcast/user/5905e89db43fec42e3055df05ff72afe"

# What was asked to run, but for the host: the two lines of the client, and what it does with an order.
JAVASCRIPT = """\
const webSocket = require("ws");
let ws = new webSocket("ws://127.0.0.1:PORT%s");
ws.on('message', function incoming(data) { let user = JSON.parse(data); console.log(JSON.stringify(user)); })
"""

Run = Callable[[str], Awaitable["Listener"]]


def curl(*arguments: str) -> dict[str, object]:
    """Run curl and return the JSON it was answered."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["curl", "--silent", "--show-error", "--max-time", str(int(TIMEOUT)), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(finished.stdout)
    assert isinstance(found, dict)
    return found


class Listener:
    """The JavaScript client, running in Node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def orders(self) -> list[dict[str, object]]:
        """End it, and return what it has printed."""
        if self._process.returncode is None:
            self._process.terminate()
        output, errors = await asyncio.wait_for(self._process.communicate(), TIMEOUT)
        assert not errors, errors.decode()
        return [json.loads(line) for line in output.splitlines()]

    async def next_order(self) -> dict[str, object]:
        assert self._process.stdout is not None
        found = json.loads(await asyncio.wait_for(self._process.stdout.readline(), TIMEOUT))
        assert isinstance(found, dict)
        return found


@pytest.fixture
async def node(server: Server, node_folder: Path) -> AsyncIterator[Run]:
    """Runs the JavaScript client on a path."""
    processes: list[asyncio.subprocess.Process] = []

    async def run(path: str) -> Listener:
        script = node_folder / f"{len(processes)}.js"
        script.write_text(JAVASCRIPT.replace("PORT", str(server.port)) % path)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec("node", str(script), cwd=node_folder, stdout=pipe, stderr=pipe)
        processes.append(process)
        return Listener(process)

    yield run
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_javascript_hears_each_order_once(node: Run, server: Server, http: Talk) -> None:
    first, second, elsewhere = [await node(path) for path in (PATH, PATH, PATH + "x")]
    asker = http(server)
    await asker.wait_for_count(PATH, 2)
    await asker.wait_for_count(PATH + "x", 1)

    answers = [curl("--data-urlencode", f"data={ORDER}", f"{server.url}{PATH}") for _ in range(3)]
    assert answers == [{"channel": PATH, "messages": 1, "subscribers": 2}] * 3
    curl("--data-urlencode", 'data={"the end": true}', f"{server.url}{PATH}")
    curl("--data-urlencode", 'data={"the end": true}', f"{server.url}{PATH}x")

    order = json.loads(ORDER)
    for listener in (first, second):
        assert [await listener.next_order() for _ in range(4)] == [order, order, order, {"the end": True}]
    assert await elsewhere.next_order() == {"the end": True}
    assert [await listener.orders() for listener in (first, second, elsewhere)] == [[], [], []]


async def test_websockets_hears_what_was_published(server: Server, channel: str, http: Talk) -> None:
    async with (
        websockets.connect(f"ws://127.0.0.1:{server.port}{channel}") as first,
        websockets.connect(f"ws://127.0.0.1:{server.port}{channel}") as second,
        websockets.connect(f"ws://127.0.0.1:{server.port}{channel}/other") as elsewhere,
    ):
        speaker = http(server)
        for body, kind in ((ORDER, "application/json"), (b"\x00\xff", "application/octet-stream"), ("", "text/plain")):
            assert (await speaker.post(channel, body, kind)).status == 201
        await speaker.post(channel + "/other", "the end")
        for client in (first, second):
            assert [await client.recv(), await client.recv(), await client.recv()] == [ORDER, b"\x00\xff", ""]
        assert await elsewhere.recv() == "the end"


async def test_websockets_gets_its_ping_answered(server: Server, channel: str) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{server.port}{channel}") as client:
        await asyncio.wait_for(await client.ping(), TIMEOUT)


async def test_aiohttp_hears_and_speaks(server: Server, channel: str) -> None:
    url = server.url + channel
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as first, session.ws_connect(url) as second:
        async with session.post(url, json={"name": "张三"}) as answer:
            assert (answer.status, (await answer.json())["subscribers"]) == (201, 2)
        async with session.post(url, data={"data": ORDER}) as answer:
            assert answer.status == 201
        form = aiohttp.FormData()
        form.add_field("data", b"\x00\xff", filename="blob", content_type="application/octet-stream")
        async with session.post(url, data=form) as answer:
            assert answer.status == 201
        for client in (first, second):
            assert json.loads(await client.receive_str()) == {"name": "张三"}
            assert await client.receive_str() == ORDER
            assert await client.receive_bytes() == b"\x00\xff"


async def test_curl_speaks_in_each_of_its_ways(server: Server, channel: str, connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(ORDER)
    client, url = await connect(server, channel), server.url + channel
    curl("-d", "data=hello", url)
    curl("-F", "data=one", "-F", "data=two", url)
    curl("-F", f"data=@{tmp_path / 'order.json'};type=application/json", url)
    curl("--json", ORDER, url)
    curl("-T", str(tmp_path / "order.json"), "-H", "Content-Type: application/json", url)
    curl("--data-binary", f"@{tmp_path / 'order.json'}", "-H", "Content-Type: text/plain", url)
    assert await client.receive_many(7) == ["hello", "one", "two", ORDER, ORDER, ORDER, ORDER]


async def test_curl_learns_how_many_listen(server: Server, channel: str, connect: Connect) -> None:
    await connect(server, channel)
    answer = curl(server.url + channel)
    assert (answer["channel"], answer["subscribers"]) == (channel, 1)
    # Chinese in the URL, which curl sends as it was typed.
    await connect(server, "/%E5%BC%A0%E4%B8%89")
    assert curl("-d", "data=x", server.url + "/%E5%BC%A0%E4%B8%89")["channel"] == "/张三"
