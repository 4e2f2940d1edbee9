"""Publishing that waits for a database transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from django.db.utils import ConnectionDoesNotExist

from eventcast.engine import names, publishing
from eventcast.engine.publishing import apublish, publish, publish_many
from eventcast.exceptions import InvalidMessage
from eventcast.layers import InMemoryChannelLayer
from tests.fakes import FlakyLayer, layer_in_use, until


class RecordingLayer(InMemoryChannelLayer):
    """Remembers what is sent to /a."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[dict[str, Any]] = []
        self.receive_with("recorder", self.sent.append)
        self.group_add_nowait(names.group_name("/a"), "recorder")


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
@pytest.mark.parametrize("fail_silently", [True, False])
def test_on_commit_fails_silently_if_asked(
    django_capture_on_commit_callbacks: Callable[..., Any], caplog: pytest.LogCaptureFixture, fail_silently: bool
) -> None:
    layer = FlakyLayer()
    layer.failing = {"group_send"}
    with layer_in_use(layer), django_capture_on_commit_callbacks(execute=True):
        publish("/a", "x", on_commit=True, fail_silently=fail_silently)
    assert "Publishing to '/a' failed" in caplog.text
    assert ("Traceback" in caplog.text) is not fail_silently


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
    with pytest.raises(ConnectionDoesNotExist):
        publish("/a", "x", on_commit=True, using="another")


@pytest.mark.django_db(transaction=True)
async def test_on_commit_works_on_a_running_loop_with_another_layer() -> None:
    def in_transaction() -> list[str]:
        with transaction.atomic():
            async_to_sync(apublish)("/a", "x", on_commit=True)
            return list(layer.calls)

    with layer_in_use(FlakyLayer()) as layer:
        before = await sync_to_async(in_transaction)()
        await until(lambda: layer.calls == ["group_send", "group_send"])
    assert before == []


class Recorded:
    """A road to a server elsewhere."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, events: Sequence[dict[str, Any]], *, on_loop: bool) -> int | None:
        self.sent += events
        return None

    async def asend(self, events: Sequence[dict[str, Any]]) -> int | None:
        raise AssertionError("the publisher does not wait")


def by_publish(**options: Any) -> None:
    assert publish("/a", "x", on_commit=True, **options) is None


def by_publish_many(**options: Any) -> None:
    assert publish_many([("/a", "x")], on_commit=True, **options) is None


SYNCHRONOUS = pytest.mark.parametrize("publish_one", [by_publish, by_publish_many])


@SYNCHRONOUS
async def test_on_commit_in_async_code_sends_at_once(publish_one: Callable[..., None]) -> None:
    with layer_in_use(RecordingLayer()) as layer:
        publish_one()
        assert [event["messages"] for event in layer.sent] == [["x"]]


@SYNCHRONOUS
async def test_on_commit_in_async_code_sends_at_once_by_another_layer(publish_one: Callable[..., None]) -> None:
    with layer_in_use(FlakyLayer()) as layer:
        publish_one()
        await until(lambda: layer.calls == ["group_send", "group_send"])


@SYNCHRONOUS
@pytest.mark.usefixtures("own_hubs")
async def test_on_commit_in_async_code_sends_at_once_to_a_server(
    publish_one: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    road = Recorded()
    monkeypatch.setattr(publishing.hooks, "remote_publisher", lambda: road)
    publish_one()
    assert len(road.sent) == 1


@pytest.mark.django_db(transaction=True)
async def test_on_commit_in_async_code_waits_for_a_transaction_that_django_was_told_to_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with layer_in_use(RecordingLayer()) as layer:
        with transaction.atomic():
            by_publish()
            before = len(layer.sent)
        assert (before, len(layer.sent)) == (0, 1)
    assert connection.connection is not None
    connection.connection.close()  # That of the event loop. Django's own close() leaves a database in memory open.


async def test_on_commit_in_async_code_refuses_a_database_that_is_not_there() -> None:
    with pytest.raises(ConnectionDoesNotExist):
        by_publish(using="another")
