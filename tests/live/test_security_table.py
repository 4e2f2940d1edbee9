"""The table of docs/security.md, cell by cell, against a running server for each authorization; and what ends there."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import signing

from eventcast.security.authorization import tokens
from tests.live import servers
from tests.live.clients import HandshakeRefused, WebSocket
from tests.live.conftest import Connect, Fleet, check_log
from tests.live.http_client import HTTP
from tests.live.servers import ROOT, Server
from tests.live.waiting import TIMEOUT

DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
KEY, OTHER_KEY = "the-right-key-0123456789", "another-key-0123456789"
EVERYTHING, ELSEWHERE = ["/<path:any>"], ["/elsewhere/<path:any>"]

SETTINGS: dict[str, Any] = {
    "KEYS": [
        {"key": KEY, "publish": EVERYTHING, "subscribe": EVERYTHING},
        {"key": OTHER_KEY, "publish": ELSEWHERE, "subscribe": ELSEWHERE},
    ],
    "SESSIONS": [
        {"path": "/staff/<path:any>", "subscribe": "staff", "publish": "staff"},
        {"path": "/<path:any>", "subscribe": "authenticated", "publish": "authenticated"},
    ],
    "RULES": [
        ["/orders/<path:any>", {
            "publish": "eventcast.authorization.Keys", "subscribe": "eventcast.authorization.Sessions"
        }]
    ],
}  # fmt: skip

# Makes a database with two users, and prints the keys of their sessions and of one that is over.
PEOPLE = """
import json, datetime
import django
django.setup()
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
call_command("migrate", verbosity=0)

def log_in(user, age):
    session = SessionStore()
    session[auth.SESSION_KEY] = str(user.pk)
    session[auth.BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.set_expiry(age)
    session.create()
    return session.session_key

user = User.objects.create_user("user")
guest = User.objects.create_user("guest")
staff = User.objects.create_superuser("staff")
print(json.dumps({"right key": log_in(user, 3600), "staff": log_in(staff, 3600), "expired": log_in(user, -1),
    "guest": log_in(guest, 3600)}))
"""


@dataclass
class Site:
    """The servers, by their authorization, and what people send to them."""

    database: Path
    servers: dict[str, Server] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("security")
    database = directory / "db.sqlite3"
    env = {"DJANGO_SECRET_KEY": settings.SECRET_KEY, "DATABASE_PATH": str(database), "EVENTCAST_RECHECK_INTERVAL": "1"}
    made = subprocess.run(
        [sys.executable, "-c", PEOPLE],
        cwd=ROOT,
        env={**env, "DJANGO_SETTINGS_MODULE": "eventcast_project.settings", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    files = {f"EVENTCAST_{name}": directory / name for name in SETTINGS}
    for name, value in SETTINGS.items():
        files[f"EVENTCAST_{name}"].write_text(json.dumps(value))
    fleet = Fleet(directory)
    found = Site(database, cookies=json.loads(made.stdout) | {"wrong key": "0123456789abcdefghijklmnopqrstuv"})

    def start(name: str) -> None:
        own = {"EVENTCAST_AUTHORIZATION": f"eventcast.authorization.{name}"}
        if name != "Open":  # which does not start with them
            own |= {variable: str(path) for variable, path in files.items()}
        found.servers[name] = fleet.start(servers.daphne, env=env | own)

    try:
        with ThreadPoolExecutor() as pool:  # each takes a second or two
            list(pool.map(start, dict.fromkeys(name for name, *_ in CELLS)))
        yield found
    finally:
        fleet.stop()


def cells() -> Iterator[tuple[str, str, str, int]]:
    """The cells of the document: authorization, way, who, status."""
    for name, table in re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL):
        lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
        head, _, *rows = [[cell.strip() for cell in line] for line in lines]
        for way, *statuses in rows:
            for who, status in zip(head[1:], statuses, strict=True):
                yield name, way, who, int(status)


CELLS = list(cells())
_numbers = itertools.count(1)


def headers_of(site: Site, name: str, who: str) -> list[tuple[str, str]]:
    """What somebody sends to the server with that authorization."""
    bearer = {
        "wrong key": f"made-up-{KEY}",
        "right key": tokens.token(publish=EVERYTHING, subscribe=EVERYTHING) if name == "Tokens" else KEY,
        "wrong path": tokens.token(publish=ELSEWHERE, subscribe=ELSEWHERE) if name == "Tokens" else OTHER_KEY,
        "expired": expired_token(),
    }
    found = [("Authorization", f"Bearer {bearer[who]}")] if who in bearer else []
    if name == "Rules":
        found = [("Authorization", f"Bearer {KEY}")] if who == "wrong path" else found
        cookies = site.cookies | {"wrong path": site.cookies["right key"]}
        del cookies["right key"]
    else:
        cookies = site.cookies | {"wrong path": site.cookies["right key"]}
        if name != "Sessions":
            del cookies["right key"], cookies["wrong path"]
    return [*found, ("Cookie", f"sessionid={cookies[who]}")] if who in cookies else found


def expired_token() -> str:
    said = {"s": EVERYTHING, "p": EVERYTHING, "e": 1}
    return signing.Signer(sep=tokens.SEPARATOR, salt=tokens.SALT).sign_object(said)


def path_of(name: str, who: str) -> str:
    wrong = {"Sessions": "/staff", "Rules": "/unruled"}.get(name, "/orders")
    return f"{wrong if who == 'wrong path' else '/orders'}/{next(_numbers)}"


WAYS = {
    "SSE": ("GET", None, "text/event-stream"),
    "NDJSON": ("GET", None, "application/x-ndjson"),
    "POST": ("POST", None, "*/*"),
    "PUT": ("PUT", None, "*/*"),
    "info": ("GET", None, "application/json"),
    "list": ("GET", "/-/channels", "application/json"),
    "page": ("GET", None, "text/html"),
    "admin": ("GET", "/admin/eventcast/channel/", "text/html"),
}


async def status_of(
    server: Server, way: str, path: str, headers: list[tuple[str, str]], origin: str | None = "its own"
) -> tuple[int, dict[str, str]]:
    if origin is not None:  # As browsers do: without one no cookie publishes.
        headers = [*headers, ("Origin", server.url if origin == "its own" else origin)]
    if way == "WebSocket":
        try:
            client = await WebSocket.connect(server.port, path, headers=headers)
        except HandshakeRefused as refused:
            return refused.status, refused.headers
        await client.leave()
        return 101, {}
    method, target, accept = WAYS[way]
    connection = HTTP(server.port)
    try:
        body = b"x" if method != "GET" else b""
        sent = [("Accept", accept), ("Content-Type", "text/plain"), *headers]
        await connection.send(connection.encode(method, target or path, body, sent))
        assert connection._reader is not None
        # The head alone: a stream has no end.
        head = (await connection._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = [line.split(": ", 1) for line in head.splitlines()[1:] if line]
        return int(head.split()[1]), {key.lower(): value for key, value in lines}
    finally:
        await connection.close()


@pytest.mark.parametrize("name", dict.fromkeys(name for name, *_ in CELLS))
async def test_answers_are_those_of_the_document(site: Site, name: str) -> None:
    server = site.servers[name]
    differing = []
    for _, way, who, status in (cell for cell in CELLS if cell[0] == name):
        found, headers = await status_of(server, way, path_of(name, who), headers_of(site, name, who))
        if found != status:
            differing.append(f"{way}, {who}: {found}, not {status}")
        if found == 401 and "www-authenticate" not in headers:
            differing.append(f"{way}, {who}: 401 without WWW-Authenticate")
    assert not differing
    check_log(server)


ELSEWHERES: list[tuple[str, str | None]] = [
    *((way, "https://evil.example") for way in ("WebSocket", *WAYS) if way != "admin"),
    ("POST", None),
    ("PUT", None),
]


@pytest.mark.parametrize(("way", "origin"), ELSEWHERES)
async def test_session_is_worth_nothing_on_a_page_elsewhere(site: Site, way: str, origin: str | None) -> None:
    server, since = site.servers["Sessions"], len(site.servers["Sessions"].log)
    headers = headers_of(site, "Sessions", "staff")
    assert (await status_of(server, way, path_of("Sessions", "staff"), headers, origin))[0] == 403
    server.wait_for_log("403 origin_not_allowed", since=since)


def test_document_has_every_cell() -> None:
    names, ways, people = (list(dict.fromkeys(cell[i] for cell in CELLS)) for i in range(3))
    assert names == ["Open", "Keys", "Tokens", "Sessions", "Rules"]
    assert set(ways) == {"WebSocket", *WAYS}
    assert people == ["nobody", "wrong key", "right key", "wrong path", "expired", "staff"]
    assert len(CELLS) == len(names) * len(ways) * len(people)


async def test_no_secret_stands_in_the_log(site: Site) -> None:
    for name in ("Keys", "Tokens", "Sessions"):
        log = site.servers[name].log
        assert "made-up" not in log
        assert KEY not in log
        assert not any(cookie in log for cookie in site.cookies.values())


async def test_token_comes_as_a_subprotocol_that_is_not_sent_back(site: Site, connect: Connect) -> None:
    token = tokens.token(subscribe="/orders/<path:any>")
    offer = [("Sec-WebSocket-Protocol", f"eventcast, eventcast.token.{token}")]
    client = await connect(site.servers["Tokens"], f"/orders/{next(_numbers)}", headers=offer)
    assert client.subprotocol == "eventcast"
    assert token not in site.servers["Tokens"].log


async def test_token_that_expires_closes_socket_and_stream(site: Site, connect: Connect) -> None:
    server, path = site.servers["Tokens"], f"/orders/{next(_numbers)}"
    bearer = ("Authorization", f"Bearer {tokens.token(subscribe=path, expires_in=1)}")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    accept = ("Accept", "application/x-ndjson")
    writer.write(HTTP(server.port).encode("GET", path, headers=[accept, bearer, ("Connection", "close")]))
    assert (await reader.readline()).split()[1] == b"200"
    client = await connect(server, path, headers=[bearer])
    assert await client.wait_closed() == 3000
    await asyncio.wait_for(reader.read(), TIMEOUT)  # to its end
    writer.close()


async def test_user_who_is_deactivated_is_disconnected(site: Site, connect: Connect) -> None:
    server, path = site.servers["Sessions"], f"/orders/{next(_numbers)}"
    cookie = [("Cookie", f"sessionid={site.cookies['guest']}")]
    client = await connect(server, path, headers=cookie)
    with sqlite3.connect(site.database) as database:
        database.execute("UPDATE auth_user SET is_active = 0 WHERE username = 'guest'")
    database.close()
    assert (await client.wait_closed(), client.close_reason) == (3000, "The permission was taken away.")
    with pytest.raises(HandshakeRefused) as refused:
        await connect(server, path, headers=cookie)
    assert refused.value.status == 401
    check_log(server)
