"""``manage.py eventcast serve``: as a real process, and what it refuses in this one."""

from __future__ import annotations

import http.client
import logging
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import execute_from_command_line
from django.test import override_settings

from eventcast.conf import conf
from eventcast.server.command import _banner, _listen
from tests.live.servers import ROOT, Server
from tests.test_project import own_environment

# Seconds until a server that should have answered or ended is given up. Plenty: the machine may be busy.
PATIENCE = 60


class Serving:
    """A running ``eventcast serve``."""

    def __init__(self, log: Path, arguments: tuple[str, ...], variables: dict[str, str]) -> None:
        command = [sys.executable, "manage.py", "eventcast", "serve", *arguments]
        # Buffered as usual, unlike the servers of the other tests: the banner has to get through by itself.
        variables = {"PYTHONUNBUFFERED": "", **variables}
        self._server = Server(command, "open files .*\n", log, env=variables, port=0)
        self.process = self._server.process
        self.banner = self._server.log
        self.database = log.with_suffix(".sqlite3")

    @property
    def port(self) -> int:
        found = re.search(r"publish +http://127\.0\.0\.1:(\d+)/", self.banner)
        assert found, self.banner
        return int(found[1])

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def publish(self, path: str, data: str) -> int:
        return self.request("POST", path, f"data={data}", **{"Content-Type": "application/x-www-form-urlencoded"})[0]

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(PATIENCE)

    def said(self) -> str:
        """What it has printed after the banner."""
        return self._server.log.removeprefix(self.banner).strip()

    def stop(self) -> None:
        self._server.stop()


Serve = Callable[..., Serving]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for all tests that only look at it."""
    running = Serving(tmp_path_factory.mktemp("serve") / "log", ("-p", "0"), {})
    yield running
    running.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers with the options and variables given, by default on a free port."""
    servers = []

    def start(*arguments: str, **variables: str) -> Serving:
        servers.append(Serving(tmp_path / f"log{len(servers)}", arguments or ("-p", "0"), variables))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


Refuse = Callable[..., tuple[int, str, str]]


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Iterator[Refuse]:
    """Calls the command in this process, where it is expected not to start; returns its exit code and its outputs."""
    logger = logging.getLogger("daphne")
    level = logger.level

    def refuse(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            execute_from_command_line(["manage.py", "eventcast", "serve", *arguments])
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    yield refuse
    logger.setLevel(level)


def test_serve_publishes_at_the_port_of_its_banner(server: Serving) -> None:
    assert server.publish("/any/path", "hello") == 202


def test_serve_shows_urls_and_a_curl_line(server: Serving) -> None:
    address = f"127.0.0.1:{server.port}"
    assert f"ws://{address}/any/path" in server.banner
    assert f"open first  http://{address}/\n" in server.banner
    assert f"http://{address}/admin/\n" in server.banner
    assert re.search(r"manage.py createsuperuser makes one, in the database .*sqlite3\n", server.banner)
    assert f"curl -d data=hello http://{address}/any/path" in server.banner


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_with_signal_and_has_printed_nothing(serve: Serve, with_signal: signal.Signals) -> None:
    server = serve()
    server.publish("/any/path", "hello")
    assert server.end(with_signal) == 0
    assert server.said() == ""


def test_serve_ends_while_a_request_is_half_received(serve: Serve) -> None:
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as half:
        half.sendall(b"POST /any/path HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhel")
        server.publish("/any/path", "hello")  # once it is answered, the other one has been read
        assert server.end() == 0
    assert server.said() == ""


def test_serve_logs_requests_where_asked_to(serve: Serve) -> None:
    server = serve("-p", "0", "--access-log", "-")
    server.publish("/any/path", "hello")
    server.end()
    assert '"POST /any/path" 202' in server.said()


def test_serve_logs_refused_request_once(serve: Serve) -> None:
    server = serve()
    assert server.request("POST", "/any/path")[0] == 400
    server.end()
    assert server.said().count("missing_data") == 1


def test_serve_applies_migrations(server: Serving) -> None:
    database = sqlite3.connect(server.database)
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    database.close()
    assert "auth_user" in tables


def test_serve_leaves_tables_alone_where_asked_to(serve: Serve, tmp_path: Path) -> None:
    serve("-p", "0", "--no-migrate", DATABASE_PATH=str(tmp_path / "fresh.sqlite3"))
    assert not (tmp_path / "fresh.sqlite3").exists()


def test_serve_does_without_database(serve: Serve, tmp_path: Path) -> None:
    server = serve("-p", "0", DATABASE_PATH=str(tmp_path / "no" / "such" / "folder"))
    assert server.publish("/any/path", "hello") == 202
    assert "could not be migrated" in server.banner


def test_serve_has_the_files_of_the_admin(server: Serving) -> None:
    assert server.request("GET", "/static/admin/css/base.css")[0] == 200
    assert server.request("GET", "/admin/login/")[0] == 200


def test_serve_is_the_same_with_debug(serve: Serve) -> None:
    server = serve("-p", "0", DJANGO_DEBUG="1")
    assert server.publish("/any/path", "hello") == 202
    assert server.request("GET", "/static/admin/css/base.css")[0] == 200
    server.end()
    assert server.said() == ""


@pytest.mark.parametrize("path", ["/admin/", "/static/x"])
def test_serve_keeps_excluded_paths_from_publishing(server: Server, path: str) -> None:
    assert server.publish(path, "hello") in (403, 404, 405)


def test_serve_sends_people_to_https_but_never_a_post(serve: Serve) -> None:
    server = serve("-p", "0", DJANGO_HTTPS="1")
    assert server.request("GET", "/admin/login/")[0] == 301
    assert server.request("GET", "/admin/login/", **{"X-Forwarded-Proto": "https"})[0] == 200
    assert server.publish("/admin", "hello") == 202
    assert server.request("GET", "/any/path")[0] == 200


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="limits of another process are read from /proc")
def test_serve_raises_the_limit_of_open_files(server: Serving) -> None:
    limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    soft, hard = limits.split("Max open files")[1].split()[:2]
    assert soft == hard


def test_serve_listens_on_unix_socket(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = serve("-u", str(path))
    assert f"curl -d data=hello --unix-socket {path} http://localhost/any/path" in server.banner
    assert "http://127.0.0.1" not in server.banner
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(b"POST /a HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx")
        assert b" 202 " in client.recv(1000)
    assert server.end() == 0
    assert not path.exists()


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_listen_takes_ipv6_address_with_and_without_brackets(host: str) -> None:
    (listening,) = _listen(host, 0, None)
    with listening:
        assert listening.getsockname()[0] == "::1"


def test_listen_has_a_unix_socket_for_each_worker(tmp_path: Path) -> None:
    paths = []
    for sock in _listen(None, None, str(tmp_path / "socket"), workers=2):
        with sock:
            paths.append(sock.getsockname())
    assert paths == [str(tmp_path / "socket.1"), str(tmp_path / "socket.2")]


def test_serve_listens_on_ipv6_address_and_unix_socket(serve: Serve, tmp_path: Path) -> None:
    # A colon and an equals sign would end the path in a description of Twisted.
    path = tmp_path / "a:b=c"
    server = serve("-u", str(path), "-p", "0", "-b", "::1")
    found = re.search(r"publish +http://\[::1\]:(\d+)/", server.banner)
    assert found, server.banner
    socket.create_connection(("::1", int(found[1])), PATIENCE).close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_serve_shows_the_mount_of_a_site(serve: Serve, tmp_path: Path) -> None:
    server = serve("-p", "0", DJANGO_SETTINGS_MODULE="tests.site.settings", TEST_SITE_DATABASE=str(tmp_path / "db"))
    assert f"ws://127.0.0.1:{server.port}/live/any/path" in server.banner
    assert f"open first  http://127.0.0.1:{server.port}/live/any/path\n" in server.banner
    assert "/admin/" not in server.banner
    assert server.publish("/live/any/path", "hello") == 202
    assert server.request("GET", "/") == (200, "the shop's home page")


def test_serve_tells_of_port_in_use(refuse: Refuse) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, output, errors = refuse("-p", str(port))
    assert code == 1
    assert f"127.0.0.1, port {port} is already in use" in errors
    assert "Traceback" not in errors
    assert output == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-p", "70000"], 2, "'70000' is not a port"),
        (["-p", "abc"], 2, "'abc' is not a port"),
        (["-p", "x"], 2, "--port"),
        (["--workers", "0"], 2, "'0' is not a number of workers"),
        (["-p", "0", "-b", "no.such.host.invalid"], 1, "no.such.host.invalid"),
        (["-u", "/no/such/folder/socket"], 1, "/no/such/folder/socket"),
    ],
)
def test_serve_refuses_what_cannot_be(arguments: list[str], code: int, message: str, refuse: Refuse) -> None:
    exit_code, _, errors = refuse(*arguments)
    assert exit_code == code
    assert message in errors
    assert "Traceback" not in errors


def test_serve_refuses_access_log_that_cannot_be_written() -> None:
    finished = subprocess.run(
        [sys.executable, "manage.py", "eventcast", "serve", "-p", "0", "--access-log", "/no/such/folder/log"],
        cwd=ROOT,
        env=own_environment(DATABASE_PATH=":memory:"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert finished.returncode == 1
    assert "/no/such/folder/log" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_serve_refuses_a_setting_that_means_nothing(refuse: Refuse) -> None:
    with override_settings(EVENTCAST={"SLOW_SUBSCRIBERS": "shout"}):
        code, _, errors = refuse("-p", "0")
    assert code == 1
    assert "SLOW_SUBSCRIBERS" in errors


@pytest.mark.parametrize(
    ("path", "expected", "curl"),
    [
        (conf.AUTHORIZATION, "everybody", "curl -d data=hello http"),
        ("mysite.live.Members", "mysite.live.Members", "curl -H 'Authorization: Bearer KEY' -d data=hello http"),
        ("eventcast.authorization.Sessions", "eventcast.authorization.Sessions", ""),
    ],
)
def test_banner_names_the_authorization(path: str, expected: str, curl: str) -> None:
    with override_settings(EVENTCAST={"AUTHORIZATION": path}), socket.create_server(("127.0.0.1", 0)) as listening:
        banner = _banner([listening], "many")
    assert f"open to     {expected} (AUTHORIZATION)" in banner
    assert curl in banner
    assert ("curl" in banner) is bool(curl)
