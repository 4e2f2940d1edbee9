"""What a client has asked for, from where, and how it is turned down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import override_settings

from eventcast.server import daphne
from tests.daphne.site import Site, on_reactor
from tests.fakes import FlakyLayer, layer_in_use


@pytest.mark.parametrize("target", ["/a", "//a/b", "/a;b", "/a%2Fb?c=d", "/%E5%BC%A0", "/a?", "/..//./a", "/%FF"])
@on_reactor
async def test_request_target_is_what_the_client_sent(site: Site, target: str) -> None:
    client = await site.dial()
    await client.send_handshake(target)
    await client.head()
    assert daphne.request_target(site.protocols[-1]) == target.encode()


def test_request_target_of_an_unknown_protocol_is_none() -> None:
    assert daphne.request_target(object()) is None


@on_reactor
async def test_peer_is_the_other_end_of_the_connection(site: Site) -> None:
    with override_settings(EVENTCAST={"TRANSPORT": "asgi"}):
        await site.connect("/a")
    assert daphne.peer_of(site.protocols[-1]) == "127.0.0.1"


def test_peer_of_an_unknown_protocol_is_none() -> None:
    assert daphne.peer_of(object()) is None


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [("/" + "x" * 2000, 414, "channel_too_long"), ("/-/x", 404, "reserved_path"), ("/%FF", 400, "invalid_channel")],
)
@on_reactor
async def test_refused_handshake_gets_a_whole_answer(site: Site, target: str, status: int, code: str) -> None:
    client = await site.dial()
    await client.send_handshake(target)
    head = await client.head()
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "\r\nConnection: close\r\n" in head
    assert json.loads(await client.rest())["error"] == code


@on_reactor
async def test_refused_handshake_gets_a_whole_answer_when_it_is_held_back(site: Site) -> None:
    client = await site.dial()
    with layer_in_use(FlakyLayer()) as layer:
        layer.failing = {"group_add"}
        await client.send_handshake("/a")
        head = await client.head()
    assert (head.startswith("HTTP/1.1 503 "), "\r\nRetry-After: " in head) == (True, True)
    assert json.loads(await client.rest())["error"] == "layer_unavailable"


@on_reactor
async def test_refuse_does_nothing_after_the_handshake(site: Site) -> None:
    with override_settings(EVENTCAST={"TRANSPORT": "asgi"}):
        await site.connect("/a")
    assert not daphne.refuse(site.protocols[-1], "x", b"")


@on_reactor
async def test_root_path_of_a_clients_choosing_is_replaced(site: Site) -> None:
    paths: list[str] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = daphne.find_protocol(scope, send)
        paths.extend([scope["root_path"], daphne.without_spoofed_root_path(scope, protocol)["root_path"]])

    await site.request(handler, "Daphne-Root-Path: /evil")
    assert paths == ["/evil", ""]


def test_root_path_of_another_server_is_kept() -> None:
    scope = {"root_path": "/app"}
    assert daphne.without_spoofed_root_path(scope, None) is scope
