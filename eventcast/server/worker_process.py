"""One worker, as its parent sees it: the process, its output, and the socket between the two."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, TextIO

from eventcast.conf import conf
from eventcast.layers.links import Peer
from eventcast.server.worker import RETIRE

logger = logging.getLogger("eventcast.server")

START_TIMEOUT = 120.0
"""Seconds that a worker may take to load the site and to serve."""

STOP_TIMEOUT = 4.0
"""Seconds that a worker that stops may take beyond ``DRAIN``."""

LONGEST_LINE = 64 * 1024
"""Bytes of a line of a worker's output. A longer one is broken."""


class _Output:
    """One of the outputs of a worker: its whole lines are written with its number in front."""

    def __init__(self, number: int, pipe: IO[bytes], to: TextIO) -> None:
        self._pipe, self._to, self._rest = pipe, to, b""
        self._mark = b"[%d] " % number
        self._loop = asyncio.get_running_loop()
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe.fileno(), self.read)

    def read(self) -> bool:
        """Write the output that has arrived; returns whether there was any."""
        try:
            data = os.read(self._pipe.fileno(), LONGEST_LINE)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > LONGEST_LINE):
            lines.append(self._rest)
            self._rest = b""
        try:
            self._to.buffer.write(b"".join([self._mark + line + b"\n" for line in lines]))
            self._to.buffer.flush()
        except OSError:
            pass  # The output has no reader any more. The server goes on without it.
        if not data:
            self._loop.remove_reader(self._pipe.fileno())
        return bool(data)

    def close(self) -> None:
        """Write the rest of the output of a worker that has ended."""
        while self.read():
            pass
        self._loop.remove_reader(self._pipe.fileno())
        self._pipe.close()


class WorkerProcess:
    """One worker process; ``command`` is its command line, but for the last argument.

    :param slot: its place in the memory that all workers share.
    """

    def __init__(self, number: int, slot: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.number, self.slot = number, slot
        loop = asyncio.get_running_loop()
        self.started = loop.time()
        self.deadline = self.started + START_TIMEOUT
        """The time at which it is killed, unless something happens before."""
        self.serving = self.stopping = self.killed = False
        self.settled: asyncio.Future[bool] = loop.create_future()
        """Whether it serves; False if it ended before."""
        self.ended = asyncio.Event()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.setblocking(False)
        with theirs:
            self.process = subprocess.Popen(
                [*command, f"{number}:{theirs.fileno()}"],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in a terminal is for the parent, which paces the end.
            )
        pipes = (self.process.stdout, sys.stdout), (self.process.stderr, sys.stderr)
        self.outputs = [_Output(number, pipe, to) for pipe, to in pipes if pipe is not None]

    def begin(self, peers: Sequence[Peer], changes: int, listeners: Sequence[socket.socket]) -> None:
        """Give it what it needs to serve: links to other workers, the memory that all share, what it listens on."""
        self._tell(peers, [changes, *(each.fileno() for each in listeners)])

    def tell(self, peer: Peer) -> None:
        """Give it a link to a new worker."""
        self._tell([peer], [])

    def _tell(self, peers: Sequence[Peer], descriptors: Sequence[int]) -> None:
        message = {"slot": self.slot, "peers": [(peer.number, peer.slot) for peer in peers]}
        self._send(json.dumps(message).encode(), [*(peer.socket.fileno() for peer in peers), *descriptors])

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to end: in its own time the first time, and at once the second time."""
        if not self.stopping or at_once:
            self.stopping = True
            self.deadline = asyncio.get_running_loop().time() + (1.0 if at_once else conf.DRAIN + STOP_TIMEOUT)
            self.process.send_signal(signal.SIGTERM)

    def retire(self) -> None:
        """Another one has taken its place: let it end without harm to connections that it has."""
        self.stopping = True
        self.deadline = asyncio.get_running_loop().time() + conf.DRAIN + STOP_TIMEOUT
        self._send(RETIRE)

    def _send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self.control, [message], descriptors)
        except OSError as error:
            if self.process.poll() is None:
                logger.error("Worker %d cannot be told anything and is killed: %s", self.number, error)
                self.kill()

    def kill(self) -> None:
        self.killed = True
        self.process.kill()
