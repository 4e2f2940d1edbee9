"""The admin's figures and operations over several processes: this one, and two that answer what a test wants."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventcast.admin import everywhere, reports
from eventcast.admin.recorder import INTERVAL
from eventcast.engine import presence
from eventcast.engine.asking import get_layer
from tests.fakes import FakeSubscriber, FlakyLayer, layer_in_use, until
from tests.test_asking import Others, listener, others, page, row

__all__ = ["listener", "others"]

NOW = 1_000_000 * INTERVAL + 1


def channels(audiences: dict[str, int], rates: dict[str, float] | None, **figures: dict[str, float]) -> dict[str, Any]:
    """An answer to the question for all channels."""
    totals = [sum(audiences.values()), 7, 8, 9]
    overall = None if rates is None else sum(rates.values())
    return {"totals": totals, "audiences": audiences, "rates": rates, "overall": overall, "figures": figures}


def channel(info: list[Any], *guests: Any, points: Any = ((NOW, 1, 0.0),)) -> dict[str, Any]:
    return {"info": info, "guests": guests, "points": points}


def guest(id: str, connected_at: float) -> tuple[Any, ...]:
    return id, connected_at, "peer", "", "fake", "", 0, 0


@pytest.mark.usefixtures("listener")
async def test_list_adds_up_the_channels_of_all_processes(others: Others) -> None:
    others.answer(
        "channels_now",
        channels({"/a": 2, "/b": 1}, {"/a": 3.0, "/b": 1.0}, messages={"/a": 5, "/b": 1}),
        channels({"/b": 1}, {"/b": 2.0}, messages={"/b": 4}),
    )
    found = await asyncio.to_thread(everywhere.look, ["messages"])
    assert found.audiences == {"/a": 3, "/b": 2}
    assert (found.totals.channels, found.totals.subscribers, found.missing) == (2, 5, 0)
    # Each process broadcasts each message.
    assert found.figures["messages"] == {"/a": 5, "/b": 4}
    assert found.rates is not None
    assert (found.rates["/a"], found.rates["/b"]) == (3.0, 2.0)


async def test_figures_say_how_many_processes_are_missing(others: Others) -> None:
    others.answer("channels_now", channels({"/a": 2}, None), channels({"/b": 1}, None))
    others.silence()
    look = await asyncio.to_thread(everywhere.look)
    assert look.missing == 1
    assert reports.of_all(look)["subscribers"] == "2, without 1 process"


async def test_patterns_and_refusals_are_those_of_all_processes(others: Others) -> None:
    others.answer("page", *(page(patterns=[row("/<x>", 20)], refused=[("unheard_of", 150)]) for _ in range(2)))
    text = await asyncio.to_thread(reports.more_of_list)
    assert ("/&lt;x&gt;" in text, "40" in text, "300" in text) == (True, True, True)


async def test_subscribers_of_all_processes_are_paged_in_the_order_in_which_they_came(
    others: Others, listener: FakeSubscriber
) -> None:
    others.answer(
        "channel_now",
        channel(row("/a", 2), guest("b-1", 1.0), guest("b-2", 3.0)),
        channel(row("/a", 1), guest("c-1", 2.0)),
    )
    own = f"{get_layer().id}-{listener.id}"

    def page_at(offset: int) -> list[Any]:
        found = everywhere.report("/a", offset=offset, limit=2, matching="", after=0)
        assert found.info.subscribers == 4
        return [each.id for each in found.guests]

    assert await asyncio.to_thread(page_at, 0) == ["b-1", "c-1"]
    assert await asyncio.to_thread(page_at, 2) == ["b-2", own]


def test_chart_has_a_point_for_each_interval_of_all_processes() -> None:
    begun = NOW - 1
    first = [(begun - 31, 1, 1.0), (begun - 21, 2, 2.0), (begun - 11, 3, None), (begun - 1, 4, 4.0), (NOW, 5, 5.0)]
    late = [(begun - 28, 10, 3.0), (begun - 16, 20, 1.0), (begun + 0.5, 30, 1.0), (NOW, 40, 6.0)]  # missed one
    found = everywhere._joined_points([first, late], begun - 31, max)
    assert [tuple(each) for each in found] == [
        (begun - 30, 11, 3.0),
        (begun - 20, 22, 2.0),
        (begun - 10, 23, 1.0),
        (NOW, 45, 6.0),
    ]


def test_chart_of_the_only_process_repeats_no_point() -> None:
    points = [(80.0, 1, 1.0), (90.0, 1, 1.0), (100.0, 1, 1.0), (NOW, 1, 1.0)]
    assert everywhere._joined_points([points], 90.0, max) == points[2:]


async def test_operator_disconnects_a_subscriber_of_any_process(others: Others, listener: FakeSubscriber) -> None:
    own = f"{get_layer().id}-{listener.id}"
    found = await asyncio.to_thread(everywhere.guest, "/a", own)
    assert found is not None
    assert (found.id, found.user) == (own, "li")
    others.answer("close_here", 0, 0)
    for id in (f"{listener.id}", f"{others.layers[0].id}-{listener.id}"):  # those of other processes
        assert sum((await asyncio.to_thread(everywhere.disconnect, "/a", id)).found) == 0
    assert sum((await asyncio.to_thread(everywhere.disconnect, "/a", own)).found) == 1
    await until(lambda: listener.closed)


async def test_operator_disconnects_all_in_all_processes(others: Others, listener: FakeSubscriber) -> None:
    others.answer("close_here", 2, 3)
    assert sum((await asyncio.to_thread(everywhere.disconnect, "/a")).found) == 6
    await until(lambda: listener.closed)


async def test_process_names_its_largest_channels_to_others(others: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MAX_LISTED", 2)
    assert presence.largest({"/a": 1, "/b": 3, "/c": 2}) == {"/b": 3, "/c": 2}


async def test_event_loop_does_not_wait_for_others(others: Others) -> None:
    others.silence()
    assert everywhere.look().missing == 0


async def test_process_that_is_asked_alone_names_all_and_repeats_no_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MAX_LISTED", 0)
    with layer_in_use(FlakyLayer()):  # of another project: it may reach other processes, and cannot ask them
        assert presence.largest({"/a": 1}) == {"/a": 1}
        assert everywhere._earlier(100.0) == 100.0
