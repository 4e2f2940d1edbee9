"""Where ``eventcast serve`` listens, and what it hands to others: Unix sockets, first frames, consumers of a site."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import servers
from tests.live.conftest import Fleet, Start, check_log
from tests.live.frames import PING, TEXT, encode_frame
from tests.live.raw import HANDSHAKE
from tests.live.servers import ROOT, Server
from tests.live.wires import Wire, publish, request

UPGRADE = HANDSHAKE.decode().splitlines()


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose clients may publish by their WebSockets."""
    fleet = Fleet(tmp_path_factory.mktemp("speaking"))
    yield fleet.start(servers.serve, env={"EVENTCAST_WEBSOCKET_PUBLISH": "1"})
    fleet.stop()


@pytest.fixture
def server(speaking: Server) -> Iterator[Server]:
    yield speaking
    check_log(speaking)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An existing site, whose sockets Channels routes."""
    fleet = Fleet(tmp_path_factory.mktemp("site"))
    yield fleet.start(servers.serve, env={"DJANGO_SETTINGS_MODULE": "tests.site.settings"})
    fleet.stop()


@pytest.fixture
def site(shared_site: Server) -> Iterator[Server]:
    yield shared_site
    check_log(shared_site)


# --- Unix sockets -----------------------------------------------------------------------------------------------------


def serve_again(path: Path) -> subprocess.CompletedProcess[str]:
    """Start a server where nothing may listen; returns its end."""
    command = [sys.executable, "manage.py", "eventcast", "serve", "--no-migrate", "-u", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_unix_socket_of_a_killed_server_is_replaced(start: Start, tmp_path: Path, channel: str) -> None:
    path = tmp_path / "socket"
    killed = start(servers.serve, "-p", "0", "-u", str(path))
    killed.kill()
    killed.process.wait()
    assert path.exists()
    start(servers.serve, "-p", "0", "-u", str(path))
    with Wire(str(path), publish(channel)) as wire:
        assert wire.answer().status == 202


def test_unix_socket_of_a_running_server_is_refused_in_words(start: Start, tmp_path: Path, channel: str) -> None:
    path = tmp_path / "socket"
    start(servers.serve, "-p", "0", "-u", str(path))
    refused = serve_again(path)
    assert refused.returncode == 1
    assert f"{path} is already in use" in refused.stderr
    assert "Traceback" not in refused.stderr
    with Wire(str(path), publish(channel)) as wire:  # The one that was there still answers.
        assert wire.answer().status == 202


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    refused = serve_again(path)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert path.read_text() == "precious"


# --- frames that come with the handshake ------------------------------------------------------------------------------


def test_frames_in_the_packet_of_the_handshake_are_published(server: Server, channel: str) -> None:
    frames = encode_frame(TEXT, b"one") + encode_frame(PING, b"?") + encode_frame(TEXT, b"two")
    with Wire(server.port, request("GET", channel, b"", *UPGRADE) + frames) as wire:
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        said = wire.read(13)
        assert said.replace(b"\x8a\x01?", b"", 1) == b"\x81\x03one\x81\x03two"


def test_frame_may_be_divided_between_the_handshake_and_what_follows(server: Server, channel: str) -> None:
    frame = encode_frame(TEXT, b"divided")
    with Wire(server.port, request("GET", channel, b"", *UPGRADE) + frame[:5]) as wire:
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        wire.send(frame[5:])
        assert wire.read(9) == b"\x81\x07divided"


def test_handshake_may_come_byte_by_byte(server: Server, channel: str) -> None:
    with Wire(server.port) as wire:
        for byte in request("GET", channel, b"", *UPGRADE):
            wire.send(bytes([byte]))
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")


def test_handshake_may_follow_requests_on_its_connection(server: Server, channel: str) -> None:
    with Wire(server.port, publish(channel) * 2 + request("GET", channel, b"", *UPGRADE)) as wire:
        assert [wire.answer().status for _ in range(2)] == [202, 202]
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")


# --- a site -----------------------------------------------------------------------------------------------------------


def test_consumer_of_a_site_gets_its_sockets(site: Server) -> None:
    with Wire(site.port, request("GET", "/ws/echo/", b"", *UPGRADE)) as wire:
        assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        assert wire.read(15) == b"\x81\x0dAnonymousUser"
        wire.send(encode_frame(TEXT, b"hello"))
        assert wire.read(7) == b"\x81\x05hello"


def test_site_takes_uploads_of_any_size(site: Server) -> None:
    body = b"name=" + b"x" * 9_000_000
    form = "Content-Type: application/x-www-form-urlencoded"
    with Wire(site.port, request("POST", "/guestbook/", body, form)) as wire:
        assert wire.answer().status == 403  # Of Django, because its token is missing.


@pytest.mark.parametrize("target", ["/ws/echo/", "/live/a", "/nowhere"])
@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_odd_handshake_with_a_site_gets_a_whole_answer(method: str, target: str, site: Server) -> None:
    with Wire(site.port, request(method, target, b"", *UPGRADE)) as wire:
        answer = wire.answer(method)
        assert (answer.status, answer.closes) == (400, True)
        assert wire.rest() == b""


def test_upgrade_without_its_connection_is_a_request_for_the_site(site: Server) -> None:
    with Wire(site.port, request("HEAD", "/", b"", "Upgrade: websocket")) as wire:
        assert wire.answer("HEAD").status == 200
