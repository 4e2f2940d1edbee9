"""The users of a site on real servers, by the code of docs/security.md, word for word."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.live import servers
from tests.live.clients import HandshakeRefused, WebSocket
from tests.live.conftest import Connect, Fleet, check_log
from tests.live.http_client import HTTP, Response
from tests.live.servers import ROOT, Server
from tests.live.waiting import TIMEOUT, until

DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")

SETTINGS = """
from eventcast_project.settings import *

{sessions}
EVENTCAST = {{
    "AUTHORIZATION": "eventcast.authorization.Rules",
    "RULES": [
        ("/teams/<path:any>", "mysite.live.Members"),
        ("/slow/<path:any>", "mysite.slow.Slow"),
        ("/<path:any>", "eventcast.authorization.Sessions"),
    ],
    "SESSIONS": EVENTCAST["SESSIONS"],
    "RECHECK_INTERVAL": 1,
}}
ROOT_URLCONF = "mysite.urls"
"""

URLS = """
import eventcast
from django.http import HttpResponse
from django.urls import path
from eventcast_project.urls import urlpatterns as others

def pay(request):
    {publish}
    return HttpResponse("paid")

urlpatterns = [path("admin/pay/", pay), *others]
"""

SLOW = """
import asyncio, pathlib
from eventcast.authorization import Authorization

class Slow(Authorization):
    async def can_subscribe(self, request, channel):
        user = await request.auser()
        if not user.is_authenticated:
            return False
        directory = pathlib.Path(__file__).parent
        name = channel.rpartition("/")[2]
        (directory / f"asked-{name}").touch()
        while not (directory / f"answer-{name}").exists():
            await asyncio.sleep(0.01)
        return True
"""

DISCONNECT = """
import threading, time, pathlib
import eventcast

def watch():
    while True:
        for path in pathlib.Path(__file__).parent.glob("revoke-*"):
            path.unlink()
            eventcast.disconnect(user=path.name.removeprefix("revoke-"))
            (path.parent / path.name.replace("revoke", "done")).touch()
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
"""

PEOPLE = """
import json
import django
django.setup()
from django.contrib import auth
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
call_command("migrate", verbosity=0)
team = Group.objects.create(name="red")
found = {}
for name in ("zhang", "li", "wang", "zhao", "guest", "boss"):
    user = User.objects.create_user(name, is_staff=name == "boss")
    if name != "guest":
        user.groups.add(team)
    session = SessionStore()
    session[auth.SESSION_KEY] = str(user.pk)
    session[auth.BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    found[name] = [user.pk, session.session_key]
print(json.dumps(found))
"""


def code_of(heading: str, pattern: str = "") -> str:
    """The first Python code with this pattern below a heading of the document."""
    text = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = [code for code in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if pattern in code]
    assert found, f"no Python code with {pattern!r} below {heading!r}"
    return str(found[0])


@dataclass
class Site:
    """A server and the users of its site."""

    server: Server
    database: Path
    package: Path
    people: dict[str, list[Any]]

    def cookie(self, name: str) -> list[tuple[str, str]]:
        return [("Cookie", f"sessionid={self.people[name][1]}")] if name else []

    def change(self, statement: str, name: str) -> None:
        """Change something about a user in the database, as another process would."""
        key, session = self.people[name]
        database = sqlite3.connect(self.database, timeout=TIMEOUT)
        with database:
            database.execute(statement, {"id": key, "session": session})
        database.close()

    async def ask(self, method: str, path: str, name: str, body: bytes = b"") -> Response:
        http, headers = HTTP(self.server.port), [("Origin", self.server.url), ("Content-Type", "text/plain")]
        try:
            await http.send(http.encode(method, path, body, [*headers, *self.cookie(name)]))
            return await http.read_response(method)
        finally:
            await http.close()

    async def stream(self, path: str, name: str) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
        """A stream of JSON lines: its status, and its connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        headers = [("Accept", "application/x-ndjson"), ("Connection", "close"), *self.cookie(name)]
        writer.write(HTTP(self.server.port).encode("GET", path, headers=headers))
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), reader, writer


@pytest.fixture(scope="module", params=["serve", "daphne", "uvicorn"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("users")
    package, database = directory / "mysite", directory / "db.sqlite3"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "live.py").write_text(code_of("A class of your own"))
    (package / "slow.py").write_text(SLOW + DISCONNECT)
    (package / "settings.py").write_text(
        SETTINGS.format(sessions=code_of("Sessions, for the users of a site", "EVENTCAST = {"))
    )
    publish = code_of("Sessions, for the users of a site", "publish_to").partition("# views.py\n")[2].strip()
    (package / "urls.py").write_text(URLS.format(publish=publish))
    env = {
        "DJANGO_SECRET_KEY": settings.SECRET_KEY,
        "DATABASE_PATH": str(database),
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "PYTHONPATH": f"{ROOT}:{directory}",
    }
    made = subprocess.run([sys.executable, "-c", PEOPLE], cwd=ROOT, env=env, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    fleet = Fleet(directory)
    server = fleet.start(getattr(servers, request.param), env=env)
    yield Site(server, database, package, json.loads(made.stdout))
    fleet.stop()


@pytest.mark.parametrize(("name", "expected"), [("zhang", 101), ("guest", 403), ("", 401)])
async def test_class_of_ones_own_knows_the_user_on_a_websocket(site: Site, name: str, expected: int) -> None:
    try:
        client = await WebSocket.connect(site.server.port, "/teams/red", headers=site.cookie(name))
        status = 101
        await client.leave()
    except HandshakeRefused as refused:
        status = refused.status
    assert status == expected


@pytest.mark.parametrize(("name", "expected"), [("zhang", 200), ("guest", 403), ("", 401)])
async def test_class_of_ones_own_knows_the_user_of_a_stream_and_of_a_question(
    site: Site, name: str, expected: int
) -> None:
    status, _, writer = await site.stream("/teams/red", name)
    writer.close()
    assert (status, (await site.ask("GET", "/teams/red", name)).status) == (expected, expected)


@pytest.mark.parametrize(("name", "expected"), [("boss", 202), ("zhang", 403), ("", 401)])
async def test_class_of_ones_own_knows_the_user_of_a_publish(site: Site, name: str, expected: int) -> None:
    assert (await site.ask("POST", "/teams/blue", name, b"x")).status == expected


ENDS: dict[str, str] = {
    "zhang": "DELETE FROM django_session WHERE session_key = :session",
    "li": "UPDATE auth_user SET is_active = 0 WHERE id = :id",
    "wang": "DELETE FROM auth_user_groups WHERE user_id = :id",
}


async def test_what_a_class_of_ones_own_lets_in_ends_with_session_activity_and_permission(
    site: Site, connect: Connect
) -> None:
    staying = await connect(site.server, "/teams/red", headers=site.cookie("zhao"))
    for name, statement in ENDS.items():
        client = await connect(site.server, "/teams/red", headers=site.cookie(name))
        status, reader, writer = await site.stream("/teams/red", name)
        assert status == 200
        site.change(statement, name)
        assert (await client.wait_closed(), client.close_reason) == (3000, "The permission was taken away.")
        await asyncio.wait_for(reader.read(), TIMEOUT)  # to its end
        writer.close()
    await site.ask("POST", "/teams/red", "boss", b"still here")
    assert await staying.receive() == "still here"
    check_log(site.server)


async def test_user_hears_its_own_channel_and_nobody_elses(site: Site, connect: Connect) -> None:
    key = site.people["zhao"][0]
    owner = await connect(site.server, f"/users/{key}/orders", headers=site.cookie("zhao"))
    status, reader, writer = await site.stream(f"/users/{key}/orders", "zhao")
    assert status == 200
    for name, expected in (("guest", 403), ("boss", 403), ("", 401)):
        with pytest.raises(HandshakeRefused) as refused:
            await connect(site.server, f"/users/{key}/orders", headers=site.cookie(name))
        assert refused.value.status == expected
    assert (await site.ask("POST", f"/users/{key}/orders", "zhao", b"x")).status == 403
    assert (await site.ask("GET", "/admin/pay/", "zhao")).status == 200
    assert json.loads(await owner.receive()) == {"id": 42, "paid": True}
    assert b'\\"paid\\":true' in await asyncio.wait_for(reader.readuntil(b"}\n"), TIMEOUT)
    writer.close()


# --- what is taken away while it is given ----------------------------------------------------------------------------

_numbers = itertools.count(1)


async def appear(path: Path) -> None:
    """Wait for what the code in the server says by a file."""
    await until(path.exists, path.name)


async def revoke(site: Site, name: str) -> None:
    (site.package / f"revoke-{name}").touch()
    await appear(site.package / f"done-{name}")
    (site.package / f"done-{name}").unlink()


async def test_user_that_is_disconnected_during_its_handshake_is_not_let_in(site: Site, connect: Connect) -> None:
    number = next(_numbers)
    opening = asyncio.create_task(connect(site.server, f"/slow/{number}", headers=site.cookie("zhao")))
    await appear(site.package / f"asked-{number}")
    await revoke(site, "zhao")
    (site.package / f"answer-{number}").touch()
    with pytest.raises(HandshakeRefused) as refused:
        await opening
    assert (refused.value.status, refused.value.error) == (403, "forbidden")


async def test_user_that_is_disconnected_while_its_stream_is_checked_hears_nothing(site: Site) -> None:
    number = next(_numbers)
    opening = asyncio.create_task(site.stream(f"/slow/{number}", "zhao"))
    await appear(site.package / f"asked-{number}")
    await revoke(site, "zhao")
    (site.package / f"answer-{number}").touch()
    status, reader, writer = await opening
    # Under uvicorn the response has begun by then, and ends at once.
    assert status == (200 if site.server.log_path.name.startswith("uvicorn") else 403)
    assert b'"data"' not in await asyncio.wait_for(reader.read(), TIMEOUT)  # to its end
    writer.close()


async def test_user_that_is_deactivated_during_its_handshake_does_not_stay(site: Site, connect: Connect) -> None:
    number = next(_numbers)
    opening = asyncio.create_task(connect(site.server, f"/slow/{number}", headers=site.cookie("guest")))
    await appear(site.package / f"asked-{number}")
    site.change("UPDATE auth_user SET is_active = 0 WHERE id = :id", "guest")
    (site.package / f"answer-{number}").touch()
    assert await (await opening).wait_closed() == 3000
    site.change("UPDATE auth_user SET is_active = 1 WHERE id = :id", "guest")
