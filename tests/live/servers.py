"""Servers under test: real processes on free ports of this machine, ended by their process id."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

STANDALONE = "eventcast_project.asgi:application"
SITE = "tests.site.asgi:application"

START_TIMEOUT = 120.0
STOP_TIMEOUT = 10.0

TRACEBACK = "Traceback (most recent call last)"

Starter = Callable[..., "Server"]


class Server:
    """A server process: started when made, ended by :meth:`stop`.

    :param command: the command line.
    :param announcement: a pattern in its output, whose first group is its port.
    :param log: the file its output goes to.
    :param port: its port, if it is known beforehand and ``announcement`` has no group.
    """

    def __init__(
        self,
        command: Sequence[str],
        announcement: str,
        log: Path,
        *,
        env: dict[str, str] | None = None,
        port: int | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self.log_path = log
        self.allows_tracebacks = False
        """Whether a traceback in its output is part of what is tested."""
        self.checked = 0
        """How much of its output has been looked through for tracebacks, in characters."""
        self.log_path.touch()
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("EVENTCAST_", "DJANGO_"))
        }
        environment |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
        environment |= {"DATABASE_PATH": str(log.with_suffix(".sqlite3"))} | (env or {})
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a process group of its own, so that its workers can be ended with it
            )
        try:
            found = self.wait_for_log(announcement)
        except BaseException:
            self.stop()
            raise
        self.port = port if port is not None else int(found[1])

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has said so far, on both of its outputs."""
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, pattern: str, *, since: int = 0, timeout: float = START_TIMEOUT) -> re.Match[str]:
        """Wait until its output, from character ``since`` on, holds ``pattern``."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self.process.poll() is not None
            if found := re.search(pattern, self.log[since:]):
                return found
            if ended or time.monotonic() > deadline:
                state = f"exited with {self.process.returncode}" if ended else f"said nothing for {timeout} s"
                raise AssertionError(f"waiting for {pattern!r}: the server {state}\n{self.log[since:]}")
            time.sleep(0.01)

    def wait_until_listening(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until its port takes connections, for one that says it is there before it is."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout).close()
                return
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise
                time.sleep(0.01)

    def terminate(self) -> None:
        """Send SIGTERM, and don't wait."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> float:
        """SIGTERM, and SIGKILL if that does nothing; returns the seconds it took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process.wait()
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL to it and to its workers."""
        os.killpg(self.pid, signal.SIGKILL)

    def memory(self) -> int:
        """Bytes of physical memory that are its own (Linux).

        Without files that are mapped: its share of those grows when another process that has them ends.
        """
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no Anonymous in smaps_rollup")


def daphne(
    log: Path, *options: str, application: str = STANDALONE, env: dict[str, str] | None = None, access_log: bool = False
) -> Server:
    """The plain ``daphne`` command. Its access log is off by default: it costs time, and tells nothing here."""
    command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", "0", *options]
    command += [] if access_log else ["--access-log", os.devnull]
    return Server([*command, application], r"Listening on TCP address 127\.0\.0\.1:(\d+)", log, env=env)


def serve(log: Path, *options: str, env: dict[str, str] | None = None) -> Server:
    """``manage.py eventcast serve``."""
    command = [sys.executable, "manage.py", "eventcast", "serve", "-p", "0", *options]
    return Server(command, r"publish +http://127\.0\.0\.1:(\d+)/", log, env=env)


def uvicorn(log: Path, *options: str, env: dict[str, str] | None = None) -> Server:
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--no-access-log", *options, STANDALONE]
    return Server(command, r"Uvicorn running on http://127\.0\.0\.1:(\d+)", log, env=env)


def hypercorn(log: Path, *options: str) -> Server:
    command = [sys.executable, "-m", "hypercorn", "-b", "127.0.0.1:0", *options, STANDALONE]
    return Server(command, r"Running on http://127\.0\.0\.1:(\d+)", log)


def granian(log: Path, *options: str) -> Server:
    # It does not tell which port it got for 0, but shares one that is held for it.
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port), *options, STANDALONE]
        server = Server(command, r"Started worker-1", log, port=port)
    server.wait_until_listening()  # it says so a moment before
    return server


def free_port() -> int:
    """A port that was free a moment ago, for a server that cannot find one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis(directory: Path, port: int) -> Server:
    """A Redis that keeps nothing on disk."""
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    command += ["--dir", str(directory)]
    return Server(command, "Ready to accept connections", directory / f"redis-{time.monotonic_ns()}.log", port=port)
