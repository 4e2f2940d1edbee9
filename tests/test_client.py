"""The client in a Python without a Django project."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest

import eventcast.client
from eventcast.client import Publisher, publish, subscribe
from eventcast.exceptions import InvalidMessage, Refused, ServerUnreachable
from tests.live.servers import ROOT, free_port
from tests.test_project import own_environment


def run(program: str) -> str:
    """What a program prints in a process that knows no settings."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        env=own_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return finished.stdout


def test_client_needs_no_settings() -> None:
    program = "from eventcast.client import publish, subscribe; from django.conf import settings"
    assert run(f"{program}; print(settings.configured)") == "False\n"


def test_publish_needs_no_websockets() -> None:
    program = (
        "import sys; sys.modules['websockets'] = None; from eventcast.client import publish; print(publish.__name__)"
    )
    assert run(program) == "publish\n"


def test_subscribe_names_the_package_it_needs() -> None:
    program = """import sys; sys.modules["websockets"] = None
try:
    from eventcast.client import subscribe
except ImportError as error:
    print(error)
"""
    said = run(program)
    assert "pip install 'websockets>=15'" in said
    assert "pip install 'eventcast[client]'" in said


@pytest.mark.parametrize("name", eventcast.client.__all__)
def test_every_name_is_there_and_explained(name: str) -> None:
    assert getattr(eventcast.client, name).__doc__


def test_publish_raises_where_no_server_is() -> None:
    with pytest.raises(ServerUnreachable, match="127"):
        publish(f"http://127.0.0.1:{free_port()}/a", "x")


@pytest.mark.parametrize("messages", ["text", b"bytes", {"a": 1}, ["ab"], [("/a", "x", "y")], [(1, "x")]])
def test_publish_many_refuses_what_are_no_pairs(messages: object) -> None:
    with Publisher(f"http://127.0.0.1:{free_port()}") as publisher, pytest.raises(TypeError, match="takes pairs"):
        publisher.publish_many(messages)  # type: ignore[arg-type]


def test_subscription_that_is_not_entered_says_how() -> None:
    with pytest.raises(TypeError, match="with subscribe"):
        iter(subscribe("http://127.0.0.1/a"))
    with pytest.raises(TypeError, match="async with subscribe"):
        aiter(subscribe("http://127.0.0.1/a"))


@pytest.mark.parametrize(
    "headers", [{"Authorization": "张"}, {"Authorization": "a\r\nHost: b"}, {"a b": "c"}, {"": "c"}, {"a": "\0"}]
)
@pytest.mark.parametrize("use", [Publisher, subscribe])
def test_headers_that_are_none_are_refused(use: Callable[..., object], headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header"):
        use("http://127.0.0.1/a", headers=headers)


@pytest.mark.parametrize("data", [object(), "\ud800", {"not": float("nan")}])
def test_publish_raises_before_it_connects_for_what_no_message_is(data: object) -> None:
    with Publisher(f"http://127.0.0.1:{free_port()}") as publisher, pytest.raises(InvalidMessage):
        publisher.publish("/a", data)


@pytest.mark.parametrize("with_asyncio", [True, False])
async def test_redirect_is_not_followed_and_takes_no_key_along(with_asyncio: bool) -> None:
    heads: list[bytes] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        location = f"http://localhost:{port}/elsewhere".encode()  # another origin than 127.0.0.1
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location)
        writer.close()

    def enter() -> None:
        with subscribe(f"http://127.0.0.1:{port}/a", headers={"X-API-Key": "secret"}):
            pass

    async def aenter() -> None:
        async with subscribe(f"http://127.0.0.1:{port}/a", headers={"X-API-Key": "secret"}):
            pass

    async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Refused, match="a redirect to http://localhost"):
            await (aenter() if with_asyncio else asyncio.to_thread(enter))
    assert len(heads) == 1
