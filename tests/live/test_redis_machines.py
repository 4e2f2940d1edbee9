"""Two machines and a Redis on a third, as network namespaces: one that is cut off and comes back heals by itself."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.live.servers import Server
from tests.live.waiting import until

pytestmark = pytest.mark.slow

for program in ("redis-server", "ip", "curl"):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed", allow_module_level=True)

NAMES = ("eventcast-redis", "eventcast-a", "eventcast-b")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


def inside(name: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", name, *command]


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """The namespaces: a cable from that of Redis to each of the others."""
    made = []
    try:
        try:
            for name in NAMES:
                ip("netns", "add", name)
                made.append(name)
        except (subprocess.CalledProcessError, OSError) as error:
            pytest.skip(f"network namespaces cannot be made here: {error}")
        for number, name in enumerate(NAMES[1:], 1):
            ip("link", "add", f"ec{number}", "netns", NAMES[0], "type", "veth", "peer", "name", "cable", "netns", name)
            ip("-n", NAMES[0], "address", "add", f"10.77.{number}.1/24", "dev", f"ec{number}")
            ip("-n", name, "address", "add", f"10.77.{number}.2/24", "dev", "cable")
            ip("-n", NAMES[0], "link", "set", f"ec{number}", "up")
            ip("-n", name, "link", "set", "cable", "up")
        for name in NAMES:
            ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in made:
            ip("netns", "delete", name)


@dataclass
class Machine:
    """A machine with a server, and a client on it that listens."""

    name: str
    server: Server
    heard: Path
    listener: subprocess.Popen[bytes]

    @classmethod
    def start(cls, number: int, folder: Path) -> Machine:
        name, heard = NAMES[number], folder / f"heard-{number}"
        serve = [sys.executable, "manage.py", "eventcast", "serve", "-p", "0"]
        env = {"EVENTCAST_REDIS_URL": f"redis://10.77.{number}.1:6379/0"}
        pattern = r"publish +http://127\.0\.0\.1:(\d+)/"
        server = Server(inside(name, *serve), pattern, folder / f"serve-{number}.log", env=env)
        url = f"http://127.0.0.1:{server.port}/cut"
        listen = ["curl", "-sN", "-H", "Accept: application/x-ndjson", url]
        with heard.open("wb") as file:
            return cls(name, server, heard, subprocess.Popen(inside(name, *listen), stdout=file))

    def publish(self, message: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.server.port}/cut"
        command = inside(self.name, "curl", "-s", "-H", "Content-Type: text/plain", "-d", message, url)
        said = subprocess.run(command, check=True, capture_output=True, timeout=20).stdout
        found: dict[str, Any] = json.loads(said)
        return found

    def reaches(self, subscribers: int, message: str = "count") -> bool:
        said = self.publish(message)
        return said.get("subscribers") == subscribers and not {"partial", "degraded", "error"} & set(said)

    def has_heard(self, message: str) -> bool:
        return f'"data":"{message}"' in self.heard.read_text()

    def stop(self) -> None:
        self.server.stop()
        self.listener.kill()
        self.listener.wait()


@pytest.mark.usefixtures("network")
async def test_machine_that_is_cut_off_and_comes_back_heals_by_itself(tmp_path: Path) -> None:
    command = ["redis-server", "--save", "", "--protected-mode", "no", "--bind", "0.0.0.0", "--dir", str(tmp_path)]
    redis = Server(inside(NAMES[0], *command), "Ready to accept", tmp_path / "redis.log", port=6379)
    machines = []
    try:
        machines += [Machine.start(number, tmp_path) for number in (1, 2)]
        cut, other = machines
        await until(lambda: cut.reaches(2) and other.reaches(2), "each counts both")
        ip("-n", cut.name, "link", "set", "cable", "down")
        await until(lambda: cut.publish("alone").get("degraded"), "the machine that is cut off says so")
        assert cut.has_heard("alone")
        back_at = asyncio.get_running_loop().time() + 20
        await until(lambda: asyncio.get_running_loop().time() > back_at, "20 s", 30)
        assert cut.publish("alone")["degraded"]
        await until(lambda: other.reaches(1, "without"), "the other counts without it")
        ip("-n", cut.name, "link", "set", "cable", "up")
        await until(lambda: cut.reaches(2) and other.reaches(2), "each counts both again")
        assert other.publish("together")["subscribers"] == 2
        await until(lambda: cut.has_heard("together") and other.has_heard("together"))
        assert not other.has_heard("alone")
        for machine in machines:
            text = machine.heard.read_text()
            assert text.count('"together"') == 1
    finally:
        for machine in machines:
            machine.stop()
        redis.stop()
