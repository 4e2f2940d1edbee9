from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from prometheus_client.parser import text_string_to_metric_families

from eventcast import metrics
from eventcast.engine.hub import current_hub
from eventcast.engine.sending import apublish_all
from eventcast.security import refusals
from tests.fakes import FakeSubscriber, until
from tests.test_views import call

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
application = ASGIHandler()


def samples() -> dict[str, float]:
    """The current values, by the name and label of each sample."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found[" ".join([sample.name, *sample.labels.values()])] = sample.value
    return found


async def test_figures_count_messages_and_subscribers() -> None:
    before = samples()
    subscriber, hub = FakeSubscriber(), current_hub()
    await hub.subscribe("/a", subscriber)
    await apublish_all("/a", ["1", "2", "3"])
    await until(lambda: len(subscriber.messages) == 3)
    now = samples()
    hub.unsubscribe(subscriber)
    names = ["subscribers", "channels", "published_total", "messages_total", "deliveries_total", "lost_total"]
    grown = {name: now[f"eventcast_{name}"] - before[f"eventcast_{name}"] for name in names}
    assert grown == dict(zip(names, [1, 1, 3, 3, 3, 0], strict=True))
    assert samples()["eventcast_deliveries_total"] == now["eventcast_deliveries_total"]


def test_refusals_are_counted_by_code() -> None:
    before = samples()["eventcast_refused_total server_full"]
    refusals.count("server_full")
    assert samples()["eventcast_refused_total server_full"] == before + 1


def test_code_without_refusals_is_zero() -> None:
    assert "eventcast_refused_total too_many_patterns" in samples()


@override_settings(EVENTCAST={"MAX_SUBSCRIBERS": 7})
def test_limits_have_the_settings_values() -> None:
    assert samples()["eventcast_limit MAX_SUBSCRIBERS"] == 7


def test_metrics_are_those_of_the_document() -> None:
    documented = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", DOCUMENT.read_text(), re.MULTILINE))
    families = text_string_to_metric_families(metrics.render().decode())
    assert documented == {
        family.name + ("_total" if family.type == "counter" else ""): family.type for family in families
    }


async def test_metrics_have_prometheus_text_format() -> None:
    answer = await call(application, "GET", "/-/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, metrics.CONTENT_TYPE)
    assert b"\neventcast_subscribers 0.0\n" in answer.body


async def test_metrics_take_no_post() -> None:
    answer = await call(application, "POST", "/-/metrics")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_metrics_without_the_package_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    answer = await call(application, "GET", "/-/metrics")
    assert (answer.status, answer.json()["error"]) == (501, "metrics_unavailable")
    assert "eventcast[metrics]" in answer.json()["detail"]
