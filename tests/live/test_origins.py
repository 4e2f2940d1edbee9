"""Who may do what from where, asked of a running server in every way that there is to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.live import servers
from tests.live.clients import HandshakeRefused
from tests.live.conftest import Connect, Fleet, Talk, check_log
from tests.live.http_client import Headers, parse_headers
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT

PAGE, BELOW, STRANGER = "https://app.example", "http://a.wild.example", "https://evil.example"
SOCKET: Headers = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
]
LIST, PATTERN = "/-/channels", "/-/subscribe?pattern=/<a>"

UNHEARD = "/a/b"
"""Where nobody listens, not even one who has just left."""

# What is asked, and the status if it may be: everything that a URL of ours has an answer to.
QUESTIONS: dict[str, tuple[str, str, Headers, int]] = {
    "WebSocket": ("GET", "/a", SOCKET, 101),
    "SSE": ("GET", "/a", [("Accept", "text/event-stream")], 200),
    "NDJSON": ("GET", "/a", [("Accept", "application/x-ndjson")], 200),
    "POST": ("POST", UNHEARD, [("Content-Type", "text/plain")], 202),
    "PUT": ("PUT", UNHEARD, [("Content-Type", "text/plain")], 202),
    "info": ("GET", "/a", [], 200),
    "HEAD": ("HEAD", "/a", [], 200),
    "page": ("GET", "/a", [("Accept", "text/html")], 200),
    "list": ("GET", LIST, [], 200),
    "WebSocket by a pattern": ("GET", PATTERN, SOCKET, 101),
    "SSE by a pattern": ("GET", PATTERN, [("Accept", "text/event-stream")], 200),
    "info by a pattern": ("GET", PATTERN, [], 200),
    "preflight": ("OPTIONS", "/a", [("Access-Control-Request-Method", "PUT")], 200),
    "preflight of a GET": ("OPTIONS", LIST, [("Access-Control-Request-Method", "GET")], 200),
}


@pytest.fixture(scope="module")
def friendly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets some pages in."""
    fleet = Fleet(tmp_path_factory.mktemp("friendly"))
    listed = f"{PAGE}, *.wild.example"
    yield fleet.start(servers.daphne, env={"EVENTCAST_ALLOWED_ORIGINS": listed})
    fleet.stop()


async def head(server: Server, question: str, origin: str | None) -> tuple[int, dict[str, str]]:
    """The status and the headers that come, of an answer that may never end."""
    method, target, headers, _ = QUESTIONS[question]
    lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Content-Length: 0"]
    lines += [f"{name}: {value}" for name, value in [*headers, *([("Origin", origin)] if origin is not None else [])]]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        found = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT)
    finally:
        writer.transport.abort()
    return int(found.split()[1]), parse_headers(found)


@pytest.mark.parametrize("question", QUESTIONS)
async def test_page_is_let_in_if_it_is_ours_or_listed(question: str, friendly: Server) -> None:
    status = QUESTIONS[question][3]
    own = f"http://127.0.0.1:{friendly.port}"
    for origin in (own, PAGE, BELOW):
        answer, headers = await head(friendly, question, origin)
        assert answer == status, origin
        if origin != own and status != 101:
            assert headers["access-control-allow-origin"] == origin
            assert "Origin" in headers["vary"].split(", ")
    check_log(friendly)


@pytest.mark.parametrize("question", [question for question in QUESTIONS if not question.startswith("preflight")])
async def test_program_is_let_in(question: str, friendly: Server) -> None:
    assert (await head(friendly, question, None))[0] == QUESTIONS[question][3]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_page_of_a_stranger_is_refused(question: str, friendly: Server) -> None:
    port = friendly.port
    near = [f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port - 1}", "http://127.0.0.1", f"http://localhost:{port}"]
    near += ["http://app.example", "https://app.example:8443", "http://wild.example", "http://evilwild.example"]
    for origin in (STRANGER, "null", *near):
        answer, headers = await head(friendly, question, origin)
        assert answer == 403, origin
        assert "access-control-allow-origin" not in headers
    check_log(friendly)


@pytest.mark.parametrize("question", QUESTIONS)
async def test_default_lets_in_only_our_own_pages(question: str, server: Server) -> None:
    assert (await head(server, question, server.url))[0] in (QUESTIONS[question][3], 201)
    assert (await head(server, question, PAGE))[0] == 403


async def test_refused_socket_says_why_and_is_one_line_in_the_log(server: Server, connect: Connect) -> None:
    since = len(server.log)
    with pytest.raises(HandshakeRefused) as refused:
        await connect(server, "/a", headers=[("Origin", STRANGER)])
    assert (refused.value.status, refused.value.error) == (403, "origin_not_allowed")
    server.wait_for_log(r"403 origin_not_allowed.*'https://evil\.example'", since=since)


async def test_refused_publish_reaches_nobody(server: Server, channel: str, connect: Connect, http: Talk) -> None:
    listener, speaker = await connect(server, channel), http(server)
    headers = [("Content-Type", "text/plain"), ("Origin", STRANGER)]
    answer = await speaker.request("POST", channel, b"forged", headers)
    assert (answer.status, answer.error) == (403, "origin_not_allowed")
    await speaker.post(channel, "the next")
    assert await listener.receive() == "the next"
