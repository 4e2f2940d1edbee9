from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from django.urls import path

from eventcast import routing
from eventcast.authorization import Authorization
from eventcast.engine.hub import current_hub
from eventcast.engine.presence import subscriber_count
from eventcast.routing import EventcastRouter, websocket_urlpatterns
from eventcast.websocket.consumer import EventcastConsumer
from tests.fakes import Connection, until, websocket


class Site:
    """The rest of the site: notes what comes to it."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4000})


@pytest.fixture
def site() -> Site:
    return Site()


def http(application: Any, method: str, target: str, **scope: Any) -> Connection:
    raw_path, _, query = target.partition("?")
    scope = {"path": raw_path, "raw_path": raw_path.encode(), "query_string": query.encode(), **scope}
    return Connection(application, type="http", method=method, **scope)


async def answer(connection: Connection, *body: bytes) -> tuple[int, dict[str, str], Any]:
    """Send the body, piece by piece; the status, headers and JSON that come back."""
    for number, piece in enumerate(body or (b"",), 1):
        connection.inbox.put_nowait({"type": "http.request", "body": piece, "more_body": number < len(body)})
    await asyncio.wait_for(connection.start(), 10)
    start, *rest = connection.sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, json.loads(b"".join(event["body"] for event in rest))


# --- mounting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "live", "/live", "live/"])
def test_router_refuses_a_prefix_without_its_slashes(site: Site, prefix: str) -> None:
    with pytest.raises(ValueError, match="slash"):
        EventcastRouter(site, prefix=prefix)


@pytest.mark.parametrize("kind", ["lifespan", "http"])
async def test_router_gives_the_site_what_is_no_socket(site: Site, kind: str) -> None:
    connection = Connection(EventcastRouter(site), type=kind, method="GET")
    await connection.start()
    assert [scope["type"] for scope in site.scopes] == [kind]


@pytest.mark.parametrize("target", ["/", "/other", "/live", "/LIVE/a", "/liver/a", "/other/live/a"])
async def test_router_gives_the_site_sockets_outside_its_prefix(site: Site, target: str) -> None:
    connection = await websocket(EventcastRouter(site, prefix="/live/"), target).connect()
    assert connection.sent == [{"type": "websocket.close", "code": 4000}]
    assert len(site.scopes) == 1


async def test_router_refuses_sockets_outside_its_prefix_that_django_would_raise_for() -> None:
    connection = await websocket(EventcastRouter(ASGIHandler(), prefix="/live/"), "/other").connect()
    assert connection.types() == ["websocket.close"]


async def test_router_takes_sockets_below_its_prefix(site: Site) -> None:
    connection = await websocket(EventcastRouter(site, prefix="/live/"), "/live/a").connect()
    assert (connection.types(), subscriber_count("/live/a")) == (["websocket.accept"], 1)
    await connection.disconnect()
    assert site.scopes == []


PATHS = [
    "/",
    "/a",
    "/a/",
    "//a/b",
    "/a;b",
    "/a%2Fb",
    "/a%20b",
    "/%E5%BC%A0",
    "/a%0Ab",
    "/a%3Fb",
    "/a%23",
    "/...//.a",
    "/-",
    "/a/-/b",
]


@pytest.mark.parametrize("target", PATHS)
@pytest.mark.parametrize("with_raw_path", [True, False])
async def test_socket_and_post_mean_the_same_channel(site: Site, target: str, with_raw_path: bool) -> None:
    router = EventcastRouter(site, publish_directly=True)
    extra = {} if with_raw_path else {"raw_path": None}
    connection = await websocket(router, target, **extra).connect()
    # What a server gives as the path is decoded; it is the same for both.
    request = http(router, "POST", target, path=connection.scope["path"], **extra)
    request.scope["headers"] += [(b"content-type", b"text/plain")]
    status, _, said = await answer(request, b"x")
    assert (status, said["subscribers"]) == (201, 1)
    await until(lambda: connection.heard == ["x"])
    await connection.disconnect()


@pytest.mark.parametrize("target", ["/%FF", "/%E5%BC", "/a#b", "/..//.", "/a/%2E%2e/b"])
async def test_socket_and_post_refuse_the_same_path(site: Site, target: str) -> None:
    router = EventcastRouter(site, publish_directly=True)
    connection = await websocket(router, target).connect()
    status, _, said = await answer(http(router, "POST", target), b"x")
    assert connection.sent == [{"type": "websocket.close", "code": 1008, "reason": "invalid_channel"}]
    assert (status, said["error"]) == (400, "invalid_channel")


@pytest.mark.parametrize("target", ["/-/", "/-/channels", "//-/x", "/%2D/x", "/-%2Fx"])
async def test_socket_to_the_servers_own_paths_is_refused(site: Site, target: str) -> None:
    connection = await websocket(EventcastRouter(site), target).connect()
    assert connection.sent == [{"type": "websocket.close", "code": 1008, "reason": "reserved_path"}]


@pytest.mark.parametrize("target", ["/admin/", "/admin/x", "/%61dmin/x", "/admin%2Fx", "/static/x"])
async def test_excluded_path_is_no_channel_for_a_socket(site: Site, target: str) -> None:
    router = EventcastRouter(site, excluded=("/admin/", "/static/"))
    connection = await websocket(router, target).connect()
    assert connection.sent == [{"type": "websocket.close", "code": 1008, "reason": "reserved_path"}]


@pytest.mark.parametrize("target", ["/admin/", "/admin/x", "/%61dmin/x", "/-/channels", "//-/x"])
async def test_excluded_path_is_the_sites_for_a_post(site: Site, target: str) -> None:
    router = EventcastRouter(site, excluded=("/admin/",), publish_directly=True)
    await http(router, "POST", target).start()
    assert len(site.scopes) == 1


async def test_path_that_only_looks_excluded_is_a_channel(site: Site) -> None:
    connection = await websocket(EventcastRouter(site, excluded=("/admin/",)), "/administrators").connect()
    assert connection.types() == ["websocket.accept"]
    await connection.disconnect()


async def test_router_gives_the_consumer_of_its_argument_the_real_path(site: Site) -> None:
    seen: list[dict[str, Any]] = []

    async def consumer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope)

    # As Daphne mangles it.
    connection = websocket(EventcastRouter(site, consumer=consumer, prefix="/live/"), "/live/a;b", path="/live/a")
    await connection.start()
    assert (seen[0]["path"], seen[0]["path_remaining"]) == ("/live/a;b", "a;b")


@pytest.mark.django_db(transaction=True)
async def test_router_works_with_the_auth_middleware_stack_of_channels(site: Site) -> None:
    consumer = AuthMiddlewareStack(EventcastConsumer.as_asgi())
    connection = await websocket(EventcastRouter(site, consumer=consumer), "/a").connect()
    assert connection.types() == ["websocket.accept"]
    await connection.disconnect()


# --- Channels' router -------------------------------------------------------------------------------------------------


@pytest.fixture
def nested() -> Any:
    return URLRouter([path("live/", URLRouter(websocket_urlpatterns))])


@pytest.mark.parametrize("target", ["/live/", "/live/a", "/live/a/", "/live//a", "/live/a%0Ab", "/live/%E5%BC%A0"])
async def test_nested_patterns_make_every_path_below_a_channel(nested: Any, target: str) -> None:
    connection = websocket(nested, target)
    channel = connection.scope["path"]
    await connection.connect()
    assert (connection.types(), subscriber_count(channel)) == (["websocket.accept"], 1)
    await connection.disconnect()


@pytest.mark.parametrize("target", ["/live/-/a", "/live//-/a"])
async def test_nested_patterns_keep_the_servers_own_paths(nested: Any, target: str) -> None:
    connection = await websocket(nested, target).connect()
    assert connection.sent[-1]["reason"] == "reserved_path"


async def test_nested_patterns_refuse_what_the_server_mangled_into_the_mount(nested: Any) -> None:
    # A socket to //x/live/a has the path /live/a in Daphne's scope, and is none.
    connection = await websocket(nested, "//x/live/a", path="/live/a").connect()
    assert connection.sent[-1]["reason"] == "reserved_path"


async def test_nested_patterns_refuse_slashes_before_the_mount(nested: Any) -> None:
    # Channels' router strips them all, Django's resolver one: a POST there is not eventcast's.
    connection = await websocket(nested, "//live/a").connect()
    assert connection.sent[-1]["reason"] == "reserved_path"


@pytest.mark.parametrize("target", ["/a", "//a/b", "///a"])
async def test_patterns_at_the_root_make_every_path_a_channel(target: str) -> None:
    connection = await websocket(URLRouter(websocket_urlpatterns), target).connect()
    assert (connection.types(), subscriber_count(target)) == (["websocket.accept"], 1)
    await connection.disconnect()


# --- the short way to the publish view --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_publishing_directly_never_comes_to_the_site(site: Site, method: str) -> None:
    request = http(EventcastRouter(site, publish_directly=True), method, "/a")
    status, _, _ = await answer(request, b"x")
    assert (status, site.scopes) == (202, [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "PATCH"])
async def test_other_methods_go_to_the_site(site: Site, method: str) -> None:
    await http(EventcastRouter(site, publish_directly=True), method, "/a").start()
    assert len(site.scopes) == 1


async def test_publishing_goes_to_the_site_unless_it_is_switched_on(site: Site) -> None:
    await http(EventcastRouter(site), "POST", "/a").start()
    assert len(site.scopes) == 1


async def test_publishing_outside_the_prefix_goes_to_the_site(site: Site) -> None:
    await http(EventcastRouter(site, prefix="/live/", publish_directly=True), "POST", "/a").start()
    assert len(site.scopes) == 1


async def test_body_in_pieces_is_one_message(site: Site) -> None:
    request = http(EventcastRouter(site, publish_directly=True), "POST", "/a")
    _, _, said = await answer(request, b"x", b"", b"y")
    assert said == {"channel": "/a", "messages": 1, "subscribers": 0}


async def test_answer_has_its_length_and_type(site: Site) -> None:
    request = http(EventcastRouter(site, publish_directly=True), "POST", "/a")
    _, headers, said = await answer(request, b"x")
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["content-type"] == "application/json"
    assert int(lower["content-length"]) == len(request.sent[1]["body"])
    assert said["channel"] == "/a"


async def test_client_that_leaves_before_its_body_is_whole_publishes_nothing(site: Site) -> None:
    listener = await websocket(EventcastRouter(site), "/a").connect()
    request = http(EventcastRouter(site, publish_directly=True), "POST", "/a")
    request.inbox.put_nowait({"type": "http.request", "body": b"x", "more_body": True})
    request.inbox.put_nowait({"type": "http.disconnect"})
    await request.start()
    await listener.disconnect()
    assert (request.sent, listener.heard) == ([], [])


async def test_host_that_is_not_allowed_is_refused(site: Site) -> None:
    request = http(EventcastRouter(site, publish_directly=True), "POST", "/a", headers=[(b"host", b"evil.example")])
    status, _, said = await answer(request, b"x")
    assert (status, said["error"]) == (400, "disallowed_host")


@override_settings(EVENTCAST={"MAX_BODY_SIZE": 100})
async def test_body_over_the_limit_is_refused_and_not_read(site: Site) -> None:
    request = http(EventcastRouter(site, publish_directly=True), "POST", "/a")
    status, _, said = await answer(request, *[b"x" * 60] * 50)
    assert (status, said["error"], request.inbox.qsize()) == (413, "message_too_large", 48)


class Broken(Authorization):
    """A class of the site with a bug."""

    def can_publish(self, request: Any, channel: str) -> bool:
        raise ZeroDivisionError


@override_settings(EVENTCAST={"AUTHORIZATION": f"{__name__}.Broken"})
async def test_error_of_the_server_is_json_and_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    request = http(EventcastRouter(site, publish_directly=True), "POST", "/a")
    status, _, said = await answer(request, b"x")
    assert (status, said["error"]) == (500, "internal_error")
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "scope",
    [
        {"query_string": b"\xff"},
        {"headers": [(b"host", b"testserver"), (b"content-type", b"text/plain; charset=\0")]},
        {"headers": [(b"host", b"testserver"), (b"content-type", b"text/plain; a*0=b; a*1=c; a*=x")]},
    ],
)
async def test_request_that_django_cannot_read_is_refused(site: Site, scope: dict[str, Any]) -> None:
    request = http(EventcastRouter(site, publish_directly=True), "POST", "/a", **scope)
    status, _, said = await answer(request, b"x")
    assert (status, said["error"]) == (400, "refused")


async def test_spoofed_underscore_header_is_ignored(site: Site) -> None:
    headers = [(b"host", b"testserver"), (b"content_encoding", b"gzip"), (b"content-type", b"text/plain")]
    request = http(EventcastRouter(site, publish_directly=True), "POST", "/a", headers=headers)
    assert (await answer(request, b"x"))[0] == 202


async def test_hub_is_left_empty(site: Site) -> None:
    connection = await websocket(EventcastRouter(site), "/a").connect()
    await connection.disconnect()
    assert current_hub().channels == {}


def test_patterns_are_for_a_router_of_channels() -> None:
    assert len(routing.websocket_urlpatterns) == 1
