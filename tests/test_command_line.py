"""What the command lines take and make of it, without a server."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from django.core.management import execute_from_command_line
from django.test import override_settings

from eventcast import __main__, commandline
from eventcast.commandline import parsing, publish, tools
from eventcast.commandline.tools import TOOLS
from eventcast.exceptions import MessageTooLarge, ServerUnreachable
from tests.live.servers import ROOT, free_port
from tests.test_project import own_environment

MANAGE, MODULE = ["manage.py", "eventcast"], ["-m", "eventcast"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls one of both programs in this process; returns its exit code and what it has printed on both outputs."""

    def run(program: list[str], *arguments: str, url: str = "http://127.0.0.1:8000") -> tuple[int, str, str]:
        monkeypatch.setenv("EVENTCAST_URL", url)
        start = execute_from_command_line if program is MANAGE else _as_process
        with override_settings(EVENTCAST={"URL": url}), pytest.raises(SystemExit) as end:
            start([*program, *arguments])
        assert isinstance(end.value.code, int)
        return end.value.code, *capsys.readouterr()

    return run


def _as_process(arguments: list[str]) -> None:
    sys.exit(__main__.main(arguments[len(MODULE) :]))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def messages_of(pipe: tuple[int, int], data: bytes) -> list[str | bytes]:
    reading, writing = pipe
    os.write(writing, data)
    os.close(writing)
    return [message for batch in publish.batches(reading) for message in batch]


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (b"", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"\n\na\n", ["", "", "a"]),
        (b"a\r\nb\rc\n", ["a\r", "b\rc"]),
        ("张\u2028三\x85\x0c\n".encode(), ["张\u2028三\x85\x0c"]),
        (b"a\n\xff\x00\nb\n", ["a", b"\xff\x00", "b"]),
    ],
)
def test_batches_keep_every_line_exactly(pipe: tuple[int, int], data: bytes, messages: list[str | bytes]) -> None:
    assert messages_of(pipe, data) == messages


def test_batches_hand_on_a_line_before_the_next_comes(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    found = publish.batches(reading)
    os.write(writing, b"one\ntw")
    assert next(found) == ["one"]
    os.write(writing, b"o\nthree\n")
    assert next(found) == ["two", "three"]
    os.close(writing)
    assert list(found) == []


def test_batches_refuse_a_line_that_does_not_end() -> None:
    with open("/dev/zero", "rb") as endless, pytest.raises(MessageTooLarge):
        next(publish.batches(endless.fileno()))


def test_whole_is_one_message(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"a\nb\n")
    os.close(writing)
    assert publish.whole(reading) == "a\nb\n"


def test_whole_refuses_what_does_not_end() -> None:
    with open("/dev/zero", "rb") as endless, pytest.raises(MessageTooLarge):
        publish.whole(endless.fileno())


def test_half_of_what_comes_without_blocking_is_not_published(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(reading, False)
    os.write(writing, b"half")
    with pytest.raises(BlockingIOError):
        publish.whole(reading)
    os.close(writing)


# --- arguments and exit codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_help_tells_the_exit_codes(tool: type[commandline.Tool]) -> None:
    (parser,) = tools.add_parsers(argparse.ArgumentParser(), [tool], "somewhere")
    text = " ".join(parser.format_help().split())
    assert all(f" {code} " in text for code in commandline.ExitCode)


@pytest.mark.parametrize("program", [MANAGE, MODULE], ids=["manage.py", "module"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["publish"],
        ["publish", "no-slash", "x"],
        ["subscribe"],
        ["subscribe", "/a", "-n", "0"],
        ["subscribe", "/a", "-n", "x"],
        ["channels", "--no-such-option"],
        ["channels", "-H", "no colon"],
        ["publish", "/a", "x", "--url", "not a URL"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(program: list[str], arguments: list[str], run: Run) -> None:
    code, output, errors = run(program, *arguments)
    assert (code, output) == (2, "")
    assert errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("program", [MANAGE, MODULE], ids=["manage.py", "module"])
@pytest.mark.parametrize("arguments", [["publish", "/a", "x"], ["subscribe", "/a"], ["channels"]], ids=" ".join)
def test_unreachable_server_exits_with_3(program: list[str], arguments: list[str], run: Run) -> None:
    port = free_port()
    code, _, errors = run(program, *arguments, url=f"http://127.0.0.1:{port}")
    assert code == 3
    assert str(port) in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("program", [MANAGE, MODULE], ids=["manage.py", "module"])
def test_process_exits_with_the_code_of_its_program(program: list[str]) -> None:
    port = free_port()
    finished = subprocess.run(
        [sys.executable, "-W", "error", *program, "publish", "/a", "x"],
        cwd=ROOT,
        env=own_environment(EVENTCAST_URL=f"http://127.0.0.1:{port}"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 3
    assert str(port) in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "x", ""])
def test_seconds_refuse_what_no_time_is(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="above 0"):
        parsing.seconds(value)


def test_run_turns_ctrl_c_into_its_exit_code() -> None:
    class Interrupted(commandline.Tool):
        def run(self, **options: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(commandline.Failed) as failed:
        tools.run(Interrupted, {"url": None, "header": []}, url="http://localhost")
    assert failed.value.exit_code == 130


def test_write_does_without_a_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    commandline.write("x")


def test_run_takes_the_url_of_the_options_first() -> None:
    class Looking(commandline.Tool):
        def run(self, **options: object) -> None:
            raise ServerUnreachable(self.url)

    for given, used in [(None, "http://default"), ("http://option", "http://option")]:
        with pytest.raises(commandline.Failed, match=used):
            tools.run(Looking, {"url": given, "header": []}, url="http://default")
