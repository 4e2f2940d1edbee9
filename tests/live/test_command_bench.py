"""``manage.py eventcast bench``, for real and small; never how fast it is."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.live.conftest import Start
from tests.live.servers import ROOT, daphne, free_port
from tests.test_project import own_environment

SMALL = ["--subscribers", "20", "--messages", "30"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "eventcast", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, env=own_environment(), capture_output=True, text=True, timeout=120)


def figures(*arguments: str) -> dict[str, Any]:
    done = bench("--json", *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def text_of(found: Any) -> str:
    return json.dumps(found)


def test_bench_measures_a_server_of_its_own() -> None:
    found = figures(*SMALL)
    assert '"deliveries": 600' in text_of(found)
    assert '"lost": 0' in text_of(found)
    assert "server_cpu_us" in text_of(found)


def test_bench_measures_a_given_server_with_several_publishers(start: Start) -> None:
    server = start(daphne)
    found = figures("--url", server.url, *SMALL, "--publishers", "5", "--channels", "4", "--size", "3000")
    # Each message goes to one of the four channels, and so to a quarter of the subscribers.
    assert '"deliveries": 150' in text_of(found)
    assert '"lost": 0' in text_of(found)


def test_bench_measures_again_beside_channels_and_patterns_that_hear_nothing() -> None:
    found = figures(*SMALL, "--channels", "4", "--idle-channels", "5", "--idle-patterns", "5")
    assert found["beside_idle"]["deliveries"] == found["deliveries"] == found["expected"]
    assert (found["lost"], found["beside_idle"]["lost"]) == (0, 0)


def test_bench_prints_figures_for_people() -> None:
    done = bench(*SMALL)
    assert done.returncode == 0, done.stderr
    for word in ("deliveries", "latency", "server", "benchmark", "losses       none", "memory"):
        assert word in done.stdout


def test_bench_says_when_nobody_listens_on_the_port() -> None:
    done = bench("--url", f"http://127.0.0.1:{free_port()}", *SMALL)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "127.0.0.1" in done.stderr


@pytest.mark.parametrize("wrong", [["--subscribers", "0"], ["--messages", "-1"], ["--size", "x"], ["--channels", "0"]])
def test_bench_refuses_options_that_mean_nothing(wrong: list[str]) -> None:
    done = bench(*wrong)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("fault", ["drop", "garble", "twice"])
async def test_bench_sees_what_a_broken_server_does(fault: str) -> None:
    subscribers: list[asyncio.StreamWriter] = []
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                return
            if b"pgrade: websocket" in head:
                key = next(
                    line.split(b": ")[1]
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"sec-websocket-key")
                )
                writer.write(
                    b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                    + accept(key)
                    + b"\r\n\r\n"
                )
                subscribers.append(writer)
                await reader.read()
                writer.close()
                return
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
            )
            body = await reader.readexactly(length)
            message = unquoted(head, body)
            count += 1
            frame = bytes((0x81 if b"text" in head or b"form" in head else 0x82, len(message))) + message
            if count == 10:
                frame = {"drop": b"", "garble": frame[:-1] + b"~", "twice": frame * 2}[fault]
            for subscriber in subscribers:
                subscriber.write(frame)
            answer = b'{"channel": "/bench", "messages": 1, "subscribers": 20}'
            writer.write(
                b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
                + answer
            )

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    done = await asyncio.to_thread(bench, "--url", url, *SMALL, "--path", "/bench", "--timeout", "3", "--json")
    server.close()
    for subscriber in subscribers:
        subscriber.close()
    await asyncio.gather(*(subscriber.wait_closed() for subscriber in subscribers), return_exceptions=True)
    assert done.returncode == 1, done.stdout
    assert "Something went wrong" in done.stderr
    assert "Traceback" not in done.stderr


def accept(key: bytes) -> bytes:
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha1(key.strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def unquoted(head: bytes, body: bytes) -> bytes:
    from urllib.parse import parse_qs

    return parse_qs(body.decode())["data"][0].encode() if b"urlencoded" in head else body
