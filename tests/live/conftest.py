"""Fixtures: servers, shared or for one test, and clients that are closed when the test is over."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import side_by_side
from tests.live import servers
from tests.live.clients import WebSocket
from tests.live.http_client import HTTP
from tests.live.servers import TRACEBACK, Server
from tests.live.streams import Stream
from tests.live.waiting import TIMEOUT

# Versions that run in the Node of Debian 12, which is 18.
NPM_PACKAGES = ("ws@8.18.3", "eventsource@3.0.7", "typescript@5.9.3", "axe-core@4.14.1")

Connect = Callable[..., Awaitable[WebSocket]]
Talk = Callable[[Server], HTTP]
Start = Callable[..., Server]
Open = Callable[..., Awaitable[Stream]]

AT_THE_DOOR = pytest.mark.parametrize("server", ["serve"], indirect=True)
"""For tests of what stands before a server: ``manage.py eventcast serve`` is server enough."""


class Fleet:
    """Starts servers, ends them all, and fails if one of them has logged a traceback."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count(1)
        self._servers: list[Server] = []

    def start(self, start: Callable[..., Server], *options: str, **settings: Any) -> Server:
        server = start(self._directory / f"{start.__name__}-{next(self._numbers)}.log", *options, **settings)
        self._servers.append(server)
        return server

    def stop(self) -> None:
        for server in self._servers:
            server.stop()
        for server in self._servers:
            check_log(server)


def check_log(server: Server) -> None:
    """Fail if the server has logged a traceback since the last check."""
    log = server.log
    said, server.checked = log[server.checked :], len(log)
    assert server.allows_tracebacks or TRACEBACK not in said, said


@pytest.fixture(scope="session")
def shared_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Standalone servers by their kind, each started when first asked for and shared by all tests that do not harm
    it."""
    fleet, started = Fleet(tmp_path_factory.mktemp("standalone")), dict[str, Server]()

    def shared_server(kind: str) -> Server:
        if kind not in started:
            started[kind] = fleet.start(getattr(servers, kind))
        return started[kind]

    yield shared_server
    fleet.stop()


@pytest.fixture(scope="session")
def standalone_server(shared_servers: Callable[[str], Server]) -> Server:
    """``manage.py eventcast serve``, shared."""
    return shared_servers("serve")


@pytest.fixture(params=["serve", pytest.param("daphne", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, shared_servers: Callable[[str], Server]) -> Iterator[Server]:
    """A shared standalone server; the test runs for each kind, and fails if the server logs a traceback meanwhile."""
    shared = shared_servers(request.param)
    yield shared
    check_log(shared)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server for this test alone: ``start(servers.daphne, "--ping-interval", "1", env={...})``."""
    fleet = Fleet(tmp_path)
    yield fleet.start
    fleet.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens WebSockets: ``await connect(server, "/a")``; options are those of :meth:`WebSocket.connect`."""
    opened: list[WebSocket] = []

    async def connect(server: Server, target: str | bytes, **options: Any) -> WebSocket:
        opened.append(await WebSocket.connect(server.port, target, **options))
        return opened[-1]

    yield connect
    await asyncio.gather(*(client.leave() for client in opened))
    for client in opened:
        assert client.error is None or isinstance(client.error, OSError), client.error


@pytest.fixture
async def http() -> AsyncIterator[Talk]:
    """Opens HTTP connections: ``http(server)``."""
    opened: list[HTTP] = []

    def connect(server: Server) -> HTTP:
        opened.append(HTTP(server.port))
        return opened[-1]

    yield connect
    for client in opened:
        await client.close()


@pytest.fixture
async def listen() -> AsyncIterator[Open]:
    """Opens streams: ``await listen(server, "/a", "text/event-stream")``."""
    opened: list[Stream] = []

    async def listen(server: Server, target: str, form: str) -> Stream:
        stream = Stream(*await asyncio.open_connection("127.0.0.1", server.port))
        opened.append(stream)
        stream.writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {form}\r\n\r\n".encode())
        stream.head = (await asyncio.wait_for(stream.reader.readuntil(b"\r\n\r\n"), TIMEOUT)).decode().lower()
        await stream.read_until(b"\n")  # The greeting: from here on it is subscribed.
        return stream

    yield listen
    for stream in opened:
        stream.cut()


@pytest.fixture(scope="session")
def npm_packages(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of npm that the tests use, installed once for all workers."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = (side_by_side.shared_folder(pytestconfig) or tmp_path_factory.getbasetemp()) / "npm"
    folder.mkdir(exist_ok=True)
    done = folder / "done"
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", *NPM_PACKAGES]
    with side_by_side.locked(folder / "lock"):
        if not done.exists():
            finished = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if finished.returncode:
                pytest.skip(f"npm could not install {', '.join(NPM_PACKAGES)}: {finished.stderr}")
            done.touch()
    return folder / "node_modules"


@pytest.fixture
def node_folder(npm_packages: Path, tmp_path: Path) -> Path:
    """A folder in which Node finds those packages."""
    (tmp_path / "node_modules").symlink_to(npm_packages, target_is_directory=True)
    return tmp_path


_numbers = itertools.count(1)


@pytest.fixture
def channel() -> str:
    """A channel that no other test uses."""
    return f"/test/{next(_numbers)}"
