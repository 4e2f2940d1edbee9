"""What the door serves itself, what it hands to Daphne, and in which form."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doors import Daphne, converse, open_door
from tests.live.raw import HANDSHAKE
from tests.live.wires import publish, request

LIVE: dict[str, Any] = {"prefix": "/live/"}
VIA_DJANGO: dict[str, Any] = {"prefix": "/live/", "publish_directly": False}
OWN_CONSUMER: dict[str, Any] = {"prefix": "/live/", "consumer": object()}

UPGRADE = HANDSHAKE.decode().splitlines()
CHUNKED = b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
CHUNKS = b"3;a=b\r\none\r\n3\r\ntwo\r\n0\r\nX: y\r\n\r\n"
HUGE = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"


async def ask(data: bytes, mount: dict[str, Any]) -> tuple[bytes, list[bytes]]:
    """What the door answers, and what it hands over."""
    daphne = Daphne()
    with open_door(daphne, **mount) as door:
        return await converse(door, data), daphne.handed_over


@pytest.mark.parametrize(
    ("data", "mount"),
    [
        (publish("/a"), {}),
        (publish("/live/a"), LIVE),
        (request("GET", "/live/a"), LIVE),
        (request("GET", "/live/a", b"", *UPGRADE), LIVE),
        (request("GET", "/live/-/subscribe?channel=/live/*", b"", "Accept: text/event-stream"), LIVE),
    ],
)
async def test_channel_is_served_by_the_door(data: bytes, mount: dict[str, Any]) -> None:
    said, handed_over = await ask(data, mount)
    assert said.startswith(b"HTTP/1.1 ")
    assert handed_over == []


@pytest.mark.parametrize(
    ("data", "mount"),
    [
        (request("GET", "/admin/login/"), {}),
        (request("GET", "/-/channels"), {}),
        (request("GET", "/a", b"", "Accept: text/html"), {}),
        (request("OPTIONS", "*"), {}),
        (request("GET", "/a"), LIVE),
        (publish("/live/a"), VIA_DJANGO),
        (request("GET", "/live/-/subscribe?channel=/live/*"), VIA_DJANGO),
        (request("GET", "/live/a", b"", *UPGRADE), OWN_CONSUMER),
        (request("GET", "/other", b"", *UPGRADE), LIVE),
        (HUGE % b"/upload", LIVE),
    ],
)
async def test_rest_is_handed_over_with_what_was_read(data: bytes, mount: dict[str, Any]) -> None:
    said, (handed_over,) = await ask(data, mount)
    assert said == b""
    assert handed_over.split(b"\r\n")[0] == data.split(b"\r\n")[0]
    assert handed_over.partition(b"\r\n\r\n")[2] == data.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("target", "mount"), [(b"/admin/", {}), (b"/-/channels", {}), (b"/live/a", VIA_DJANGO), (b"/live/-/x", LIVE)]
)
async def test_body_below_the_mount_is_read_before_it_is_handed_over(target: bytes, mount: dict[str, Any]) -> None:
    _, (handed_over,) = await ask(CHUNKED % target + CHUNKS + b"GET /next", mount)
    head, _, body = handed_over.partition(b"\r\n\r\n")
    assert body == b"onetwoGET /next"
    lines = head.split(b"\r\n")[1:]
    assert sorted(line.lower() for line in lines) == [b"connection: close", b"content-length: 6", b"host: localhost"]


@pytest.mark.parametrize(
    ("target", "mount"), [(b"/admin/", {}), (b"/-/channels", {}), (b"/live/a", VIA_DJANGO), (b"/live/-/x", LIVE)]
)
async def test_body_below_the_mount_is_limited(target: bytes, mount: dict[str, Any]) -> None:
    said, handed_over = await ask(HUGE % target, mount)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert handed_over == []


@pytest.mark.parametrize("target", ["/live/a", "/other", "/live/-/x"])
@pytest.mark.parametrize("mount", [LIVE, VIA_DJANGO, OWN_CONSUMER], ids=["live", "via Django", "own consumer"])
async def test_odd_handshake_is_never_handed_over(target: str, mount: dict[str, Any]) -> None:
    said, handed_over = await ask(request("HEAD", target, b"", *UPGRADE), mount)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert handed_over == []


async def test_handshake_that_is_handed_over_stays_one() -> None:
    _, (handed_over,) = await ask(request("GET", "/other", b"", *UPGRADE), LIVE)
    lines = handed_over.lower().split(b"\r\n")
    assert b"connection: upgrade" in lines
    assert b"upgrade: websocket" in lines


async def test_headers_that_mean_something_to_daphne_alone_are_left_out() -> None:
    odd = ["Daphne-Root-Path: /evil", "Upgrade: websocket", "Connection: keep-alive", "X-Kept: 1"]
    _, (handed_over,) = await ask(request("GET", "/admin/", b"", *odd), {})
    lines = handed_over.lower().strip().split(b"\r\n")[1:]
    assert sorted(line.lower() for line in lines) == [b"connection: close", b"host: localhost", b"x-kept: 1"]
