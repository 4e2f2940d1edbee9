from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator

import pytest

import eventcast
from eventcast.engine import asking, presence, publishing, sending
from eventcast.engine.figures import Figures
from eventcast.engine.hub import current_hub
from tests.fakes import FakeSubscriber, StuckSubscriber, until

CHANNELS = ["/a", "/a/", "/a/1", "/a/2", "/b", "/张"]


@pytest.fixture
async def room() -> AsyncIterator[dict[str, list[FakeSubscriber]]]:
    """Two subscribers of /a, one of each other channel."""
    hub, present = current_hub(), dict[str, list[FakeSubscriber]]()
    for channel in [*CHANNELS, "/a"]:
        subscriber = FakeSubscriber()
        await hub.subscribe(channel, subscriber)
        present.setdefault(channel, []).append(subscriber)
    yield present
    for subscribers in present.values():
        for subscriber in subscribers:
            hub.unsubscribe(subscriber)


def leave(room: dict[str, list[FakeSubscriber]], channel: str) -> None:
    current_hub().unsubscribe(room[channel].pop())


def names(**options: object) -> list[str]:
    return presence.live_channels(**options)  # type: ignore[arg-type]


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("room")
async def test_subscriber_count_tells_channels_apart() -> None:
    assert [presence.subscriber_count(channel) for channel in ("/a", "/a/", "/A")] == [2, 1, 0]


async def test_subscriber_count_falls_when_one_leaves(room: dict[str, list[FakeSubscriber]]) -> None:
    leave(room, "/a")
    assert presence.subscriber_count("/a") == 1


async def test_subscriber_count_falls_at_once_when_a_connection_breaks(room: dict[str, list[FakeSubscriber]]) -> None:
    room["/a"][0].leave()
    assert presence.subscriber_count("/a") == 1


@pytest.mark.usefixtures("room")
async def test_subscriber_count_can_be_read_from_another_thread() -> None:
    assert await asyncio.to_thread(presence.subscriber_count, "/a") == 2


def test_subscriber_count_is_public() -> None:
    assert eventcast.subscriber_count is presence.subscriber_count


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("room")
async def test_live_channels_are_in_the_order_of_their_names() -> None:
    assert names() == CHANNELS


async def test_live_channels_are_none_when_nobody_listens() -> None:
    assert names() == []


async def test_live_channels_leave_out_empty_ones(room: dict[str, list[FakeSubscriber]]) -> None:
    leave(room, "/b")
    assert "/b" not in names()


async def test_live_channels_leave_out_those_with_broken_connections_only(
    room: dict[str, list[FakeSubscriber]],
) -> None:
    room["/b"][0].leave()
    assert "/b" not in names()


@pytest.mark.usefixtures("room")
async def test_live_channels_begin_with_the_prefix() -> None:
    assert names(prefix="/a/") == ["/a/", "/a/1", "/a/2"]


@pytest.mark.usefixtures("room")
async def test_live_channels_come_after_the_last_page() -> None:
    assert names(after="/a/1") == ["/a/2", "/b", "/张"]


@pytest.mark.usefixtures("room")
async def test_live_channels_are_no_more_than_the_limit() -> None:
    assert names(limit=2) == ["/a", "/a/"]


@pytest.mark.usefixtures("room")
async def test_live_channels_page_by_page_are_all() -> None:
    pages, after = [], ""
    while page := names(after=after, limit=2):
        pages += page
        after = page[-1]
    assert pages == CHANNELS


@pytest.mark.usefixtures("room")
async def test_infos_have_the_counts_of_channels() -> None:
    answers = await asking.ask("infos", channels=["/a/", "/a", "/silent"])
    assert [(info.channel, info.subscribers) for info in presence.infos_in(answers)] == [
        ("/a", 2),
        ("/a/", 1),
        ("/silent", 0),
    ]


# --- figures ----------------------------------------------------------------------------------------------------------


async def test_channel_info_of_a_channel_nobody_hears_is_zero() -> None:
    assert presence.channel_info("/a") == presence.ChannelInfo("/a", 0, Figures())


async def test_channel_info_counts_what_was_published(room: dict[str, list[FakeSubscriber]]) -> None:
    await sending.apublish_all("/a", ["x", "y"])
    await until(lambda: presence.channel_info("/a").figures == Figures(messages=2, delivered=4, lost=0))


async def test_totals_are_those_of_all_channels(room: dict[str, list[FakeSubscriber]]) -> None:
    totals = presence.totals()
    assert (totals.channels, totals.subscribers) == (6, 7)


async def test_totals_keep_what_passed_on_channels_that_are_gone(room: dict[str, list[FakeSubscriber]]) -> None:
    before = presence.totals().figures
    await publishing.apublish("/b", "x")
    await until(lambda: presence.totals().figures != before)
    await until(lambda: presence.totals().figures.delivered == before.delivered + 1)
    leave(room, "/b")
    assert presence.totals().figures == before + Figures(messages=1, delivered=1)


async def test_totals_keep_what_was_lost_while_a_channel_is_being_left(room: dict[str, list[FakeSubscriber]]) -> None:
    before = presence.totals().figures.lost
    slow = StuckSubscriber(pending=2**30)
    await current_hub().subscribe("/slow", slow)
    await publishing.apublish("/slow", "x")
    await until(lambda: slow.channel is None)
    lost = presence.totals().figures.lost
    current_hub().unsubscribe(slow)
    assert (lost, presence.totals().figures.lost) == (before + 1, before + 1)


@pytest.mark.parametrize(
    ("figure", "value"), [("subscribers", 2), ("messages", 1), ("delivered", 2), ("lost", 0), ("last_message_at", None)]
)
async def test_figure_of_all_is_that_of_each_channel(
    room: dict[str, list[FakeSubscriber]], figure: presence.FigureName, value: int | None
) -> None:
    await publishing.apublish("/a", "x")
    await until(lambda: presence.channel_info("/a").figures.delivered == 2)
    found = presence.figure_of_all(figure)
    assert set(found) == set(CHANNELS)
    assert found["/a"] == (presence.channel_info("/a").last_message_at if value is None else value)


async def test_last_message_at_is_the_time_of_the_last_one(room: dict[str, list[FakeSubscriber]]) -> None:
    before = time.time()
    await publishing.apublish("/a", "x")
    await until(lambda: presence.channel_info("/a").last_message_at)
    assert before <= presence.channel_info("/a").last_message_at <= time.time()


# --- subscribers ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def guests() -> AsyncIterator[list[FakeSubscriber]]:
    hub = current_hub()
    present = [
        FakeSubscriber(peer="192.0.2.1:5", user="Zhang"),
        StuckSubscriber(pending=7, peer="192.0.2.2:5"),
        FakeSubscriber(peer="198.51.100.1:5"),
    ]
    for subscriber in present:
        await hub.subscribe("/a", subscriber)
    yield present
    for subscriber in present:
        hub.unsubscribe(subscriber)


def ids(**options: object) -> list[int]:
    return [info.id for info in presence.subscribers("/a", **options)]  # type: ignore[arg-type]


async def test_subscribers_are_in_the_order_in_which_they_came(guests: list[FakeSubscriber]) -> None:
    assert ids() == [subscriber.id for subscriber in guests]


async def test_subscribers_of_a_channel_nobody_hears_are_none() -> None:
    assert presence.subscribers("/silent") == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"limit": 2}, [0, 1]),
        ({"offset": 1}, [1, 2]),
        ({"offset": 1, "limit": 1}, [1]),
        ({"offset": 3}, []),
        ({"matching": "192.0.2."}, [0, 1]),
        ({"matching": "zhang"}, [0]),
        ({"matching": "FAKE"}, [0, 1, 2]),
        ({"matching": "192.0.2.", "offset": 1}, [1]),
        ({"matching": "nothing"}, []),
    ],
)
async def test_subscribers_can_be_paged_and_searched(
    guests: list[FakeSubscriber], options: dict[str, object], expected: list[int]
) -> None:
    assert ids(**options) == [guests[number].id for number in expected]


async def test_subscriber_is_found_by_its_id(guests: list[FakeSubscriber]) -> None:
    info = presence.subscriber("/a", guests[1].id)
    assert info is not None
    assert (info.peer, info.pending, info.transport) == ("192.0.2.2:5", 7, "fake")


async def test_subscriber_of_another_channel_is_not_found(guests: list[FakeSubscriber]) -> None:
    assert presence.subscriber("/b", guests[1].id) is None


async def test_disconnect_closes_the_one_with_the_id(guests: list[FakeSubscriber]) -> None:
    presence.disconnect("/a", guests[1].id)
    await until(lambda: guests[1].channel is None)
    assert [subscriber.closed for subscriber in guests] == [False, True, False]


async def test_disconnect_closes_all_with_3000(guests: list[FakeSubscriber]) -> None:
    presence.disconnect("/a")
    await until(lambda: presence.subscriber_count("/a") == 0)
    assert [subscriber.close_code for subscriber in guests] == [3000] * 3


async def test_disconnect_works_in_another_thread(guests: list[FakeSubscriber]) -> None:
    await asyncio.to_thread(presence.disconnect, "/a")
    await until(lambda: presence.subscriber_count("/a") == 0)


async def test_disconnect_passes_over_event_loops_that_are_closed(guests: list[FakeSubscriber]) -> None:
    loop = asyncio.new_event_loop()

    async def make_hub() -> None:
        current_hub()

    await asyncio.to_thread(loop.run_until_complete, make_hub())
    loop.close()  # and still there, as long as it is held
    presence.disconnect("/a")
    await until(lambda: presence.subscriber_count("/a") == 0)


async def test_disconnect_of_nobody_does_nothing() -> None:
    presence.disconnect("/silent", 5)


@pytest.mark.parametrize("record", [presence.ChannelInfo, presence.Totals, Figures])
def test_records_are_frozen(record: type) -> None:
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert dataclasses.fields(record)
