"""Metrics of this process for Prometheus: ``GET <mount>/-/metrics``, or :class:`Collector` in a site's own registry.

docs/metrics.md explains each metric. The package prometheus_client is needed: ``eventcast[metrics]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import eventcast
from eventcast.conf import SETTINGS, conf
from eventcast.engine import presence, sending
from eventcast.exceptions import MetricsUnavailable, Refused
from eventcast.layers import InMemoryChannelLayer, get_layer
from eventcast.security import refusals

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format, in the version that all its readers support."""

LIMITS = [*sorted(name for name in SETTINGS if name.startswith("MAX_")), "PUBLISH_BURST", "PUBLISH_RATE"]
"""The settings in the metric ``eventcast_limit``."""


class Collector:
    """All metrics, for a site with metrics of its own: ``prometheus_client.REGISTRY.register(Collector())``."""

    def collect(self) -> Iterable[Metric]:
        """The current value of each metric."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # imported here: it is optional

        info = GaugeMetricFamily("eventcast_info", "The version of eventcast.", labels=["version"])
        info.add_metric([eventcast.__version__], 1)
        yield info
        for name, text, value in _gauges():
            yield GaugeMetricFamily(f"eventcast_{name}", text, value)
        for name, text, value in _counters():
            yield CounterMetricFamily(f"eventcast_{name}", text, value)
        refused = CounterMetricFamily("eventcast_refused", "Refused requests and subscribers.", labels=["code"])
        for code, count in sorted((dict.fromkeys(_codes(Refused), 0) | refusals.counts()).items()):
            refused.add_metric([code], count)
        yield refused
        limit = GaugeMetricFamily("eventcast_limit", "Limits in the settings; 0 is no limit.", labels=["setting"])
        for setting in LIMITS:
            limit.add_metric([setting], getattr(conf, setting))
        yield limit


def render() -> bytes:
    """All metrics in Prometheus' text format.

    :raises MetricsUnavailable: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # imported here: it is optional
    except ImportError:
        raise MetricsUnavailable("Install prometheus_client: pip install 'eventcast[metrics]'.") from None
    registry = CollectorRegistry()
    registry.register(Collector())
    return generate_latest(registry)


def _gauges() -> Iterator[tuple[str, str, float]]:
    total = presence.totals()
    yield "channels", "Channels with subscribers of their own.", total.channels
    yield "patterns", "Patterns with subscribers.", len(presence.live_patterns())
    yield "subscribers", "Live connections of subscribers.", total.subscribers


def _counters() -> Iterator[tuple[str, str, float]]:
    yield "published", "Messages published in this process, with or without subscribers.", sending.published.value
    figures = presence.totals().figures
    yield "messages", "Messages broadcast here, once for each channel or pattern with subscribers.", figures.messages
    yield "deliveries", "Messages times the subscribers that got them.", figures.delivered
    yield "lost", "Messages times the subscribers that were too slow for them.", figures.lost
    layer = get_layer()
    if isinstance(layer, InMemoryChannelLayer):
        statistics = layer.statistics()
        yield "layer_sent", "Messages put in a channel of the layer.", statistics.sent
        yield "layer_dropped", "Messages of groups that full channels of the layer dropped.", statistics.dropped
        yield "layer_refused", "Messages that full channels of the layer refused.", statistics.refused
        yield "layer_expired", "Messages that expired unread in the layer.", statistics.expired


def _codes(base: type[Refused]) -> Iterator[str]:
    for kind in base.__subclasses__():
        yield kind.code
        yield from _codes(kind)
