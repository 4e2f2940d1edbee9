"""The figures of this process for Prometheus: ``GET <mount>/-/metrics``, or :class:`Collector` in a registry of a site.

What each figure means stands in docs/metrics.md. It needs the package prometheus_client, ``eventcast[metrics]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import eventcast
from eventcast.conf import Conf, conf
from eventcast.engine import presence, publishing
from eventcast.exceptions import MetricsUnavailable, Refused
from eventcast.layers import InMemoryChannelLayer, get_layer
from eventcast.security import refusals

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format, of the version that everything reads."""

LIMITS = [*sorted(name for name in vars(Conf) if name.startswith("MAX_")), "PUBLISH_BURST", "PUBLISH_RATE"]
"""The settings told as ``eventcast_limit``."""


class Collector:
    """For ``prometheus_client.REGISTRY.register(Collector())`` in a site that has metrics of its own."""

    def collect(self) -> Iterable[Metric]:
        """All figures, as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # optional: only who asks needs it

        info = GaugeMetricFamily("eventcast_info", "The version of eventcast.", labels=["version"])
        info.add_metric([eventcast.__version__], 1)
        yield info
        for name, text, value in _gauges():
            yield GaugeMetricFamily(f"eventcast_{name}", text, value)
        for name, text, value in _counters():
            yield CounterMetricFamily(f"eventcast_{name}", text, value)
        refused = CounterMetricFamily("eventcast_refused", "Requests and subscribers turned down.", labels=["code"])
        for code, count in sorted((dict.fromkeys(_codes(Refused), 0) | refusals.counts()).items()):
            refused.add_metric([code], count)
        yield refused
        limit = GaugeMetricFamily("eventcast_limit", "Limits of the settings; 0 is none.", labels=["setting"])
        for setting in LIMITS:
            limit.add_metric([setting], getattr(conf, setting))
        yield limit


def render() -> bytes:
    """All figures in Prometheus' text format.

    :raises MetricsUnavailable: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # optional: only who asks needs it
    except ImportError:
        raise MetricsUnavailable("Install prometheus_client: pip install 'eventcast[metrics]'.") from None
    registry = CollectorRegistry()
    registry.register(Collector())
    return generate_latest(registry)


def _gauges() -> Iterator[tuple[str, str, float]]:
    total = presence.totals()
    yield "channels", "Channels that have subscribers of their own.", total.channels
    yield "patterns", "Patterns that somebody listens by.", len(presence.live_patterns())
    yield "subscribers", "Live connections that listen.", total.subscribers


def _counters() -> Iterator[tuple[str, str, float]]:
    yield (
        "published",
        "Messages published in this process, whether or not somebody listens.",
        publishing.published.value,
    )
    figures = presence.totals().figures
    yield "messages", "Messages broadcast here, once for each channel or pattern that hears them.", figures.messages
    yield "deliveries", "Messages times subscribers they were handed to.", figures.delivered
    yield "lost", "Messages times subscribers who were too slow for them.", figures.lost
    layer = get_layer()
    if isinstance(layer, InMemoryChannelLayer):
        statistics = layer.statistics()
        yield "layer_sent", "Messages put in a channel of the layer.", statistics.sent
        yield "layer_dropped", "Messages for a group that a full channel of the layer lost.", statistics.dropped
        yield "layer_refused", "Messages that a full channel of the layer refused.", statistics.refused
        yield "layer_expired", "Messages that nobody read in time from the layer.", statistics.expired


def _codes(base: type[Refused]) -> Iterator[str]:
    for kind in base.__subclasses__():
        yield kind.code
        yield from _codes(kind)
