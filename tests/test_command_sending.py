"""How messages from a command line are sent, counted and sent again; the server is one that does as it is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import override_settings

from eventcast.__main__ import main
from eventcast.client import Publisher, reconnecting
from eventcast.commandline.sending import Sender
from eventcast.exceptions import Refused, ServerUnreachable
from tests.told import CUT, Told


@pytest.fixture
def told() -> Iterator[Told]:
    with Told() as server:
        yield server


@pytest.fixture
def make(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sender]]:
    """Makes a sender that waits for next to nothing before it tries again."""
    monkeypatch.setattr(reconnecting, "SOON", 0.0)
    monkeypatch.setattr(reconnecting, "FIRST", 0.001)
    with Publisher(told.url) as publisher:
        yield lambda *, retry=False: Sender(publisher, "/a", retry=retry)


# --- sender -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [CUT, 502])
def test_sender_tries_again_until_the_server_is_there(
    told: Told, make: Callable[..., Sender], capsys: pytest.CaptureFixture[str], status: int
) -> None:
    told.statuses = [status, status]
    make(retry=True).send(["one", "two"])
    assert told.bodies == ["data=one&data=two"] * 3
    lost, back = capsys.readouterr().err.splitlines()
    assert lost.endswith("Trying again.")
    assert back.startswith("/a: the server is back after ")


@pytest.mark.parametrize(("status", "error"), [(CUT, ServerUnreachable), (502, Refused)])
def test_sender_gives_up_where_it_may_not_try_again(
    told: Told, make: Callable[..., Sender], status: int, error: type[Exception]
) -> None:
    told.statuses = [status]
    with pytest.raises(error):
        make().send(["one"])
    assert told.bodies == ["one"]


def test_sender_gives_up_what_is_refused_for_good(told: Told, make: Callable[..., Sender]) -> None:
    told.statuses = [403]
    with pytest.raises(Refused):
        make(retry=True).send(["one"])


def test_sender_divides_requests_that_carry_more_than_a_burst(told: Told, make: Callable[..., Sender]) -> None:
    told.burst = 2
    make().send(["one", "two", "three", "four", "five"])
    assert told.bodies == [
        "data=one&data=two&data=three&data=four&data=five",
        "data=one&data=two",
        "data=three&data=four&data=five",
        "three",
        "data=four&data=five",
    ]


def test_sender_explains_what_became_of_the_messages(told: Told, make: Callable[..., Sender]) -> None:
    sender = make()
    sender.send(["one", "two"])
    told.statuses = [CUT]
    with pytest.raises(ServerUnreachable) as lost:
        sender.send(["three", "four", "five"])
    explained = str(sender.explain(lost.value))
    assert "published before: 2; the next 3 may be published or not, the rest is not." in explained
    assert "--retry" in explained


def test_sender_counts_messages_without_subscribers(told: Told, make: Callable[..., Sender]) -> None:
    sender = make()
    sender.send(["one", "two"])
    told.subscribers = 7
    sender.send([b"\xff".decode("latin-1"), "four", "five"])
    assert (sender.messages, sender.subscribers, sender.unheard) == (5, 7, 2)


# --- the command ------------------------------------------------------------------------------------------------------


def test_publish_says_nothing_by_default(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", "/a", "x", "--url", told.url]) == 0
    assert capsys.readouterr() == ("", "")


def test_publish_prints_its_sums_as_json(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    told.subscribers = 3
    assert main(["publish", "/张", "x", "--json", "--url", told.url]) == 0
    assert capsys.readouterr().out == '{"channel":"/张","messages":1,"subscribers":3}\n'


@pytest.mark.parametrize(("subscribers", "code"), [(0, 1), (1, 0)])
def test_publish_ends_with_1_where_subscribers_are_required_and_none_is_there(
    told: Told, capsys: pytest.CaptureFixture[str], subscribers: int, code: int
) -> None:
    told.subscribers = subscribers
    assert main(["publish", "/a", "x", "--require-subscribers", "--url", told.url]) == code
    assert ("/a had no subscriber for 1 of 1 messages." in capsys.readouterr().err) == bool(code)


def test_publish_says_how_many_lines_were_published_before_the_server_went_away(
    told: Told, capfd: pytest.CaptureFixture[str]
) -> None:
    told.statuses = [202, CUT]
    reading, writing = os.pipe()
    standard_input = os.dup(0)
    os.dup2(reading, 0)
    try:
        os.write(writing, b"\n" * 1003)  # more than goes in one request
        os.close(writing)
        assert main(["publish", "/a", "-", "--url", told.url]) == 3
    finally:
        os.dup2(standard_input, 0)
        os.close(standard_input)
        os.close(reading)
    assert "published before: 1000; the next 3 may be published or not" in capfd.readouterr().err


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    (tmp_path / "key").write_text("in-a-file\n")
    return str(tmp_path / "key")


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ([], "Bearer in-the-environment"),
        (["--key-file", "FILE"], "Bearer in-a-file"),
        (["--key-file", "FILE", "-H", "X-API-Key: given"], "given"),
    ],
    ids=str,
)
def test_key_comes_from_the_environment_or_a_file(
    told: Told, key_file: str, monkeypatch: pytest.MonkeyPatch, options: list[str], sent: str
) -> None:
    monkeypatch.setenv("EVENTCAST_KEY", "in-the-environment")
    given = [key_file if option == "FILE" else option for option in options]
    assert main(["publish", "/a", "x", "--url", told.url, *given]) == 0
    assert told.keys == [sent]


def test_key_spares_the_password_of_a_proxy(told: Told, key_file: str) -> None:
    url = told.url.replace("://", "://user:password@")
    assert main(["publish", "/a", "x", "--url", url, "--key-file", key_file]) == 0
    assert told.keys == ["Basic dXNlcjpwYXNzd29yZA=="]


def test_key_of_the_settings_is_the_last_choice(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(EVENTCAST={"URL": told.url, "KEY": "in-the-settings"}):
        call_command("eventcast", "publish", "/a", "x")
        monkeypatch.setenv("EVENTCAST_KEY", "in-the-environment")
        call_command("eventcast", "publish", "/a", "x")
    assert told.keys == ["Bearer in-the-settings", "Bearer in-the-environment"]


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_key_file_without_a_key_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(SystemExit) as ended:
        main(["publish", "/a", "x", "--key-file", str(tmp_path / "key")])
    assert ended.value.code == 2
    assert "key" in capsys.readouterr().err
