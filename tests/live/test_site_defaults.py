"""What a site demands of all its views does not change what eventcast does, by any road."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import NamedTuple

import pytest
from django.contrib.admin.utils import quote

from tests.live import servers
from tests.live.conftest import Connect, Open, Start, Talk
from tests.live.http_client import HTTP, Response
from tests.live.servers import Server
from tests.live.waiting import until

TOGETHER = [
    "atomic requests",
    "login required",
    "gzip",
    "cache",
    "no time zones",
    "languages",
    "own users",
    "csp",
]
ALONE = ["https", "debug toolbar", "unfold", "jazzmin", "script name"]
PACKAGES = {"csp": "csp", "debug toolbar": "debug_toolbar", "unfold": "unfold", "jazzmin": "jazzmin"}
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


class Site(NamedTuple):
    server: Server
    client: HTTP
    default: str
    root: str
    admin: str
    session: str
    checks: list[str]

    async def get(self, target: str, accept: str = HTML) -> Response:
        return await self.request("GET", target, accept=accept)

    async def request(self, method: str, target: str, body: bytes = b"", *, accept: str = HTML) -> Response:
        headers = [("Accept", accept), ("Accept-Encoding", "identity"), ("X-Forwarded-Proto", "https")]
        headers += [("Cookie", f"sessionid={self.session}; csrftoken={'c' * 32}"), ("X-CSRFToken", "c" * 32)]
        headers += [("Content-Type", "application/x-www-form-urlencoded")] if body else []
        headers += [("Referer", f"https://127.0.0.1:{self.server.port}/")]
        return await self.client.request(method, target, body, headers)


@pytest.fixture(
    params=[", ".join(TOGETHER), *ALONE, *(pytest.param(name, marks=pytest.mark.slow) for name in ["none", *TOGETHER])]
)
def site(request: pytest.FixtureRequest, start: Start, http: Talk) -> Site:
    for default in request.param.split(", "):
        if (package := PACKAGES.get(default)) is not None and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    env = {"DJANGO_SETTINGS_MODULE": "tests.site.defaults", "SITE_DEFAULTS": request.param}
    server = start(servers.daphne, application="tests.site.defaults_asgi:application", env=env)
    said = dict(re.findall(r"^(session|admin|checks): ?(.*)$", server.log, re.MULTILINE))
    root = "/app" if request.param == "script name" else ""
    admin = f"{root}{said['admin']}eventcast/channel/"
    return Site(server, http(server), request.param, root, admin, said["session"], said["checks"].split())


async def test_every_road_works(site: Site, connect: Connect, listen: Open) -> None:
    assert site.checks == []
    channel = f"{site.root}/live/orders/42"
    # WebSocket and Server-Sent Events.
    socket = await connect(site.server, channel, headers=[("X-Forwarded-Proto", "https")])
    more = "\r\nAccept-Encoding: gzip\r\nX-Forwarded-Proto: https"
    stream = await listen(site.server, channel, f"text/event-stream{more}")
    # Publishing by POST, without a session.
    headers = [("Content-Type", "text/plain"), ("X-Forwarded-Proto", "https")]
    answer = await site.client.request("POST", channel, b"hello", headers)
    assert (answer.status, answer.json()["subscribers"]) == (201, 2)
    assert await socket.receive() == "hello"
    assert await stream.read_until(b"\n\n") == b"data: hello\n\n"
    # The channel's page, and what it says of the channel.
    page = await site.get(channel)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"/live/orders/42" in page.body
    assert (await site.get(channel, "application/json")).json()["subscribers"] == 2
    stream.cut()

    async def one_has_left() -> bool:  # Never, if the answer comes out of a cache.
        return bool((await site.get(channel, "application/json")).json()["subscribers"] == 1)

    await until(one_has_left, "a count without the stream")
    # The admin.
    listed = await site.get(site.admin)
    assert listed.status == 200
    assert b"/live/orders/42</a>" in listed.body
    place = f"{site.admin}{quote(channel)}/"
    shown = await site.get(f"{place}change/")
    assert shown.status == 200, shown.body
    assert b"eventcast-chart-subscribers" in shown.body
    figures = await site.get(f"{place}figures/", "application/json")
    assert figures.json()["cells"]["messages"] == "1"
    said = await site.request("POST", f"{place}publish/", b"data=from+the+admin", accept="application/json")
    assert said.json()["message"].startswith("Published"), said
    assert await socket.receive() == "from the admin"
    assert (await site.get(f"{place}history/")).status == 200
