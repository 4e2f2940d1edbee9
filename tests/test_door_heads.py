"""Requests to publish that have the same head: the door checks the first of them, and what changes is found out."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import override_settings

from eventcast.authorization import token
from eventcast.security import throttling
from eventcast.security.authorization import asking
from eventcast.server.door import Door
from tests.doors import Daphne, converse, open_door
from tests.fakes import set_clock

KEY = "0123456789abcdef"
KEYS = {"AUTHORIZATION": "eventcast.authorization.Keys", "KEYS": [{"key": KEY, "publish": ["/<path:any>"]}]}
TOKENS = {"AUTHORIZATION": "eventcast.authorization.Tokens"}


@pytest.fixture
async def door() -> Any:
    with open_door(Daphne()) as door:
        yield door


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The channels of the publishers that were checked."""
    found: list[str] = []
    ask = asking.ask

    def counted(authorization: Any, action: Any, request: Any, wanted: Any) -> Any:
        found.append(wanted)
        return ask(authorization, action, request, wanted)

    monkeypatch.setattr(asking, "ask", counted)
    return found


def post(body: bytes = b"data=1", *headers: str, target: str = "/a", kind: str = "") -> bytes:
    kind = kind or "application/x-www-form-urlencoded"
    lines = [f"POST {target} HTTP/1.1", "Host: localhost", *headers, f"Content-Type: {kind}"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def statuses(door: Door, *requests: bytes) -> list[int]:
    said = await converse(door, *requests)
    return [int(each.split(b" ", 1)[0]) for each in said.split(b"HTTP/1.1 ")[1:]]


async def test_publisher_with_the_same_head_is_checked_once(door: Door, checks: list[str]) -> None:
    assert await statuses(door, post(b"data=1"), post(b"data=22"), post(b"data=3")) == [202] * 3
    assert await statuses(door, post(b"data=4444"), post(target="/b")) == [202] * 2
    assert checks == ["/a", "/b"]


async def test_what_differs_in_the_body_is_found_out(door: Door) -> None:
    found = await statuses(door, post(), post(b"x=1"), post(b"data=%ff"), post(b"data=1&data=2"))
    assert found == [202, 400, 400, 202]


async def test_limits_hold_for_each_request(door: Door) -> None:
    with override_settings(EVENTCAST={"MAX_BODY_SIZE": 50, "MAX_MESSAGE_SIZE": 10}):
        found = await statuses(door, post(), post(b"data=12345678901"), post(b"data=1&" + b"x" * 50))
    assert found == [202, 413, 413]


@pytest.mark.parametrize("header", ["Origin: http://localhost", "Cookie: a=b"])
async def test_publisher_is_checked_each_time_if_more_than_the_head_counts(
    header: str, door: Door, checks: list[str]
) -> None:
    assert await statuses(door, post(b"data=1", header), post(b"data=2", header)) == [202, 202]
    assert len(checks) >= 2


async def test_publisher_is_checked_each_time_where_its_rate_is_limited(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, throttling, 100.0)
    with override_settings(EVENTCAST={"PUBLISH_RATE": 1, "PUBLISH_BURST": 2}):
        assert await statuses(door, *[post(target="/rate")] * 4) == [202, 202, 429, 429]


async def test_key_counts_for_its_own_head(door: Door) -> None:
    with override_settings(EVENTCAST=KEYS):
        requests = [post(b"data=1", f"X-API-Key: {key}") for key in (KEY, KEY[::-1], KEY)]
        assert await statuses(door, *requests) == [202, 401, 202]


async def test_settings_that_have_changed_count_at_once(door: Door) -> None:
    assert await statuses(door, post()) == [202]
    with override_settings(EVENTCAST=KEYS):
        assert await statuses(door, post()) == [401]
    with override_settings(ALLOWED_HOSTS=["elsewhere"]):
        assert await statuses(door, post()) == [400]
    assert await statuses(door, post()) == [202]


async def test_token_expires(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(EVENTCAST=TOKENS):
        header = f"Authorization: Bearer {token(publish='/a', expires_in=60)}"
        assert await statuses(door, post(b"data=1", header), post(b"data=2", header)) == [202, 202]
        later = time.time() + 61
        monkeypatch.setattr("time.time", lambda: later)
        assert await statuses(door, post(b"data=3", header)) == [401]


async def test_request_of_another_method_is_another(door: Door) -> None:
    put = post().replace(b"POST", b"PUT")
    assert await statuses(door, post(), put, post().replace(b"POST", b"PATCH")) == [202, 202, 405]
