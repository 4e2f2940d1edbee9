"""eventcast.testing: what a site's tests see of what it publishes."""

from __future__ import annotations

import re
import threading
import unittest
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction
from django.test import AsyncClient, SimpleTestCase, TestCase, TransactionTestCase, override_settings

import eventcast
from eventcast.exceptions import InvalidChannel, InvalidMessage, MessageTooLarge
from eventcast.testing import Outbox, Published, PublishedMixin, capture
from tests.fakes import FlakyLayer, layer_in_use

# --- the outbox -------------------------------------------------------------------------------------------------------


def test_capture_has_what_is_published_in_order(eventcast_outbox: Outbox) -> None:
    eventcast.publish("/a", {"paid": True})
    eventcast.publish("/b", b"\x00")
    assert list(eventcast_outbox) == [Published("/a", '{"paid":true}'), Published("/b", b"\x00")]
    assert eventcast_outbox[0].json() == {"paid": True}
    assert [message.channel for message in eventcast_outbox[1:]] == ["/b"]


async def test_capture_has_what_is_published_by_await(eventcast_outbox: Outbox) -> None:
    await eventcast.apublish("/a", "x")
    assert eventcast_outbox.on("/a") == [Published("/a", "x")]


async def test_capture_has_what_clients_post(eventcast_outbox: Outbox) -> None:
    await AsyncClient().post("/a", {"data": ["one", "two"]})
    assert [message.data for message in eventcast_outbox] == ["one", "two"]


def test_capture_has_what_other_threads_publish(eventcast_outbox: Outbox) -> None:
    thread = threading.Thread(target=eventcast.publish, args=("/a", "x"))
    thread.start()
    thread.join()
    eventcast_outbox.assert_published("/a", "x")


def test_capture_ends_with_its_block() -> None:
    with capture() as outbox:
        pass
    eventcast.publish("/a", "x")
    assert not outbox


def test_captures_may_be_nested() -> None:
    with capture() as outer:
        eventcast.publish("/a", "x")
        with capture() as inner:
            eventcast.publish("/a", "y")
    assert (len(outer), len(inner)) == (2, 1)


def test_outbox_is_emptied(eventcast_outbox: Outbox) -> None:
    eventcast.publish("/a", "x")
    eventcast_outbox.clear()
    assert not eventcast_outbox


# --- as in production -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "data", "error"),
    [
        ("/a/../b", "x", InvalidChannel),
        ("/a", object(), InvalidMessage),
        ("/a", "\ud800", InvalidMessage),
        ("/a", "x" * 2_000_000, MessageTooLarge),
    ],
)
def test_what_production_refuses_is_refused(
    eventcast_outbox: Outbox, channel: str, data: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        eventcast.publish(channel, data)
    assert not eventcast_outbox


async def test_nothing_leaves_the_process(eventcast_outbox: Outbox) -> None:
    with layer_in_use(FlakyLayer()) as layer:
        await eventcast.apublish("/a", "one")
        await sync_to_async(eventcast.publish, thread_sensitive=False)("/a", "two")
        eventcast.publish("/a", "three")
    assert [message.data for message in eventcast_outbox] == ["one", "two", "three"]
    assert layer.calls == []


# --- transactions -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_message_of_on_commit_is_there_in_a_test_that_never_commits(eventcast_outbox: Outbox) -> None:
    eventcast.publish("/a", "x", on_commit=True)
    assert [message.data for message in eventcast_outbox] == ["x"]
    assert len(eventcast_outbox) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("savepoint", [True, False])
def test_message_of_on_commit_is_there_when_its_block_has_ended(eventcast_outbox: Outbox, savepoint: bool) -> None:
    with transaction.atomic(savepoint=savepoint):
        eventcast.publish("/a", "x", on_commit=True)
        assert not eventcast_outbox
    assert len(eventcast_outbox) == 1


@pytest.mark.django_db
def test_message_of_on_commit_is_not_there_after_a_rollback(eventcast_outbox: Outbox) -> None:
    with transaction.atomic():
        eventcast.publish("/a", "x", on_commit=True)
        transaction.set_rollback(True)
    assert not eventcast_outbox


@pytest.mark.django_db(transaction=True)
def test_message_of_on_commit_is_there_after_a_real_commit(eventcast_outbox: Outbox) -> None:
    with transaction.atomic():
        eventcast.publish("/a", "x", on_commit=True)
        assert not eventcast_outbox
    assert len(eventcast_outbox) == 1


@pytest.mark.django_db
def test_message_of_on_commit_is_sent_when_the_capture_ends() -> None:
    with capture() as outer, capture():
        eventcast.publish("/a", "x", on_commit=True)
    assert [message.data for message in outer] == ["x"]


@pytest.mark.django_db
def test_callbacks_of_the_site_are_left_alone(eventcast_outbox: Outbox) -> None:
    called: list[int] = []
    transaction.on_commit(lambda: called.append(1))
    eventcast.publish("/a", "x", on_commit=True)
    assert (len(eventcast_outbox), called) == (1, [])


# --- assertions -------------------------------------------------------------------------------------------------------


def test_assertion_finds_data_as_it_was_given_to_publish(eventcast_outbox: Outbox) -> None:
    eventcast.publish("/a", {"a": 1, "b": 2})
    eventcast.publish("/a", "text")
    eventcast.publish("/a", b"\x00")
    for data in ({"b": 2, "a": 1}, "text", b"\x00"):
        eventcast_outbox.assert_published("/a", data, times=1)
    eventcast_outbox.assert_published("/a", times=3)


@pytest.mark.parametrize(("channel", "data"), [("/b", "x"), ("/a", "y"), ("/a", {"x": 1}), ("/a", b"x"), ("/a", None)])
def test_assertion_fails_and_says_what_was_published(eventcast_outbox: Outbox, channel: str, data: Any) -> None:
    eventcast.publish("/a", "x")
    with pytest.raises(AssertionError, match=r"was not published on .*'x'"):
        eventcast_outbox.assert_published(channel, data)


def test_assertion_knows_the_name_of_the_event(eventcast_outbox: Outbox) -> None:
    eventcast.publish("/a", "x", event="paid")
    eventcast_outbox.assert_published("/a", "x", event="paid", times=1)
    eventcast_outbox.assert_published("/a", event="sent", times=0)
    eventcast_outbox.assert_published("/a", event="", times=0)


def test_assertion_takes_names_below_the_mount(eventcast_outbox: Outbox) -> None:
    eventcast.publish("a/b", "x")
    for name in ("a/b", "/a/b"):
        eventcast_outbox.assert_published(name, "x", times=1)


def test_assertion_counts(eventcast_outbox: Outbox) -> None:
    eventcast.publish("/a", "x")
    with pytest.raises(AssertionError, match="2 times, but 1 times"):
        eventcast_outbox.assert_published("/a", "x", times=2)


def test_assertion_refuses_what_cannot_be_a_channel(eventcast_outbox: Outbox) -> None:
    with pytest.raises(InvalidChannel):
        eventcast_outbox.assert_published("a/../b")


# --- unittest ---------------------------------------------------------------------------------------------------------


class Body:
    def test_publishes(self: Any) -> None:
        eventcast.publish("/a", "x")
        self.assertPublished("/a", "x", times=1)
        self.assertNotPublished("/b")
        with pytest.raises(AssertionError):
            self.assertNotPublished("/a")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("base", [SimpleTestCase, TestCase, TransactionTestCase])
def test_mixin_begins_each_test_with_an_empty_outbox(base: type[SimpleTestCase]) -> None:
    kind: Any = type("Case", (PublishedMixin, Body, base), {"databases": set()})
    for _ in range(2):
        result = unittest.TestResult()
        kind("test_publishes").run(result)
        assert (result.testsRun, result.failures, result.errors) == (1, [], [])


def test_mixin_needs_no_super_in_setup() -> None:
    class Case(PublishedMixin, SimpleTestCase):
        def setUp(self) -> None:
            eventcast.publish("/a", "in setUp")

        def test_publishes(self) -> None:
            self.assertPublished("/a", "in setUp")

    result = unittest.TestResult()
    Case("test_publishes").run(result)
    assert (result.testsRun, result.failures, result.errors) == (1, [], [])


def test_plugin_is_announced_to_pytest() -> None:
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    (module,) = re.findall(r'pytest11\]\n"[\w.]+" = "([\w.]+)"', project)
    assert hasattr(import_module(module), "eventcast_outbox")


@override_settings(ROOT_URLCONF="no.such.module")
def test_capture_needs_no_urls() -> None:
    with capture() as outbox:
        eventcast.publish("/a", "x")
    assert len(outbox) == 1
