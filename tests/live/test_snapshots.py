"""A subscriber hears the snapshot of its channel first, then what was published while it was made, then the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.live import servers
from tests.live.clients import HandshakeRefused
from tests.live.conftest import Connect, Fleet, Open, Talk
from tests.live.servers import Server

PAGE = "https://app.example"
KINDS = ["serve", "daphne", pytest.param("uvicorn", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    fleet = Fleet(tmp_path_factory.mktemp("snapshots"))
    server = fleet.start(
        getattr(servers, request.param),
        env={"DJANGO_SETTINGS_MODULE": "tests.live.snapshot_settings", "EVENTCAST_ALLOWED_ORIGINS": PAGE},
    )
    server.allows_tracebacks = True  # of the snapshot that fails
    yield server
    fleet.stop()


@pytest.fixture
def number(channel: str) -> int:
    """A number that no other test uses."""
    return int(channel.rpartition("/")[2])


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_websocket_begins_with_the_snapshot(
    kind: str, site: Server, number: int, connect: Connect, http: Talk
) -> None:
    listener = await connect(site, f"/{kind}/{number}?for=me")
    await http(site).post(f"/{kind}/{number}", "then")
    heard = await listener.receive_many(5)
    assert json.loads(heard[0]) == {"state of": number, "for": "me"}
    assert heard[1:] == ["meanwhile 0", "meanwhile 1", "meanwhile 2", "then"]


async def test_eventcast_v1_begins_with_hello_and_the_snapshot(
    site: Server, number: int, connect: Connect, http: Talk
) -> None:
    listener = await connect(site, f"/sync/{number}", headers=[("Sec-WebSocket-Protocol", "eventcast.v1")])
    await http(site).post(f"/sync/{number}", "then")
    hello, first, *rest = [json.loads(frame) for frame in await listener.receive_many(6)]
    assert hello["type"] == "hello"
    assert (json.loads(first["data"])["state of"], first["channel"]) == (number, f"/sync/{number}")
    assert [each["data"] for each in rest] == ["meanwhile 0", "meanwhile 1", "meanwhile 2", "then"]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_lines_of_json_begin_with_the_snapshot(
    kind: str, site: Server, number: int, listen: Open, http: Talk
) -> None:
    listener = await listen(site, f"/{kind}/{number}", "application/x-ndjson")
    await http(site).post(f"/{kind}/{number}", "then")
    heard = [json.loads(await listener.read_until(b"\n")) for _ in range(5)]
    assert json.loads(heard[0]["data"])["state of"] == number
    assert [each["data"] for each in heard[1:]] == ["meanwhile 0", "meanwhile 1", "meanwhile 2", "then"]
    assert heard[0].get("event") == ("state" if kind == "async" else None)


async def test_events_begin_with_the_snapshot(site: Server, number: int, listen: Open, http: Talk) -> None:
    listener = await listen(site, f"/async/{number}", "text/event-stream")
    await http(site).post(f"/async/{number}", "then")
    heard = [(await listener.read_until(b"\n\n")).decode() for _ in range(5)]
    assert heard[0].startswith('event: state\ndata: {"state of":')
    assert [each.removeprefix("data: ").strip() for each in heard[1:]] == [
        "meanwhile 0",
        "meanwhile 1",
        "meanwhile 2",
        "then",
    ]


async def test_each_subscriber_has_its_own_snapshot_and_hears_all_from_then_on(
    site: Server, number: int, connect: Connect
) -> None:
    first = await connect(site, f"/sync/{number}?for=one")
    second = await connect(site, f"/sync/{number}?for=two")
    heard = [await first.receive_many(7), await second.receive_many(4)]
    assert [json.loads(each[0])["for"] for each in heard] == ["one", "two"]
    assert heard[0][1:] == 2 * heard[1][1:] == 2 * ["meanwhile 0", "meanwhile 1", "meanwhile 2"]


@pytest.mark.parametrize(("channel", "status"), [("/missing", 404), ("/broken", 500)])
async def test_websocket_without_a_snapshot_is_refused_and_leaves_nothing(
    channel: str, status: int, site: Server, connect: Connect, http: Talk
) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        await connect(site, channel)
    assert refused.value.status in (status, 403)  # ASGI alone can say only 403.
    await http(site).wait_for_count(channel, 0)


# Under uvicorn the response has begun before the snapshot is made, and breaks off.
@pytest.mark.parametrize("site", ["serve", "daphne"], indirect=True)
@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/broken", 500)])
async def test_page_elsewhere_can_read_why_its_stream_is_refused(
    path: str, status: int, site: Server, http: Talk
) -> None:
    answer = await http(site).request("GET", path, headers=[("Accept", "application/x-ndjson"), ("Origin", PAGE)])
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "Origin" in answer.headers["vary"]


async def test_snapshot_of_nothing_is_no_message(site: Server, connect: Connect, http: Talk) -> None:
    listener = await connect(site, "/nothing")
    await http(site).post("/nothing", "live")
    assert await listener.receive() == "live"


async def test_subscriber_to_a_pattern_has_no_snapshot(site: Server, number: int, connect: Connect, http: Talk) -> None:
    listener = await connect(site, "/-/subscribe?pattern=/sync/%3Cint:number%3E")
    await http(site).post(f"/sync/{number}", "live")
    assert json.loads(await listener.receive())["data"] == "live"


KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"


@pytest.mark.parametrize("headers", [WEBSOCKET, "Accept: text/event-stream\r\n"], ids=["WebSocket", "stream"])
async def test_client_that_leaves_while_its_snapshot_is_made_leaves_nothing(
    headers: str, site: Server, number: int, connect: Connect, http: Talk
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET /slow/{number} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
    asker = http(site)
    await asker.wait_for_count(f"/slow/{number}", 1)
    stays = asyncio.ensure_future(connect(site, f"/slow/{number}"))
    await asker.wait_for_count(f"/slow/{number}", 2)
    await asker.post(f"/slow/{number}", "meanwhile")
    writer.transport.abort()
    await connect(site, f"/release/{number}")
    assert await (await stays).receive_many(2) == ["at last", "meanwhile"]
    await asker.wait_for_count(f"/slow/{number}", 1)
