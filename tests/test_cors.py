"""CORS: what pages of other origins are told, by both ways to the views, and beside django-cors-headers."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpResponse
from django.test import override_settings

from eventcast.authorization import Open
from eventcast.exceptions import OriginNotAllowed
from eventcast.http import cors
from eventcast.websocket.consumer import EventcastConsumer
from tests.fakes import websocket
from tests.test_views import Answer, Ask, ask, call

__all__ = ["ask"]

PAGE, STRANGER = "https://app.example", "https://evil.example"
ALLOWED = override_settings(EVENTCAST={"ALLOWED_ORIGINS": [PAGE]})
FIELDS = {"access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"}
TARGETS = ["/a", "/-/channels", "/-/subscribe?pattern=/<a>", "/-/x"]


@pytest.fixture(autouse=True)
def _allowed() -> Any:
    with ALLOWED:
        yield


def shared(answer: Answer) -> dict[str, str]:
    """The headers of CORS, without what is the same in all."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


READABLE = {"access-control-allow-origin": PAGE, "access-control-expose-headers": "Retry-After"}


async def test_page_may_read_the_answer_to_its_publish(ask: Ask) -> None:
    answer = await ask("POST", "/a", b"x", "text/plain", [("Origin", PAGE)])
    assert (answer.status, shared(answer), answer.headers["vary"]) == (202, READABLE, "Origin")


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_page_may_read_what_it_gets(ask: Ask, accept: str) -> None:
    answer = await ask("GET", "/a", headers=[("Origin", PAGE), ("Accept", accept)])
    assert (answer.status, shared(answer), answer.headers["vary"]) == (200, READABLE, "Accept, Origin")


@pytest.mark.parametrize(("method", "target"), [("POST", "/a"), ("DELETE", "/a"), ("GET", "/-/x"), ("PUT", "/%FF")])
async def test_page_may_read_why_it_is_refused(ask: Ask, method: str, target: str) -> None:
    answer = await ask(method, target, b"", headers=[("Origin", PAGE)])
    assert answer.status >= 400
    assert (shared(answer), bool(answer.json()["error"])) == (READABLE, True)


@pytest.mark.parametrize("target", TARGETS[:3])
async def test_stranger_is_refused_and_reads_nothing(ask: Ask, target: str) -> None:
    answer = await ask("GET", target, headers=[("Origin", STRANGER)])
    assert (answer.status, answer.json()["error"], shared(answer)) == (403, "origin_not_allowed", {})
    assert answer.headers["vary"] == "Origin"


async def test_own_page_needs_no_cors(ask: Ask) -> None:
    answer = await ask("POST", "/a", b"x", "text/plain", [("Origin", "http://testserver")])
    assert (answer.status, shared(answer)) == (202, {})


@pytest.mark.parametrize("target", TARGETS)
async def test_answer_to_anybody_says_that_it_depends_on_the_origin(ask: Ask, target: str) -> None:
    answer = await ask("GET", target)
    assert "Origin" in answer.headers["vary"]
    assert shared(answer) == {}


async def test_host_that_is_not_allowed_is_told_to_the_page() -> None:
    answer = await call(direct(), "POST", "/a", b"x", "text/plain", [("Origin", PAGE), ("Host", "evil.example")])
    assert (answer.status, answer.json()["error"], shared(answer)) == (400, "disallowed_host", READABLE)


def direct() -> Any:
    from eventcast.routing import EventcastRouter

    return EventcastRouter(ASGIHandler(), publish_directly=True)


# --- preflight --------------------------------------------------------------------------------------------------------


def question(method: str, origin: str = PAGE) -> list[tuple[str, str]]:
    return [("Origin", origin), ("Access-Control-Request-Method", method)]


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
@pytest.mark.parametrize("target", TARGETS)
async def test_preflight_says_what_a_page_may_send(ask: Ask, target: str, method: str) -> None:
    answer = await ask("OPTIONS", target, headers=question(method))
    assert (answer.status, answer.body) == (200, b"")
    assert shared(answer) == READABLE | {
        "access-control-allow-methods": "GET, HEAD, POST, PUT",
        "access-control-allow-headers": "Authorization, Content-Type, Last-Event-ID, X-API-Key, "
        "traceparent, tracestate, baggage, sentry-trace",
        "access-control-max-age": "7200",
    }
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_preflight_of_a_stranger_is_refused(ask: Ask, method: str) -> None:
    answer = await ask("OPTIONS", "/a", headers=question(method, STRANGER))
    assert (answer.status, answer.json()["error"], shared(answer)) == (403, "origin_not_allowed", {})


async def test_options_without_a_question_are_no_preflight(ask: Ask) -> None:
    answer = await ask("OPTIONS", "/a", headers=[("Origin", PAGE)])
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST, PUT")
    assert shared(answer) == READABLE


@pytest.mark.parametrize(("headers", "short"), [(question("POST"), True), (question("GET"), False), ((), False)])
async def test_preflight_goes_the_way_of_its_request(headers: Any, short: bool) -> None:
    from eventcast.routing import EventcastRouter

    went_on: list[str] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        went_on.append(scope["method"])
        await ASGIHandler()(scope, receive, send)

    await call(EventcastRouter(site, publish_directly=True), "OPTIONS", "/a", headers=headers)
    assert went_on == ([] if short else ["OPTIONS"])


# --- with cookies -----------------------------------------------------------------------------------------------------


def request(method: str, **headers: str) -> ASGIRequest:
    fields = {"host": "testserver", **headers}
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return ASGIRequest(
        {"type": "http", "scheme": "http", "method": method, "path": "/a", "query_string": b"", "headers": encoded},
        io.BytesIO(),
    )


@pytest.mark.parametrize(
    ("authorization", "expected"), [("tests.test_cors.Cookies", "true"), ("eventcast.authorization.Open", None)]
)
def test_credentials_are_allowed_only_where_cookies_count(authorization: str, expected: str | None) -> None:
    response = HttpResponse()
    with override_settings(EVENTCAST={"ALLOWED_ORIGINS": [PAGE], "AUTHORIZATION": authorization}):
        cors.share(request("POST", origin=PAGE), response)
    assert response.get("Access-Control-Allow-Credentials") == expected
    assert response["Access-Control-Allow-Origin"] == PAGE


@override_settings(EVENTCAST={"ALLOWED_ORIGINS": ["*"]})
def test_star_is_echoed() -> None:
    response = HttpResponse()
    cors.share(request("POST", origin=STRANGER), response)
    assert response["Access-Control-Allow-Origin"] == STRANGER


@override_settings(EVENTCAST={"ALLOWED_ORIGINS": ["*"], "AUTHORIZATION": "tests.test_cors.Cookies"})
def test_star_is_never_echoed_with_credentials() -> None:
    response = HttpResponse()
    cors.share(request("POST", origin=STRANGER), response)
    assert not FIELDS & {name.lower() for name in response.headers}
    with pytest.raises(OriginNotAllowed):
        cors.preflight(request("OPTIONS", origin=STRANGER, access_control_request_method="POST"))


class Cookies(Open):
    """Everybody's cookies are good."""

    uses_cookies = True


@pytest.fixture
def _cookies_count() -> Any:
    listed = ["*", "null", PAGE]
    with override_settings(EVENTCAST={"ALLOWED_ORIGINS": listed, "AUTHORIZATION": "tests.test_cors.Cookies"}):
        yield


@pytest.mark.usefixtures("_cookies_count")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
async def test_cookies_count_only_on_pages_that_are_named(ask: Ask, method: str) -> None:
    cookie = ("Cookie", "sessionid=x")
    named = await ask(method, "/a", b"x", "text/plain", [*question("POST"), cookie])
    assert named.status < 300
    assert shared(named).items() >= (READABLE | {"access-control-allow-credentials": "true"}).items()
    for origin in (STRANGER, "null"):
        answer = await ask(method, "/a", b"x", "text/plain", [*question("POST", origin), cookie])
        assert (answer.status, answer.json()["error"], shared(answer)) == (403, "origin_not_allowed", {})


@pytest.mark.usefixtures("_cookies_count")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 403),
        ([("Origin", "http://testserver")], 202),
        ([("Sec-Fetch-Site", "same-origin")], 202),
        ([("Sec-Fetch-Site", "cross-site")], 403),
        ([("Referer", "http://testserver/page")], 202),
        ([("Referer", "https://evil.example/")], 403),
    ],
)
async def test_cookies_publish_if_it_is_told_where_from(ask: Ask, headers: Any, status: int) -> None:
    answer = await ask("POST", "/a", b"x", "text/plain", [("Cookie", "sessionid=x"), *headers])
    assert answer.status == status


@pytest.mark.usefixtures("_cookies_count")
@pytest.mark.parametrize(("origin", "kind"), [(PAGE, "accept"), (None, "accept"), (STRANGER, "close")])
async def test_socket_counts_on_pages_that_are_named(origin: str | None, kind: str) -> None:
    headers = [(b"host", b"testserver"), (b"cookie", b"sessionid=x")]
    headers += [(b"origin", origin.encode())] if origin else []
    connection = await websocket(EventcastConsumer.as_asgi(), "/a", headers=headers).connect()
    assert connection.types() == [f"websocket.{kind}"]
    if kind == "accept":
        await connection.disconnect()


# --- beside django-cors-headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_no_header_comes_twice_beside_django_cors_headers(method: str) -> None:
    theirs = {
        "MIDDLEWARE": ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE],
        "CORS_ALLOWED_ORIGINS": [PAGE],
        "CORS_EXPOSE_HEADERS": ["X-Theirs"],
    }
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def keep(event: Any) -> None:
            sent.append(event)
            await send(event)

        await ASGIHandler()(scope, receive, keep)

    with override_settings(**theirs):
        answer = await call(application, method, "/a", b"x", "text/plain", question("POST"))
    assert answer.status < 300, json.loads(answer.body)
    names = [name.lower() for name, _ in sent[0]["headers"]]
    assert len(names) == len(set(names))
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["vary"].lower().count("origin") == 1
