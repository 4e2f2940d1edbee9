"""``manage.py eventcast listen`` where it needs no server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from eventcast.commandline.listen import _log_to_standard_error
from eventcast.listeners import listener, registry
from tests.conftest import MakeApp


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    with mock.patch.dict(registry, clear=True):
        yield


def handle(message: Any, **kwargs: Any) -> None: ...


async def handle_async(message: Any) -> None: ...


def test_list_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    listener("/orders/<int:id>", name="one", queue=5)(handle)
    listener("/two", name="two", raw=True, concurrency=3)(handle_async)
    call_command("eventcast", "listen", "--list")
    assert capsys.readouterr().out.splitlines() == [
        f"{__name__}.one  /orders/<int:id>  queue=5 concurrency=1 slow_after=30.0 raw=False",
        f"{__name__}.two  /two  queue=10000 concurrency=3 slow_after=30.0 raw=True async",
    ]


def test_list_has_only_those_that_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", "three"):
        listener("/a", name=name)(handle)
    call_command("eventcast", "listen", "--list", "two", f"{__name__}.one", "two")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0].rpartition(".")[2] for line in lines] == ["two", "one"]


def test_unknown_name_is_told_with_those_that_are_known() -> None:
    listener("/a", name="one")(handle)
    with pytest.raises(CommandError, match=rf"No listener 'other', only {__name__}\.one") as failed:
        call_command("eventcast", "listen", "other")
    assert failed.value.returncode == 2


def test_no_listener_at_all_is_told_with_where_to_write_them() -> None:
    with pytest.raises(CommandError, match=r"listeners\.py of an installed app") as failed:
        call_command("eventcast", "listen")
    assert failed.value.returncode == 2


def test_listeners_that_cannot_be_imported_are_wrong_usage(make_app: MakeApp) -> None:
    for name in ("shop", "news"):
        make_app(name, "import no_such_package")
    with pytest.raises(CommandError, match=r"(?s)shop/listeners\.py, line 1: .*news/listeners\.py, line 1: ") as failed:
        call_command("eventcast", "listen", "--list")
    assert failed.value.returncode == 2


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://", "ftp://host", "http://host:port", "http://host/#a"])
def test_wrong_url_is_wrong_usage_before_anything_starts(url: str, caplog: pytest.LogCaptureFixture) -> None:
    listener("/a", name="one")(handle)
    with pytest.raises(CommandError) as failed:
        call_command("eventcast", "listen", "--url", url)
    assert (failed.value.returncode, caplog.records) == (2, [])


@pytest.mark.parametrize("grace", ["x", "-1", "inf", "nan"])
def test_grace_is_a_number_of_seconds(grace: str) -> None:
    with pytest.raises(CommandError, match="number of seconds"):
        call_command("eventcast", "listen", "--grace", grace)


def test_log_is_shown_where_the_project_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("eventcast.test")
    log.propagate = False
    _log_to_standard_error(log)
    log.info("listens")
    assert capsys.readouterr().err.split(" INFO ")[1:] == ["listens\n"]


def test_log_is_left_to_the_project_that_configures_it() -> None:
    log = logging.getLogger("eventcast.test.configured")
    log.propagate, handler = False, logging.NullHandler()
    log.addHandler(handler)
    _log_to_standard_error(log)
    assert (log.handlers, log.level) == ([handler], logging.NOTSET)
