"""How both command lines read their arguments."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

import eventcast
from eventcast.__main__ import main
from eventcast.commandline.parsing import SubcommandParser
from tests.live.servers import free_port


def parser() -> SubcommandParser:
    made = SubcommandParser(prog="tool")
    made.add_argument("path")
    made.add_argument("data", nargs="*")
    made.add_argument("--url")
    return made


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        (["/a", "x", "--url", "u"], ["x"]),
        (["/a", "--url", "u", "x"], ["x"]),
        (["--url", "u", "/a"], []),
        (["/a", "x", "--url", "u", "y"], ["x", "y"]),
        (["/a", "--url", "u", "-"], ["-"]),
        (["/a", "--url", "u", "-5"], ["-5"]),
        (["/a", "--url", "u", ""], [""]),
        (["--url", "u", "--", "/a", "--url"], ["--url"]),
    ],
)
def test_options_stand_anywhere(arguments: list[str], data: list[str]) -> None:
    found = parser().parse_args(arguments)
    assert (found.path, found.data, found.url) == ("/a", data, "u")


@pytest.mark.parametrize("arguments", [["publish", "/a", "--nope"], ["publish"], ["publish", "/a", "b", "c"]])
def test_wrong_usage_shows_how_the_subcommand_is_used(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m eventcast publish ")


def test_options_stand_anywhere_in_a_command_of_django() -> None:
    with pytest.raises(CommandError) as failed:
        call_command("eventcast", "publish", "/a", "--url", f"http://127.0.0.1:{free_port()}", "x")
    assert failed.value.returncode == 3


def test_wrong_usage_is_an_exception_where_python_calls_the_command() -> None:
    with pytest.raises(CommandError, match="unrecognized arguments: --nope"):
        call_command("eventcast", "publish", "/a", "--nope")


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"eventcast {eventcast.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["publish", "/a", "x", "--url", ""], "Not a URL"),
        (["publish", "/a", "x", "--url", "http://host:99999"], "'http://host:99999'. Port out of range"),
        (["publish", "/a", "x", "--url", "http://[::1"], "'http://[::1'. Invalid IPv6 URL"),
        (["publish", "/a", "x", "--url", "http://a b"], "'http://a b'. A host's name has no blank"),
        (["publish", "/\udcff", "x"], r"A channel's name is UTF-8, and '/\udcff' is not."),
        (["subscribe", "--pattern", "/\udcff/<a>"], r"A channel's name is UTF-8, and '/\udcff/<a>' is not."),
        (["publish", "/a", "x", "-H", "Authorization: 张"], "Authorization has characters that are not Latin-1"),
        (["subscribe", "/a", "-H", "Authorization: 张"], "Authorization has characters that are not Latin-1"),
        (["publish", "/a", "x", "-H", "a b: c"], "Not the name of a header: 'a b'."),
        (["watchdog", "/heartbeat/<str:host>"], "@heartbeat('/heartbeat/<str:host>') watches each"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_prefix_is_utf_8(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["channels", "--prefix", "/\udcff"])
    assert ended.value.code == 2
