"""``manage.py eventcast listen`` as a real process, beside a real server."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventcast.client import Publisher, channel_url, publish
from tests.live import servers
from tests.live.conftest import Start
from tests.live.servers import Server

COUNT = 10_000
PATIENCE = 60


class Listening(Server):
    """A running ``eventcast listen``; its output is that of its functions, and its log."""

    def __init__(self, log: Path, server: Server, *arguments: str) -> None:
        command = [sys.executable, "-W", "error", "-m", "django", "eventcast", "listen", *arguments]
        names = [argument for argument in arguments if not argument.startswith("-") and argument.isidentifier()]
        super().__init__(
            command,
            rf"(?s)(\A|\n)(.* listens to .*\n){{{len(names)}}}",
            log,
            env={"DJANGO_SETTINGS_MODULE": "tests.listening.settings", "EVENTCAST_URL": server.url},
            port=0,
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


Listen = Callable[..., Listening]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Starts ``eventcast listen``: ``listen(server, "good", "--grace", "1")``; returns when all of them listen."""
    running: list[Listening] = []

    def listen(server: Server, *arguments: str) -> Listening:
        running.append(Listening(tmp_path / f"listen-{len(running)}.log", server, *arguments))
        return running[-1]

    yield listen
    for each in running:
        each.stop()


@pytest.fixture(scope="module")
def listening(standalone_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    """One for all tests of what functions are called with."""
    log = tmp_path_factory.mktemp("listening") / "listen.log"
    with sqlite3.connect(log.with_suffix(".sqlite3")) as database:
        database.execute("CREATE TABLE django_content_type (id INTEGER PRIMARY KEY, app_label TEXT, model TEXT)")
    database.close()
    names = ["takes_json", "takes_raw", "takes_json_async", "stores", "stores_async"]
    names += ["matched_by_the_server", "matched_here"]
    process = Listening(log, standalone_server, *names)
    yield process
    assert process.end() == 0, process.log


def say(server: Server, channel: str, data: object) -> None:
    publish(channel_url(server.url, channel), data)


def test_good_listener_gets_all_beside_bad_ones(server: Server, listen: Listen) -> None:
    process = listen(server, "good", "raises", "sleeps", "blocks", "waits", "--grace", "0.5")
    process.allows_tracebacks = True
    with Publisher(server.url) as publisher:
        publisher.publish_many(("/three", {"number": number, "of": COUNT}) for number in range(COUNT))
    process.wait_for_log(f"good got {COUNT} in order", timeout=PATIENCE)
    assert process.end() == 1
    assert f"listening.good: {COUNT} handled, 0 failed, 0 dropped, 0 undecodable" in process.log
    assert re.search(r"listening.raises: 0 handled, [1-9]\d* failed", process.log)
    assert "listening.sleeps is abandoned: calls running: 1, waiting: 10" in process.log


def test_hanging_call_is_logged_with_the_place_and_outlasts_no_grace(server: Server, listen: Listen) -> None:
    process = listen(server, "sleeps", "blocks", "waits", "--grace", "0.1")
    say(server, "/three", 1)
    for name, where in [("sleeps", "threading.Event().wait()"), ("blocks", "time.sleep(3600)"), ("waits", "forever()")]:
        process.wait_for_log(f"(?s)listening.{name}: a call for /three has taken.*{re.escape(where)}")
    began = time.monotonic()
    assert process.end() == 1
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ({"name": "张三"}, ["json {'name': '张三'}", "async {'name': '张三'}", """raw '{"name":"张三"}'"""]),
        (b"[1]", ["json [1]", "async [1]", "raw b'[1]'"]),
    ],
    ids=["text", "binary"],
)
def test_functions_are_called_with_json_or_raw(
    data: object, lines: list[str], server: Server, listening: Listening
) -> None:
    say(server, "/json", data)
    for line in lines:
        listening.wait_for_log(re.escape(line))


def test_message_that_is_no_json_is_counted_and_not_shown(server: Server, listening: Listening) -> None:
    say(server, "/json", b"\xff secret")
    listening.wait_for_log(r"takes_json: A message of 8 bytes on /json is not JSON")
    listening.wait_for_log(r"raw b'\\xff secret'")
    assert "secret" not in listening.log.replace(r"raw b'\xff secret'", "")


def test_pattern_hands_over_what_its_converters_make(server: Server, listening: Listening) -> None:
    say(server, "/user/张 三/x", "1")
    say(server, "/user/张 三/42", {"paid": True})
    listening.wait_for_log("pattern {'paid': True} '张 三' 42")
    assert "'x'" not in listening.log


def test_converters_that_no_server_knows_are_matched_here(server: Server, listening: Listening) -> None:
    for channel in ("/days/2026-01-01", "/days/2026-01-01/2026-02-30", "/days/2026-01-01/2026-01-31"):
        say(server, channel, b"[]")
    listening.wait_for_log(r"days \[\] 30")
    assert listening.log.count("days [") == 1


@pytest.mark.parametrize("kind", ["stored", "stored async"])
def test_function_uses_the_database_with_connections_as_of_a_request(
    kind: str, server: Server, listening: Listening
) -> None:
    for number in range(2):
        name = f"{kind} {number}".replace(" ", "_")
        say(server, "/database", f'"{name}"')
        listening.wait_for_log(f"{kind} {name} newly connected")


def test_sigterm_ends_when_all_that_waits_is_done(server: Server, listen: Listen) -> None:
    process = listen(server, "slow")
    with Publisher(server.url) as publisher:
        publisher.publish_many(("/slow", number) for number in range(30))
    process.wait_for_log("slow 0\n")
    assert process.end() == 0
    assert "slow 29\n" in process.log
    assert "listening.slow: 30 handled" in process.log


def test_second_signal_ends_at_once(server: Server, listen: Listen) -> None:
    process = listen(server, "sleeps", "--grace", "600")
    say(server, "/three", "1")
    process.wait_for_log("a call for /three has taken")
    process.terminate()
    process.wait_for_log("Reading has stopped")
    assert process.end(signal.SIGINT) == 1


def test_listener_comes_back_when_the_server_does(start: Start, listen: Listen) -> None:
    server = start(servers.daphne)
    process = listen(server, "takes_json")
    server.stop()
    process.wait_for_log("Trying again")
    start(servers.daphne, "-p", str(server.port))
    process.wait_for_log(r"the server is back after \S+ s. Messages of that time are missing", timeout=PATIENCE)
    say(server, "/json", "1")
    process.wait_for_log("json 1")


def test_command_goes_on_without_those_the_server_refuses_and_tells_them_in_the_end(
    server: Server, listen: Listen
) -> None:
    process = listen(server, "takes_raw", "listening.refused")
    process.wait_for_log("listening.refused: the server refuses it")
    say(server, "/json", "still here")
    process.wait_for_log("raw 'still here'")
    assert process.end() == 1
    assert "Refused, or failed: listening.refused (404 reserved_path)" in process.log
    assert "1 of 2 listeners ran to the end" in process.log


@pytest.mark.parametrize("names", [["refused"], ["takes_json", "refused", "--fail-fast"]], ids=["all", "one"])
def test_command_ends_when_the_server_refuses(names: list[str], server: Server) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "eventcast", "listen", *names,
         "--url", server.url, "--settings", "tests.listening.settings"],
        cwd=servers.ROOT, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert finished.returncode == 1
    assert "listening.refused: the server refuses it: 404 reserved_path" in finished.stderr
    assert "Traceback" not in finished.stderr
