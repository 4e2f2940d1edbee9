"""A Redis for tests, and the servers that use it."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from tests.live import servers

OURS = "eventcast.layers.RedisChannelLayer"
LAYERS = ["channels_redis.core.RedisChannelLayer", "channels_redis.pubsub.RedisPubSubChannelLayer"]


class Redis:
    """A Redis that can go and come back on the same port, and be frozen."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = servers.redis(directory, servers.free_port())
        self.port = self._server.port

    def stop(self) -> None:
        self._server.stop()

    def come_back(self) -> None:
        self._server = servers.redis(self._directory, self.port)

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing until :meth:`thaw`."""
        os.kill(self._server.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._server.pid, signal.SIGCONT)

    def command(self, *words: str) -> str:
        """Give it a command; returns its answer as Redis has sent it."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)  # Redis answers, and closes.
            answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        assert not answer.startswith("-"), answer
        return answer

    def connections(self) -> int:
        """How many clients have connected to it since its start."""
        figures = dict(line.split(":", 1) for line in self.command("INFO", "stats").splitlines() if ":" in line)
        return int(figures["total_connections_received"])


def environment(layer: str, redis: Redis) -> dict[str, str]:
    """The environment of a server that has this layer, on this Redis."""
    settings = {"TEST_LAYER": layer, "TEST_REDIS": f"redis://127.0.0.1:{redis.port}/0"}
    return settings | {"DJANGO_SETTINGS_MODULE": "tests.live.redis_settings"}
