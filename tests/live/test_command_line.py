"""``manage.py eventcast publish``, ``subscribe`` and ``channels``, and ``python -m eventcast``, as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from eventcast.engine.names import url_path
from tests.live import servers
from tests.live.bodies import MIB
from tests.live.conftest import Connect, Start, Talk, check_log
from tests.live.servers import ROOT, Server
from tests.live.waiting import TIMEOUT, until
from tests.test_alarms import has_ended
from tests.test_project import own_environment

LINES = 100_000
MODULE, MANAGE = ("-m", "eventcast"), ("manage.py", "eventcast")


@pytest.fixture
def server(standalone_server: Server) -> Iterator[Server]:
    """At the door only: what is tested here stands before the server."""
    yield standalone_server
    check_log(standalone_server)


class Process:
    """A running command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def line(self) -> str:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), TIMEOUT)).decode()

    async def error_line(self) -> str:
        """The next line of its standard error."""
        assert self.process.stderr is not None
        return (await asyncio.wait_for(self.process.stderr.readline(), TIMEOUT)).decode()

    async def end(self, data: bytes = b"", timeout: float = 60) -> tuple[int, bytes, str]:
        """Give it ``data``, and wait for its end; returns its exit code and the rest of what it says."""
        output, errors = await asyncio.wait_for(self.process.communicate(data), timeout)
        assert self.process.returncode is not None
        return self.process.returncode, output, errors.decode()


Run = Callable[..., Awaitable[Process]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Starts a command: ``await run(server, "publish", "/a", "x", program=MODULE)``."""
    running: list[Process] = []

    async def run(server: Server, *arguments: str | bytes, program: tuple[str, ...] = MODULE) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *program,
            *arguments,
            cwd=ROOT,
            env=own_environment(EVENTCAST_URL=server.url, DATABASE_PATH=":memory:"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running.append(Process(process))
        return running[-1]

    yield run
    for each in running:
        if each.process.returncode is None:
            each.process.kill()
            await each.process.communicate()


@pytest.mark.parametrize("program", [MANAGE, MODULE], ids=["manage.py", "module"])
async def test_publish_and_subscribe_speak_to_the_server(
    program: tuple[str, ...], server: Server, channel: str, run: Run, http: Talk
) -> None:
    listener = await run(server, "subscribe", channel, "-n", "1", program=program)
    await http(server).wait_for_count(channel, 1)
    speaker = await run(server, "publish", channel, "张三", program=program)
    assert await speaker.end() == (0, b"", "")
    assert await listener.end() == (0, "张三\n".encode(), "")


# --- publish ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["/a b", "//double", "/per%cent", "/quest?ion#hash", "/张/"])
async def test_publish_takes_a_channel_as_it_is_named(name: str, server: Server, run: Run, connect: Connect) -> None:
    listener = await connect(server, url_path("/cli" + name))
    assert await (await run(server, "publish", "/cli" + name, name)).end() == (0, b"", "")
    assert await listener.receive() == name


@pytest.mark.parametrize(
    ("argument", "message"), [("", ""), ("-5", "-5"), (b"\xff\xfe", b"\xff\xfe"), ("two\nlines", "two\nlines")]
)
async def test_publish_sends_its_argument_exactly(
    argument: str | bytes, message: str | bytes, server: Server, channel: str, run: Run, connect: Connect
) -> None:
    listener = await connect(server, channel)
    assert await (await run(server, "publish", channel, argument)).end() == (0, b"", "")
    assert await listener.receive() == message


@pytest.mark.parametrize(("data", "message"), [(b"a\nb\r\n", "a\nb\r\n"), (b"\x00\xff\n", b"\x00\xff\n"), (b"", "")])
async def test_publish_takes_all_of_standard_input_for_a_message(
    data: bytes, message: str | bytes, server: Server, channel: str, run: Run, connect: Connect
) -> None:
    listener = await connect(server, channel)
    assert await (await run(server, "publish", channel)).end(data) == (0, b"", "")
    assert await listener.receive() == message


async def test_publish_sends_each_line_exactly(server: Server, channel: str, run: Run, connect: Connect) -> None:
    listener = await connect(server, channel)
    data = b'\n a=b&c+d %41\r\n\n\xff\x00\n\xe5\xbc\xa0\n{"x": 1}'
    assert await (await run(server, "publish", channel, "-")).end(data) == (0, b"", "")
    expected = ["", " a=b&c+d %41\r", "", b"\xff\x00", "张", '{"x": 1}']
    assert await listener.receive_many(len(expected)) == expected


async def test_publish_sends_a_line_before_the_next_comes(
    server: Server, channel: str, run: Run, connect: Connect
) -> None:
    listener = await connect(server, channel)
    speaker = await run(server, "publish", channel, "-")
    for line in ["one", "two", "three"]:
        await speaker.write(f"{line}\n".encode())
        assert await listener.receive() == line
    assert await speaker.end() == (0, b"", "")


async def test_publish_says_what_was_refused_and_sends_all_before_it(
    start: Start, channel: str, run: Run, connect: Connect
) -> None:
    server = start(servers.daphne, env={"EVENTCAST_MAX_MESSAGE_SIZE": "100"})
    listener = await connect(server, channel)
    lines = [b"%d" % number for number in range(50)]
    data = b"\n".join([*lines, b"x" * 101, b"after"])
    code, output, errors = await (await run(server, "publish", channel, "-")).end(data)
    assert (code, output) == (1, b"")
    assert "413 message_too_large" in errors
    assert "EVENTCAST['MAX_MESSAGE_SIZE']" in errors
    assert await listener.receive_many(50) == [line.decode() for line in lines]
    await listener.ping()
    assert not listener.messages


async def test_publish_splits_what_is_too_much_for_one_request(
    start: Start, channel: str, run: Run, connect: Connect
) -> None:
    server = start(servers.daphne, env={"EVENTCAST_MAX_BODY_SIZE": "1000"})
    listener = await connect(server, channel)
    lines = [f"{number:050}" for number in range(300)]
    assert await (await run(server, "publish", channel, "-")).end("\n".join(lines).encode()) == (0, b"", "")
    assert await listener.receive_many(300) == lines


async def test_publish_waits_as_long_as_the_server_asks(channel: str, run: Run, tmp_path: Path) -> None:
    """A server that answers 429 first, for the one under test never does: what stands in front of it may."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            requests.append(await reader.readexactly(length))
            busy = len(requests) == 1
            status = b"429 Too Many Requests\r\nRetry-After: 0" if busy else b"202 Accepted"
            body = b'{"error": "too_many", "detail": "Slowly."}' if busy else b'{"subscribers": 0}'
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
            if not busy:
                break
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as proxy:
        url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        speaker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "eventcast", "publish", channel, "hello", "--url", url,
            cwd=ROOT, env=own_environment(), stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, errors = await asyncio.wait_for(speaker.communicate(), 60)
    assert (speaker.returncode, requests) == (0, [b"hello", b"hello"])
    assert b"Slowly." in errors


async def test_publish_sends_headers_of_its_own(server: Server, channel: str, run: Run) -> None:
    code, _, errors = await (await run(server, "publish", channel, "x", "-H", "Host: example.com")).end()
    assert code == 1
    assert "400 disallowed_host" in errors


async def test_publish_takes_no_more_memory_for_more_lines(server: Server, channel: str, run: Run) -> None:
    program = "import resource, sys; from eventcast.__main__ import main; main(sys.argv[1:])\n"
    program += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    peaks = []
    for count in (1, LINES):
        speaker = await run(server, "publish", channel, "-", program=("-c", program))
        code, peak, errors = await speaker.end(b"a line of a log\n" * count)
        assert (code, errors) == (0, "")
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 8, f"{peaks} MiB"


async def test_publish_loses_none_of_100_000_lines(
    start: Start, channel: str, run: Run, http: Talk, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # With room for all of it: a listener that gets little of a busy processor is too slow, and would lose some.
    server = start(servers.serve, env={"EVENTCAST_SUBSCRIBER_BUFFER": str(64 * MIB)})
    listener = await run(server, "subscribe", channel, "-n", str(LINES))
    await http(server).wait_for_count(channel, 1)
    listening = asyncio.create_task(listener.end(timeout=240))
    data = b"".join(b"line %d of a log that somebody writes very fast\n" % number for number in range(LINES))
    source, began = tmp_path / "lines", time.monotonic()
    source.write_bytes(data)
    command = f"cat {source} | {sys.executable} manage.py eventcast publish {channel} -"
    speaker = await asyncio.create_subprocess_shell(
        command, cwd=ROOT, env=own_environment(EVENTCAST_URL=server.url, DATABASE_PATH=":memory:")
    )
    assert await asyncio.wait_for(speaker.wait(), 240) == 0
    seconds = time.monotonic() - began
    code, output, errors = await listening
    assert (code, errors) == (0, "")
    assert output == data
    record_property(f"seconds for {LINES} lines", f"{seconds:.1f}")


# --- subscribe --------------------------------------------------------------------------------------------------------


async def test_subscribe_prints_messages_as_they_come(server: Server, channel: str, run: Run, http: Talk) -> None:
    listener, speaker = await run(server, "subscribe", channel), http(server)
    await speaker.wait_for_count(channel, 1)
    for message in ["one", "", "张三"]:
        await speaker.post(channel, message)
        assert await listener.line() == message + "\n"


async def test_subscribe_prints_binary_messages_as_they_are(server: Server, channel: str, run: Run, http: Talk) -> None:
    listener, speaker = await run(server, "subscribe", channel, "-n", "1"), http(server)
    await speaker.wait_for_count(channel, 1)
    await speaker.post(channel, b"\x00\xff", "application/octet-stream")
    assert await listener.end() == (0, b"\x00\xff\n", "")


async def test_subscribe_prints_json_with_channel_and_time(server: Server, channel: str, run: Run, http: Talk) -> None:
    one, other, speaker = channel + "/a b", channel + "/张", http(server)
    listener = await run(server, "subscribe", one, other, "--json", "-n", "2")
    for name in (one, other):
        await speaker.wait_for_count(url_path(name), 1)
    before = time.time()
    await speaker.post(url_path(one), "two\nlines")
    first = json.loads(await listener.line())
    await speaker.post(url_path(other), b"\xff", "application/octet-stream")
    code, output, _ = await listener.end()
    second = json.loads(output)
    assert before - 1 < first.pop("time") <= second.pop("time") < time.time() + 1
    assert first == {"channel": one, "data": "two\nlines"}
    assert second == {"channel": other, "base64": "/w=="}
    assert code == 0


async def test_subscribe_prints_what_comes_on_channels_that_match_a_pattern(
    server: Server, channel: str, run: Run, http: Talk
) -> None:
    listener = await run(server, "subscribe", "--pattern", f"{channel}/<x>", channel, "--json", "-n", "3")
    speaker = http(server)
    await speaker.wait_for_count(channel, 1)
    await speaker.wait_for_count(f"{channel}/1", 1)
    await speaker.post(f"{channel}/1", "one")
    await speaker.post(f"{channel}/2", b"\xff", "application/octet-stream")
    found = [json.loads(await listener.line()) for _ in range(2)]
    assert [message["channel"] for message in found] == [f"{channel}/1", f"{channel}/2"]
    assert (found[0]["data"], found[1]["base64"]) == ("one", "/w==")
    await speaker.post(channel, "end")
    assert json.loads(await listener.line())["data"] == "end"
    assert (await listener.end())[0] == 0


async def test_subscribe_runs_a_command_for_each_message(server: Server, channel: str, run: Run, http: Talk) -> None:
    command = "read -r line; echo $EVENTCAST_CHANNEL got $line; test $line != bad"
    listener, speaker = await run(server, "subscribe", channel, "-n", "3", "--exec", command), http(server)
    await speaker.wait_for_count(channel, 1)
    await speaker.post(channel, b"data=one&data=bad&data=three", "application/x-www-form-urlencoded")
    code, output, errors = await listener.end()
    assert (code, output.decode()) == (0, "".join(f"{channel} got {each}\n" for each in ("one", "bad", "three")))
    assert errors == f"{channel}: the command failed with 1: {command}\n"


async def test_subscribe_goes_on_after_a_command_that_reads_nothing(
    server: Server, channel: str, run: Run, http: Talk
) -> None:
    listener, speaker = await run(server, "subscribe", channel, "-n", "1", "--exec", "true"), http(server)
    await speaker.wait_for_count(channel, 1)
    await speaker.post(channel, "x" * 1_000_000)
    assert await listener.end() == (0, b"", "")


async def test_subscribe_ends_a_command_that_ignores_sigterm_and_all_that_it_started(
    server: Server, channel: str, run: Run, http: Talk
) -> None:
    command = "trap '' TERM; (sleep 600) & echo $! $$; while true; do wait; sleep 600; done"
    listener, speaker = await run(server, "subscribe", channel, "--exec", command), http(server)
    await speaker.wait_for_count(channel, 1)
    await speaker.post(channel, "x" * 500_000)  # more than a pipe holds, and the command does not read it
    started = [int(pid) for pid in (await listener.line()).split()]
    listener.process.send_signal(signal.SIGTERM)
    assert (await listener.end())[0] == 0
    await until(lambda: all(map(has_ended, started)), "the end of the command and its child")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_subscribe_ends_by_signal(
    number: signal.Signals, code: int, server: Server, channel: str, run: Run, http: Talk
) -> None:
    listener = await run(server, "subscribe", channel)
    await http(server).wait_for_count(channel, 1)
    listener.process.send_signal(number)
    found, output, errors = await listener.end()
    assert (found, output) == (code, b"")
    assert "Traceback" not in errors
    await http(server).wait_for_count(channel, 0)


async def test_subscribe_ends_quietly_when_nobody_reads(server: Server, channel: str, http: Talk) -> None:
    command = f"({sys.executable} -m eventcast subscribe {channel}; echo $? >&2) | head -n 1"
    shell = await asyncio.create_subprocess_shell(
        command,
        cwd=ROOT,
        env=own_environment(EVENTCAST_URL=server.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    speaker, ended = http(server), asyncio.create_task(shell.communicate())
    await speaker.wait_for_count(channel, 1)
    while not ended.done():
        await speaker.post(channel, "again")
        await asyncio.wait([ended], timeout=0.01)
    assert await ended == (b"again\n", b"0\n")


async def test_subscribe_says_what_was_refused(server: Server, run: Run) -> None:
    code, output, errors = await (await run(server, "subscribe", "/-/x")).end()
    assert (code, output) == (1, b"")
    assert "404 reserved_path" in errors


async def test_subscribe_comes_back_and_says_so(start: Start, channel: str, run: Run, http: Talk) -> None:
    server = start(servers.daphne)
    listener = await run(server, "subscribe", channel, "-n", "1")
    await http(server).wait_for_count(channel, 1)
    await asyncio.to_thread(server.stop)
    assert "Trying again" in await listener.error_line()
    again = await asyncio.to_thread(start, servers.daphne, "-p", str(server.port))
    speaker = http(again)
    await speaker.wait_for_count(channel, 1, 60)
    await speaker.post(channel, "after")
    code, output, errors = await listener.end()
    assert (code, output) == (0, b"after\n")
    assert "the server is back" in errors


# --- channels ---------------------------------------------------------------------------------------------------------


async def test_channels_lists_those_of_the_prefix(
    server: Server, channel: str, run: Run, connect: Connect, http: Talk
) -> None:
    for _ in range(2):
        await connect(server, channel + "/one")
    await connect(server, channel + "/two%0A")
    await http(server).post(channel + "/one", "hello")
    code, output, _ = await (await run(server, "channels", "--prefix", channel + "/")).end()
    assert code == 0
    assert [line.split() for line in output.decode().splitlines()] == [
        ["CHANNEL", "SUBSCRIBERS", "MESSAGES", "LOST"],
        [channel + "/one", "2", "1", "0"],
        [channel + "/two\\n", "1", "0", "0"],
    ]


async def test_channels_lists_all_pages_as_json(server: Server, channel: str, run: Run, connect: Connect) -> None:
    names = [f"{channel}/{number}" for number in range(8)]
    await asyncio.gather(*(connect(server, name) for name in names))
    program = "import sys; from eventcast import __main__; from eventcast.commandline import channels\n"
    program += "channels.PAGE = 3; __main__.main(sys.argv[1:])"
    listing = await run(server, "channels", "--json", "--prefix", channel + "/", program=("-c", program))
    code, output, errors = await listing.end()
    found = [json.loads(line) for line in output.splitlines()]
    assert (code, errors) == (0, "")
    assert [each["channel"] for each in found] == names
    assert {each["subscribers"] for each in found} == {1}


async def test_channels_ends_quietly_when_its_output_is_closed(server: Server, channel: str, connect: Connect) -> None:
    await connect(server, channel)  # Without a channel in its list, the command says so on its standard error.
    reading, writing = os.pipe()
    os.close(reading)
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "eventcast", "channels"),
        cwd=ROOT,
        env=own_environment(EVENTCAST_URL=server.url),
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    assert await command.communicate() == (None, b"")
    assert command.returncode == 0
