"""What a client has asked for, from where, and how it is turned down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventcast.engine.subscribers import Subscriber
from eventcast.server import daphne
from tests.daphne.site import Site, on_reactor, request


@pytest.mark.parametrize("target", ["/a", "//a/b", "/a;b", "/a%2Fb?c=d", "/%E5%BC%A0", "/a?", "/..//./a", "/%FF"])
@on_reactor
async def test_request_target_is_what_the_client_sent(site: Site, target: str) -> None:
    await site.connect(target)
    assert daphne.request_target(site.listener.protocols[-1]) == target.encode()


def test_request_target_of_an_unknown_protocol_is_none() -> None:
    assert daphne.request_target(object()) is None


@on_reactor
async def test_peer_is_the_other_end_of_the_connection(site: Site) -> None:
    await site.connect("/a")
    assert daphne.peer_of(site.listener.protocols[-1]) == "127.0.0.1"


def test_peer_of_an_unknown_protocol_is_none() -> None:
    assert daphne.peer_of(object()) is None


@pytest.mark.parametrize(("status", "code"), [(414, "channel_too_long"), (503, "layer_unavailable")])
@on_reactor
async def test_refuse_answers_with_status_and_code(site: Site, status: int, code: str) -> None:
    refused = []

    def refuse(protocol: Any, subscriber: Subscriber) -> None:
        refused.extend(daphne.refuse(protocol, status, code, b"{}", {"Retry-After": "7"}) for _ in range(2))
        raise asyncio.CancelledError

    site.listener.before_accept = refuse
    client = await site.dial()
    await client.send_handshake("/a")
    head = await client.head()
    assert head.startswith(f"HTTP/1.1 {status} {code}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n")
    assert head.endswith("\r\nRetry-After: 7\r\n\r\n")
    assert refused == [True, False]


@on_reactor
async def test_refuse_does_nothing_after_the_handshake(site: Site) -> None:
    await site.connect_straight()
    assert not daphne.refuse(site.listener.protocols[-1], 404, "x", b"{}")


@on_reactor
async def test_root_path_of_a_clients_choosing_is_replaced(site: Site) -> None:
    paths: list[str] = []

    async def handler(scope: dict[str, Any], receive: Any, send: Any) -> None:
        protocol = daphne.find_protocol(send, scope["client"])
        paths.extend([scope["root_path"], daphne.without_spoofed_root_path(scope, protocol)["root_path"]])

    await request(site, handler, "Daphne-Root-Path: /evil")
    assert paths == ["/evil", ""]


def test_root_path_of_another_server_is_kept() -> None:
    scope = {"root_path": "/app"}
    assert daphne.without_spoofed_root_path(scope, None) is scope
