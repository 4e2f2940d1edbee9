"""``eventcast watchdog``, ``beat`` and ``@heartbeat``: one story, told once, and what each of them said in it.

The service beats. Then eventcast freezes, for longer than the timeout, is killed, and comes back: nobody may be
alarmed. Then the service itself falls silent, and comes back.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eventcast import client
from tests.live import servers
from tests.live.conftest import Fleet, Start
from tests.live.http_client import HTTP
from tests.live.servers import Server
from tests.live.test_listeners import Listening
from tests.live.waiting import until

CHANNEL = "/heartbeat/logserver"
SILENCE, EVERY = 1.5, 0.2
SILENT, ALIVE = r"\bsilent (?=for|\d)", r"\balive (?=again|\d)"
COMMAND = 'echo "run: $EVENTCAST_CHANNEL $EVENTCAST_STATUS $EVENTCAST_SILENCE"'


def tool(log: Path, *arguments: str, url: str, announcement: str = "") -> Server:
    """``python -m eventcast`` with those arguments; both of its outputs are its log."""
    return Server([sys.executable, "-m", "eventcast", *arguments, "--url", url], announcement, log, port=0)


def watchdog(log: Path, *arguments: str, **options: str) -> Server:
    return tool(log, "watchdog", CHANNEL, "--timeout", str(SILENCE), *arguments, **options)


def beat(log: Path, *arguments: str, **options: str) -> Server:
    return tool(log, "beat", CHANNEL, "--every", str(EVERY), *arguments, **options)


@dataclass
class Story:
    """What each program said, and what it ended with."""

    said: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)

    def end(self, name: str, program: Server) -> None:
        program.stop()
        self.said[name], self.codes[name] = program.log, program.process.returncode


async def tell(fleet: Fleet) -> Story:
    story, server = Story(), fleet.start(servers.daphne)
    http = HTTP(server.port)
    service = fleet.start(beat, url=server.url)
    watching = {
        "printing": fleet.start(watchdog, url=server.url),
        "running": fleet.start(watchdog, "--run", COMMAND, url=server.url),
        "listening": fleet.start(Listening, server, "service_alarm", "host_alarm"),
    }

    async def hear_a_beat() -> None:
        async def beats() -> int:
            found = await http.request("GET", CHANNEL, headers=[("Accept", "application/json")])
            return int(found.json()["messages"])

        await http.wait_for_count(CHANNEL, len(watching) + 1, 60)  # one process listens twice
        before = await beats()

        async def is_heard() -> bool:
            return await beats() > before

        await until(is_heard, "a beat that all of them hear")

    await hear_a_beat()

    frozen = time.monotonic()
    server.process.send_signal(signal.SIGSTOP)
    for each in watching.values():
        each.wait_for_log("ping timeout")
    service.wait_for_log("Trying again")
    await until(lambda: time.monotonic() > frozen + SILENCE, "longer than the timeout")
    server.kill()
    server.process.wait()
    await http.close()
    fleet.start(servers.daphne, "-p", str(server.port))
    await hear_a_beat()

    story.end("service", service)
    for each in watching.values():
        each.wait_for_log(SILENT)
    watching["listening"].wait_for_log("host silent")
    service = fleet.start(beat, url=server.url)
    for each in watching.values():
        each.wait_for_log(ALIVE)
    watching["listening"].wait_for_log("host alive")
    for name, each in watching.items():
        story.end(name, each)
    await http.close()
    return story


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    fleet = Fleet(tmp_path_factory.mktemp("watchdog"))
    try:
        yield asyncio.run(tell(fleet))
    finally:
        fleet.stop()


def test_watchdog_alarms_once_after_the_silence_and_once_on_return_but_not_for_eventcast(story: Story) -> None:
    lines = [line for line in story.said["printing"].splitlines() if re.search(r"\b(silent|alive)", line)]
    silent, alive = (re.fullmatch(rf"{CHANNEL}: ([a-z ]+) ([\d.]+) s", line) for line in lines)
    assert silent is not None
    assert alive is not None
    assert (silent[1], alive[1]) == ("silent for", "alive again after")
    assert SILENCE <= float(silent[2]) < float(alive[2])


def test_watchdog_runs_its_command_with_what_happened_in_the_environment(story: Story) -> None:
    silent, alive = re.findall("run: (.*)", story.said["running"])
    assert re.fullmatch(rf"{CHANNEL} silent [\d.]+", silent)
    assert re.fullmatch(rf"{CHANNEL} alive [\d.]+", alive)


@pytest.mark.parametrize("name", ["service", "host"])
def test_heartbeat_is_called_once_after_the_silence_and_once_on_return_but_not_for_eventcast(
    story: Story, name: str
) -> None:
    silent, alive = re.findall(rf"{name} (silent|alive) ([\d.]+) ([a-z/]+)", story.said["listening"])
    assert [silent[0], alive[0]] == ["silent", "alive"]
    assert SILENCE <= float(silent[1]) < float(alive[1])
    assert silent[2] == alive[2] == (CHANNEL if name == "service" else "logserver")


@pytest.mark.parametrize(
    ("name", "away", "back"),
    [
        ("printing", "Until the server is back there is no alarm.", "the server is back after "),
        ("running", "Until the server is back there is no alarm.", "the server is back after "),
        ("service", "Trying again with each beat.", "the server is back after "),
    ],
)
def test_tool_says_that_eventcast_is_away_and_that_it_is_back(story: Story, name: str, away: str, back: str) -> None:
    # Once each, unless the machine is so slow that an answer is late, too.
    said = re.findall(f"{re.escape(away)}|{re.escape(back)}", story.said[name])
    assert said == [away, back] * (len(said) // 2)
    assert said


def test_programs_end_well_by_sigterm(story: Story) -> None:
    assert story.codes == {"service": 0, "printing": 0, "running": 0, "listening": 0}


def test_watchdog_and_beat_wait_for_a_server_that_is_not_there(start: Start) -> None:
    url = f"http://127.0.0.1:{servers.free_port()}"
    waiting = [
        start(watchdog, url=url, announcement="Until the server is back there is no alarm."),
        start(beat, url=url, announcement="Trying again with each beat."),
    ]
    for each in waiting:
        each.stop()
    assert [each.process.returncode for each in waiting] == [0, 0]


@pytest.mark.parametrize("arguments", [("watchdog", "/-/x"), ("beat", "/-/x")], ids=" ".join)
def test_tool_ends_with_1_when_it_is_refused(arguments: tuple[str, ...], server: Server, start: Start) -> None:
    program = start(tool, *arguments, url=server.url, announcement="404 reserved_path")
    assert program.process.wait(servers.STOP_TIMEOUT) == 1


def test_beat_publishes_what_it_is_given(server: Server, channel: str, start: Start) -> None:
    with client.subscribe(server.url + channel) as messages:
        start(tool, "beat", channel, "--every", "0.01", "--data", "张三", url=server.url)
        assert [next(messages) for _ in range(3)] == ["张三"] * 3


def test_client_beats_until_it_is_left(server: Server, channel: str) -> None:
    with client.subscribe(server.url + channel) as messages:
        with client.beat(server.url + channel, every=0.01):
            assert [next(messages) for _ in range(3)] == ["alive"] * 3
        client.publish(server.url + channel, "after")
        assert "after" in messages
        client.publish(server.url + channel, "nothing between")
        assert next(messages) == "nothing between"
