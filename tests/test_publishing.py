from __future__ import annotations

import asyncio
import datetime
import inspect
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.test import override_settings

import eventcast
from eventcast.engine import publishing
from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import apublish, publish
from eventcast.engine.sending import apublish_all
from eventcast.exceptions import (
    ChannelTooLong,
    InvalidChannel,
    InvalidEventName,
    InvalidMessage,
    MessageTooLarge,
    Refused,
)
from tests.fakes import FakeSubscriber, FlakyLayer, layer_in_use, until


@pytest.fixture
async def listener() -> AsyncIterator[FakeSubscriber]:
    """A subscriber of /a on this event loop."""
    subscriber = FakeSubscriber()
    await current_hub().subscribe("/a", subscriber)
    yield subscriber
    current_hub().unsubscribe(subscriber)


REFUSED: list[tuple[str, Any, type[Refused]]] = [
    ("", "x", InvalidChannel),
    ("/\ud800", "x", InvalidChannel),
    ("/" + "a" * 2000, "x", ChannelTooLong),
    ("/a", object(), InvalidMessage),
    ("/a", "\ud800", InvalidMessage),
    ("/a", {"a": "\ud800"}, InvalidMessage),
    ("/a", b"x" * (1024 * 1024 + 1), MessageTooLarge),
]


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["publish", "apublish"])
def test_publishing_is_public(name: str) -> None:
    assert getattr(eventcast, name) is getattr(publishing, name)


def test_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        eventcast.nonsense  # noqa: B018


def test_both_take_the_same_arguments() -> None:
    assert inspect.signature(publish) == inspect.signature(apublish)


@pytest.mark.parametrize(("channel", "data", "error"), REFUSED)
def test_publish_refuses_what_cannot_be_sent(channel: str, data: Any, error: type[Refused]) -> None:
    with pytest.raises(error):
        publish(channel, data)


@pytest.mark.parametrize(("channel", "data", "error"), REFUSED)
async def test_apublish_refuses_what_cannot_be_sent(channel: str, data: Any, error: type[Refused]) -> None:
    with pytest.raises(error):
        await apublish(channel, data)


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        ("text", "text"),
        ("", ""),
        (b"\xff", b"\xff"),
        (bytearray(b"x"), b"x"),
        ({"name": "张三"}, '{"name":"张三"}'),
        (datetime.date(2024, 2, 29), '"2024-02-29"'),
        (None, "null"),
    ],
)
async def test_apublish_encodes_what_it_is_given(listener: FakeSubscriber, data: Any, sent: str | bytes) -> None:
    await apublish("/a", data)
    await until(lambda: listener.data == [sent])


async def test_apublish_returns_the_subscribers_of_the_channel(listener: FakeSubscriber) -> None:
    assert (await apublish("/a", "x"), await apublish("/b", "x")) == (1, 0)


async def test_publish_returns_the_subscribers_of_the_channel(listener: FakeSubscriber) -> None:
    assert (publish("/a", "x"), publish("/b", "x")) == (1, 0)


def test_publish_needs_no_event_loop_and_no_subscriber() -> None:
    assert publish("/a", "x") == 0


# --- from everywhere --------------------------------------------------------------------------------------------------


async def test_publish_works_on_the_thread_of_the_loop(listener: FakeSubscriber) -> None:
    publish("/a", "x")
    await until(lambda: listener.data == ["x"])


async def test_publish_works_in_a_sync_view_thread(listener: FakeSubscriber) -> None:
    await sync_to_async(publish)("/a", "x")
    await until(lambda: listener.data == ["x"])


async def test_publish_works_in_any_thread(listener: FakeSubscriber) -> None:
    await asyncio.to_thread(publish, "/a", "x")
    await until(lambda: listener.data == ["x"])


async def test_apublish_works_on_another_loop(listener: FakeSubscriber) -> None:
    await asyncio.to_thread(lambda: asyncio.run(apublish("/a", "x")))  # type: ignore[arg-type]
    await until(lambda: listener.data == ["x"])


async def test_apublish_works_through_async_to_sync(listener: FakeSubscriber) -> None:
    await asyncio.to_thread(async_to_sync(apublish), "/a", "x")
    await until(lambda: listener.data == ["x"])


async def test_threads_publish_all_at_once_and_each_in_order(listener: FakeSubscriber) -> None:
    start = threading.Barrier(4)

    def speak(thread: int) -> None:
        start.wait()
        for number in range(250):
            publish("/a", f"{thread} {number}")

    await asyncio.gather(*[asyncio.to_thread(speak, thread) for thread in range(4)])
    await until(lambda: len(listener.data) == 1000)
    for thread in range(4):
        numbers = [int(text.split()[1]) for text in map(str, listener.data) if text.startswith(f"{thread} ")]
        assert numbers == list(range(250))


async def test_publish_wakes_the_loop_of_the_subscriber_at_once(listener: FakeSubscriber) -> None:
    heard = asyncio.Event()
    listener.write = lambda batch: heard.set() or True  # type: ignore[method-assign,func-returns-value]
    # No timer runs: were the loop not woken, it would sleep until the limit.
    threading.Thread(target=publish, args=("/a", "x")).start()
    await asyncio.wait_for(heard.wait(), 10)


# --- several at once --------------------------------------------------------------------------------------------------


async def test_apublish_all_sends_all_in_order(listener: FakeSubscriber) -> None:
    await apublish_all("/a", ["1", b"2", "3"])
    await until(lambda: listener.data == ["1", b"2", "3"])


@override_settings(EVENTCAST={"MAX_MESSAGE_SIZE": 3})
async def test_apublish_all_sends_none_when_one_is_refused(listener: FakeSubscriber) -> None:
    with pytest.raises(MessageTooLarge):
        await apublish_all("/a", ["1", "1234"])
    await apublish("/a", "end")
    await until(lambda: listener.data == ["end"])


async def test_apublish_all_is_one_message_on_the_layer(listener: FakeSubscriber) -> None:
    with layer_in_use(FlakyLayer()) as layer, override_settings(EVENTCAST={"PATTERN_SUBSCRIPTIONS": False}):
        await apublish_all("/a", ["1", "2", "3"])
    assert layer.calls == ["group_send"]


async def test_apublish_is_a_second_message_on_the_layer_for_subscribers_to_patterns() -> None:
    with layer_in_use(FlakyLayer()) as layer:
        await apublish_all("/a", ["1", "2", "3"])
    assert layer.calls == ["group_send", "group_send"]


# --- names of events --------------------------------------------------------------------------------------------------


async def test_all_ways_of_publishing_give_the_name(listener: FakeSubscriber) -> None:
    publish("/a", "x", event="one")
    await apublish("/a", "x", event="two")
    await apublish_all("/a", ["x", b"x"], event="three")
    publish("/a", "x")
    assert [message.event_name for message in listener.messages] == ["one", "two", "three", "three", ""]


async def test_name_goes_through_layers_of_others() -> None:
    subscriber = FakeSubscriber()
    with layer_in_use(FlakyLayer()):
        await current_hub().subscribe("/a", subscriber)
        await apublish("/a", "x", event="paid")
        await until(lambda: subscriber.messages)
        current_hub().unsubscribe(subscriber)
    assert subscriber.messages[0].event_name == "paid"


@pytest.mark.parametrize("on_commit", [False, True])
def test_publish_refuses_what_no_event_can_be_called(on_commit: bool) -> None:
    with pytest.raises(InvalidEventName):
        publish("/a", "x", event="a\nb", on_commit=on_commit)


async def test_apublish_refuses_what_no_event_can_be_called(listener: FakeSubscriber) -> None:
    for sending in (apublish("/a", "x", event="a\nb"), apublish_all("/a", ["x"], event="a\nb")):
        with pytest.raises(InvalidEventName):
            await sending
    assert listener.messages == []
