"""How the event loop's time is shared: channels in line, long fan-outs, and a channel with a fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventcast.engine import fanout, hub, names
from eventcast.engine.encoders import Batch
from eventcast.layers import get_layer
from tests.audience import Audience
from tests.fakes import FakeSubscriber, until


@pytest.fixture
async def audience() -> AsyncIterator[Audience]:
    found = Audience()
    yield found
    found.leave_all()


@pytest.fixture
def in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel with few subscribers waits for its turn as one with many."""
    monkeypatch.setattr(hub, "MAX_IMMEDIATE", 0)


def publish(channel: str, *data: str) -> None:
    get_layer().group_send_nowait(  # type: ignore[attr-defined]
        names.group_name(channel), {"type": "eventcast.messages", "channel": channel, "messages": list(data)}
    )


@pytest.mark.parametrize("at_once", [0, 100])
async def test_channel_that_fails_to_write_does_not_make_others_deaf(
    audience: Audience, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, at_once: int
) -> None:
    monkeypatch.setattr(hub, "MAX_IMMEDIATE", at_once)
    broken, whole = await audience.join("/broken"), await audience.join("/whole")
    begin = fanout.LocalChannel._begin

    def fail(channel: fanout.LocalChannel) -> Batch:
        if channel.name == "/broken":
            raise RuntimeError("a bug")
        return begin(channel)

    with monkeypatch.context() as patched:
        patched.setattr(fanout.LocalChannel, "_begin", fail)
        for number in ("1", "2"):
            publish("/broken", number)
            publish("/whole", number)
            await until(lambda number=number: number in whole.data)
    publish("/broken", "3")
    await until(lambda: broken.data == ["3"])
    assert audience.hub.channels["/broken"].lost == 2
    assert caplog.text.count("Writing to '/broken' failed") == 2


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slice is one write."""
    monkeypatch.setattr(hub, "MAX_IMMEDIATE", 0)
    monkeypatch.setattr(hub, "SLICE", 0.0)
    monkeypatch.setattr(fanout, "SLOW_PATH_STRIDE", 1)


@pytest.mark.usefixtures("no_patience")
async def test_long_fan_out_lets_others_have_the_event_loop(audience: Audience) -> None:
    subscribers = [await audience.join("/a") for _ in range(20)]
    publish("/a", "x")
    seen = set()
    while not subscribers[-1].data:
        await asyncio.sleep(0)
        seen.add(sum(len(subscriber.data) for subscriber in subscribers))
    assert len(seen) >= 20


@pytest.mark.usefixtures("no_patience")
async def test_long_fan_out_lets_other_channels_in(audience: Audience) -> None:
    many = [await audience.join("/a") for _ in range(20)]
    other = await audience.join("/b")
    publish("/a", "x")
    publish("/b", "x")
    while not other.data:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not many[-1].data


@pytest.mark.usefixtures("no_patience")
async def test_what_is_published_during_a_fan_out_is_heard_after_it(audience: Audience) -> None:
    subscribers = [await audience.join("/a") for _ in range(5)]
    publish("/a", "1")
    await until(lambda: subscribers[0].data)
    publish("/a", "2", "3")
    await until(lambda: all(subscriber.data == ["1", "2", "3"] for subscriber in subscribers))


@pytest.mark.usefixtures("in_turns")
async def test_channel_is_in_the_queue_once_however_much_is_published(audience: Audience) -> None:
    class Looking(FakeSubscriber):
        def write(self, batch: Batch) -> bool:
            others_in_queue.append(len(audience.hub._queue))
            return super().write(batch)

    others_in_queue: list[int] = []
    subscriber = await audience.add("/a", Looking())
    for number in range(5):
        publish("/a", str(number))
    await until(lambda: len(subscriber.data) == 5)
    assert others_in_queue == [0]
