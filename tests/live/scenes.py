"""The scenes of ``docs/scenes``, run as their document says: its commands, in a copy of its folder."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.live import servers
from tests.live.conftest import Start, check_log
from tests.live.servers import ROOT, Server
from tests.test_project import own_environment

FOLDER = ROOT / "docs" / "scenes"
README = (FOLDER / "README.md").read_text(encoding="utf-8")

DOCUMENTED = "http://127.0.0.1:8000"
"""Where the server is, in the document."""


def command(beginning: str) -> str:
    """The document's one command that begins so, as it stands there."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (found,) = (line for block in blocks for line in block.splitlines() if line.startswith(beginning))
    return found


class Stage:
    """A copy of the folder, and a server that runs in it.

    :param start: the fixture, which ends the server and looks for tracebacks.
    :param variables: more environment variables of everything that runs here.
    """

    def __init__(self, directory: Path, start: Start, **variables: str) -> None:
        self.folder = directory / "scenes"
        shutil.copytree(FOLDER, self.folder, ignore=shutil.ignore_patterns("__pycache__", "outbox", "*.log"))
        self._start = start
        self._port = servers.free_port()  # the server tells it to nobody, and has to know its own URL
        self.url = f"http://127.0.0.1:{self._port}"
        self.environment = variables | {
            "SCENES_URL": self.url,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        self.server = self.serve()

    def serve(self) -> Server:
        """Start the server, which may be its second time."""
        line = command("python manage.py eventcast serve") + f" -p {self._port}"
        self.server = self._start(_scenes, line, cwd=self.folder, env=self.environment)
        return self.server

    def run(self, line: str) -> str:
        """Run a command to its end; returns what it says."""
        finished = subprocess.run(
            ["bash", "-c", self._here(line)],
            cwd=self.folder,
            env=own_environment(**self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    @contextlib.contextmanager
    def running(self, line: str, *, announcement: str = "", **variables: str) -> Iterator[Server]:
        """Have a command run until the block ends.

        :param announcement: a pattern in what it says once it is ready.
        """
        log = self.folder / f"{len(list(self.folder.glob('*.output')))}.output"
        process = Server(
            ["bash", "-c", self._here(line)],
            announcement,
            log,
            env=self.environment | variables,
            port=self._port,
            cwd=self.folder,
        )
        try:
            yield process
        finally:
            # All of a pipe. A process of the group may be gone already, and the group with its last.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            # Not another SIGTERM at once, which would cut short what is ending in good order.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.process.wait(servers.STOP_TIMEOUT)
            process.stop()
        check_log(process)

    def read(self, pattern: str) -> str:
        """The text of all files of that name in the folder; empty as long as there are none."""
        return "".join(file.read_text(encoding="utf-8") for file in sorted(self.folder.glob(pattern)))

    def _here(self, line: str) -> str:
        return line.replace(DOCUMENTED, self.url)


def _scenes(log: Path, line: str, *, cwd: Path, env: dict[str, str]) -> Server:
    return Server(["bash", "-c", line], r"publish +http://127\.0\.0\.1:(\d+)/", log, env=env, cwd=cwd)
