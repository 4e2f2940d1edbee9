"""``python -m tests.benchmarks``: connect subscribers, publish, and print what that cost the server."""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.benchmarks.processes import Processes
from tests.benchmarks.protocols import EventStream, WebSocket
from tests.benchmarks.publishers import Channel, publish
from tests.benchmarks.subscribers import Subscribers
from tests.benchmarks.tapes import DIGITS, Tape, payload
from tests.live.servers import serve

SETTLE = 0.3
"""Seconds after which the server has freed what it needed to connect, and after which no delivery is on its way."""

PUBLISHERS = 8
"""Connections that publish to channels without subscribers."""

MOST_PROBLEMS = 20
"""Problems that are printed."""

Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a message did not arrive whole, once and in order."""
    parser = argument_parser()
    options = parser.parse_args(arguments)
    if options.size < DIGITS:
        parser.error(f"--size is at least {DIGITS}: a message carries its number.")
    if not 1 <= options.channels <= options.subscribers or min(options.messages, options.publishers) < 1:
        parser.error("There is at least one message, one publisher, one channel, and one subscriber of each channel.")
    if options.streams and options.publishers > 1:
        parser.error("--streams are measured with one publisher: the chunks of a stream may hold several messages.")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = own_server() if options.url is None else contextlib.nullcontext((options.url, options.pid))
    try:
        with server as (url, pids):
            figures = Benchmark(options, url, pids).run()
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(figures) if options.json else as_text(figures))
    return 1 if figures["problems"] else 0


def argument_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    add = parser.add_argument
    add("--url", help="a running server, such as http://127.0.0.1:8000 (default: start `manage.py eventcast serve`)")
    add("--pid", type=int, action="append", default=[], help="a process of the server at --url, for its CPU time")
    add("--path", default="/bench", help="the channel (default: %(default)s)")
    add("--streams", action="store_true", help="subscribe with Server-Sent Events in place of WebSockets")
    counts = [
        ("--subscribers", 1000, "subscribers (default: %(default)s)"),
        ("--channels", 1, "spread subscribers and messages over PATH/0, PATH/1 … (default: %(default)s)"),
        ("--messages", 300, "messages to the subscribers (default: %(default)s)"),
        ("--size", 100, "bytes of a message (default: %(default)s)"),
        ("--publishers", 1, "connections that publish these messages (default: %(default)s)"),
        ("--publishes", 2000, "messages on 8 connections to channels without subscribers (default: %(default)s)"),
        ("--idle-channels", 0, "measure again beside so many channels with one idle subscriber each"),
        ("--idle-patterns", 0, "measure again beside so many idle subscribers with a pattern each"),
    ]
    for name, default, text in counts:
        add(name, type=int, default=default, metavar="N", help=text)
    add("--idle", type=float, default=0, metavar="S", help="measure the cost of idle subscribers for so many seconds")
    add("--timeout", type=float, default=10, metavar="S", help="give up after so long without a delivery")
    add("--json", action="store_true", help="print the figures as one JSON object")
    return parser


@contextlib.contextmanager
def own_server() -> Iterator[tuple[str, list[int]]]:
    """``manage.py eventcast serve`` on a free port, with default settings."""
    with tempfile.TemporaryDirectory() as folder:
        server = serve(Path(folder) / "server.log")
        try:
            yield server.url, [server.pid]
        finally:
            server.stop()


class Benchmark:
    """One run against a server.

    :param pids: the server's processes; without them there are no figures about CPU time and memory.
    """

    def __init__(self, options: argparse.Namespace, url: str, pids: list[int]) -> None:
        self._options = options
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._processes = Processes(pids) if pids else None
        self._subscription = EventStream() if options.streams else WebSocket()
        self._path = quote(options.path, safe="/%")

    def run(self) -> Figures:
        """Measure everything that the options name."""
        options = self._options
        figures: Figures = {}
        with Subscribers(self._subscription, self._address, options.timeout) as subscribers:
            # A server loads some of its code with the first requests.
            subscribers.subscribe([(f"{self._path}-first", Tape())])
            self._publish_alone(subscribers, 10)
            channels = self._channels()
            figures["connecting"] = self._connect(subscribers, channels)
            if options.idle:
                cost = self._measure(lambda: subscribers.run(options.idle))
                figures["idle"] = cost.per("connection_second", options.subscribers * options.idle)
            figures["fan_out"] = self._fan_out(subscribers, channels, 0)
            if options.idle_channels or options.idle_patterns:
                subscribers.subscribe([(target, Tape()) for target in self._idle_targets()])
                figures["fan_out_beside_idle"] = self._fan_out(subscribers, channels, options.messages)
            if options.publishes:
                # The subscribers stay: a server that is closing their connections would be slower.
                cost = self._measure(lambda: self._publish_alone(subscribers, options.publishes))
                figures["publishing"] = cost.per("publish", options.publishes)
        return figures | {"problems": subscribers.problems}

    def _channels(self) -> list[Channel]:
        path, count, subscribers = self._path, self._options.channels, self._options.subscribers
        targets = [path] if count == 1 else [f"{path}/{number}" for number in range(count)]
        return [Channel(target, len(range(number, subscribers, count))) for number, target in enumerate(targets)]

    def _idle_targets(self) -> Iterator[str]:
        for number in range(self._options.idle_channels):
            yield f"{self._path}-idle/{number}"
        for number in range(self._options.idle_patterns):
            pattern = f"{self._options.path}-idle/<x>/{number}"
            yield f"{self._path.rpartition('/')[0]}/-/subscribe?pattern={quote(pattern)}"

    def _connect(self, subscribers: Subscribers, channels: list[Channel]) -> Figures:
        before = self._processes.memory() if self._processes else 0
        targets = [(channel.target, channel.tape) for channel in channels for _ in range(channel.subscribers)]
        cost = self._measure(lambda: subscribers.subscribe(targets))
        subscribers.run(SETTLE)
        figures = cost.per("connection", len(targets))
        if self._processes:
            figures["memory_kib_per_connection"] = (self._processes.memory() - before) / 1024 / len(targets)
        return figures

    def _fan_out(self, subscribers: Subscribers, channels: list[Channel], first: int) -> Figures:
        """Publish to all subscribers, and check what they have got; ``first`` is the number of the first message."""
        options = self._options
        numbers = range(first, first + options.messages)
        for channel in channels:
            channel.published.clear()
        subscribers.rewind(len(self._frame(first)))
        generator = time.process_time()
        cost = self._measure(lambda: publish(subscribers, channels, numbers, options.size, options.publishers))
        generator = time.process_time() - generator
        subscribers.run(SETTLE)
        if missing := subscribers.missing():
            subscribers.problems.append(f"{missing} deliveries are lost.")
        for channel in channels:
            for fault in channel.tape.faults(channel.published, self._frame):
                subscribers.problems.append(f"{channel.target}: {fault}.")
        deliveries = sum(len(channel.published) * channel.subscribers for channel in channels)
        return cost.per("delivery", deliveries) | {"generator_us_per_delivery": generator / deliveries * 1e6}

    def _publish_alone(self, subscribers: Subscribers, count: int) -> None:
        """Publish on channels without subscribers."""
        channels = [Channel(f"{self._path}-quiet/{number}") for number in range(PUBLISHERS)]
        publish(subscribers, channels, range(count), self._options.size, PUBLISHERS)

    def _frame(self, number: int) -> bytes:
        return self._subscription.frame(payload(number, self._options.size))

    def _measure(self, work: Callable[[], object]) -> Cost:
        begun, cpu = time.monotonic(), self._processes.cpu() if self._processes else None
        work()
        used = self._processes.cpu() - cpu if self._processes and cpu is not None else None
        return Cost(time.monotonic() - begun, used)


@dataclass(frozen=True)
class Cost:
    """What some work took: seconds, and seconds of the server's CPU time if that is known."""

    seconds: float
    cpu: float | None

    def per(self, unit: str, count: float) -> Figures:
        """The cost of one of ``count`` units."""
        figures: Figures = {"count": count, "per_second": count / self.seconds}
        return figures if self.cpu is None else figures | {f"server_us_per_{unit}": self.cpu / count * 1e6}


def as_text(figures: Figures) -> str:
    """The figures as a table."""
    lines = []
    for name, values in figures.items():
        if name != "problems":
            texts = [f"{key.replace('_', ' ')} {value:,.1f}" for key, value in values.items()]
            lines.append(f"{name.replace('_', ' ')}: {', '.join(texts)}")
    return "\n".join([*lines, *(figures["problems"][:MOST_PROBLEMS] or ["Every message came to every subscriber."])])


if __name__ == "__main__":
    sys.exit(main())
