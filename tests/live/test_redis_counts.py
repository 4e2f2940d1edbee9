"""Counts, lists, the admin and the metrics of two processes over one Redis are those of both."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.live import servers
from tests.live.conftest import Connect, Start, Talk
from tests.live.http_client import HTTP
from tests.live.redis_server import Redis
from tests.live.test_security_table import PEOPLE
from tests.live.waiting import until

pytest.importorskip("redis")
if shutil.which("redis-server") is None:
    pytest.skip("redis-server is not installed", allow_module_level=True)

LIST = "/admin/eventcast/channel/"
TOKEN = "t" * 32  # of CSRF


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.stop()


class Operator:
    """A superuser at one of the processes."""

    def __init__(self, http: HTTP, session: str) -> None:
        self._http = http
        self._headers = [("Cookie", f"sessionid={session}; csrftoken={TOKEN}"), ("Accept", "application/json")]

    async def see(self, path: str) -> Any:
        answer = await self._http.request("GET", LIST + path, headers=self._headers)
        assert answer.status == 200, answer
        return answer.json()

    async def disconnect(self, page: str, subscriber: str) -> str:
        fields = urlencode({"subscriber": subscriber, "csrfmiddlewaretoken": TOKEN}).encode()
        headers = [*self._headers, ("Content-Type", "application/x-www-form-urlencoded")]
        answer = await self._http.request("POST", f"{LIST}{page}disconnect/", fields, headers=headers)
        assert answer.status == 200, answer
        return str(answer.json()["message"])


async def test_two_processes_count_as_one(
    redis: Redis, start: Start, tmp_path: Path, connect: Connect, http: Talk
) -> None:
    env = {"DATABASE_PATH": str(tmp_path / "db.sqlite3"), "DJANGO_SECRET_KEY": "k" * 50}
    settings = {**env, "DJANGO_SETTINGS_MODULE": "eventcast_project.settings", "PYTHONPATH": str(servers.ROOT)}
    made = subprocess.run([sys.executable, "-c", PEOPLE], env=settings, capture_output=True, text=True, check=True)
    session = json.loads(made.stdout)["staff"]

    env |= {"EVENTCAST_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0"}
    one, other = (start(servers.serve, env=env) for _ in range(2))
    listeners = [await connect(server, "/a") for server in (one, one, other, other, other)]
    await connect(other, "/b")
    await connect(one, "/-/subscribe?pattern=/%3Cx%3E")

    published = 0
    for server in (one, other):
        speaker = http(server)

        async def publish(speaker: HTTP = speaker) -> Any:
            nonlocal published
            published += 1
            return (await speaker.post("/a", "x")).json()

        assert await whole(publish) == {"channel": "/a", "messages": 1, "subscribers": 6}
        info = await whole(lambda who=speaker: get(who, "/a"))
        assert (info["subscribers"], info["scope"]) == (6, "all")
        listed = await whole(lambda who=speaker: get(who, "/-/channels"))
        assert [(each["channel"], each["subscribers"]) for each in listed["channels"]] == [("/a", 6), ("/b", 2)]
        assert (listed["patterns"][0]["subscribers"], listed["total"]["subscribers"]) == (1, 7)
        figures = (await speaker.request("GET", "/-/metrics")).body.decode()
        assert "\neventcast_processes 2.0\n" in figures
        assert sum(map(float, re.findall(r"^eventcast_subscribers\{.*\} (.*)$", figures, re.MULTILINE))) == 7
        operator = Operator(speaker, session)
        rows = (await operator.see("figures/"))["rows"]
        assert [(row["cells"]["channel"], row["cells"]["subscribers"]) for row in rows] == [("/a", "6"), ("/b", "2")]
    assert info["messages"] == published

    # From one process, the operator sees and disconnects the subscribers of both.
    operator = Operator(http(one), session)
    report = await operator.see("_2Fa/figures/")
    assert (report["cells"]["subscribers"], len(report["rows"])) == ("6", 6)
    told = [await operator.disconnect("_2Fa/", report["rows"][number]["id"]) for number in (0, 2)]
    assert ["Disconnected subscriber" in text for text in told] == [True, True]
    await http(one).wait_for_count("/a", 4)
    assert (await operator.disconnect("_2Fa/", "all")) == "Disconnected all subscribers: 3."
    await http(other).wait_for_count("/a", 1)
    for listener in listeners:
        assert await listener.wait_closed() == 3000

    # A process that is killed counts no more.
    other.kill()
    await until(lambda: _counts(http(one), "/b", 1), "the dead process is not counted")


async def get(speaker: HTTP, path: str) -> Any:
    return (await speaker.request("GET", path)).json()


async def whole(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer for all processes. On a busy machine, one of them may not have answered in time at first."""
    for _ in range(20):
        said = await ask()
        if "partial" not in said:
            break
    return said


async def _counts(speaker: HTTP, channel: str, subscribers: int) -> bool:
    info = await get(speaker, channel)
    return "partial" not in info and info["subscribers"] == subscribers
