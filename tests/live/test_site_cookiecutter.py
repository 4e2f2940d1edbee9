"""A site as cookiecutter-django makes it, with the three edits, publishes from all its processes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from django.contrib.admin.utils import quote

from tests.live import servers
from tests.live.clients import HandshakeRefused
from tests.live.conftest import Connect, Fleet, Open, Talk, check_log
from tests.live.http_client import HTTP, Response
from tests.live.redis_server import Redis
from tests.live.servers import ROOT, Server

for package in ("allauth", "celery", "channels_redis", "csp", "whitenoise"):
    pytest.importorskip(package)
if shutil.which("redis-server") is None:
    pytest.skip("redis-server is not installed", allow_module_level=True)

USER = "from django.contrib.auth import get_user_model as m; m().objects.create_superuser('ann@example.com', 'secret')"
WSGI = """
from wsgiref.simple_server import make_server
from tests.site.shop.wsgi import application
server = make_server("127.0.0.1", 0, application)
print("port", server.server_port, flush=True)
server.serve_forever()
"""
Run = Callable[..., str]


class Site(NamedTuple):
    server: Server
    fleet: Fleet
    env: dict[str, str]
    run: Run
    """``manage.py`` of the site: returns what it prints."""


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("shop")
    redis, fleet = Redis(folder), Fleet(folder)
    env = {"DJANGO_SETTINGS_MODULE": "tests.site.shop.settings", "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0"}
    env |= {"DATABASE_PATH": str(folder / "db.sqlite3"), "STATIC_ROOT": str(folder / "static")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    run("migrate", "--run-syncdb", "--verbosity=0")
    run("collectstatic", "--noinput", "--verbosity=0")
    run("shell", "-c", USER)
    yield Site(fleet.start(servers.daphne, application="tests.site.shop.asgi:application", env=env), fleet, env, run)
    fleet.stop()
    redis.stop()


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    yield shared_site
    check_log(shared_site.server)


class Browser:
    """A visitor with cookies."""

    def __init__(self, http: HTTP) -> None:
        self._http = http
        self.cookies: dict[str, str] = {}

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))]

    async def get(self, target: str, accept: str = "text/html") -> Response:
        return self._remember(await self._http.request("GET", target, headers=[*self.headers, ("Accept", accept)]))

    async def post(self, target: str, page: Response | None = None, **fields: str) -> Response:
        """Send a form; ``page`` has the form, with its token."""
        if page is not None:
            (token,) = set(re.findall(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.body))
            fields["csrfmiddlewaretoken"] = token.decode()
        form = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json, text/html")]
        form.append(("Origin", f"http://127.0.0.1:{self._http.port}"))
        body = urlencode(fields).encode()
        return self._remember(await self._http.request("POST", target, body, [*self.headers, *form]))

    async def log_in(self) -> None:
        """By allauth."""
        page = await self.get("/accounts/login/")
        # The client keeps one of several cookies of an answer: the page sets the token's, and the login the session's.
        done = await self.post("/accounts/login/", page, login="ann@example.com", password="secret")
        assert done.status == 302, done.body
        assert "sessionid" in self.cookies

    def _remember(self, response: Response) -> Response:
        if cookie := response.headers.get("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response


@pytest.fixture
async def member(site: Site, http: Talk) -> Browser:
    browser = Browser(http(site.server))
    await browser.log_in()
    return browser


def test_checks_find_nothing(site: Site) -> None:
    assert "no issues" in site.run("check")


def test_own_tests_of_the_site_pass_without_redis(site: Site) -> None:
    env = {**os.environ, **site.env, "REDIS_URL": "redis://127.0.0.1:1/0", "DATABASE_PATH": ":memory:"}
    command = [sys.executable, "-m", "django", "test", "tests.site.shop", "--pattern", "own_tests.py"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert re.search(r"^Ran 5 tests .*^OK$", done.stderr, re.MULTILINE | re.DOTALL), done.stderr


async def test_every_road_works_for_a_member(site: Site, member: Browser, connect: Connect, listen: Open) -> None:
    cookie = member.headers[0][1]
    socket = await connect(site.server, "/live/orders/1", headers=member.headers)
    stream = await listen(site.server, "/live/orders/1", f"text/event-stream\r\nCookie: {cookie}")
    assert (await member.post("/live/orders/1", data="hello")).status == 201
    assert await socket.receive() == "hello"
    assert await stream.read_until(b"\n\n") == b"data: hello\n\n"
    page = await member.get("/live/orders/1")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for file in set(re.findall(r'"(/static/[^"]+)"', page.body.decode())):
        assert (await member.get(file)).status == 200, file
    place = f"/admin/eventcast/channel/{quote('/live/orders/1')}/"
    shown = await member.get(f"{place}change/")
    assert shown.status == 200
    assert (await member.post(f"{place}publish/", shown, data="from the admin")).status == 200
    assert await socket.receive() == "from the admin"


async def test_stranger_is_refused_on_every_road(site: Site, http: Talk, connect: Connect) -> None:
    stranger = http(site.server)
    assert (await stranger.post("/live/orders/1", "hello")).status in (401, 403)
    for accept in ("text/event-stream", "application/json"):
        answer = await stranger.request("GET", "/live/orders/1", headers=[("Accept", accept)])
        assert answer.status in (401, 403)
    with pytest.raises(HandshakeRefused) as refused:
        await connect(site.server, "/live/orders/1")
    assert refused.value.status in (401, 403)


async def test_signal_in_a_transaction_publishes_when_it_commits(
    site: Site, member: Browser, connect: Connect, http: Talk
) -> None:
    sockets = [await connect(site.server, f"/live/orders/{number}", headers=member.headers) for number in (0, 2)]
    service = http(site.server)
    assert (await service.post("/orders/0/pay/", "")).status == 404  # rolled back
    assert (await service.post("/orders/2/pay/", "")).status == 200
    assert await sockets[1].receive() == '{"state":"paid"}'
    await sockets[0].ping()
    assert not sockets[0].messages


async def test_command_for_cron_publishes(site: Site, member: Browser, connect: Connect) -> None:
    socket = await connect(site.server, "/live/orders/3", headers=member.headers)
    site.run("ship", "3")
    assert await socket.receive() == '{"state":"shipped"}'


async def test_task_of_celery_publishes(site: Site, member: Browser, connect: Connect) -> None:
    worker = [sys.executable, "-m", "celery", "-A", "tests.site.shop.celery", "worker", "--pool", "solo"]
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
    site.fleet.start(lambda log: Server([*worker, *options], r"celery@.* ready", log, env=site.env, port=0))
    socket = await connect(site.server, "/live/orders/4", headers=member.headers)
    page = await member.get("/admin/password_change/")
    assert (await member.post("/orders/4/pack/", page)).status == 200
    assert await socket.receive() == '{"state":"packed"}'


async def test_process_of_wsgi_publishes(site: Site, member: Browser, connect: Connect, http: Talk) -> None:
    wsgi = site.fleet.start(lambda log: Server([sys.executable, "-c", WSGI], r"port (\d+)", log, env=site.env))
    socket = await connect(site.server, "/live/orders/5", headers=member.headers)
    assert (await http(wsgi).post("/orders/5/pay/", "")).status == 200
    assert await socket.receive() == '{"state":"paid"}'
