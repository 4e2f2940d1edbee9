from __future__ import annotations

import asyncio
import datetime
import inspect
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.test import override_settings

import eventcast
from eventcast.engine import hub, messages, publishing
from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import apublish, apublish_many, publish
from eventcast.engine.subscribers import Subscriber
from eventcast.exceptions import (
    ChannelTooLong,
    EventcastError,
    InvalidChannel,
    InvalidMessage,
    LayerUnavailable,
    MessageTooLarge,
    Refused,
)
from eventcast.layers import InMemoryChannelLayer
from tests.fakes import FakeTransport, FlakyLayer, layer_in_use, until


@pytest.fixture
async def heard() -> AsyncIterator[list[str | bytes]]:
    """What a subscriber of /a on this event loop gets."""
    transport = FakeTransport()
    subscriber = Subscriber(transport)

    class Heard(list[Any]):
        def __eq__(self, other: object) -> bool:
            return transport.data == other

        __hash__ = None  # type: ignore[assignment]

    await current_hub().subscribe("/a", subscriber)
    yield Heard()
    await current_hub().unsubscribe("/a", subscriber)


REFUSED: list[tuple[str, Any, type[Refused]]] = [
    ("a", "x", InvalidChannel),
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
async def test_apublish_encodes_what_it_is_given(heard: list[str | bytes], data: Any, sent: str | bytes) -> None:
    await apublish("/a", data)
    await until(lambda: heard == [sent])


async def test_apublish_returns_the_subscribers_of_the_channel(heard: list[str | bytes]) -> None:
    assert (await apublish("/a", "x"), await apublish("/b", "x")) == (1, 0)


async def test_publish_returns_the_subscribers_of_the_channel(heard: list[str | bytes]) -> None:
    assert (publish("/a", "x"), publish("/b", "x")) == (1, 0)


def test_publish_needs_no_event_loop_and_no_subscriber() -> None:
    assert publish("/a", "x") == 0


# --- from everywhere --------------------------------------------------------------------------------------------------


async def test_publish_works_on_the_thread_of_the_loop(heard: list[str | bytes]) -> None:
    publish("/a", "x")
    await until(lambda: heard == ["x"])


async def test_publish_works_in_a_sync_view_thread(heard: list[str | bytes]) -> None:
    await sync_to_async(publish)("/a", "x")
    await until(lambda: heard == ["x"])


async def test_publish_works_in_any_thread(heard: list[str | bytes]) -> None:
    await asyncio.to_thread(publish, "/a", "x")
    await until(lambda: heard == ["x"])


async def test_apublish_works_on_another_loop(heard: list[str | bytes]) -> None:
    await asyncio.to_thread(lambda: asyncio.run(apublish("/a", "x")))  # type: ignore[arg-type]
    await until(lambda: heard == ["x"])


async def test_apublish_works_through_async_to_sync(heard: list[str | bytes]) -> None:
    await asyncio.to_thread(async_to_sync(apublish), "/a", "x")
    await until(lambda: heard == ["x"])


async def test_threads_publish_all_at_once_and_each_in_order(heard: list[str | bytes]) -> None:
    transport = next(iter(current_hub().channels["/a"])).transport
    start = threading.Barrier(4)

    def speak(thread: int) -> None:
        start.wait()
        for number in range(250):
            publish("/a", f"{thread} {number}")

    await asyncio.gather(*[asyncio.to_thread(speak, thread) for thread in range(4)])
    await until(lambda: len(transport.data) == 1000)  # type: ignore[attr-defined]
    for thread in range(4):
        numbers = [int(text.split()[1]) for text in transport.data if text.startswith(f"{thread} ")]  # type: ignore[attr-defined]
        assert numbers == list(range(250))


async def test_publish_wakes_the_loop_of_the_subscriber_at_once(heard: list[str | bytes]) -> None:
    # No time passes between two looks: were the loop not woken, this would wait for its next timer.
    threading.Thread(target=publish, args=("/a", "x")).start()
    async with asyncio.timeout(5) if hasattr(asyncio, "timeout") else _nothing():
        while not heard == ["x"]:  # noqa: ASYNC110, SIM201
            await asyncio.sleep(0)


class _nothing:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *error: object) -> None: ...


# --- several at once --------------------------------------------------------------------------------------------------


async def test_apublish_many_sends_all_in_order(heard: list[str | bytes]) -> None:
    await apublish_many("/a", ["1", b"2", "3"])
    await until(lambda: heard == ["1", b"2", "3"])


@override_settings(EVENTCAST={"MAX_MESSAGE_SIZE": 3})
async def test_apublish_many_sends_none_when_one_is_refused(heard: list[str | bytes]) -> None:
    with pytest.raises(MessageTooLarge):
        await apublish_many("/a", ["1", "1234"])
    await apublish("/a", "end")
    await until(lambda: heard == ["end"])


async def test_apublish_many_is_one_message_on_the_layer(heard: list[str | bytes]) -> None:
    with layer_in_use(FlakyLayer()) as layer, override_settings(EVENTCAST={"PATTERN_SUBSCRIPTIONS": False}):
        await apublish_many("/a", ["1", "2", "3"])
    assert layer.calls == ["group_send"]


async def test_apublish_is_a_second_message_on_the_layer_for_those_who_listen_by_a_pattern() -> None:
    with layer_in_use(FlakyLayer()) as layer:
        await apublish_many("/a", ["1", "2", "3"])
    assert layer.calls == ["group_send", "group_send"]


async def test_apublish_waits_while_a_channel_has_too_much_to_write(
    heard: list[str | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "BACKLOG_LIMIT", 10)
    local = current_hub().channels["/a"]
    local.backlog = 6
    publishing_ = asyncio.create_task(apublish("/a", "x"))
    await asyncio.sleep(0)
    assert not publishing_.done()
    local.backlog = 0
    assert await publishing_ == 1


# --- transactions -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_on_commit_sends_after_the_transaction(django_capture_on_commit_callbacks: Callable[..., Any]) -> None:
    with layer_in_use(RecordingLayer()) as layer:
        with django_capture_on_commit_callbacks(execute=True):
            assert publish("/a", "x", on_commit=True) is None
            assert layer.sent == []
        assert [event["messages"] for event in layer.sent] == [["x"]]


@pytest.mark.django_db(transaction=True)
def test_on_commit_sends_nothing_after_a_rollback() -> None:
    with layer_in_use(RecordingLayer()) as layer:
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
            publish("/a", "x", on_commit=True)
            raise ZeroDivisionError
        assert layer.sent == []


@pytest.mark.django_db(transaction=True)
def test_on_commit_sends_at_once_without_a_transaction() -> None:
    with layer_in_use(RecordingLayer()) as layer:
        publish("/a", "x", on_commit=True)
        assert len(layer.sent) == 1


@pytest.mark.django_db
def test_on_commit_encodes_now(django_capture_on_commit_callbacks: Callable[..., Any]) -> None:
    data = {"a": 1}
    with layer_in_use(RecordingLayer()) as layer:
        with django_capture_on_commit_callbacks(execute=True):
            publish("/a", data, on_commit=True)
            data["a"] = 2
        assert layer.sent[0]["messages"] == ['{"a":1}']


@pytest.mark.django_db
def test_on_commit_refuses_now() -> None:
    with pytest.raises(InvalidMessage):
        publish("/a", object(), on_commit=True)


@pytest.mark.django_db
def test_on_commit_of_a_failing_layer_spares_the_callbacks_of_others(
    django_capture_on_commit_callbacks: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []
    layer = FlakyLayer()
    layer.failing = {"group_send"}
    with layer_in_use(layer), django_capture_on_commit_callbacks(execute=True):
        publish("/a", "x", on_commit=True)
        transaction.on_commit(lambda: ran.append(1))
    assert ran == [1]
    assert "Publishing to '/a' failed" in caplog.text


@pytest.mark.django_db(transaction=True)
async def test_apublish_on_commit_uses_the_transaction_of_the_request_thread() -> None:
    def in_transaction() -> list[Any]:
        with transaction.atomic():
            async_to_sync(apublish)("/a", "x", on_commit=True)
            return list(layer.sent)

    with layer_in_use(RecordingLayer()) as layer:
        before = await sync_to_async(in_transaction)()
    assert (before, len(layer.sent)) == ([], 1)


@pytest.mark.django_db(transaction=True)
async def test_apublish_on_commit_returns_none() -> None:
    assert await apublish("/a", "x", on_commit=True) is None


@pytest.mark.django_db
def test_on_commit_waits_for_the_database_that_is_named() -> None:
    from django.db.utils import ConnectionDoesNotExist

    with pytest.raises(ConnectionDoesNotExist):
        publish("/a", "x", on_commit=True, using="another")


class RecordingLayer(InMemoryChannelLayer):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[dict[str, Any]] = []

    def group_send_nowait(self, group: str, message: dict[str, Any]) -> None:
        if message["type"] == messages.LAYER_TYPE:
            self.sent.append(message)
        super().group_send_nowait(group, message)


# --- other layers, and layers that fail -------------------------------------------------------------------------------


async def test_apublish_raises_when_the_layer_is_down(caplog: pytest.LogCaptureFixture) -> None:
    layer = FlakyLayer()
    layer.failing = {"group_send"}
    with layer_in_use(layer), pytest.raises(LayerUnavailable):
        await apublish("/a", "x")
    assert "Publishing to '/a' failed" in caplog.text


def test_publish_raises_when_the_layer_is_down() -> None:
    layer = FlakyLayer()
    layer.failing = {"group_send"}
    with layer_in_use(layer), pytest.raises(LayerUnavailable):
        publish("/a", "x")


def test_publish_works_with_a_layer_that_has_to_be_awaited() -> None:
    with layer_in_use(FlakyLayer()) as layer:
        publish("/a", "x")
    assert layer.calls == ["group_send", "group_send"]


async def test_publish_to_a_layer_that_has_to_be_awaited_says_what_to_do_on_a_loop() -> None:
    with layer_in_use(FlakyLayer()), pytest.raises(EventcastError, match="await apublish"):
        publish("/a", "x")


async def test_subscribers_behind_channels_own_layer_hear() -> None:
    with layer_in_use(FlakyLayer()):
        transport = FakeTransport()
        subscriber = Subscriber(transport)
        await current_hub().subscribe("/a", subscriber)
        await apublish("/a", "x")
        await until(lambda: transport.data == ["x"])
        await current_hub().unsubscribe("/a", subscriber)
