"""Probes of load balancers and supervisors: by the door, by the router of any ASGI server, and by Django's view."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import Client, override_settings

from eventcast.engine.hub import current_hub
from eventcast.routing import EventcastRouter
from tests.doors import Daphne, converse, open_door
from tests.test_views import Answer, Ask, ask, call

__all__ = ["ask"]

pytestmark = pytest.mark.usefixtures("own_hubs")

PATHS = ["/-/health/live", "/-/health/ready"]


async def site(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the site is not asked")


async def by_router(method: str, target: str, **mount: Any) -> Answer:
    return await call(EventcastRouter(site, **mount), method, target, headers=[("Host", "10.0.0.7")])


async def by_door(method: str, target: str) -> tuple[int, dict[str, str], bytes]:
    daphne = Daphne()
    with open_door(daphne) as door:
        said = await converse(door, f"{method} {target} HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n".encode())
    assert daphne.handed_over == []
    head, _, body = said.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    headers = dict(field.lower().split(": ", 1) for field in fields)
    return int(status.split()[1]), headers, body


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mount", [{}, {"prefix": "/live/"}, {"publish_directly": True}])
async def test_router_answers_past_the_site_and_allowed_hosts(path: str, mount: Any) -> None:
    target = mount.get("prefix", "/").rstrip("/") + path
    answer = await by_router("GET", target, **mount)
    assert (answer.status, answer.json(), answer.headers["cache-control"]) == (200, {"status": "ok"}, "no-store")
    head = await by_router("HEAD", target, **mount)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(answer.body)))


@pytest.mark.parametrize("path", PATHS)
async def test_door_answers_past_allowed_hosts(path: str) -> None:
    status, headers, body = await by_door("GET", path)
    assert (status, json.loads(body), headers["cache-control"]) == (200, {"status": "ok"}, "no-store")
    status, headers, head_body = await by_door("HEAD", path)
    assert (status, head_body, headers["content-length"]) == (200, b"", str(len(body)))


@pytest.mark.parametrize("path", PATHS)
def test_view_answers_without_asgi(path: str) -> None:
    with override_settings(EVENTCAST={"AUTHORIZATION": "eventcast.authorization.Keys", "KEYS": []}):
        answer = Client().get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", PATHS)
async def test_other_methods_are_refused(ask: Ask, path: str) -> None:
    answer = await ask("POST", path)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_server_that_stops_is_live_and_not_ready() -> None:
    current_hub().stopping = True
    try:
        assert [(await by_router("GET", path)).status for path in PATHS] == [200, 503]
        assert (await call(ASGIHandler(), "GET", PATHS[1])).json()["error"] == "layer_unavailable"
        live, ready = [await by_door("GET", path) for path in PATHS]
        assert (live[0], ready[0], ready[1]["retry-after"]) == (200, 503, "1")
    finally:
        current_hub().stopping = False


async def test_other_paths_are_the_servers_own(ask: Ask) -> None:
    answer = await ask("GET", "/-/health/else")
    assert (answer.status, answer.json()["error"]) == (404, "reserved_path")
