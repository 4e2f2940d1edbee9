"""The worker processes that hold the subscribers, as the command sees them."""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from typing import Any

from eventcast.bench.exceptions import BenchError
from eventcast.bench.server import environment
from eventcast.bench.shared import NUMBERS

PACKET = 1 << 18
"""Bytes of the largest packet: a report with all its latencies has some thousand numbers."""

STOP_TIMEOUT = 5.0
"""Seconds to end, after which a worker is killed."""


class Worker:
    """One worker process, started.

    :param config: what all workers are told. :param index: which of them this is.
    :param memory: the file descriptor of the memory they share. :param epoll: its socket is registered there.
    """

    def __init__(self, config: dict[str, Any], index: int, memory: int, epoll: select.epoll) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._socket, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PACKET)
        with theirs:
            config = {**config, "worker": index, "memory": memory, "control": theirs.fileno()}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "eventcast.bench.subscribers", json.dumps(config)],
                pass_fds=[memory, theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment(),
            )
        self.descriptor = self._socket.fileno()
        epoll.register(self.descriptor, select.EPOLLIN)

    def tell(self, do: str, **arguments: Any) -> None:
        """Give a command; see ``subscribers.Subscribers``."""
        with contextlib.suppress(OSError):  # It has ended, and hear() will say so.
            self._socket.sendall(json.dumps({"do": do, **arguments}).encode())

    def hear(self) -> dict[str, Any] | array.array[int]:
        """What it has to say next: an answer, or numbers of messages that all its subscribers have got.

        :raises BenchError: nothing, for it has ended.
        """
        try:
            packet = self._socket.recv(PACKET)
        except ConnectionError:
            packet = b""
        if not packet:
            raise BenchError(f"A process with subscribers has ended (status {self._process.wait()}).")
        if packet.startswith(NUMBERS):
            return array.array("q", packet[len(NUMBERS) :])
        answer: dict[str, Any] = json.loads(packet)
        return answer

    def stop(self) -> None:
        """Hang up, and wait until it has ended."""
        self._socket.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.kill(self._process.pid, 9)
            self._process.wait()
