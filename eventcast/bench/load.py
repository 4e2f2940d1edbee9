"""A benchmark under way: subscribers connect, publishers publish, and what that took is put together."""

from __future__ import annotations

import array
import os
import select
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from eventcast.bench.exceptions import BenchError
from eventcast.bench.latencies import Latencies
from eventcast.bench.options import Options
from eventcast.bench.process import Server, raise_open_files
from eventcast.bench.publishers import Publishers
from eventcast.bench.report import Connecting, Measurement
from eventcast.bench.shared import CONNECTED, DELIVERED, Shared
from eventcast.bench.target import Target
from eventcast.bench.workers import Worker

SPARE_FILES = 100
"""Open files of a process that are no connections."""

SETTLE = 0.3
"""Seconds to wait after connecting for the server's memory, and after publishing for what should not come."""

TICK = 0.2
"""Seconds between two looks at the progress."""


class Load:
    """The processes and connections of a benchmark; to be closed.

    :param server: the server's processes, None if they can't be seen.
    :param progress: called with a line of text now and then, None if nobody wants to see it.
    :raises BenchError: the options are no good, or there are too few open files for them.
    """

    def __init__(
        self, options: Options, target: Target, server: Server | None, progress: Callable[[str], object] | None = None
    ) -> None:
        options.check()
        self._options = options
        self._server = server
        self._progress = progress
        self._shown = 0.0
        self._begun = time.monotonic()
        self._connections = 0
        self._published = 0
        # By message that is in flight: how many workers hold subscribers that have not got it.
        self._in_flight: dict[int, int] = {}
        self._answers: list[dict[str, Any]] = []
        self._gone = 0
        limit = raise_open_files() - SPARE_FILES
        if limit < options.publishers:
            raise BenchError(
                f"{options.publishers} publishers need more open files than this process may have: ulimit -n"
            )
        count = max(options.processes or 1, -(-options.connections // limit))
        messages = options.messages * (2 if options.idle else 1)
        # By channel: its subscribers, and the workers that hold them.
        self._audience = Counter(index % options.channels for index in range(options.subscribers))
        pairs = {(index % options.channels, index % count) for index in range(options.subscribers)}
        self._holders = Counter(channel for channel, _ in pairs)
        self._shared = Shared.create(messages, count)
        self._epoll = select.epoll()
        self._publishers = Publishers(self._epoll, target, options.size, options.channels)
        self._workers: dict[int, Worker] = {}
        config = {
            "family": int(target.family), "address": target.address, "host": target.host, "path": target.path,
            "subscribe": target.subscribe, "idle_channels": options.idle_channels,
            "workers": count, "messages": messages, "channels": options.channels, "size": options.size,
            "in_flight": options.in_flight,
        }  # fmt: skip
        try:
            self._publishers.connect(options.publishers)
            for index in range(count):
                worker = Worker(config, index, self._shared.descriptor, self._epoll)
                self._workers[worker.descriptor] = worker
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and the connections."""
        self._publishers.close()
        for worker in self._workers.values():
            worker.stop()
        self._epoll.close()
        os.close(self._shared.descriptor)

    def connect(self, count: int, *, idle: bool = False) -> Connecting:
        """Have so many more subscribers connect; ``idle`` ones listen to a channel or a pattern of their own
        each.

        :raises BenchError: one of them could not.
        """
        memory, cpu = self._resources()
        begun = time.monotonic()
        first, self._connections = self._connections, self._connections + count
        self._tell("connect", first=first, last=self._connections, idle=idle)
        while len(self._answers) < len(self._workers):
            self._turn("connecting: {} of {}", CONNECTED, self._connections)
            for answer in self._answers:
                if "failed" in answer:
                    connected = self._shared.total(CONNECTED) - first
                    raise BenchError(f"{connected} of {count} subscribers could connect, then: {answer['failed']}")
        self._answers.clear()
        seconds = time.monotonic() - begun
        _, cpu_then = self._resources()
        time.sleep(SETTLE)
        memory_then, _ = self._resources()
        if self._server is None:
            return Connecting(count, seconds, None, None)
        return Connecting(count, seconds, cpu_then - cpu, memory_then - memory)

    def measure(self) -> Measurement:
        """Publish all messages, and wait until they have been delivered or nothing comes any more.

        :raises BenchError: the server accepts none, or it is gone.
        """
        self._collect()
        # New connections: servers close those that were idle while thousands of subscribers connected.
        self._publishers.close()
        self._publishers.connect(self._options.publishers)
        first, accepted, refused = self._published, self._publishers.accepted, len(self._publishers.refused)
        before = self._shared.total(DELIVERED)
        _, cpu = self._resources()
        own = time.process_time()
        self._publish(first + self._options.messages, before)
        own = time.process_time() - own
        memory, cpu_then = self._resources()
        time.sleep(SETTLE)  # What comes now is one too many.
        found = self._collect()
        failed = self._publishers.refused[refused:]
        numbers = Counter(number % self._options.channels for number in range(first, self._published))
        numbers.subtract(Counter(number % self._options.channels for number in failed))
        latencies = Latencies()
        for answer in found:
            latencies.merge(
                Latencies({int(key): value for key, value in answer["latencies"].items()}, answer["longest"])
            )
        return Measurement(
            options=self._options,
            seconds=max(0.0, max(answer["last"] for answer in found) - self._shared.sent[first]),
            published=self._publishers.accepted - accepted,
            refused=len(failed) + self._options.messages - (self._published - first),
            complaint=self._publishers.complaint,
            deliveries=sum(answer["deliveries"] for answer in found),
            expected=sum(count * self._audience[channel] for channel, count in numbers.items()),
            broken=sum(answer["broken"] for answer in found),
            out_of_order=sum(answer["out_of_order"] for answer in found),
            disconnected=sum(answer["disconnected"] for answer in found),
            latencies=latencies,
            own_cpu=own + sum(answer["cpu"] for answer in found),
            server_cpu=None if self._server is None else cpu_then - cpu,
            server_memory=None if self._server is None else memory,
        )

    def _publish(self, end: int, before: int) -> None:
        publishers, in_flight, sent = self._publishers, self._in_flight, self._shared.sent
        expected = before + sum(
            self._audience[number % self._options.channels] for number in range(self._published, end)
        )
        in_flight.clear()
        self._begun = moved = time.monotonic()
        delivered = before
        while (self._published < end or in_flight or publishers.busy) and self._gone < len(self._workers):
            while self._published < end and len(in_flight) < self._options.in_flight and publishers.free:
                number, self._published = self._published, self._published + 1
                publisher = publishers.free.popleft()
                in_flight[number] = self._holders[number % self._options.channels]
                self._shared.publisher[number] = publisher.index
                sent[number] = time.monotonic()
                publishers.publish(publisher, number)
            if self._turn("publishing: {} of {} deliveries", DELIVERED, expected):
                moved = time.monotonic()
            elif time.monotonic() - moved > self._options.timeout:
                now = self._shared.total(DELIVERED)
                if now == delivered:
                    break
                delivered, moved = now, time.monotonic()

    def _turn(self, progress: str, counter: int, expected: int) -> bool:
        """Wait for something to happen and act on it; False if nothing has."""
        events = self._epoll.poll(TICK, 64)
        for descriptor, _ in events:
            if descriptor in self._workers:
                self._hear(self._workers[descriptor])
            elif descriptor in self._publishers:
                for number in self._publishers.handle(descriptor):
                    self._in_flight.pop(number, None)
        if self._progress is not None and time.monotonic() - self._shown > TICK:
            self._shown = time.monotonic()
            self._progress(progress.format(self._shared.total(counter), expected))
        return bool(events)

    def _hear(self, worker: Worker) -> None:
        heard = worker.hear()
        if isinstance(heard, array.array):
            for number in heard:
                left = self._in_flight.get(number, 0) - 1
                if left > 0:
                    self._in_flight[number] = left
                else:
                    self._in_flight.pop(number, None)
        elif "gone" in heard:
            self._gone += 1
        else:
            self._answers.append(heard)

    def _collect(self) -> list[dict[str, Any]]:
        """What each worker has counted since the last time."""
        self._answers.clear()
        self._tell("report")
        while len(self._answers) < len(self._workers):
            self._turn("counting", DELIVERED, 0)
        found = list(self._answers)
        self._answers.clear()
        return found

    def _tell(self, do: str, **arguments: Any) -> None:
        for worker in self._workers.values():
            worker.tell(do, **arguments)

    def _resources(self) -> tuple[int, float]:
        """The server's memory and CPU time so far; 0 if it can't be seen."""
        return (0, 0.0) if self._server is None else (self._server.memory(), self._server.cpu())
