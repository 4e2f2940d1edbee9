"""``eventcast.publish`` in processes of a site that do not serve: by HTTP, by Redis, or not at all, and then with a
warning."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventcast.client import subscribe
from eventcast.exceptions import Refused
from tests.live import servers
from tests.live.conftest import Fleet, Open, Start
from tests.live.http_client import HTTP
from tests.live.servers import ROOT, Server

UNHEARD = "Nothing that this process publishes reaches a subscriber"
SETTINGS = "tests.live.elsewhere_settings"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The site's server, with eventcast below /live/."""
    fleet = Fleet(tmp_path_factory.mktemp("site"))
    yield fleet.start(servers.daphne, application=servers.SITE)
    fleet.stop()


def run(role: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a process of the site that does not serve."""
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": SETTINGS, **variables}
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.live.elsewhere", role]
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
    return finished


def url_of(site: Server) -> dict[str, str]:
    return {"TEST_URL": f"{site.url}/live"}


def test_worker_that_forks_loses_and_mixes_nothing(site: Server) -> None:
    with subscribe(f"{site.url}/live/work") as messages:
        assert run("worker", **url_of(site)).stdout == "parent 1\n"
        found = [str(next(messages)) for _ in range(1 + 4 * 20)]
    for name in ("0", "1", "2", "parent"):
        own = [each for each in found if each.startswith(f"worker {name} ")]
        assert own == [f"worker {name} task {task}" for task in range(20)]


def test_command_publishes_below_the_mount_and_to_several_channels(site: Server) -> None:
    with subscribe(f"{site.url}/live/work") as messages, subscribe(f"{site.url}/live/other") as others:
        assert run("command", **url_of(site)).stdout.split() == ["1", "3", "1"]
        assert [next(messages) for _ in range(4)] == ['{"from":"cron"}', "one", b"\x00\xff", "named"]
        assert next(others) == "two"


async def test_command_publishes_named_events(site: Server, listen: Open) -> None:
    stream = await listen(site, "/live/work", "application/x-ndjson")
    await asyncio.to_thread(run, "command", **url_of(site))
    await stream.read_until(b"named")
    assert b'"event":"paid"' in await stream.read_until(b"\n")


def test_receiver_in_a_transaction_publishes_what_was_committed(site: Server) -> None:
    with subscribe(f"{site.url}/live/work") as messages:
        assert "before the commit" in run("receiver", **url_of(site)).stdout
        assert run("command", **url_of(site)).returncode == 0
        found = [next(messages) for _ in range(2)]
    assert found == ["kept", '{"from":"cron"}']


def test_sync_code_on_an_event_loop_keeps_its_order(site: Server) -> None:
    with subscribe(f"{site.url}/live/work") as messages:
        said = run("coroutine", **url_of(site)).stdout.split()
        found = [next(messages) for _ in range(21)]
    assert said == ["None"] * 20 + ["1"]
    found.remove("awaited")
    assert found == [str(number) for number in range(20)]


async def test_wsgi_process_publishes(site: Server, start: Start) -> None:
    def wsgi(log: Path) -> Server:
        env = {"DJANGO_SETTINGS_MODULE": SETTINGS, **url_of(site)}
        return Server([sys.executable, "-m", "tests.live.elsewhere", "wsgi"], r"listening on (\d+)", log, env=env)

    process = start(wsgi)
    client = HTTP(process.port)
    async with subscribe(f"{site.url}/live/orders/42") as messages:
        answer = await client.request("POST", "/orders/42/pay/")
        assert answer.json() == {"subscribers": 1}
        assert await anext(aiter(messages)) == '{"paid":42}'
    with pytest.raises(Refused, match="It is a WSGI server"):
        async with subscribe(f"http://127.0.0.1:{process.port}/live/orders/42", wait=True):
            pass
    await client.close()


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_server_without_a_subscriber_knows_that_it_serves(kind: str, start: Start) -> None:
    def server(log: Path) -> Server:
        options = ["-b", "127.0.0.1", "-p", "0"] if kind == "daphne" else ["--port", "0"]
        command = [sys.executable, "-m", kind, *options, servers.SITE]
        return Server(command, r"(?:address 127\.0\.0\.1|http://127\.0\.0\.1):(\d+)", log)

    started = start(server)
    client = HTTP(started.port)
    assert (await client.request("POST", "/orders/42/pay/")).json() == {"subscribers": 0}
    await client.close()
    assert UNHEARD not in started.log


@pytest.mark.parametrize("role", ["worker", "command", "receiver", "coroutine"])
def test_process_without_a_road_says_so_once(role: str) -> None:
    finished = run(role)
    processes = 4 if role == "worker" else 1
    assert finished.stderr.count(UNHEARD) == processes
    assert "EVENTCAST['URL']" in finished.stderr
    assert set(finished.stdout.replace("before the commit", "").replace("parent", "").split()) == {"None"}


def test_server_that_is_down_is_an_error_or_silent() -> None:
    finished = run("silent", TEST_URL=f"http://127.0.0.1:{servers.free_port()}")
    assert finished.stdout.split() == ["None", "ServerUnreachable"]
    assert finished.stderr.count("Publishing to '/live/work' by http://127.0.0.1:") == 2


def test_key_of_the_settings_is_sent(start: Start, tmp_path: Path) -> None:
    keys = '[{"key": "0123456789abcdef0123456789abcdef", "name": "shop", "publish": ["/live/<path:any>"]}]'
    (tmp_path / "keys.json").write_text(keys)
    env = {"EVENTCAST_AUTHORIZATION": "eventcast.authorization.Keys", "EVENTCAST_KEYS": str(tmp_path / "keys.json")}
    server = start(servers.serve, env=env)
    refused = run("silent", TEST_URL=server.url)
    assert refused.stdout.split() == ["None", "Unauthorized"]
    assert run("command", TEST_URL=server.url, TEST_KEY="0123456789abcdef0123456789abcdef").stdout.split()[0] == "0"


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_worker_that_forks_publishes_by_redis(tmp_path: Path, start: Start) -> None:
    from tests.live.redis_server import Redis

    redis = Redis(tmp_path)
    try:
        environment: dict[str, Any] = {"TEST_REDIS": f"redis://127.0.0.1:{redis.port}/0"}
        env = {"DJANGO_SETTINGS_MODULE": SETTINGS, **environment}
        server = start(servers.daphne, application=servers.SITE, env=env)
        with subscribe(f"{server.url}/live/work") as messages:
            assert run("worker", **environment).stdout == "parent 0\n"
            found = [str(next(messages)) for _ in range(1 + 4 * 20)]
        assert len(set(found)) == 1 + 4 * 20
        server.stop()
    finally:
        redis.stop()
