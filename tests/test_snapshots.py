"""Snapshot, then live: what is kept for a subscriber while its first message is made, and how that may fail."""

from __future__ import annotations

import asyncio
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import Http404
from django.test import AsyncRequestFactory, override_settings

import eventcast
from eventcast import snapshots
from eventcast.engine import patterns, subscribers
from eventcast.engine.closing import OPERATOR
from eventcast.engine.hub import current_hub
from eventcast.engine.presence import subscriber_count
from eventcast.engine.publishing import publish
from eventcast.exceptions import (
    Forbidden,
    InvalidEventName,
    LayerUnavailable,
    NothingToShow,
    Refused,
    ServerFull,
    SnapshotFailed,
)
from eventcast.http.formats import FORMATS, SSE
from eventcast.http.streams import ResponseStream, Stream
from eventcast.security.authorization.permits import Permit
from eventcast.snapshots import snapshot

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions of one test."""
    found: list[Any] = []
    monkeypatch.setattr(snapshots, "registry", found)
    return found


def stream(path: str = "/a") -> ResponseStream:
    return ResponseStream(Stream(AsyncRequestFactory().get(path), path, FORMATS[SSE], Permit()))


async def enter(
    wanted: Any = "/a", *, subscriber: ResponseStream | None = None, watching: bool = False
) -> ResponseStream:
    """Let a stream in; returns it."""
    subscriber = subscriber or stream()
    subscriber.watching = watching
    await snapshots.subscribe(subscriber, AsyncRequestFactory().get("/a"), wanted, Permit())
    return subscriber


async def body(subscriber: ResponseStream) -> str:
    """What the client has got, when the stream has ended."""
    subscriber.closed = True
    found = b"".join([piece async for piece in subscriber])
    current_hub().unsubscribe(subscriber)
    return found.decode()


class Gate:
    """A snapshot that is not ready before it is told."""

    def __init__(self) -> None:
        self.asked, self.ready = asyncio.Event(), asyncio.Event()
        snapshot("/a")(self.make)

    async def make(self, request: Any) -> str:
        self.asked.set()
        await self.ready.wait()
        return "snapshot"


@pytest.fixture
async def gate(registry: list[Any]) -> Gate:
    return Gate()


# --- the order --------------------------------------------------------------------------------------------------------


async def test_what_is_published_meanwhile_follows_the_snapshot(gate: Gate) -> None:
    entering = asyncio.create_task(enter())
    await gate.asked.wait()
    for number in range(3):
        publish("/a", str(number))
    gate.ready.set()
    subscriber = await entering
    publish("/a", "then")
    assert await body(subscriber) == "".join(f"data: {each}\n\n" for each in ("snapshot", 0, 1, 2, "then"))


async def test_others_are_not_held_up(gate: Gate) -> None:
    other = await enter(watching=True)
    entering = asyncio.create_task(enter())
    await gate.asked.wait()
    publish("/a", "x")
    assert await body(other) == "data: x\n\n"
    gate.ready.set()
    assert await body(await entering) == "data: snapshot\n\ndata: x\n\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [("text", "data: text\n\n"), ({"a": 1}, 'data: {"a":1}\n\n'), (b"\0", "event: binary\ndata: AA==\n\n"), (None, "")],
)
async def test_function_returns_what_publish_takes(data: Any, expected: str) -> None:
    snapshot("/a")(lambda request: data)
    assert await body(await enter()) == expected


async def test_snapshot_may_have_the_name_of_an_event() -> None:
    snapshot("/a", event="state")(lambda request: "x")
    assert await body(await enter()) == "event: state\ndata: x\n\n"


async def test_first_function_that_matches_is_called() -> None:
    snapshot("/orders/<int:id>")(lambda request, id: id)
    snapshot("/orders/<str:name>")(lambda request, name: name)
    assert await body(await enter("/orders/42")) == "data: 42\n\n"
    assert await body(await enter("/orders/x")) == "data: x\n\n"
    assert await body(await enter("/orders/x/y")) == ""


async def test_function_knows_the_user() -> None:
    snapshot("/a")(lambda request: str(request.user))
    assert await body(await enter()) == "data: AnonymousUser\n\n"


@pytest.mark.parametrize("wanted", [patterns.parse("/<x>"), patterns.parse("/a")])
async def test_pattern_has_no_snapshot(wanted: patterns.Pattern) -> None:
    snapshot("/<x>")(lambda request, x: x)
    assert await body(await enter(wanted)) == ""


async def test_operator_has_no_snapshot() -> None:
    snapshot("/a")(lambda request: "x")
    assert await body(await enter(watching=True)) == ""


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (Http404("no such order"), NothingToShow),
        (PermissionDenied("not yours"), Forbidden),
        (ServerFull("full"), ServerFull),
        (RuntimeError("a bug"), SnapshotFailed),
    ],
)
async def test_subscription_is_refused_by_what_the_function_raises(error: Exception, refusal: type[Refused]) -> None:
    def fail(request: Any) -> None:
        raise error

    snapshot("/a")(fail)
    with pytest.raises(refusal):
        await enter()
    assert subscriber_count("/a") == 0


@pytest.mark.parametrize("data", [object(), "\ud800", "x" * (1024 * 1024 + 1)])
async def test_what_cannot_be_sent_is_a_failure(data: Any, caplog: pytest.LogCaptureFixture) -> None:
    snapshot("/a")(lambda request: data)
    with pytest.raises(SnapshotFailed):
        await enter()
    assert "The snapshot of '/a' cannot be sent." in caplog.text


async def test_failure_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    snapshot("/a")(lambda request: 1 / 0)
    with pytest.raises(SnapshotFailed):
        await enter()
    assert "The snapshot of '/a' failed." in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_cancelled_subscription_leaves_nothing(gate: Gate) -> None:
    entering = asyncio.create_task(enter())
    await gate.asked.wait()
    publish("/a", "x" * 1000)
    assert current_hub().memory.total >= 1000
    entering.cancel()
    await asyncio.wait({entering})
    assert (subscriber_count("/a"), current_hub().memory.total) == (0, 0)


async def test_subscriber_that_is_disconnected_meanwhile_is_refused(gate: Gate) -> None:
    subscriber = stream()
    entering = asyncio.create_task(enter(subscriber=subscriber))
    await gate.asked.wait()
    subscriber.close(OPERATOR)
    gate.ready.set()
    with pytest.raises(Forbidden):
        await entering
    assert subscriber_count("/a") == 0


@override_settings(EVENTCAST={"SUBSCRIBER_BUFFER": 1000})
async def test_what_is_kept_meanwhile_has_a_bound(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "GRACE_PERIOD", 0.0)
    subscriber = stream()
    subscriber._task = None
    entering = asyncio.create_task(enter(subscriber=subscriber))
    await gate.asked.wait()
    for _ in range(3):
        publish("/a", "x" * 1000)
    gate.ready.set()
    with pytest.raises(LayerUnavailable):
        await entering
    assert subscriber.lost == 2


# --- the decorator ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("orders", lambda request: None),
        ("/<int:id", lambda request: None),
        ("/a/../b", lambda request: None),
        ("/<int:id>", lambda request: None),
        ("/a", lambda: None),
    ],
)
def test_snapshot_refuses_a_path_or_a_function_that_does_not_fit(path: str, function: Callable[..., Any]) -> None:
    with pytest.raises(ImproperlyConfigured):
        snapshot(path)(function)


def test_snapshot_refuses_to_be_used_without_a_path() -> None:
    with pytest.raises(ImproperlyConfigured, match="needs a path"):
        snapshot(lambda request: None)  # type: ignore[arg-type]


def test_snapshot_refuses_a_name_that_no_event_can_have() -> None:
    with pytest.raises(InvalidEventName):
        snapshot("/a", event="a\nb")


def test_snapshot_is_public_and_returns_the_function() -> None:
    def function(request: Any) -> None: ...

    assert eventcast.snapshot is snapshot
    assert snapshot("/a")(function) is function


# --- the documentation ------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module ``shop.models``, whose orders 1 to 9 are there."""

    class Missing(Exception):
        pass

    class Order:
        model = types.SimpleNamespace(DoesNotExist=Missing, _meta=types.SimpleNamespace(object_name="Order"))

        @classmethod
        def get(cls, pk: int) -> Any:
            if pk > 9:
                raise Missing
            return types.SimpleNamespace(paid=True)

    models = types.ModuleType("shop.models")
    models.Order = Order  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", types.ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.models", models)
    return


@pytest.mark.usefixtures("shop")
async def test_example_of_the_documentation_works() -> None:
    found = re.search(r"^```python\n# shop/snapshots.py\n(.*?)^```", (ROOT / "docs/site.md").read_text(), re.M | re.S)
    assert found
    exec(found[1], {})
    assert await body(await enter("/live/orders/7")) == 'data: {"paid":true}\n\n'
    with pytest.raises(NothingToShow):
        await enter("/live/orders/70")
