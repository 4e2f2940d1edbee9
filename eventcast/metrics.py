"""Metrics for Prometheus: ``GET <mount>/-/metrics``, or :class:`Collector` in a site's own registry.

docs/metrics.md explains each metric. The package prometheus_client is needed: ``eventcast[metrics]``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import eventcast
from eventcast.conf import SETTINGS, conf
from eventcast.engine import presence, sending
from eventcast.engine.asking import Answers, question
from eventcast.exceptions import MetricsUnavailable, Refused
from eventcast.layers import InMemoryChannelLayer, get_layer
from eventcast.layers.cluster import ClusterLayer
from eventcast.security import refusals

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format, in the version that all its readers support."""

LIMITS = [*sorted(name for name in SETTINGS if name.startswith("MAX_")), "PUBLISH_BURST", "PUBLISH_RATE"]
"""The settings in the metric ``eventcast_limit``."""

Family = tuple[str, str, str, dict[str, float]]
"""A metric of one process: its name, its text, the name of its label if it has one, and the values by that label. The
name of a counter ends in ``_total``."""


class Collector:
    """All metrics of this process, for a site with metrics of its own:
    ``prometheus_client.REGISTRY.register(Collector())``."""

    def collect(self) -> Iterable[Metric]:
        """The current value of each metric."""
        return _collected([("", list(_families()))])


def render(answers: Answers) -> bytes:
    """All metrics in Prometheus' text format.

    :param answers: those to the question ``families``.
    :raises MetricsUnavailable: prometheus_client is not installed.
    """
    try:
        from prometheus_client import generate_latest  # imported here: it is optional
    except ImportError:
        raise MetricsUnavailable("Install prometheus_client: pip install 'eventcast[metrics]'.") from None
    found: list[tuple[str, list[Family]]] = answers.found
    if answers.scope == "process":
        found = [("", families_of) for _, families_of in found]
    counts: list[Family] = [
        ("eventcast_processes", "Processes in these figures.", "", {"": len(found)}),
        ("eventcast_processes_missing", "Live processes that did not answer in time.", "", {"": answers.missing}),
    ]
    all_of_them: Any = SimpleNamespace(collect=lambda: _collected([*found, ("", counts)]))
    return generate_latest(all_of_them)


@question
def families() -> tuple[str, list[Family]]:
    """The name of this process, and its metrics."""
    return f"{socket.gethostname()}:{os.getpid()}", list(_families())


def _collected(processes: Iterable[tuple[str, Iterable[Family]]]) -> Iterator[Metric]:
    """The metrics of some processes, with their names as a label if they have names."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # imported here: it is optional

    found: dict[str, Any] = {}
    for process, families_of in processes:
        for name, text, label, values in families_of:
            if (family := found.get(name)) is None:
                kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                labels = [each for each in (label, process and "process") if each]
                family = found[name] = kind(name.removesuffix("_total"), text, labels=labels)
            for value_of_label, value in values.items():
                family.add_metric([each for each in (label and value_of_label, process) if each], value)
    yield from found.values()


def _families() -> Iterator[Family]:
    yield "eventcast_info", "The version of eventcast.", "version", {eventcast.__version__: 1}
    for name, text, value in _numbers():
        yield f"eventcast_{name}", text, "", {"": value}
    codes = dict.fromkeys(sorted(kind.code for kind in Refused.kinds()), 0.0) | refusals.counts()
    yield "eventcast_refused_total", "Refused requests and subscribers.", "code", codes
    limits = {setting: float(getattr(conf, setting)) for setting in LIMITS}
    yield "eventcast_limit", "Limits in the settings; 0 is no limit.", "setting", limits


def _numbers() -> Iterator[tuple[str, str, float]]:
    total = presence.totals()
    yield "channels", "Channels with subscribers of their own.", total.channels
    yield "patterns", "Patterns with subscribers.", len(presence.live_patterns())
    yield "subscribers", "Live connections of subscribers.", total.subscribers
    yield "published_total", "Messages published in this process, with or without subscribers.", sending.published.value
    text = "Messages broadcast here, once for each channel or pattern with subscribers."
    yield "messages_total", text, total.figures.messages
    yield "deliveries_total", "Messages times the subscribers that got them.", total.figures.delivered
    yield "lost_total", "Messages times the subscribers that did not get them.", total.figures.lost
    layer, bus = get_layer(), None
    if isinstance(layer, ClusterLayer):
        layer, bus = layer.local, layer
    text = "1 while this process cannot reach the others."
    yield "bus_degraded", text, 0 if bus is None else bus.degraded
    text = "Seconds that the last heartbeat took to come back by the bus between processes; 0 if it does not."
    yield "bus_lag_seconds", text, 0 if bus is None else bus.lag
    text = "Messages of other processes that this process has lost."
    yield "bus_lost_total", text, 0 if bus is None else sum(bus.losses.values())
    if isinstance(layer, InMemoryChannelLayer):
        statistics = layer.statistics()
        yield "layer_sent_total", "Messages put in a channel of the layer.", statistics.sent
        yield "layer_dropped_total", "Messages of groups that full channels of the layer dropped.", statistics.dropped
        yield "layer_refused_total", "Messages that full channels of the layer refused.", statistics.refused
        yield "layer_expired_total", "Messages that expired unread in the layer.", statistics.expired
