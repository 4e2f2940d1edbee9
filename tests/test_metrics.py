from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from prometheus_client.parser import text_string_to_metric_families

from eventcast import metrics
from eventcast.engine import asking
from eventcast.engine.hub import current_hub
from eventcast.engine.sending import apublish_all
from eventcast.security import refusals
from tests.fakes import FakeSubscriber, until
from tests.test_views import call

DOCUMENTS = Path(__file__).resolve().parent.parent / "docs"
application = ASGIHandler()


def rendered() -> str:
    return metrics.render(asking.ask_now("families")).decode()


def samples() -> dict[str, float]:
    """The current values, by the name and label of each sample."""
    found = {}
    for family in text_string_to_metric_families(rendered()):
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
    documented = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", (DOCUMENTS / "metrics.md").read_text(), re.MULTILINE))
    families = text_string_to_metric_families(rendered())
    assert documented == {
        family.name + ("_total" if family.type == "counter" else ""): family.type for family in families
    }


def test_metrics_of_the_dashboard_are_those_of_the_code() -> None:
    used = set(re.findall(r"\beventcast_\w+", (DOCUMENTS / "grafana.json").read_text()))
    assert used - {name.split()[0] for name in samples()} == set()
    assert len(used) > 10
    panels = json.loads((DOCUMENTS / "grafana.json").read_text())["panels"]
    assert [panel["title"] for panel in panels if not all(target["expr"] for target in panel["targets"])] == []


def test_metrics_of_several_processes_are_told_apart() -> None:
    other = "b:2", [("eventcast_subscribers", "", "", {"": 5}), ("eventcast_refused_total", "", "code", {"x": 2})]
    answers = asking.Answers([("a:1", metrics.families()[1]), other], 3, "all")
    lines = metrics.render(answers).decode().splitlines()
    assert 'eventcast_subscribers{process="b:2"} 5.0' in lines
    assert 'eventcast_refused_total{code="x",process="b:2"} 2.0' in lines
    assert 'eventcast_published_total{process="a:1"}' in {line.rpartition(" ")[0] for line in lines}
    assert {"eventcast_processes 2.0", "eventcast_processes_missing 3.0"} <= set(lines)


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
