"""``@heartbeat``: what it takes, and what of a pattern's messages is watched."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from eventcast.client import watching
from eventcast.client.watching import Heartbeat, Watches
from eventcast.listeners import Registration, alarms, heartbeat
from eventcast.listeners.alarms import Alarms
from eventcast.listeners.running import Runner
from eventcast.listeners.sources import read_frame

PATH = "/heartbeat/<str:host>"


def alarm(found: Heartbeat, **kwargs: Any) -> None:
    pass


def make(path: str = PATH, **options: Any) -> Registration:
    return Registration(name="app.alarm", path=path, function=alarm, watches=True, **options)


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
    assert make().arguments("/heartbeat/web1", found) == ((found,), {"host": "web1"})


def test_message_of_a_pattern_is_the_beat_of_its_channel() -> None:
    assert read_frame(frame("/heartbeat/web1"), Runner(make())) == ("/heartbeat/web1", "alive")


def test_message_that_only_the_served_pattern_matches_is_no_beat() -> None:
    listener = make("/rack/<int:rack><slug:unit>/<str:host>")
    assert listener.route.pattern == "/rack/<path:rest>"
    assert read_frame(frame("/rack/7/host"), Runner(listener)) is None
    assert read_frame(frame("/rack/7b/host"), Runner(listener)) == ("/rack/7b/host", "alive")


def test_frame_without_a_channel_is_counted_and_no_beat() -> None:
    runner = Runner(make())
    assert read_frame("{}", runner) is None
    assert runner.statistics["undecodable"].value == 1


async def test_channels_past_the_limit_are_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (alarms, watching):
        monkeypatch.setattr(module, "LIMIT", 1)
    watches = Watches(30.0, on_full=Alarms(Runner(make())).too_many)
    with caplog.at_level(logging.ERROR, "eventcast.listen"):
        for number in (1, 2, 3):
            watches.beat(f"/heartbeat/web{number}", 0.0)
    assert [record.getMessage() for record in caplog.records] == [
        "app.alarm watches 1 channels, and no more: not /heartbeat/web2 and others."
    ]
