"""Every entry point starts and works without docstrings and asserts, and with outputs that are not UTF-8."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventcast.client import Publisher, subscribe
from eventcast.commandline.tools import TOOLS
from eventcast.management.commands.eventcast import SUBCOMMANDS
from tests.live.conftest import Fleet
from tests.live.servers import ROOT, STANDALONE, Server

CHANNEL = "/配/张三"
MODULE, MANAGE = ("-m", "eventcast"), ("manage.py", "eventcast")

C = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
PROCESSES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "-OO, cp1252, C": (("-OO",), {"PYTHONIOENCODING": "cp1252", **C}),
    "-OO, cp1252": (("-OO",), {"PYTHONIOENCODING": "cp1252"}),
    "C": ((), C),
}


class Python:
    """Starts programs in one of the processes above."""

    def __init__(self, name: str, folder: Path) -> None:
        self.options, variables = PROCESSES[name]
        self.env = {"PATH": os.environ["PATH"], "DATABASE_PATH": str(folder / "db.sqlite3"), **variables}

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, *self.options, *arguments]
        env = self.env | variables
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *arguments: str, **variables: str) -> tuple[str, str]:
        """Run a program that has to succeed; returns what it wrote on both outputs."""
        process = self.start(*arguments, **variables)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode(errors="replace")
        assert b"Traceback" not in errors
        return output.decode(), errors.decode()

    def serve(self, log: Path) -> Server:
        command = [sys.executable, *self.options, "manage.py", "eventcast", "serve", "-p", "0"]
        return Server(command, r"publish +http://127\.0\.0\.1:(\d+)/", log, env=self.env)

    def daphne(self, log: Path) -> Server:
        command = [sys.executable, *self.options, "-m", "daphne", "-b", "127.0.0.1", "-p", "0", STANDALONE]
        return Server(command, r"Listening on TCP address 127\.0\.0\.1:(\d+)", log, env=self.env)


@pytest.fixture(
    params=[name if ", C" in name else pytest.param(name, marks=pytest.mark.slow) for name in PROCESSES],
    scope="module",
)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Python:
    return Python(request.param, tmp_path_factory.mktemp("python"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("entry"))
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def server(python: Python, fleet: Fleet) -> Server:
    return fleet.start(python.serve)


def end(process: subprocess.Popen[bytes], line: bytes) -> None:
    """Wait for a line of the process, end the process with SIGTERM, and expect exit code 0."""
    assert process.stdout is not None
    assert process.stdout.readline() == line
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in errors) == (0, False), errors


def test_daphne_starts(python: Python, fleet: Fleet) -> None:
    server = fleet.start(python.daphne)
    with Publisher(server.url) as publisher:
        assert publisher.publish(CHANNEL, "x") == 0


def test_help_is_there(python: Python) -> None:
    for program, names in ((MODULE, [tool.name for tool in TOOLS]), (MANAGE, [each.name for each in SUBCOMMANDS])):
        assert set(names) <= set(python.run(*program, "--help")[0].split())


def test_commands_without_a_server_work(python: Python) -> None:
    python.run("manage.py", "check")
    assert "." in python.run(*MANAGE, "token", "--subscribe", CHANNEL, DJANGO_SECRET_KEY="x" * 50)[0]
    listed, _ = python.run(
        "-m", "django", "eventcast", "listen", "--list", DJANGO_SETTINGS_MODULE="tests.listening.settings"
    )
    assert "listening.good  /three  " in listed


def test_publish_tells_its_sums(python: Python, server: Server) -> None:
    with subscribe(server.url + "/%E9%85%8D/%E5%BC%A0%E4%B8%89") as messages:
        said = python.run(*MANAGE, "publish", CHANNEL, "三", "--json", "--url", server.url)
        assert said == (f'{{"channel":"{CHANNEL}","messages":1,"subscribers":1}}\n', "")
        assert next(messages) == "三"


def test_subscribe_beat_and_channels_work(python: Python, server: Server) -> None:
    beat = python.start(*MODULE, "beat", CHANNEL, "--data", "三", "--every", "0.05", "--url", server.url)
    try:
        assert python.run(*MODULE, "subscribe", CHANNEL, "-n", "1", "--url", server.url) == ("三\n", "")
        with subscribe(server.url + "/%E9%85%8D/%E5%BC%A0%E4%B8%89"):
            assert CHANNEL in python.run(*MODULE, "channels", "--url", server.url)[0]
    finally:
        beat.send_signal(signal.SIGTERM)
        _, errors = beat.communicate(timeout=60)
    assert (beat.returncode, errors) == (0, b"")


def test_watchdog_outlives_its_alarm(python: Python, server: Server) -> None:
    quiet = f"{CHANNEL}/still"
    # Its connection is lost, and with it a beat, where a pong takes a quarter of this: a busy machine needs time.
    watchdog = python.start(*MODULE, "watchdog", quiet, "--timeout", "2", "--url", server.url)
    assert watchdog.stdout is not None
    assert watchdog.stdout.readline().decode().startswith(f"{quiet}: silent for ")
    deadline = time.monotonic() + 60
    with Publisher(server.url) as publisher:
        while not select.select([watchdog.stdout], [], [], 0.1)[0]:
            assert time.monotonic() < deadline
            publisher.publish(quiet, "alive")
    assert watchdog.stdout.readline().decode().startswith(f"{quiet}: alive again after ")
    watchdog.send_signal(signal.SIGTERM)
    _, errors = watchdog.communicate(timeout=60)
    assert (watchdog.returncode, errors) == (0, b"")


def test_listen_works(python: Python, server: Server) -> None:
    listen = ("-m", "django", "eventcast", "listen", "takes_json", "--url", server.url)
    process = python.start(*listen, DJANGO_SETTINGS_MODULE="tests.listening.settings", PYTHONUNBUFFERED="1")
    assert process.stderr is not None
    assert b"listens to /json" in process.stderr.readline()
    with Publisher(server.url) as publisher:
        publisher.publish("/json", {"a": 1})
    end(process, b"json {'a': 1}\n")


# --- after a fork -----------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    """The exit code of a forked process that does this work: 0 if it succeeds."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_publisher_and_subscriptions_work_after_a_fork(standalone_server: Server, channel: str) -> None:
    url = standalone_server.url
    with Publisher(url) as publisher, subscribe(url + channel) as messages:
        publisher.publish(channel, "parent")

        def child() -> None:
            with subscribe(url + channel) as own:
                for number in range(10):
                    assert publisher.publish(channel, f"child {number}") == 2
                assert [next(own) for _ in range(10)] == [f"child {number}" for number in range(10)]

        assert in_child(child) == 0
        publisher.publish(channel, "parent again")
        assert [next(messages) for _ in range(12)] == [
            "parent",
            *(f"child {number}" for number in range(10)),
            "parent again",
        ]
