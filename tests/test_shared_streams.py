"""One stream for several channels, as a client of a server of another project reads it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.test import override_settings

import eventcast
from eventcast import snapshots
from eventcast.engine import presence
from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import apublish
from eventcast.engine.quotas import quotas
from eventcast.exceptions import Forbidden
from eventcast.http.formats import NDJSON, SSE
from tests.fakes import until
from tests.test_streams import Reader as Client

CHANNELS = ["/a", "/b", "/c"]


class Reader(Client):
    """A client of the channels /a, /b and /c."""

    def __init__(self, accept: str = NDJSON, query: str = "channel=/b&channel=/c") -> None:
        super().__init__(accept)
        self.scope["query_string"] = query.encode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines() if line]

    def told(self, kind: str | None) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("type") == kind]


Read = Callable[..., Any]


@pytest.fixture
async def read() -> AsyncIterator[Read]:
    readers = []

    async def read(*arguments: str, told: int = 3) -> Reader:
        readers.append(reader := Reader(*arguments))
        await reader.begin()
        await until(lambda: reader.body.count(b'{"type":') >= told)
        return reader

    yield read
    for reader in readers:
        await reader.leave()
    assert (current_hub().channels, quotas.subscribers, current_hub().memory.total) == ({}, 0, 0)


async def test_client_is_told_of_each_channel_and_hears_all_in_order(read: Read) -> None:
    reader = await read()
    assert [(line["channel"], line["heartbeat"]) for line in reader.told("hello")] == [(each, 15) for each in CHANNELS]
    for number in range(30):
        assert await apublish(CHANNELS[number % 3], str(number)) == 1
    await until(lambda: len(reader.told(None)) == 30)
    heard = [(line["channel"], line["data"]) for line in reader.told(None)]
    assert heard == [(CHANNELS[number % 3], str(number)) for number in range(30)]
    assert presence.channel_info("/b").figures.delivered == 10


async def test_events_say_their_channel(read: Read) -> None:
    reader = await read(SSE)
    await apublish("/b", "x")
    await until(lambda: b'"data":"x"' in reader.body)
    events = reader.body.split(b"\n\n")
    assert b"event: hello\ndata: {" in events[0]
    assert json.loads(events[3].removeprefix(b"data: "))["channel"] == "/b"


@override_settings(EVENTCAST={"MAX_SUBSCRIBERS_PER_CHANNEL": 1})
async def test_channel_that_is_full_is_refused_alone_and_may_be_tried_again(read: Read) -> None:
    first, second = await read(), await read(NDJSON, "channel=/d", told=2)
    assert [line["channel"] for line in second.told("hello")] == ["/d"]
    (bye,) = second.told("bye")
    assert (bye["channel"], bye["code"], bye["status"]) == ("/a", "channel_full", 503)
    assert bye["retry"] == [10, 15]
    assert await apublish("/a", "x") == await apublish("/d", "x") == 1
    await until(lambda: first.told(None) and second.told(None))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("channel=b", "invalid_channel"),
        ("channel=/..", "invalid_channel"),
        ("channel=/-/channels", "reserved_path"),
        ("channel=/-/subscribe", "reserved_path"),
        ("channel=/admin/x", "reserved_path"),
    ],
)
async def test_what_is_no_channel_beside_the_first_is_refused_for_good(read: Read, query: str, code: str) -> None:
    reader = await read(NDJSON, query + "&channel=/b")
    assert [line["channel"] for line in reader.told("hello")] == ["/a", "/b"]
    (bye,) = reader.told("bye")
    assert (bye["code"], bye["retry"]) == (code, None)


async def test_query_that_cannot_be_read_fails_all() -> None:
    for query in ("channel=%FF", "&".join(["channel=/b"] * 101)):
        reader = Reader(NDJSON, query)
        await reader.begin()
        await reader.ended()
        assert reader.status == 400


async def test_revoked_channel_ends_alone(read: Read) -> None:
    reader = await read()
    eventcast.disconnect(channel="/b")
    await until(lambda: reader.told("bye"))
    assert {key: reader.told("bye")[0][key] for key in ("channel", "code", "retry")} == {
        "channel": "/b", "code": 3000, "retry": [0, 1],
    }  # fmt: skip
    assert await apublish("/b", "x") == 0
    assert await apublish("/a", "x") == await apublish("/c", "x") == 1
    await until(lambda: len(reader.told(None)) == 2)


async def test_stream_ends_with_its_last_channel(read: Read) -> None:
    reader = await read()
    for name in CHANNELS:
        presence.disconnect(name)
    await reader.ended()
    assert [bye["code"] for bye in reader.told("bye")] == [3000] * 3


async def test_snapshots_come_after_the_hellos_and_one_that_refuses_ends_its_channel_only(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "registry", [])

    @snapshots.snapshot("/<name>")
    async def state(request: Any, name: str) -> str:
        await apublish("/" + name, "later")
        if name == "c":
            raise Forbidden("No.")
        return "state of " + name

    reader = await read()
    await until(lambda: len(reader.lines) >= 8)
    assert [line["channel"] for line in reader.lines[:3]] == CHANNELS
    assert [(bye["channel"], bye["reason"]) for bye in reader.told("bye")] == [("/c", "No.")]
    for name in ("a", "b"):
        assert [line["data"] for line in reader.told(None) if line["channel"] == "/" + name] == [
            "state of " + name,
            "later",
        ]


async def test_stream_whose_channels_are_all_refused_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(NDJSON, "channel=/b")
    with override_settings(
        EVENTCAST={"AUTHORIZATION": "eventcast.authorization.Keys", "KEYS": [{"key": "k" * 32, "subscribe": ["/x"]}]}
    ):
        await reader.begin()
        await reader.ended()
    assert [(bye["channel"], bye["status"]) for bye in reader.told("bye")] == [("/a", 401), ("/b", 401)]


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 1000})
async def test_slow_client_holds_up_publishers_then_loses_all_of_its_channels(read: Read) -> None:
    reader = await read()
    reader.on_send = never
    (subscriber,) = current_hub().channels["/b"]
    await apublish("/a", "x" * 900)
    await apublish("/b", "x" * 900)
    assert current_hub().is_crowded("/b")
    subscriber._behind_since -= 10  # as if it had been behind for that long
    await apublish("/b", "x")
    assert (subscriber.lost, subscriber.closed) == (1, True)
    await until(lambda: not current_hub().channels)


async def never(event: Any) -> None:
    await until(lambda: False)
