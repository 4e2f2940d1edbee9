"""The parent of ``eventcast serve --workers N``: it keeps the listening sockets, and the workers alive.

The sockets are bound here and stay open, so that a connection that comes while its worker is being replaced waits in
the kernel. Whatever goes wrong with a worker, it is ended, and another one starts in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence

from django.conf import settings

from eventcast.conf import PASSING_KEY
from eventcast.layers.links import CHANGES_SIZE, SLOTS, Peer
from eventcast.server.process import listen_at
from eventcast.server.worker_process import WorkerProcess

logger = logging.getLogger("eventcast.server")

MOST_WORKERS = 128
"""Each worker is linked to each other one, and the kernel passes 253 sockets at once."""

CHECK_INTERVAL = 0.5
"""Seconds between two searches for workers without a sign of life."""

LONGEST_PAUSE = 30.0
"""Seconds at most until a worker that ended is started again."""

STEADY = 60.0
"""Seconds after which the next end of a worker counts as the first one."""


class Workers:
    """Runs workers until a signal ends them.

    :param sockets: for each worker, the sockets that it listens on.
    :param command: the command line of a worker, but for its last argument.
    :param timeout: seconds without a sign of life after which a worker is killed and replaced.
    :param on_serving: called once, when all workers serve.
    """

    def __init__(
        self,
        sockets: Sequence[Sequence[socket.socket]],
        command: Sequence[str],
        environment: Mapping[str, str],
        timeout: float,
        on_serving: Callable[[], None],
    ) -> None:
        self._sockets = sockets
        self._command = command
        self._environment = environment
        self._timeout = timeout
        self._on_serving = on_serving
        self._workers: list[WorkerProcess] = []
        self._pauses = dict.fromkeys(range(1, len(sockets) + 1), 0.0)
        """Seconds until the next worker with a number is started, if the present one ends."""
        self._serving = self._stopping = False
        self._exit_code = 0
        self._replacing: asyncio.Task[None] | None = None
        self._slots = itertools.cycle(range(SLOTS))
        self._replace_again = False

    async def run(self) -> int:
        """Serve until the end; returns the exit code of the process."""
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._changes = _shared_memory(CHANGES_SIZE)
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._loop.add_signal_handler(signal.SIGTERM, self._stop)
        self._loop.add_signal_handler(signal.SIGINT, self._stop)
        self._loop.add_signal_handler(signal.SIGHUP, self._replace)
        self._next_check = self._loop.time()
        self._check()
        first = [self._start(number) for number in self._pauses]
        if all(await asyncio.gather(*(worker.settled for worker in first))):
            self._serving = True
            self._on_serving()
        elif not self._stopping:
            self._stop()
        await self._done.wait()
        os.close(self._changes)
        return self._exit_code

    # --- one worker -------------------------------------------------------------------------------------------------

    def _start(self, number: int) -> WorkerProcess:
        # The slot that has been free for the longest time: the others know that its last worker has ended.
        slot = next(each for each in self._slots if each not in [worker.slot for worker in self._workers])
        worker = WorkerProcess(number, slot, self._command, self._environment)
        peers = []
        for other in self._workers:
            ours, theirs = socket.socketpair()
            other.tell(Peer(number, slot, theirs))
            theirs.close()
            peers.append(Peer(other.number, other.slot, ours))
        worker.begin(peers, self._changes, self._sockets[number - 1])
        for peer in peers:
            peer.socket.close()
        self._workers.append(worker)
        self._loop.add_reader(worker.control.fileno(), self._hear, worker)
        return worker

    def _hear(self, worker: WorkerProcess) -> None:
        try:
            said = worker.control.recv(64)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._loop.remove_reader(worker.control.fileno())
            return  # It ends; if it doesn't, it gives no sign of life any more.
        if not worker.stopping:
            worker.deadline = self._loop.time() + self._timeout
        if not worker.serving:
            worker.serving = True
            worker.settled.set_result(True)

    def _check(self) -> None:
        """Kill workers whose deadline has passed."""
        now = self._loop.time()
        # While this process itself did not run, it read no signs of life.
        late = now - self._next_check
        for worker in self._workers:
            worker.deadline += late if late > CHECK_INTERVAL else 0
            if now > worker.deadline and not worker.killed:
                wanted = "end" if worker.stopping else "give a sign of life" if worker.serving else "start"
                text = "Worker %d (process %d) did not %s in time and is killed."
                logger.error(text, worker.number, worker.process.pid, wanted)
                worker.kill()
        self._next_check = now + CHECK_INTERVAL
        self._loop.call_later(CHECK_INTERVAL, self._check)

    def _reap(self) -> None:
        """A process has ended, or several."""
        for worker in [each for each in self._workers if each.process.poll() is not None]:
            self._hear(worker)  # It may have served for a moment.
            self._workers.remove(worker)
            self._loop.remove_reader(worker.control.fileno())
            worker.control.close()
            for output in worker.outputs:
                output.close()
            worker.ended.set()
            self._ended(worker)
        if self._stopping and not self._workers:
            self._done.set()

    def _ended(self, worker: WorkerProcess) -> None:
        code, number = worker.process.returncode, worker.number
        final = self._stopping or not (self._serving or worker.serving)
        if worker.killed or not worker.stopping or code not in (0, -signal.SIGTERM):
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            logger.error("Worker %d (process %d) has ended with %s.", number, worker.process.pid, how)
            self._exit_code = max(code, 1) if final else 0
        if not worker.settled.done():
            worker.settled.set_result(False)
        if final or self._holding(number):
            return
        pause = 0.0 if self._loop.time() - worker.started > STEADY else self._pauses[number]
        self._pauses[number] = min(LONGEST_PAUSE, pause * 2 or 1.0)
        self._loop.call_later(pause, self._start_again, number)

    def _start_again(self, number: int) -> None:
        if self._stopping or self._holding(number):
            return
        try:
            self._start(number)
        except OSError as error:  # The machine has no memory, process or descriptor left.
            logger.error("Worker %d cannot be started, trying again in %d s: %s", number, LONGEST_PAUSE, error)
            self._loop.call_later(LONGEST_PAUSE, self._start_again, number)

    def _holding(self, number: int) -> list[WorkerProcess]:
        """The workers with a number: the one that serves, and the one that replaces it."""
        return [each for each in self._workers if each.number == number and not each.stopping]

    # --- all workers ------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        at_once, self._stopping = self._stopping, True
        if self._replacing is not None:
            self._replacing.cancel()
        for sock in (sock for row in self._sockets for sock in row):
            if sock.fileno() >= 0 and isinstance(path := sock.getsockname(), str):
                # Before it is closed: then the path could be another server's already.
                with contextlib.suppress(OSError):
                    os.unlink(path)
            sock.close()
        for worker in self._workers:
            worker.stop(at_once=at_once)
        if not self._workers:
            self._done.set()

    def _replace(self) -> None:
        self._replace_again = True
        if self._serving and not self._stopping and (self._replacing is None or self._replacing.done()):
            self._replacing = self._loop.create_task(self._replace_all())

    async def _replace_all(self) -> None:
        """Start a worker beside each one, and end that one when the new one serves."""
        while self._replace_again:
            self._replace_again = False
            for number in self._pauses:
                before = self._holding(number)
                try:
                    started = await self._start(number).settled
                except OSError as error:
                    logger.error("Worker %d cannot be started: %s", number, error)
                    started = False
                if not started:
                    logger.error("A new worker %d did not start. Those that are not replaced go on.", number)
                    return
                for worker in before:
                    worker.retire()
                    await worker.ended.wait()
            logger.info("All workers were replaced.")


def supervise(sockets: list[socket.socket], count: int, timeout: float, on_serving: Callable[[], None]) -> int:
    """Serve with workers until a signal ends them; returns the exit code of this process.

    :param sockets: listening sockets; those with a TCP address are replaced by one for each worker. The kernel spreads
        the connections of an address evenly over the sockets that share it.
    """
    rows: list[list[socket.socket]] = [[] for _ in range(count)]
    numbers = itertools.cycle(range(count))
    for position, sock in enumerate(sockets):
        if sock.family == socket.AF_UNIX:
            rows[next(numbers)].append(sock)
        else:
            # It was bound without a share, so that another server at its address is an error, and port 0 is a number.
            family, address = sock.family, sock.getsockname()
            sock.close()
            for row in rows:
                row.append(listen_at(family, address, shared=True))
            sockets[position] = rows[0][-1]
    environment = dict(os.environ)
    if settings.SECRET_KEY.startswith(PASSING_KEY):
        environment["DJANGO_SECRET_KEY"] = settings.SECRET_KEY  # else each worker would make one of its own
    # The same command again. The settings were checked here.
    command = [sys.executable, *sys.orig_argv[1:], "--skip-checks", "--as-worker"]
    return asyncio.run(Workers(rows, command, environment, timeout, on_serving).run())


def _shared_memory(size: int) -> int:
    """The descriptor of memory, filled with zeros, that processes can share."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("eventcast")
    else:  # a Python that was built for an old C library
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
    os.truncate(descriptor, size)
    return descriptor
