"""``python -m tests.benchmarks`` against real servers, small; and against a server that does something wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.benchmarks.__main__ import Benchmark, argument_parser
from tests.benchmarks.protocols import PROOF, WebSocket
from tests.live.conftest import Start
from tests.live.servers import ROOT, daphne, free_port

SMALL = ["--subscribers", "20", "--messages", "30", "--publishes", "50"]

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %b\r\n\r\n" % PROOF
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks", *SMALL, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def figures(*arguments: str) -> dict[str, Any]:
    done = run("--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["problems"] == []
    return found


@pytest.mark.parametrize("streams", [[], ["--streams"]], ids=["websockets", "streams"])
def test_benchmarks_measure_a_server_of_their_own(streams: list[str]) -> None:
    found = figures("--idle", "0.2", "--idle-channels", "5", "--idle-patterns", "5", *streams)
    assert found["connecting"]["count"] == 20
    assert found["connecting"]["server_us_per_connection"] > 0
    assert "memory_kib_per_connection" in found["connecting"]
    assert found["idle"]["count"] == 4  # seconds of connections
    assert "server_us_per_connection_second" in found["idle"]
    for fan_out in (found["fan_out"], found["fan_out_beside_idle"]):
        assert fan_out["count"] == 600
        assert fan_out["server_us_per_delivery"] > 0
    assert found["publishing"]["count"] == 50
    assert found["publishing"]["server_us_per_publish"] > 0


def test_benchmarks_measure_a_running_server_with_several_publishers(start: Start) -> None:
    server = start(daphne)
    found = figures(
        "--url", server.url, "--pid", str(server.pid), "--publishers", "5", "--channels", "4", "--size", "3000"
    )
    # Each message goes to one of the four channels, and so to a quarter of the subscribers.
    assert found["fan_out"]["count"] == 150
    assert found["fan_out"]["server_us_per_delivery"] > 0


def test_benchmarks_print_figures_for_people(start: Start) -> None:
    done = run("--url", start(daphne).url)
    assert done.returncode == 0, done.stderr
    assert "fan out: count 600.0, per second" in done.stdout
    assert "Every message came to every subscriber." in done.stdout
    assert "server" not in done.stdout  # Without the server's process there is no CPU time.


def test_benchmarks_name_the_reason_when_no_server_listens() -> None:
    done = run("--url", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "refused" in done.stderr


class Faulty:
    """A server that makes one mistake: with its tenth message to its first subscriber."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.count = 0
        self.subscribers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    self.subscribers += [writer] if b"-first" not in head else []
                    writer.write(HEAD)
                else:
                    message = await reader.readexactly(int(head.partition(b"Content-Length: ")[2]))
                    writer.write(CREATED)
                    if b"-quiet" not in head:
                        self.broadcast(WebSocket().frame(message))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def broadcast(self, frame: bytes) -> None:
        self.count += 1
        for number, subscriber in enumerate(self.subscribers):
            if self.count == 10 and number == 0:
                if self.fault == "disconnected":
                    subscriber.close()
                subscriber.write({"lost": b"", "twice": frame * 2, "garbled": frame[:-1] + b"~"}.get(self.fault, b""))
            else:
                subscriber.write(frame)


@pytest.fixture
async def faulty(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    faulty = Faulty(request.param)
    async with await asyncio.start_server(faulty.serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for subscriber in faulty.subscribers:
            subscriber.close()


@pytest.mark.parametrize(
    ("faulty", "problem"),
    [
        ("lost", "deliveries are lost"),
        ("twice", "came twice"),
        ("garbled", "and others did not"),
        ("disconnected", "was disconnected"),
    ],
    indirect=["faulty"],
)
async def test_benchmarks_notice_a_fault(faulty: str, problem: str) -> None:
    options = argument_parser().parse_args([*SMALL, "--timeout", "0.5"])
    found = await asyncio.to_thread(Benchmark(options, faulty, []).run)
    assert any(problem in text for text in found["problems"]), found["problems"]
