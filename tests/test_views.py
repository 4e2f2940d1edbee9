"""The HTTP side, both ways: through Django's handler, urls.py and middleware, and straight from EventcastRouter."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from asgiref.sync import ThreadSensitiveContext
from django.core.handlers.asgi import ASGIHandler
from django.test import AsyncClient, override_settings

from eventcast.engine.hub import current_hub
from eventcast.routing import EventcastRouter
from tests.fakes import FakeSubscriber, until

FORM = "application/x-www-form-urlencoded"
BOUNDARY = "x-boundary"
Headers = Iterable[tuple[str, str]]


class Answer:
    """What an ASGI application answers."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.status: int = events[0]["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in events[0]["headers"]}
        self.body = b"".join(event.get("body", b"") for event in events[1:])

    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Awaitable[Answer]]


async def call(
    application: Any,
    method: str,
    target: str,
    body: bytes = b"",
    kind: str | None = None,
    headers: Headers = (),
    **changes: Any,
) -> Answer:
    """One request at the level of ASGI, as a server would make it; with changes of its scope, if there are any."""
    path, _, query = target.partition("?")
    fields = [("Host", "testserver"), ("Content-Length", str(len(body))), *headers]
    fields += [("Content-Type", kind)] if kind is not None else []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": quote(path).encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    } | changes
    pieces = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            await until(lambda: False, timeout=60)  # The client waits for its answer.
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    async with ThreadSensitiveContext():
        await application(scope, receive, send)
    return Answer(sent)


@pytest.fixture(params=["django", "direct"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Makes requests, either way."""
    handler = ASGIHandler()
    application = handler if request.param == "django" else EventcastRouter(handler, publish_directly=True)

    async def ask(*args: Any, **kwargs: Any) -> Answer:
        return await call(application, *args, **kwargs)

    return ask


@pytest.fixture
async def listener() -> AsyncIterator[FakeSubscriber]:
    """A subscriber to /a."""
    subscriber = FakeSubscriber()
    await current_hub().subscribe("/a", subscriber)
    yield subscriber
    current_hub().unsubscribe(subscriber)


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """Parts, each the rest of its Content-Disposition and its content."""
    lines = [
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    ]
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"

PUBLISHED: dict[str, tuple[bytes, str | None, list[str | bytes]]] = {
    "form": (urlencode({"data": "张三 & +%"}).encode(), FORM, ["张三 & +%"]),
    "form of raw UTF-8": ("data=张三".encode(), FORM, ["张三"]),
    "form with several": (b"data=1&other=2&data=3&data=", FORM, ["1", "3", ""]),
    "form with an empty message": (b"data=", FORM, [""]),
    "multipart": (multipart(('name="data"', "张三\r\n".encode()), ('name="data"', b"")), MULTIPART, ["张三\r\n", ""]),
    "multipart with a file": (
        multipart(('name="data"; filename="a.bin"\r\nContent-Type: application/octet-stream', b"\xff\x00")),
        MULTIPART,
        [b"\xff\x00"],
    ),
    "multipart with a file of text": (
        multipart(('name="data"; filename="a.txt"\r\nContent-Type: text/plain', "é".encode())),
        MULTIPART,
        ["é"],
    ),
    "text": ("张三\n".encode(), "text/plain", ["张三\n"]),
    "text in another charset": ("é".encode("latin-1"), "text/plain; charset=iso-8859-1", ["é"]),
    "empty text": (b"", "text/plain", [""]),
    "JSON, verbatim": (b'{ "a":1}', "application/json", ['{ "a":1}']),
    "JSON by suffix": (b"{}", "application/cloudevents+json", ["{}"]),
    "lines": (b'{"a":1}\n\n{"b":2}\r\n', "application/x-ndjson", ['{"a":1}', '{"b":2}']),
    "binary": (b"\x00\xff", "application/octet-stream", [b"\x00\xff"]),
    "empty binary": (b"", "application/octet-stream", [b""]),
    "no type": (b"\xfe", None, [b"\xfe"]),
}


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("form", PUBLISHED)
async def test_publish_takes_every_form_of_the_contract(
    ask: Ask, listener: FakeSubscriber, method: str, form: str
) -> None:
    body, kind, messages = PUBLISHED[form]
    answer = await ask(method, "/a", body, kind)
    assert (answer.status, answer.json()) == (201, {"channel": "/a", "messages": len(messages), "subscribers": 1})
    await until(lambda: len(listener.data) >= len(messages))
    assert listener.data == messages


async def test_publish_without_a_subscriber_is_202(ask: Ask) -> None:
    answer = await ask("POST", "/quiet", b"data=1", FORM)
    assert (answer.status, answer.json()) == (202, {"channel": "/quiet", "messages": 1, "subscribers": 0})
    assert answer.headers["content-type"] == "application/json"


SMALL = {"MAX_MESSAGE_SIZE": 100, "MAX_BODY_SIZE": 400}
REFUSED: dict[str, tuple[int, str, bytes, str | None, Headers]] = {
    "form without data": (400, "missing_data", b"a=1", FORM, ()),
    "empty form": (400, "missing_data", b"", FORM, ()),
    "nothing": (400, "missing_data", b"", None, ()),
    "no lines": (400, "missing_data", b"\n \n", "application/x-ndjson", ()),
    "multipart without data": (400, "missing_data", multipart(('name="a"', b"1")), MULTIPART, ()),
    "form with bad percent-encoding": (400, "invalid_encoding", b"data=%FF", FORM, ()),
    "form of raw Latin-1": (400, "invalid_encoding", b"data=\xe9", FORM, ()),
    "text of Latin-1": (400, "invalid_encoding", b"\xe9", "text/plain", ()),
    "multipart of Latin-1": (400, "invalid_encoding", multipart(('name="data"', b"\xe9")), MULTIPART, ()),
    "multipart without boundary": (400, "malformed_body", b"x", "multipart/form-data", ()),
    "multipart with parameters that contradict each other": (
        400,
        "malformed_body",
        multipart(('name="data"; a*0=b; a*1=c; a*=x', b"1")),
        MULTIPART,
        (),
    ),
    "unknown charset": (415, "unsupported_media_type", b"x", "text/plain; charset=no-such", ()),
    "charset of bytes": (415, "unsupported_media_type", b"x", "text/plain; charset=base64", ()),
    "compressed": (415, "unsupported_media_type", b"x", "text/plain", [("Content-Encoding", "gzip")]),
    "message too large": (413, "message_too_large", b"x" * 101, "text/plain", ()),
    "message too large in UTF-8": (413, "message_too_large", "é".encode() * 51, "text/plain", ()),
    "one of several too large": (413, "message_too_large", b"data=1&data=" + b"x" * 101, FORM, ()),
    "body too large": (413, "message_too_large", b"data=1&data=" + b"x" * 400, FORM, ()),
    "multipart too large": (413, "message_too_large", multipart(('name="data"', b"x" * 400)), MULTIPART, ()),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_publish_refuses_with_status_and_code(
    ask: Ask, listener: FakeSubscriber, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, code, body, media_type, headers = REFUSED[kind]
    with override_settings(EVENTCAST=SMALL):
        answer = await ask("POST", "/a", body, media_type, headers)
    assert (answer.status, answer.json()["error"]) == (status, code)
    assert answer.json()["detail"]
    assert [record.name for record in caplog.records] == ["eventcast.publish"], "one line in the log, and no second"
    assert code in caplog.text
    assert (await ask("POST", "/a", b"after", "text/plain")).status == 201
    await until(lambda: listener.data)
    assert listener.data == ["after"], "what was refused has reached a subscriber"


async def test_body_over_the_limit_is_refused_without_a_length(ask: Ask) -> None:
    with override_settings(EVENTCAST=SMALL):
        answer = await ask("POST", "/a", b"x" * 70_000, "text/plain", [("Content-Length", "")])
    assert (answer.status, answer.json()["error"]) == (413, "message_too_large")


async def test_largest_message_is_taken_percent_encoded(ask: Ask, listener: FakeSubscriber) -> None:
    message = "张" * (1024 * 1024 // 3)
    assert (await ask("POST", "/a", urlencode({"data": message}).encode(), FORM)).status == 201
    await until(lambda: listener.data)
    assert listener.data == [message]


async def test_thousand_messages_of_one_request_arrive_in_order(ask: Ask, listener: FakeSubscriber) -> None:
    lines = [str(i) for i in range(1000)]
    answer = await ask("POST", "/a", "\n".join(lines).encode(), "application/x-ndjson")
    assert answer.json()["messages"] == 1000
    await until(lambda: len(listener.data) == 1000)
    assert listener.data == lines


async def test_host_that_is_not_allowed_is_refused(ask: Ask) -> None:
    answer = await ask("POST", "/a", b"x", "text/plain", [("Host", "evil.example")])
    assert answer.status == 400


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "BREW"])
async def test_other_method_is_405_with_allow(ask: Ask, method: str) -> None:
    answer = await ask(method, "/a")
    assert (answer.status, answer.json()["error"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST, PUT"


async def test_options_names_the_methods(ask: Ask) -> None:
    answer = await ask("OPTIONS", "/a")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST, PUT")


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "image/png",
        "application/json,text/html",
        "text/html;q=0.9,*/*",
        "text/html;q=0",
    ],
)
async def test_get_tells_about_the_channel(ask: Ask, listener: FakeSubscriber, accept: str | None) -> None:
    answer = await ask("GET", "/a", headers=[("Accept", accept)] if accept else ())
    assert answer.status == 200
    assert answer.json() == {
        "channel": "/a", "subscribers": 1, "messages": 0, "delivered": 0, "lost": 0, "scope": "process",
    }  # fmt: skip
    assert answer.headers["vary"] == "Accept, Origin"
    assert answer.headers["cache-control"] == "no-store"


BROWSER = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", [BROWSER[1], "text/html", "text/*", "text/html,text/event-stream;q=0.9"])
async def test_get_is_the_page_to_a_browser(ask: Ask, method: str, accept: str) -> None:
    answer = await ask(method, "/a", headers=[("Accept", accept)])
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["vary"] == "Accept, Origin"
    assert "<h1" in answer.body.decode()


async def test_get_tells_a_browser_too_where_the_page_is_turned_off(ask: Ask) -> None:
    with override_settings(EVENTCAST={"CHANNEL_PAGE": False}):
        answer = await ask("GET", "/a", headers=[BROWSER])
    assert (answer.status, answer.json()["channel"], answer.headers["vary"]) == (200, "/a", "Accept, Origin")


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/-/x", 404, "reserved_path"),
        ("/" + "a" * 1024, 414, "channel_too_long"),
        ("/-/channels?limit=x", 400, "invalid_query"),
        ("/-/subscribe?pattern=/张", 400, "invalid_query"),
    ],
)
async def test_refusal_is_a_page_to_a_browser(ask: Ask, target: str, status: int, code: str) -> None:
    answer = await ask("GET", target, headers=[BROWSER])
    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert f"<code>{code}</code>" in answer.body.decode()
    assert answer.headers["vary"] == "Accept, Origin"
    assert (await ask("GET", target)).json()["error"] == code


async def test_accept_that_cannot_be_read_is_refused(ask: Ask) -> None:
    answer = await ask("GET", "/a", headers=[("Accept", "text/html; a*0=b; a*1=c; a*=x")])
    assert (answer.status, answer.json()["error"]) == (400, "refused")


async def test_list_is_json_to_a_browser_too(ask: Ask) -> None:
    assert (await ask("GET", "/-/channels", headers=[BROWSER])).json()["channels"] == []


async def test_list_is_paged_by_name(ask: Ask) -> None:
    hub, subscribers = current_hub(), []
    for name in ("/b", "/a/2", "/a/1", "/c"):
        subscribers.append(FakeSubscriber())
        await hub.subscribe(name, subscribers[-1])
    first = (await ask("GET", "/-/channels?limit=3")).json()
    assert [found["channel"] for found in first["channels"]] == ["/a/1", "/a/2", "/b"]
    assert (first["next"], first["scope"], first["total"]["subscribers"]) == ("/b", "process", 4)
    rest = (await ask("GET", "/-/channels?limit=3&after=/b")).json()
    assert ([found["channel"] for found in rest["channels"]], rest["next"]) == (["/c"], None)
    prefixed = (await ask("GET", "/-/channels?prefix=/a/")).json()
    assert [found["channel"] for found in prefixed["channels"]] == ["/a/1", "/a/2"]
    for subscriber in subscribers:
        hub.unsubscribe(subscriber)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "", "٣", "9" * 5000])
async def test_list_refuses_a_limit_that_means_nothing(ask: Ask, limit: str) -> None:
    answer = await ask("GET", "/-/channels?" + urlencode({"limit": limit}))
    assert (answer.status, answer.json()["error"]) == (400, "invalid_query")


async def test_list_refuses_a_query_that_django_does_not_read(ask: Ask) -> None:
    answer = await ask("GET", "/-/channels?" + "&".join(f"a{number}=" for number in range(2000)))
    assert (answer.status, answer.json()["error"]) == (400, "invalid_query")


async def test_list_is_read_only(ask: Ask) -> None:
    answer = await ask("POST", "/-/channels", b"x", "text/plain")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/-/", "/-/x", "//-/x", "/-/channels/"])
async def test_own_paths_are_no_channels(ask: Ask, path: str) -> None:
    answer = await ask("POST", path, b"x", "text/plain")
    assert (answer.status, answer.json()["error"]) == (404, "reserved_path")


async def test_layer_that_is_down_is_503_with_retry_after(ask: Ask) -> None:
    down = {"eventcast": {"BACKEND": "tests.test_views.DownLayer"}}
    with override_settings(CHANNEL_LAYERS=down):
        answer = await ask("POST", "/a", b"x", "text/plain")
    assert (answer.status, answer.json()["error"]) == (503, "layer_unavailable")
    assert answer.headers["retry-after"]


class DownLayer:
    """A layer whose server cannot be reached."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        raise ConnectionError("refused")


def test_stream_of_a_wsgi_server_is_501() -> None:
    from django.test import Client

    answer = Client().get("/a", headers={"Accept": "text/event-stream", "Host": "testserver"})
    assert (answer.status_code, answer.json()["error"]) == (501, "streaming_unavailable")


# --- the name of an event ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "name"),
    [("event=paid", "paid"), ("a=1&event=%E5%BC%A0+x", "张 x"), ("event=", ""), ("events=1", ""), ("x=event", "")],
)
async def test_messages_have_the_name_of_the_query(ask: Ask, listener: FakeSubscriber, query: str, name: str) -> None:
    assert (await ask("POST", f"/a?{query}", b"1\n2", "application/x-ndjson")).status == 201
    await until(lambda: len(listener.messages) == 2)
    assert [message.event_name for message in listener.messages] == [name] * 2


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("event=a%0Ab", "invalid_event_name"),
        ("event=" + "x" * 129, "invalid_event_name"),
        ("event=a&event=a", "invalid_query"),
        ("event=%FF", "invalid_query"),
        ("event=张", "invalid_query"),
    ],
)
async def test_name_that_no_event_can_have_is_refused(
    ask: Ask, listener: FakeSubscriber, query: str, code: str
) -> None:
    answer = await ask("POST", f"/a?{query}", b"x", "text/plain")
    assert (answer.status, answer.json()["error"], listener.messages) == (400, code, [])


@pytest.mark.parametrize("path", ["/", "/admin"])
@override_settings(ROOT_URLCONF="eventcast_project.urls")
async def test_only_a_question_of_a_browser_is_answered_by_a_page_in_place_of_a_channel(path: str) -> None:
    client, of_a_browser = AsyncClient(), {"headers": {"Accept": "text/html,*/*;q=0.8"}}
    assert (await client.get(path, **of_a_browser)).status_code in (200, 301, 302)
    assert (await client.options(path, **of_a_browser)).status_code == 204
    assert (await client.post(path, {"data": "hello"}, **of_a_browser)).status_code == 202
