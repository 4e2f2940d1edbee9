"""What HTTP and Python say of all processes: three layers on one bus; the first has the subscribers of this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest

import eventcast
from eventcast.engine import asking, presence
from eventcast.engine.hub import current_hub
from eventcast.layers import counting
from eventcast.layers.cluster import ClusterLayer
from eventcast.layers.counting import EXACT
from eventcast.security import refusals
from tests.fakes import FakeSubscriber, layer_in_use, set_clock, until
from tests.shared_bus import Switch
from tests.test_views import Answer, call


class Others:
    """Two more processes. What they say is set by the tests."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.layers = [switch.layer(), switch.layer()]

    def answer(self, name: str, *answers: Any) -> None:
        for layer, found in zip(self.layers, answers, strict=True):
            layer.answer(name, lambda asked, found=found: found)  # type: ignore[misc]

    def silence(self) -> None:
        """Let the last one hear nothing any more, although the bus counts it."""
        self.switch.buses[-1].deaf = True


@pytest.fixture
async def others(own_hubs: None) -> AsyncIterator[Others]:
    switch = Switch(returns=True)
    own, found = switch.layer(), Others(switch)
    with layer_in_use(own):
        for layer in (own, *found.layers):
            await layer.start()
        yield found
        for layer in (own, *found.layers):
            await layer.close()


@pytest.fixture
async def listener(others: Others) -> AsyncIterator[FakeSubscriber]:
    """A subscriber to /a in this process."""
    subscriber = FakeSubscriber(user="li")
    await current_hub().subscribe("/a", subscriber)
    yield subscriber
    current_hub().unsubscribe(subscriber)


async def request(method: str, target: str, *headers: tuple[str, str], body: bytes = b"") -> Answer:
    return await call(ASGIHandler(), method, target, body, headers=headers)


def row(name: str, subscribers: int, messages: int = 0, lost: int = 0) -> list[Any]:
    return [name, subscribers, messages, messages * subscribers, lost, 0.0]


def page(*channels: str, patterns: Any = (), total: Any = (0, 0, 0, 0, 0), refused: Any = ()) -> dict[str, Any]:
    return {"channels": channels, "patterns": patterns, "total": total, "refused": dict(refused)}


@pytest.mark.usefixtures("listener")
async def test_info_is_that_of_all_processes(others: Others) -> None:
    others.answer("infos", [row("/a", 2, messages=5)], [row("/a", 3, messages=4, lost=1)])
    said = (await request("GET", "/a")).json()
    assert said == {"channel": "/a", "subscribers": 6, "messages": 5, "delivered": 22, "lost": 1, "scope": "all"}
    assert await eventcast.asubscriber_count("/a") == 6
    assert eventcast.subscriber_count("/a") == 1


async def test_answer_says_how_many_processes_are_missing(others: Others) -> None:
    others.answer("infos", [row("/a", 2)], [row("/a", 3)])
    others.silence()
    said = (await request("GET", "/a")).json()
    assert (said["subscribers"], said["partial"], said["missing"]) == (2, True, 1)


@pytest.mark.usefixtures("listener")
async def test_list_has_the_channels_of_all_processes_page_by_page(others: Others) -> None:
    here = page("/a", "/c", patterns=[row("/<x>", 1)], total=[2, 4, 1, 1, 1], refused=[("forbidden", 2)])
    others.answer("page", here, page("/b", "/c", patterns=[row("/<x>", 2)], refused=[("forbidden", 1)]))
    # A process that lists no /b may have subscribers of it, by a pattern.
    others.answer("infos", [row("/a", 2), row("/b", 1)], [row("/a", 0), row("/b", 3)])
    said = (await request("GET", "/-/channels?limit=2")).json()
    assert [(each["channel"], each["subscribers"]) for each in said["channels"]] == [("/a", 3), ("/b", 4)]
    assert (said["next"], said["scope"]) == ("/b", "all")
    assert [(each["pattern"], each["subscribers"]) for each in said["patterns"]] == [("/<x>", 3)]
    lost = presence.totals().figures.lost  # of tests before, too
    assert (said["total"]["channels"], said["total"]["subscribers"], said["total"]["lost"]) == (3, 5, lost + 1)
    assert said["refused"]["forbidden"] == refusals.counts().get("forbidden", 0) + 3


async def test_pattern_has_the_subscribers_of_all_processes(others: Others) -> None:
    others.answer("listening", 2, 5)
    assert (await request("GET", "/-/subscribe?pattern=/<x>")).json()["subscribers"] == 7


async def test_metrics_are_those_of_all_processes_or_of_one(others: Others) -> None:
    others.answer("families", *(("other:1", [("eventcast_subscribers", "", "", {"": each})]) for each in (2, 5)))
    of_all, of_one = [(await request("GET", f"/-/metrics{query}")).body for query in ("", "?scope=process")]
    assert b'eventcast_subscribers{process="other:1"} 2.0' in of_all
    assert b"eventcast_processes 3.0" in of_all
    assert b"eventcast_subscribers 0.0" in of_one
    assert b"eventcast_processes 1.0" in of_one


@pytest.mark.usefixtures("others")
async def test_cost_does_not_grow_with_channels_that_are_not_asked_for() -> None:
    # The answers of the other processes are this process's own functions here.
    for number in range(50):
        await current_hub().subscribe(f"/many/{number}", FakeSubscriber())
    said = (await request("GET", "/-/channels?prefix=/many/1&limit=1")).json()
    assert [each["channel"] for each in said["channels"]] == ["/many/1"]
    for subscriber in current_hub().subscribers():
        current_hub().unsubscribe(subscriber)


# --- publishing -------------------------------------------------------------------------------------------------------


async def hear_in(layer: ClusterLayer, group: str, subscribers: int) -> None:
    """Let another process have subscribers."""
    channel = await layer.new_channel()
    layer.receive_with(channel, lambda message: None)
    layer.count_with = lambda message: subscribers
    await layer.group_add(group, channel)


@pytest.fixture
async def heard(others: Others, listener: FakeSubscriber) -> Others:
    """Two subscribers of /a in the second process, three in the third."""
    (group,) = asking.get_layer().local.groups
    for layer, subscribers in zip(others.layers, (2, 3), strict=True):
        await hear_in(layer, group, subscribers)
    return others


@pytest.mark.usefixtures("heard")
async def test_publish_counts_the_subscribers_of_all_processes() -> None:
    answer = await request("POST", "/a", body=b"x")
    assert (answer.status, answer.json()) == (201, {"channel": "/a", "messages": 1, "subscribers": 6})


async def test_publish_says_how_many_processes_are_missing(heard: Others) -> None:
    heard.silence()
    said = (await request("POST", "/a", body=b"x")).json()
    assert said == {"channel": "/a", "messages": 1, "subscribers": 3, "partial": True, "missing": 1}


@pytest.mark.usefixtures("heard")
async def test_publishes_at_a_high_rate_say_how_old_the_count_is(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, counting, 1.5)
    said = [(await request("POST", "/a", body=b"x")).json() for _ in range(EXACT)]
    set_clock(monkeypatch, counting, 1.75)
    said.append((await request("POST", "/a", body=b"x")).json())
    assert {each["subscribers"] for each in said} == {6}
    assert [each.get("counted") for each in said] == [None] * EXACT + [0.25]


@pytest.mark.parametrize("prefer", ["return=minimal", 'respond-async, Return="minimal"', "return = minimal; x=1"])
async def test_publish_that_prefers_a_minimal_answer_counts_nothing(heard: Others, prefer: str) -> None:
    heard.silence()  # It would be waited for.
    answer = await request("POST", "/a", ("Prefer", prefer), body=b"x")
    assert (answer.status, answer.json()) == (202, {"channel": "/a", "messages": 1})
    assert answer.headers["preference-applied"] == "return=minimal"


async def test_degraded_process_says_so_and_is_not_ready(heard: Others) -> None:
    heard.switch.buses[0].up = False
    answer = await request("POST", "/a", body=b"x")
    assert (answer.status, answer.json()["subscribers"], answer.json()["degraded"]) == (201, 1, True)
    assert (await request("GET", "/a")).json()["degraded"] is True
    ready, live = await request("GET", "/-/health/ready"), await request("GET", "/-/health/live")
    assert (ready.status, ready.json()["error"], live.status) == (503, "layer_unavailable", 200)
    heard.switch.buses[0].up = True
    assert (await request("GET", "/-/health/ready")).status == 200


# --- disconnect -------------------------------------------------------------------------------------------------------


async def test_disconnect_counts_those_of_all_processes(others: Others, listener: FakeSubscriber) -> None:
    others.answer("revoke", 2, 5)
    assert await eventcast.adisconnect(user="li") == 8
    await until(lambda: listener.closed)


async def test_disconnect_in_a_thread_waits_for_all_processes(others: Others, listener: FakeSubscriber) -> None:
    others.answer("revoke", 2, 5)
    assert await asyncio.to_thread(eventcast.disconnect, channel="/a") == 8
    await until(lambda: listener.closed)


async def test_disconnect_on_the_event_loop_tells_the_others(others: Others, listener: FakeSubscriber) -> None:
    told = list[Any]()
    others.layers[0].answer("revoke", lambda asked: told.append(asked) or 1)
    assert eventcast.disconnect(user="li") == 1
    await until(lambda: told == [{"channel": None, "user": "li", "identity": None}])


async def test_disconnect_says_in_the_log_that_processes_are_missing(
    others: Others, caplog: pytest.LogCaptureFixture
) -> None:
    others.answer("revoke", 0, 0)
    others.silence()
    assert await eventcast.adisconnect(user="li") == 0
    assert "1 processes have not answered" in caplog.text


async def test_log_out_closes_subscribers_of_the_session_in_all_processes(others: Others) -> None:
    told = list[Any]()
    others.layers[0].answer("end_session", told.append)
    request = HttpRequest()
    request.session = SessionStore("a-session")
    await asyncio.to_thread(user_logged_out.send, sender=None, request=request, user=None)
    await until(lambda: told == [{"session_key": "a-session"}])


def test_questions_have_names_of_their_own() -> None:
    assert {"infos", "page", "listening", "revoke"} <= set(asking._questions)
    assert asking._questions["infos"] is presence.infos
