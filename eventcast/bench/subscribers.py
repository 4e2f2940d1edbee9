"""The subscribers, in a process of their own: ``python -m eventcast.bench.subscribers CONFIG``.

One epoll loop that reads what is there and has it checked, answers pings, and tells the command which messages all of
its subscribers have got. They talk in packets over a socket: commands and answers in JSON, message numbers as integers.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from eventcast.bench.audience import Audience
from eventcast.bench.deliveries import Deliveries
from eventcast.bench.handshakes import WINDOW, Handshakes, Refused, explain
from eventcast.bench.pacing import Pacing
from eventcast.bench.shared import CONNECTED, DELIVERED, NUMBERS, Shared
from eventcast.bench.tapes import Contents, Tape

READ = 64 * 1024
"""Bytes to read at most at a time."""

EVENTS = 64
"""Sockets to read from between two looks at the clock: at some 6 µs each, a delivery's time is right to 0.4 ms."""

PAUSE = 0.00025
"""Seconds to let deliveries gather while many are due. To wake up for each would cost the server the wake-up and this
process a turn of its loop; subscribers elsewhere would cost neither."""

MANY = 64
"""Deliveries due that make a pause worth while."""

STALLED = 30.0
"""Seconds without any progress after which those who still connect are given up."""

PACKET = 256
"""Message numbers in one packet."""


class Subscribers:
    """A worker's share of the subscribers.

    :param config: what ``load.Load`` says. :param control: the socket to the command.
    """

    def __init__(self, config: dict[str, Any], control: socket.socket) -> None:
        self._config = config
        self._control = control
        shared = Shared(config["memory"], config["messages"], config["workers"])
        self._counters = shared.counters(config["worker"])
        contents = Contents(config["size"], config["channels"], shared)
        self._length = contents.length
        self._read_size = min(READ, max(4096, (config["in_flight"] // contents.channels + 1) * contents.length + 512))
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._handshakes = Handshakes(self._epoll, config["family"], tuple(config["address"]), config["host"])
        self._audience = Audience(contents, self._hang_up, self._pong)
        self._audience.make_room(control.fileno())
        self._deliveries = Deliveries(self._audience.tapes, shared)
        self._pacing: Pacing | None = None
        if Pacing.is_possible(contents.channels, config["in_flight"], contents.length):
            self._pacing = Pacing(self._audience.tapes[0], contents.length, shared)
        self._waiting: Iterator[tuple[int, str, Tape]] | None = None
        self._joining: dict[int, Tape] = {}
        self._progress = 0.0
        self._running = True
        self._cpu = 0.0
        self._wrong = [0, 0, 0]

    def run(self) -> None:
        """Work until the command hangs up."""
        while self._running:
            events = self._epoll.poll(1, EVENTS)
            if self._pacing is not None:
                events = self._pace(self._pacing, events)
            self._read(events)
            if self._deliveries.due >= MANY:
                time.sleep(PAUSE)
            if self._waiting is not None:
                self._connect()

    def _read(self, events: Iterable[tuple[int, int]]) -> None:
        """Read all there is to be read, and count the messages in it."""
        read, size, length = os.read, self._read_size, self._length
        positions, tape_of, seen = self._audience.positions, self._audience.tape_of, self._audience.seen
        # What was read last, where on which tape that was, where it ended and which messages ended in it. Most others
        # read the same at the same place.
        last, begin, on, end, numbers = b"", -1, self._audience.nobody, -1, [0]
        for descriptor, _ in events:
            try:
                data = read(descriptor, size)
                if data == last and positions[descriptor] == begin and tape_of[descriptor] is on:
                    positions[descriptor] = end
                    seen += numbers
                    continue
                while True:
                    tape, position = tape_of[descriptor], positions[descriptor]
                    if data and tape.data.startswith(data, position - tape.base):
                        last, begin, on, end = data, position, tape, position + len(data)
                        numbers = tape.order[begin // length : end // length]
                        positions[descriptor] = end
                        seen += numbers
                    else:
                        self._take(descriptor, data)
                    if len(data) < size:
                        break
                    # There may be more, of which the epoll would not tell again: it is edge-triggered.
                    last = b""
                    data = read(descriptor, size)
            except OSError as error:
                self._failed(descriptor, error)
        if seen:
            self._count()

    def _pace(self, pacing: Pacing, events: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Note the messages that have come and are not read now; returns the other events."""
        now = time.monotonic()
        if pacing.look(now):
            self._deliveries.noticed = pacing.number
        if not pacing.leaves_unread:
            return events
        tape, tape_of, coming = pacing.tape, self._audience.tape_of, select.EPOLLIN
        others = [event for event in events if event[1] != coming or tape_of[event[0]] is not tape]
        count = len(events) - len(others)
        if count and self._deliveries.notice(pacing.number, count, now):
            self._tell([pacing.number])
        return others

    def _take(self, descriptor: int, data: bytes) -> None:
        if descriptor == self._control.fileno():
            self._obey(data)
        elif descriptor in self._handshakes:
            self._progress = time.monotonic()
            try:
                rest = self._handshakes.answered(descriptor, data)
            except Refused as refusal:
                self._give_up(str(refusal))
                return
            if rest is not None:
                self._counters[CONNECTED] += 1
                self._audience.join(descriptor, self._joining.pop(descriptor))
                if rest:
                    self._audience.take(descriptor, rest)
        else:
            self._audience.take(descriptor, data)

    def _failed(self, descriptor: int, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            if descriptor in self._handshakes:
                self._give_up(explain(error.errno))
            else:
                self._audience.take(descriptor, b"")
        elif descriptor in self._handshakes:
            try:
                self._handshakes.connected(descriptor)
            except Refused as refusal:
                self._give_up(str(refusal))

    def _count(self) -> None:
        seen, audience = self._audience.seen, self._audience
        self._counters[DELIVERED] += len(seen)
        complete = self._deliveries.add(seen, time.monotonic())
        seen.clear()
        if complete:
            self._tell(complete)
            for channel in {number % len(audience.tapes) for number in complete}:
                audience.cut(audience.tapes[channel])

    def _tell(self, complete: list[int]) -> None:
        for start in range(0, len(complete), PACKET):
            self._control.sendall(NUMBERS + array.array("q", complete[start : start + PACKET]).tobytes())

    def _answer(self, **answer: Any) -> None:
        self._control.sendall(json.dumps(answer).encode())

    # --- connections ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Keep as many handshakes under way as may be, and say when all are over."""
        assert self._waiting is not None
        now = time.monotonic()
        try:
            while len(self._handshakes) < WINDOW:
                index, target, tape = next(self._waiting)
                descriptor = self._handshakes.begin(index, target)
                self._audience.make_room(descriptor)
                self._joining[descriptor] = tape
                self._progress = now
        except StopIteration:
            if not self._handshakes:
                self._waiting = None
                self._answer(connected=self._counters[CONNECTED])
                return
        except Refused as refusal:
            self._give_up(str(refusal))
        if self._handshakes and now - self._progress > STALLED:
            self._give_up(f"no answer for {STALLED:.0f} s")

    def _give_up(self, reason: str) -> None:
        """One could not connect: the others need not try."""
        if self._waiting is not None:
            self._waiting = None
            self._answer(failed=reason)

    def _targets(self, first: int, last: int, idle: bool) -> Iterator[tuple[int, str, Tape]]:
        path, tapes = self._config["path"], self._audience.tapes
        for index in range(first + self._config["worker"], last, self._config["workers"]):
            if idle:
                yield index, f"{path}-idle/{index - first}", self._audience.idle
            else:
                channel = index % len(tapes)
                yield index, f"{path}/{channel}" if len(tapes) > 1 else path, tapes[channel]

    def _hang_up(self, descriptor: int) -> None:
        tape = self._audience.tape_of[descriptor]
        had = self._audience.leave(descriptor)
        self._handshakes.close(descriptor)
        complete = self._deliveries.forget(tape, had)
        if complete:
            self._tell(complete)
        if not self._audience.alive:
            self._answer(gone=True)

    def _pong(self, descriptor: int, payload: bytes) -> None:
        # A client's frames are masked (RFC 6455 section 5.3); this mask changes nothing.
        with contextlib.suppress(OSError):  # It is full or gone; reading tells which.
            self._handshakes.sockets[descriptor].send(bytes((0x8A, 0x80 | len(payload), 0, 0, 0, 0)) + payload)

    # --- commands ---------------------------------------------------------------------------------------------------

    def _obey(self, packet: bytes) -> None:
        if not packet:
            self._running = False
            return
        command = json.loads(packet)
        if command["do"] == "connect":
            self._progress = time.monotonic()
            self._waiting = self._targets(command["first"], command["last"], command["idle"])
        else:
            self._report()

    def _report(self) -> None:
        """The figures since the last report."""
        if self._pacing is not None:
            self._deliveries.noticed = self._pacing.number + 1
            self._read([(descriptor, select.EPOLLIN) for descriptor in list(self._handshakes.sockets)])
        cpu, self._cpu = self._cpu, time.process_time()
        deliveries, audience = self._deliveries, self._audience
        wrong, self._wrong = self._wrong, [audience.broken, audience.out_of_order, audience.disconnected]
        broken, out_of_order, disconnected = (now - before for now, before in zip(self._wrong, wrong, strict=True))
        self._answer(
            cpu=self._cpu - cpu,
            deliveries=deliveries.count,
            last=deliveries.last,
            longest=deliveries.latencies.longest,
            latencies=deliveries.latencies.buckets,
            broken=broken,
            out_of_order=out_of_order,
            disconnected=disconnected,
        )
        deliveries.reset()


def main() -> None:
    """Do what the command says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal comes to all; the command ends its workers.
    config = json.loads(sys.argv[1])
    # A broken pipe: the command is gone.
    with socket.socket(fileno=config["control"]) as control, contextlib.suppress(BrokenPipeError):
        Subscribers(config, control).run()


if __name__ == "__main__":
    main()
