"""Each mount is a world of its own: what is listed there lies below it, and figures of all are for who may hear all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from django.urls import include, path

from eventcast.engine import patterns
from eventcast.engine.hub import current_hub
from tests.fakes import FakeSubscriber
from tests.test_views import Answer, call

urlpatterns = [path("a/", include("eventcast.urls")), path("b/", include("eventcast.urls"))]

KEYS = [
    {"key": "good-for-a-alone", "name": "a", "subscribe": ["/a/<path:any>"]},
    {"key": "good-for-everything", "name": "all", "subscribe": ["/<path:any>"]},
    {"key": "good-for-orders-of-a", "name": "orders", "subscribe": ["/a/orders/<path:any>"]},
]


@pytest.fixture(autouse=True)
def two_mounts() -> Any:
    eventcast = {"AUTHORIZATION": "eventcast.authorization.Keys", "KEYS": KEYS}
    with override_settings(ROOT_URLCONF=__name__, EVENTCAST=eventcast):
        yield


@pytest.fixture(autouse=True)
async def listeners() -> AsyncIterator[None]:
    hub = current_hub()
    everything: list[Any] = ["/a/x", "/a/y", "/b/x", *map(patterns.parse, ["/a/<m>", "/b/<n>", "/<o>/x"])]
    heard = [(wanted, FakeSubscriber()) for wanted in everything]
    for wanted, subscriber in heard:
        await hub.subscribe(wanted, subscriber)
    yield
    for _, subscriber in heard:
        hub.unsubscribe(subscriber)


async def ask(target: str, key: str, **options: Any) -> Answer:
    return await call(ASGIHandler(), "GET", target, headers=[("X-API-Key", key)], **options)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["/a/x", "/a/y"]),
        ("?prefix=/", ["/a/x", "/a/y"]),
        ("?prefix=/a", ["/a/x", "/a/y"]),
        ("?prefix=/a/y", ["/a/y"]),
        ("?prefix=/b/", []),
        ("?after=/a/x", ["/a/y"]),
    ],
)
async def test_list_has_the_channels_below_its_mount_only(query: str, names: list[str]) -> None:
    answer = (await ask("/a/-/channels" + query, "good-for-a-alone")).json()
    assert [info["channel"] for info in answer["channels"]] == names


async def test_list_has_the_patterns_below_its_mount_only() -> None:
    answer = (await ask("/a/-/channels", "good-for-a-alone")).json()
    assert [info["pattern"] for info in answer["patterns"]] == ["/a/<m>"]


async def test_figures_of_the_process_are_not_in_the_list_of_who_may_hear_one_mount() -> None:
    assert not {"total", "refused"} & (await ask("/a/-/channels", "good-for-a-alone")).json().keys()


async def test_figures_of_the_process_are_in_the_list_of_who_may_hear_all() -> None:
    answer = (await ask("/a/-/channels", "good-for-everything")).json()
    assert (answer["total"]["subscribers"], "refused" in answer) == (6, True)


@pytest.mark.parametrize(("key", "status"), [("good-for-a-alone", 403), ("good-for-everything", 200)])
async def test_metrics_are_for_who_may_hear_all(key: str, status: int) -> None:
    assert (await ask("/a/-/metrics", key)).status == status


async def test_root_path_in_front_of_the_mount_does_not_widen_what_is_listed() -> None:
    target, root_path = "/a/orders/a/-/channels", "/a/orders"
    answer = (await ask(target, "good-for-orders-of-a", root_path=root_path)).json()
    assert (answer["channels"], answer["patterns"], "total" in answer) == ([], [], False)


@pytest.mark.parametrize("own", ["channels", "metrics", "subscribe?pattern=/a/orders/x"])
async def test_path_that_is_not_the_one_django_has_routed_is_refused(own: str) -> None:
    # As behind something that rewrites the path and leaves the raw one as it was.
    answer = await ask(f"/a/-/{own}", "good-for-everything", raw_path=b"/a/orders/-/" + own.partition("?")[0].encode())
    assert (answer.status, answer.json()["error"]) == (404, "reserved_path")
