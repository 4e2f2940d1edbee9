"""Listening to many channels by a pattern, on the real road."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.live import servers
from tests.live.clients import HandshakeRefused, WebSocket
from tests.live.conftest import Connect, Open, Start, Talk
from tests.live.servers import Server


def target(pattern: str, mount: str = "/") -> str:
    return f"{mount}-/subscribe?pattern={quote(pattern, safe='')}"


async def receive(client: WebSocket) -> tuple[str, str]:
    message = json.loads(await client.receive())
    return message["channel"], message["data"]


async def test_socket_hears_every_channel_that_matches(
    server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    listener = await connect(server, target(f"{channel}/<int:id>/<name>"))
    exact = await connect(server, quote(f"{channel}/1/张三"))
    speaker = http(server)
    assert (await speaker.post(quote(f"{channel}/1/张三"), "one")).json()["subscribers"] == 2
    assert (await speaker.post(f"{channel}/1", "not for it")).status == 202
    assert (await speaker.post(f"{channel}/2/b%0Ac", "two")).json()["subscribers"] == 1
    assert [await receive(listener) for _ in range(2)] == [(f"{channel}/1/张三", "one"), (f"{channel}/2/b\nc", "two")]
    assert await exact.receive() == "one"


@pytest.mark.parametrize("form", ["text/event-stream", "application/x-ndjson"])
async def test_stream_hears_every_channel_that_matches(
    server: Server, channel: str, listen: Open, http: Talk, form: str
) -> None:
    stream = await listen(server, target(f"{channel}/<path:rest>"), form)
    await http(server).post(f"{channel}/a/b", b"\x00", "application/octet-stream")
    message = json.loads((await stream.read_until(b"\n")).removeprefix(b"data: "))
    assert (message["channel"], message["base64"]) == (f"{channel}/a/b", "AA==")


async def test_pattern_stands_in_the_list_and_goes_with_its_subscribers(
    server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    text = f"{channel}/<x>"
    listener = await connect(server, target(text))
    asker = http(server)
    patterns = (await asker.request("GET", "/-/channels")).json()["patterns"]
    assert [found["subscribers"] for found in patterns if found["pattern"] == text] == [1]
    assert (await asker.request("GET", target(text))).json() == {"pattern": text, "subscribers": 1, "scope": "process"}
    await listener.leave()
    await asker.wait_for_count(f"{channel}/x", 0)
    assert text not in (await asker.request("GET", "/-/channels")).body.decode()


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "invalid_query"),
        ("?pattern=", 400, "invalid_channel"),
        ("?pattern=/a&pattern=/b", 400, "invalid_query"),
        ("?pattern=/%FF", 400, "invalid_query"),
        ("?pattern=/%3Cdate:x%3E", 400, "invalid_pattern"),
        ("?pattern=/%3Cpath:x%3E/a", 400, "invalid_pattern"),
        (f"?pattern=/{'a' * 1100}", 414, "channel_too_long"),
        ("?" + "&".join(["a"] * 200), 400, "invalid_query"),
    ],
)
async def test_pattern_that_means_nothing_is_refused_on_both_sides(
    server: Server, connect: Connect, http: Talk, query: str, status: int, code: str
) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        await connect(server, f"/-/subscribe{query}")
    assert (refused.value.status, refused.value.error) == (status, code)
    answer = await http(server).request("GET", f"/-/subscribe{query}", headers=[("Accept", "application/x-ndjson")])
    assert (answer.status, answer.error) == (status, code)
    assert json.loads(refused.value.body) == answer.json()


async def test_nobody_publishes_to_where_one_subscribes(server: Server, http: Talk) -> None:
    answer = await http(server).post(target("/a"), "x")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_pattern_is_held_to_the_mount(start: Start, connect: Connect, http: Talk) -> None:
    site = start(servers.daphne, application=servers.SITE)
    listener = await connect(site, target("/live/<path:any>", "/live/"))
    await http(site).post("/live/a/b", "hello")
    assert await receive(listener) == ("/live/a/b", "hello")
    for outside in ("/<path:any>", "/other", "/liv<path:any>"):
        with pytest.raises(HandshakeRefused) as refused:
            await connect(site, target(outside, "/live/"))
        assert refused.value.error == "invalid_pattern"


async def test_site_may_turn_patterns_off(start: Start, connect: Connect, http: Talk) -> None:
    server = start(servers.daphne, env={"EVENTCAST_PATTERN_SUBSCRIPTIONS": "0"})
    with pytest.raises(HandshakeRefused) as refused:
        await connect(server, target("/<x>"))
    assert (refused.value.status, refused.value.error) == (404, "reserved_path")
    answer = await http(server).request("GET", target("/<x>"))
    assert (answer.status, answer.error) == (404, "reserved_path")


async def test_listener_by_a_pattern_gets_a_close_frame_when_the_server_stops(start: Start, connect: Connect) -> None:
    server = start(servers.daphne)
    listener = await connect(server, target("/<x>"))
    server.terminate()
    await listener.wait_closed()
    assert listener.close_code == 1001
