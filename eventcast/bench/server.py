"""A server of the benchmark's own: the project's ASGI application under the stock ``daphne`` command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from types import TracebackType

from eventcast.bench.exceptions import BenchError

BACKLOG = 4096
"""Connections that may wait to be accepted, as ``eventcast serve`` has it."""

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
"""Seconds to start and to end, after which the server is killed."""


class OwnServer:
    """Daphne in a process of its own on a free port of 127.0.0.1, from ``__enter__`` to ``__exit__``.

    :param application: as in ``ASGI_APPLICATION``, such as ``mysite.asgi.application``.

    :attr url: where it listens. :attr pid: its process id.
    """

    def __init__(self, application: str) -> None:
        module, _, name = application.rpartition(".")
        self._application = f"{module}:{name}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 it lives as long as the process
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.pid = 0

    def __enter__(self) -> OwnServer:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            # It listens before the server is there, and hands over the socket: nobody can take the port in between.
            listener.listen(BACKLOG)
            host, port = listener.getsockname()
            self.url = f"http://{host}:{port}"
            descriptor = listener.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "daphne", "-v", "0", "--fd", str(descriptor), self._application],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for the benchmark, which then stops its server.
            )
            self.pid = self._process.pid
        try:
            self._wait(host, port)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server, by force if it does not end by itself."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()

    def _wait(self, host: str, port: int) -> None:
        """Until it answers a request."""
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise BenchError(f"The server of {self._application} ended while it started:\n{self._last_words()}")
            try:
                with socket.create_connection((host, port), 1) as sock:
                    sock.settimeout(1)
                    sock.sendall(f"GET / HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
                    if sock.recv(1):
                        return
            except OSError:
                time.sleep(0.05)
        raise BenchError(f"The server of {self._application} has not started within {START_TIMEOUT:.0f} s.")

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:].strip()


def environment() -> dict[str, str]:
    """The environment for a Python that is to find the same modules as this one."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
