"""Behind nginx with the documented configuration no publish is lost and none is answered with 502, whatever other
clients send. nginx keeps its connections to the servers: a server that ends one without saying so, or answers a request
by halves, counts as broken, and all clients hear of it."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live import servers
from tests.live.conftest import Start
from tests.live.frames import TEXT, encode_frame
from tests.live.nginx import nginx
from tests.live.raw import HANDSHAKE
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT
from tests.live.wires import Wire, publish, request

PUBLISHES = int(os.environ.get("NGINX_PUBLISHES", "2000"))
PUBLISHERS = 8

UPGRADE = HANDSHAKE.decode().splitlines()
LONG = [f"X-{name}: {name * 6000}" for name in "abc"]


def without(name: str, *more: str) -> list[str]:
    return [line for line in UPGRADE if not line.startswith(name)] + list(more)


ODD = {
    "HEAD with Upgrade": request("HEAD", "/odd", b"", *UPGRADE),
    "HEAD with Upgrade, to the admin": request("HEAD", "/admin/", b"", *UPGRADE),
    "HEAD with Upgrade, to no path of ours": request("HEAD", "/-/nothing", b"", *UPGRADE),
    "POST with Upgrade": request("POST", "/odd", b"body", *UPGRADE),
    "GET with Upgrade and a body": request("GET", "/odd", b"body", *UPGRADE),
    "GET with Upgrade and a length": request("GET", "/odd", b"", *UPGRADE, "Content-Length: 0"),
    "an old version": request("GET", "/odd", b"", *without("Sec-WebSocket-V", "Sec-WebSocket-Version: 8")),
    "no key": request("GET", "/odd", b"", *without("Sec-WebSocket-K")),
    "no key, to the admin": request("GET", "/admin/", b"", *without("Sec-WebSocket-K")),
    "a refused handshake": request("GET", "/odd", b"", *UPGRADE, "Origin: https://evil.example"),
    "a refused handshake, to the admin": request("GET", "/admin/", b"", *UPGRADE),
    "Upgrade to something else": request("GET", "/odd", b"", "Connection: Upgrade", "Upgrade: h2c"),
    "a head of 18 kB": request("GET", "/odd", b"", *LONG),
    "a head of 18 kB, to the admin": request("GET", "/admin/login/", b"", *LONG),
    "a head of 18 kB with HEAD, to the admin": request("HEAD", "/admin/login/", b"", *LONG),
    "200 headers and more": request("HEAD", "/odd", b"", *(f"X-{number}: x" for number in range(250))),
    "600 headers": request("HEAD", "/admin/", b"", *(f"X-{number}: x" for number in range(600))),
    "GET with a body": request("GET", "/odd", b"body"),
    "HEAD of a page": request("HEAD", "/odd", b"", "Accept: text/html"),
    "a host that is not ours": request("HEAD", "/odd").replace(b"localhost", b"evil.example"),
    "no media type": request("POST", "/odd", b"body", "Content-Type: no/type"),
    "a page": request("GET", "/admin/login/"),
    "the list": request("GET", "/-/channels"),
}


@pytest.fixture
def proxied(start: Start, tmp_path: Path) -> Callable[[int], tuple[Server, list[Server]]]:
    """Starts servers with nginx before them, which comes first in the result."""

    def start_all(count: int) -> tuple[Server, list[Server]]:
        sockets = [tmp_path / f"{number}.socket" for number in range(count)]
        env = {"EVENTCAST_TRUSTED_PROXIES": "unix", "EVENTCAST_WEBSOCKET_PUBLISH": "1"}
        behind = [start(servers.serve, "-p", "0", "-u", str(each), env=env) for each in sockets]
        return start(nginx, *sockets), behind

    return start_all


def publish_many(port: int, count: int) -> Counter[int]:
    """Publish one message after the other on one connection; returns how often each status was answered."""
    statuses: Counter[int] = Counter()
    wire = Wire(port)
    for _ in range(count):
        answer = wire.ask(publish("/kept"))
        statuses[answer.status] += 1
        if answer.closes:
            wire.socket.close()
            wire = Wire(port)
    wire.socket.close()
    return statuses


def ask_oddly(port: int, kind: str) -> int:
    """Send an odd request on a connection of its own; returns its status."""
    with Wire(port, ODD[kind]) as wire:
        return wire.answer("HEAD").status


@pytest.mark.parametrize("count", [1, 2])
async def test_odd_requests_of_others_cost_no_publish(
    count: int, proxied: Callable[[int], tuple[Server, list[Server]]]
) -> None:
    front, behind = proxied(count)
    listening = [Wire(each.port, request("GET", "/kept", b"", "Accept: application/x-ndjson")) for each in behind]
    for each in listening:
        each.read_until(b"\r\n\r\n")
        each.read_until(b"\n")  # The greeting: from here on messages are counted.
    publishing = asyncio.gather(
        *(asyncio.to_thread(publish_many, front.port, PUBLISHES // PUBLISHERS) for _ in range(PUBLISHERS))
    )
    odd: dict[str, Counter[int]] = {kind: Counter() for kind in ODD}
    while not publishing.done():
        for kind in ODD:
            odd[kind][await asyncio.to_thread(ask_oddly, front.port, kind)] += 1
    statuses = sum(await publishing, Counter[int]())
    assert statuses == {201: PUBLISHES}, odd
    assert not [kind for kind, answers in odd.items() if {500, 502, 503, 504} & set(answers)], odd
    heard = 0
    for server, each in zip(behind, listening, strict=True):
        with Wire(server.port, request("GET", "/kept")) as wire:
            heard += json.loads(wire.answer("GET").body)["messages"]
        each.socket.close()
    assert heard == PUBLISHES


def test_websocket_behind_nginx_hears_and_speaks(proxied: Callable[[int], tuple[Server, list[Server]]]) -> None:
    front, _ = proxied(1)
    # The first message comes in the packet of the handshake.
    with Wire(front.port, request("GET", "/a", b"", *UPGRADE) + encode_frame(TEXT, b"first")) as wire:
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert wire.read(7) == b"\x81\x05first"
        with Wire(front.port, publish("/a", b"second")) as other:
            assert other.answer().status == 201
        assert wire.read(8) == b"\x81\x06second"


def test_client_has_the_address_that_nginx_says(proxied: Callable[[int], tuple[Server, list[Server]]]) -> None:
    front, (server,) = proxied(1)
    with Wire(front.port, request("GET", "/a", b"", *UPGRADE, "Origin: https://evil.example")) as wire:
        assert wire.answer("GET").status == 403
    server.wait_for_log(r"origin_not_allowed, path .*, peer 127\.0\.0\.1\.", timeout=TIMEOUT)
