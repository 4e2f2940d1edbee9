"""A server with an admin and its users, for all browser tests of the admin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from django.contrib.admin.utils import quote as quote_for_admin
from playwright.async_api import Page, expect

from tests.live import servers
from tests.live.conftest import Fleet, check_log
from tests.live.servers import Server

PEOPLE = """
from django.contrib.auth.models import Permission, User
from django.test import Client
boss = User.objects.create_superuser("boss")
viewer, clerk = (User.objects.create_user(name, is_staff=True) for name in ("viewer", "clerk"))
viewer.user_permissions.set(Permission.objects.filter(codename="view_channel"))
for user in (boss, viewer, clerk):
    client = Client()
    client.force_login(user)
    print(user.username, client.session.session_key)
"""

LIST = "/admin/eventcast/channel/"


class Staff(NamedTuple):
    """A database with three logged-in users: all permissions, the view permission, no permission."""

    env: dict[str, str]
    """The environment of a server with this database."""
    sessions: dict[str, str]
    """The session of each user, by name."""


@pytest.fixture(scope="session")
def staff(tmp_path_factory: pytest.TempPathFactory) -> Staff:
    env = {"DATABASE_PATH": str(tmp_path_factory.mktemp("admin") / "db.sqlite3"), "DJANGO_SECRET_KEY": "k" * 50}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "EVENTCAST_"))}

    def manage(*arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments, "--verbosity", "0"]
        return subprocess.run(
            command, cwd=servers.ROOT, env=clean | env, check=True, capture_output=True, text=True
        ).stdout

    manage("migrate")
    return Staff(env, dict(line.split() for line in manage("shell", "--command", PEOPLE).splitlines()))


@pytest.fixture(scope="session")
def shared_office(tmp_path_factory: pytest.TempPathFactory, staff: Staff) -> Iterator[Server]:
    fleet = Fleet(tmp_path_factory.mktemp("office"))
    yield fleet.start(servers.daphne, env=staff.env)
    fleet.stop()


@pytest.fixture
def office(shared_office: Server) -> Iterator[Server]:
    """A standalone server with these users. The test fails if the server logs a traceback."""
    yield shared_office
    check_log(shared_office)


Enter = Callable[..., Awaitable[Page]]


@pytest.fixture
def enter(visit: Any, staff: Staff) -> Enter:
    """Open a page of the admin as one of the users: ``await enter(server, "/admin/", "viewer")``."""

    async def enter(server: Server, target: str, name: str = "boss", **options: Any) -> Page:
        cookie = {"name": "sessionid", "value": staff.sessions[name], "domain": "127.0.0.1", "path": "/"}
        return await visit(server.url + target, storage_state={"cookies": [cookie], "origins": []}, **options)

    return enter


def page_of(name: str) -> str:
    """The target of a channel's page in the admin."""
    return f"{LIST}{quote(quote_for_admin(name))}/change/"


async def listen(page: Page) -> Page:
    await expect(page.locator(".state[data-state=open]")).to_be_visible()
    return page
