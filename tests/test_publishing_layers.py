"""Publishing by layers of other projects, and by layers that fail or hang."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from eventcast.engine import sending
from eventcast.engine.hub import current_hub
from eventcast.engine.publishing import apublish, publish
from eventcast.exceptions import LayerUnavailable
from tests.fakes import FakeSubscriber, FlakyLayer, layer_in_use, until


class HangingLayer(FlakyLayer):
    """A layer that takes messages for ever, as a Redis that is frozen."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.calls.append("group_send")
        await asyncio.Event().wait()


class WithoutPatterns(FlakyLayer):
    """A layer that fails for the group of subscribers to patterns."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if group == sending.EVERYWHERE:
            raise ConnectionError("the layer is down")
        await super().group_send(group, message)


class ThreadLayer(FlakyLayer):
    """Remembers in which threads it sends."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str] = []
        self.sent: list[list[str]] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.threads.append(threading.current_thread().name)
        if group != sending.EVERYWHERE:
            self.sent.append(message["messages"])
        await super().group_send(group, message)


async def test_apublish_raises_when_the_layer_is_down(caplog: pytest.LogCaptureFixture) -> None:
    layer = FlakyLayer()
    layer.failing = {"group_send"}
    with layer_in_use(layer), pytest.raises(LayerUnavailable, match="nothing was sent"):
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


def test_publish_from_threads_sends_on_one_event_loop() -> None:
    with layer_in_use(ThreadLayer()) as layer:
        for _ in range(3):
            publish("/a", "x")
    assert set(layer.threads) == {"eventcast.publish"}


async def test_publish_on_a_running_loop_works_with_another_layer_in_order() -> None:
    with layer_in_use(ThreadLayer()) as layer:
        for number in range(20):
            publish("/a", str(number))
        await until(lambda: len(layer.sent) == 20)
    assert layer.sent == [[str(number)] for number in range(20)]


class UnevenLayer(ThreadLayer):
    """Takes the longer for a message the earlier it comes, as a pool of connections may."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        for _ in range(max(0, 20 - 2 * len(self.threads))):
            await asyncio.sleep(0)
        await super().group_send(group, message)


async def test_publish_on_a_running_loop_keeps_the_order_with_a_layer_that_does_not() -> None:
    with layer_in_use(UnevenLayer()) as layer:
        for number in range(10):
            publish("/a", str(number))
        await until(lambda: len(layer.sent) == 10)
    assert layer.sent == [[str(number)] for number in range(10)]


async def test_messages_in_line_for_a_layer_that_hangs_are_given_up_together(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LAYER_TIMEOUT", 1.0)
    with layer_in_use(HangingLayer()):
        for _ in range(100):
            publish("/a", "x")
        await until(lambda: caplog.text.count("Publishing to '/a' failed: TimeoutError()") == 100, timeout=50)


async def test_publish_on_a_running_loop_logs_that_the_layer_is_down(caplog: pytest.LogCaptureFixture) -> None:
    layer = FlakyLayer()
    layer.failing = {"group_send"}
    with layer_in_use(layer):
        publish("/a", "x")
        await until(lambda: "Publishing to '/a' failed" in caplog.text)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LAYER_TIMEOUT", 0.02)


@pytest.mark.usefixtures("impatient")
async def test_apublish_to_a_layer_that_hangs_says_that_the_message_may_have_been_sent() -> None:
    with layer_in_use(HangingLayer()), pytest.raises(LayerUnavailable, match="may have been sent"):
        await asyncio.wait_for(apublish("/a", "x"), 10)


@pytest.mark.usefixtures("impatient")
async def test_publish_in_a_thread_to_a_layer_that_hangs_ends() -> None:
    with layer_in_use(HangingLayer()), pytest.raises(LayerUnavailable, match="may have been sent"):
        await asyncio.wait_for(asyncio.to_thread(publish, "/a", "x"), 10)


async def test_publishers_wait_for_a_layer_that_hangs_side_by_side() -> None:
    with layer_in_use(HangingLayer()) as layer:
        tasks = [asyncio.create_task(apublish("/a", "x")) for _ in range(5)]
        tasks += [asyncio.ensure_future(asyncio.to_thread(publish, "/a", "x")) for _ in range(3)]
        await until(lambda: len(layer.calls) == 8)  # none is in line behind another
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {LayerUnavailable}


async def test_cancelled_apublish_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "LAYER_TIMEOUT", 3600.0)
    with layer_in_use(HangingLayer()) as layer:
        before = asyncio.all_tasks()
        task = asyncio.create_task(apublish("/a", "x"))
        await until(lambda: layer.calls)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: asyncio.all_tasks() == before)


async def test_failing_send_for_patterns_is_no_error_of_the_publisher(caplog: pytest.LogCaptureFixture) -> None:
    with layer_in_use(WithoutPatterns()):
        assert await apublish("/a", "x") == 0
    assert "Publishing '/a' to subscribers of patterns failed" in caplog.text


@pytest.mark.usefixtures("impatient")
async def test_failing_send_for_patterns_in_a_thread_is_no_error_of_the_publisher() -> None:
    with layer_in_use(WithoutPatterns()):
        assert await asyncio.to_thread(publish, "/a", "x") == 0


async def test_subscribers_behind_channels_own_layer_hear() -> None:
    with layer_in_use(FlakyLayer()):
        subscriber = FakeSubscriber()
        await current_hub().subscribe("/a", subscriber)
        await apublish("/a", "x")
        await until(lambda: subscriber.data == ["x"])
        current_hub().unsubscribe(subscriber)
