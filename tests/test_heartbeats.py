"""``@heartbeat``: what it takes, and what of a pattern's messages is watched."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from eventcast.client.watching import Heartbeat, Watches
from eventcast.listeners.alarms import Alarms
from eventcast.listeners.heartbeats import HeartbeatListener, heartbeat
from eventcast.listeners.running import Runner

PATH = "/heartbeat/<str:host>"


def alarm(found: Heartbeat, **kwargs: Any) -> None:
    pass


def make(path: str = PATH, **options: Any) -> HeartbeatListener:
    return HeartbeatListener(name="app.alarm", path=path, function=alarm, **options)


def alarms(listener: HeartbeatListener, *, limit: int = 10) -> Alarms:
    return Alarms(listener, Runner(listener), Watches(30.0, limit=limit))


def frame(channel: str) -> str:
    return json.dumps({"time": 1.5, "channel": channel, "data": "alive"})


@pytest.mark.parametrize("timeout", [0, -1, True, "30", None, float("inf"), float("nan")])
def test_heartbeat_refuses_what_is_no_timeout(timeout: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="timeout is a number of seconds above 0"):
        make(timeout=timeout)


def test_heartbeat_refuses_a_function_that_does_not_take_what_the_path_cuts_out() -> None:
    def too_little(found: Heartbeat) -> None: ...

    with pytest.raises(ImproperlyConfigured, match=r"\(heartbeat, host=…\)"):
        heartbeat(PATH)(too_little)


def test_heartbeat_refuses_to_be_used_without_a_path() -> None:
    with pytest.raises(ImproperlyConfigured, match="@heartbeat"):
        heartbeat(alarm)  # type: ignore[arg-type]


def test_heartbeat_shows_its_timeout_among_its_options() -> None:
    assert make(timeout=5).options["timeout"] == 5


def test_function_gets_the_record_and_what_the_path_cuts_out() -> None:
    found = Heartbeat("/heartbeat/web1", alive=False, silence=30.0)
    assert make().arguments(found) == ((found,), {"host": "web1"})


async def test_message_of_a_pattern_is_the_beat_of_its_channel() -> None:
    assert alarms(make()).channel_of(frame("/heartbeat/web1")) == "/heartbeat/web1"


async def test_message_that_only_the_served_pattern_matches_is_no_beat() -> None:
    listener = make("/rack/<int:rack><slug:unit>/<str:host>")
    assert listener.route.pattern == "/rack/<path:rest>"
    assert alarms(listener).channel_of(frame("/rack/7/host")) is None
    assert alarms(listener).channel_of(frame("/rack/7b/host")) == "/rack/7b/host"


async def test_frame_without_a_channel_is_counted_and_no_beat() -> None:
    found = alarms(make())
    assert found.channel_of("{}") is None
    assert found._runner.statistics.undecodable == 1


async def test_channels_past_the_limit_are_not_watched_and_that_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = alarms(make(), limit=1)
    found._watches.beat("/heartbeat/web1", 0.0)
    with caplog.at_level(logging.ERROR, "eventcast.listen"):
        channels = [found.channel_of(frame(f"/heartbeat/web{number}")) for number in (1, 2, 3)]
    assert channels == ["/heartbeat/web1", None, None]
    assert [record.getMessage() for record in caplog.records] == [
        "app.alarm watches 1 channels, and no more: not /heartbeat/web2 and others."
    ]
