"""The subscribers, in a process of their own: ``python -m eventcast.bench.subscribers CONFIG``.

One epoll loop that reads what is there and has it checked, answers pings, and tells the command which messages all of
its subscribers have got. They talk in packets over a socket: commands and answers in JSON, message numbers as integers.
"""

from __future__ import annotations

import array
import contextlib
import json
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from eventcast.bench.audience import Audience
from eventcast.bench.deliveries import Deliveries
from eventcast.bench.handshakes import WINDOW, Handshakes, Refused, explain
from eventcast.bench.pacing import Pacing
from eventcast.bench.reading import Reader
from eventcast.bench.shared import CONNECTED, DELIVERED, NUMBERS, Shared
from eventcast.bench.tapes import Contents, Tape

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
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._handshakes = Handshakes(self._epoll, config["family"], tuple(config["address"]), config["host"])
        self._audience = Audience(contents, self._hang_up, self._pong)
        self._audience.make_room(control.fileno())
        self._deliveries = Deliveries(self._audience.tapes, shared)
        pacing = None
        if Pacing.is_possible(contents.channels, config["in_flight"], contents.length):
            pacing = Pacing(self._audience.tapes[0], contents.length, shared)
        self._reader = Reader(
            self._audience,
            self._deliveries,
            (config["in_flight"] // contents.channels + 1) * contents.length,
            pacing,
            other=self._take,
            failed=self._failed,
            complete=self._complete,
        )
        self._waiting: Iterator[tuple[int, str, Tape]] | None = None
        self._joining: dict[int, Tape] = {}
        self._progress = 0.0
        self._running = True
        self._cpu = 0.0
        self._wrong = [0, 0, 0]

    def run(self) -> None:
        """Work until the command hangs up."""
        while self._running:
            self._reader.handle(self._epoll.poll(1, EVENTS))
            self._counters[DELIVERED] = self._deliveries.total
            if self._deliveries.due >= MANY:
                time.sleep(PAUSE)
            if self._waiting is not None:
                self._connect()

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

    def _complete(self, numbers: list[int]) -> None:
        """Tell the command which messages all subscribers here have got."""
        for start in range(0, len(numbers), PACKET):
            self._control.sendall(NUMBERS + array.array("q", numbers[start : start + PACKET]).tobytes())
        self._audience.shorten({number % len(self._audience.tapes) for number in numbers})

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
                yield index, self._idle_target(index - first), self._audience.idle
            else:
                channel = index % len(tapes)
                yield index, f"{path}/{channel}" if len(tapes) > 1 else path, tapes[channel]

    def _idle_target(self, number: int) -> str:
        path, channels = self._config["path"], self._config["idle_channels"]
        if number < channels:
            return f"{path}-idle/{number}"
        return f"{self._config['subscribe']}?pattern={quote(path, safe='%')}-idle/%3Cx%3E/{number - channels}"

    def _hang_up(self, descriptor: int) -> None:
        tape = self._audience.tape_of[descriptor]
        had = self._audience.leave(descriptor)
        self._handshakes.close(descriptor)
        complete = self._deliveries.forget(tape, had)
        if complete:
            self._complete(complete)
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
        self._reader.read_all(list(self._handshakes.sockets))
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
