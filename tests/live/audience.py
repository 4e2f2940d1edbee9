"""A hundred well-behaved subscribers, and a speaker, in a process of their own: how late do they hear what is said?

``python -m tests.live.audience PORT PID`` says something every 50 ms, on a channel of its own, to all its subscribers.
For each line on its standard input it answers with a line of JSON: what has come to pass since the last one. What it or
the server (PID) has waited for a processor that others had does not count, so that a busy machine is not taken for a
server that stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.live.clients import WebSocket
from tests.live.http_client import HTTP
from tests.live.servers import ROOT, Server

CHANNEL = "/audience/{}"
SIZE = 100
INTERVAL = 0.05


@dataclass
class Report:
    """What the audience has heard since its last report."""

    gap: float = 0.0
    """The longest that a message took until the last had heard it, seconds."""
    heard: int = 0
    """Messages that all have heard."""


class Listener(WebSocket):
    """One of them: notes when it hears what, and holds the server to the right message, in its order."""

    room: Audience
    expected = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        while self.messages:
            message = self.messages.popleft()
            assert message == str(self.expected), f"{message!r:.100} in place of {self.expected}"
            self.expected += 1
            self.room.note(self.expected - 1)


@dataclass(frozen=True)
class Moment:
    """What the clocks say at one time, seconds."""

    time: float
    worked: float
    """For how long the server has been at work."""
    waited: float
    """For how long it and the audience have waited for a processor that others had."""

    @classmethod
    def now(cls, server: int) -> Moment:
        """Of a server by its process id (Linux; see its sched-stats.rst)."""
        own, its = (Path(f"/proc/{pid}/schedstat").read_text().split() for pid in ("self", server))
        return cls(time.monotonic(), int(its[0]) / 1e9, (int(own[1]) + int(its[1])) / 1e9)

    def since(self, before: Moment) -> float:
        """How long the server has kept somebody waiting: whatever else it waited for than a processor, and all of its
        work. Both processes may have waited at the same time, so that the first alone would be too little."""
        passed = self.time - before.time
        return max(passed - (self.waited - before.waited), min(self.worked - before.worked, passed))


class Audience:
    """The subscribers together."""

    def __init__(self, server: int) -> None:
        self.channel = CHANNEL.format(os.getpid())
        self._server = server
        self._report = Report()
        self._said_at: dict[int, Moment] = {}
        """When each message that not all have heard was said."""
        self._left: dict[int, int] = {}
        """How many have not heard it yet."""

    def note(self, number: int) -> None:
        """One more has heard a message."""
        self._left[number] -= 1
        if not self._left[number]:
            del self._left[number]
            self._report.gap = max(self._report.gap, Moment.now(self._server).since(self._said_at.pop(number)))
            self._report.heard += 1

    def report(self) -> Report:
        """What has come to pass since this was last called."""
        report, self._report = self._report, Report()
        now = Moment.now(self._server)
        report.gap = max([report.gap, *(now.since(said_at) for said_at in self._said_at.values())])
        return report

    async def speak(self, port: int) -> None:
        """Say something now and then, for ever."""
        speaker = HTTP(port)
        for number in itertools.count():
            self._said_at[number], self._left[number] = Moment.now(self._server), SIZE
            answer = await speaker.post(self.channel, str(number))
            assert (answer.status, answer.json()["subscribers"]) == (201, SIZE), answer
            await asyncio.sleep(INTERVAL)


async def main(port: int, server: int) -> None:
    room = Listener.room = Audience(server)
    for _ in range(SIZE):
        await Listener.connect(port, room.channel)
    speaking = asyncio.create_task(room.speak(port))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        if speaking.done():
            speaking.result()
        print(json.dumps(asdict(room.report())), flush=True)
    speaking.cancel()


class RemoteAudience:
    """The audience of a server, as a test sees it; it has heard something already.

    To be closed in the end.
    """

    def __init__(self, server: Server) -> None:
        command = [sys.executable, "-m", "tests.live.audience", str(server.port), str(server.pid)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.channel = CHANNEL.format(self._process.pid)
        try:
            while not self.report().heard:
                time.sleep(INTERVAL)
        except BaseException:
            self.close()
            raise

    def report(self) -> Report:
        """What has come to pass since this was last asked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the audience has gone home; what it said is above"
        return Report(**json.loads(line))

    def close(self) -> None:
        """Send it home."""
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
