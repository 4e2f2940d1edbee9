"""What a benchmark has found: as figures, as text for people, as JSON for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eventcast.bench.latencies import Latencies
from eventcast.bench.options import Options

COARSE = 0.5
"""Seconds of the server's CPU time, counted in ticks of 10 ms, below which the figures per delivery are rough."""

MANY = 20
"""Subscribers whose memory shows among what else a server does with its own."""


@dataclass(frozen=True)
class Connecting:
    """What it took to connect subscribers."""

    count: int
    seconds: float
    server_cpu: float | None
    """Seconds; None if the server can't be seen."""
    server_memory: int | None
    """Bytes that came to the server's."""

    def as_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {
            "connections": self.count,
            "seconds": round(self.seconds, 3),
            "server_cpu_us_per_connection": _per(self.server_cpu, self.count, 1e6),
            "server_memory_bytes_per_connection": _per(self.server_memory, self.count, 1.0),
        }


@dataclass(frozen=True)
class Measurement:
    """What it took to publish messages, and what became of them."""

    options: Options
    seconds: float
    """From the first publish to the last delivery."""
    published: int
    """Messages the server has accepted."""
    refused: int
    """Messages it has not, or that were not even sent because everything had come to a stop."""
    complaint: str
    """What the server said to the first that it refused."""
    deliveries: int
    expected: int
    """Deliveries of the messages that were sent and not refused, had nothing been lost."""
    broken: int
    """Frames that were no message of this run."""
    out_of_order: int
    """Messages that came twice, or after a later one of the same publisher."""
    disconnected: int
    """Subscribers that the server has disconnected."""
    latencies: Latencies
    own_cpu: float
    """Seconds of CPU time of the benchmark itself."""
    server_cpu: float | None
    """Seconds; None if the server can't be seen."""
    server_memory: int | None
    """Bytes at the end."""

    @property
    def lost(self) -> int:
        """Deliveries that did not happen."""
        return max(0, self.expected - self.deliveries)

    @property
    def problems(self) -> list[str]:
        """What went wrong, in words; empty if every message came to everybody once, whole and in order."""
        said = self.complaint.partition("\n")[0].strip()
        found = {
            "deliveries lost": self.lost,
            "frames broken": self.broken,
            "messages twice or out of order": self.out_of_order,
            "subscribers disconnected": self.disconnected,
            f"messages not published{f' ({said})' if said else ''}": self.refused,
        }
        return [f"{count} {what}" for what, count in found.items() if count]

    def as_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {
            "seconds": round(self.seconds, 4),
            "published": self.published,
            "deliveries": self.deliveries,
            "expected": self.expected,
            "deliveries_per_second": _per(self.deliveries, self.seconds, 1.0),
            "publishes_per_second": _per(self.published, self.seconds, 1.0),
            "latency_p50_ms": self.latencies.percentile(50),
            "latency_p99_ms": self.latencies.percentile(99),
            "latency_max_ms": self.latencies.longest / 1e3,
            "server_cpu_us_per_delivery": _per(self.server_cpu, self.deliveries, 1e6),
            "server_cpu_us_per_publish": _per(self.server_cpu, self.published, 1e6),
            "server_memory_bytes": self.server_memory,
            "own_cpu_us_per_delivery": _per(self.own_cpu, self.deliveries, 1e6),
            "lost": self.lost,
            "broken": self.broken,
            "out_of_order": self.out_of_order,
            "disconnected": self.disconnected,
            "refused": self.refused,
        }


@dataclass(frozen=True)
class Report:
    """All that one benchmark has found."""

    url: str
    path: str
    options: Options
    connecting: Connecting
    result: Measurement
    beside_idle: Measurement | None = None
    """The same again, beside ``idle_channels`` and ``idle_patterns``."""

    @property
    def problems(self) -> list[str]:
        """What went wrong, in words."""
        return self.result.problems + (self.beside_idle.problems if self.beside_idle else [])

    @property
    def growth(self) -> float | None:
        """The server's CPU time for a publish beside the idle subscribers, by that without them."""
        if self.beside_idle is None or not self.result.server_cpu or self.beside_idle.server_cpu is None:
            return None
        alone, beside = (it.server_cpu or 0.0 for it in (self.result, self.beside_idle))
        return beside / max(1, self.beside_idle.published) / (alone / max(1, self.result.published))

    def as_json(self) -> dict[str, Any]:
        """The figures by name; None where there is no figure."""
        options = self.options
        return {
            "url": self.url,
            "path": self.path,
            "subscribers": options.subscribers,
            "channels": options.channels,
            "size": options.size,
            "publishers": options.publishers,
            "messages": options.messages,
            "in_flight": options.in_flight,
            "connecting": self.connecting.as_json(),
            **self.result.as_json(),
            "idle_channels": options.idle_channels,
            "idle_patterns": options.idle_patterns,
            "beside_idle": self.beside_idle and self.beside_idle.as_json(),
            "cpu_growth": self.growth and round(self.growth, 3),
        }

    def as_text(self) -> str:
        """The figures in lines."""
        options, connecting = self.options, self.connecting
        lines = [
            f"{options.subscribers:,} subscribers on {options.channels:,} channel{'s' * (options.channels > 1)}, "
            f"{options.messages:,} messages of {options.size:,} bytes from {options.publishers:,} "
            f"publisher{'s' * (options.publishers > 1)}, {options.in_flight:,} in flight, to {self.url}{self.path}",
            "",
            f"  connecting   {connecting.seconds:.1f} s{_cpu(connecting.server_cpu, connecting.count, 'connection')}",
            *_lines(self.result),
        ]
        if connecting.server_memory is not None and connecting.count >= MANY:
            each = connecting.server_memory / connecting.count / 1024
            lines.append(f"  memory       {each:.1f} KiB a subscriber; the server has {_mib(self.result)} now")
        if self.beside_idle is not None:
            idle = {"channels": options.idle_channels, "patterns": options.idle_patterns}
            others = " and ".join(f"{count:,} other {what}" for what, count in idle.items() if count)
            lines += ["", f"The same beside {others} with a subscriber each:", ""]
            lines += _lines(self.beside_idle)
            if self.growth is not None:
                lines += [f"  growth       {self.growth:.2f} times the server's CPU time for a publish"]
        return "\n".join(lines)


def _lines(it: Measurement) -> list[str]:
    rate, publishes = _per(it.deliveries, it.seconds, 1.0) or 0, _per(it.published, it.seconds, 1.0) or 0
    middle, high = it.latencies.percentile(50), it.latencies.percentile(99)
    server = "not to be seen from here; --pid tells which process it is"
    if it.server_cpu is not None:
        server = f"{_cpu(it.server_cpu, it.deliveries, 'delivery')}{_cpu(it.server_cpu, it.published, 'publish')}"[2:]
        if it.server_cpu < COARSE:
            server += f" (rough: it took {it.server_cpu:.2f} s in all; more --messages help)"
    own = _cpu(it.own_cpu, it.deliveries, "delivery")[2:]
    if it.server_cpu is not None and it.own_cpu > it.server_cpu:
        own += " (more than the server's: this benchmark may be what limits the rate)"
    return [
        f"  deliveries   {it.deliveries:,} in {it.seconds:.2f} s: {rate:,.0f} a second, of {publishes:,.0f} publishes",
        f"  latency      p50 {middle:.2f} ms, p99 {high:.2f} ms, max {it.latencies.longest / 1e3:.2f} ms",
        f"  server       {server}",
        f"  benchmark    {own}",
        f"  losses       {', '.join(it.problems) or 'none'}",
    ]


def _per(amount: float | None, count: float, scale: float) -> float | None:
    return None if amount is None or not count else round(amount * scale / count, 2)


def _cpu(seconds: float | None, count: int, what: str) -> str:
    each = _per(seconds, count, 1e6)
    return "" if each is None else f", {each:,.1f} µs CPU a {what}"


def _mib(it: Measurement) -> str:
    return f"{(it.server_memory or 0) / 1024 / 1024:.0f} MiB"
