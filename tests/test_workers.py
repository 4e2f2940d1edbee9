"""The parent of workers, with small programs in their place; tests/live/test_workers.py has the real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import pytest
from channels import layers as channels_layers
from channels.layers import channel_layers
from django.test import override_settings

from eventcast import layers
from eventcast.layers import InMemoryChannelLayer, get_layer, use_between_workers
from eventcast.server.worker import ALIVE
from eventcast.server.workers import Workers

SERVING = f"""
import os, signal, socket, sys
parent = socket.socket(fileno=int(sys.argv[1].partition(":")[2]))
parent.recv(65536)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
sys.stdout.write("half a line, ")
sys.stdout.flush()
sys.stdout.write("and the other half\\nno end")
sys.stdout.flush()
parent.send({ALIVE!r})
"""
"""A worker that serves at once."""

UNTIL_TOLD = "while True: signal.pause()\n"


def run(program: str, *, count: int = 1, on_serving: Callable[[], None] = lambda: None) -> int:
    """The exit code of a parent whose workers run a program."""
    command = [sys.executable, "-c", program]
    return asyncio.run(Workers([[] for _ in range(count)], command, os.environ, 15, on_serving).run())


def end_by_signal() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_exit_code_is_0_after_a_signal_and_lines_have_the_number_of_their_worker(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(SERVING + UNTIL_TOLD, count=2, on_serving=end_by_signal) == 0
    lines = ["half a line, and the other half", "no end"]
    assert sorted(capfd.readouterr().out.splitlines()) == [f"[{number}] {line}" for number in (1, 2) for line in lines]


def test_workers_start_without_memfd_create(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that was built for an old C library does not have it."""
    monkeypatch.delattr(os, "memfd_create")
    assert run(SERVING + UNTIL_TOLD, on_serving=end_by_signal) == 0


def test_exit_code_is_that_of_a_worker_that_does_not_start(caplog: pytest.LogCaptureFixture) -> None:
    served: list[bool] = []
    assert run("raise SystemExit(3)", on_serving=lambda: served.append(True)) == 3
    assert not served
    assert "has ended with exit code 3." in caplog.text


def test_exit_code_is_1_if_a_worker_fails_to_end(caplog: pytest.LogCaptureFixture) -> None:
    assert run(SERVING.replace("sys.exit(0)", "os.abort()") + UNTIL_TOLD, on_serving=end_by_signal) == 1
    assert "has ended with signal 6." in caplog.text


def test_worker_that_ends_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    starts: list[int] = []

    def note(*_: object) -> None:
        starts.append(1)
        if len(starts) == 2:
            end_by_signal()

    before = signal.signal(signal.SIGUSR1, note)
    try:
        assert run(SERVING + "os.kill(os.getppid(), signal.SIGUSR1)") == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "Worker 1" in caplog.text
    assert "has ended with exit code 0." in caplog.text


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_default_layer", InMemoryChannelLayer())
    monkeypatch.setattr(channel_layers, "backends", {})


@pytest.mark.usefixtures("unchanged")
def test_layer_between_workers_takes_the_place_of_those_of_one_process() -> None:
    class Elsewhere(channels_layers.InMemoryChannelLayer):
        """Of a site: it may reach other processes."""

    between = InMemoryChannelLayer()
    backends = {
        "default": "channels.layers.InMemoryChannelLayer",
        "eventcast": "eventcast.layers.InMemoryChannelLayer",
        "other": "channels_redis.core.RedisChannelLayer",
    }
    with override_settings(CHANNEL_LAYERS={alias: {"BACKEND": backend} for alias, backend in backends.items()}):
        channel_layers.backends["own"] = own = Elsewhere()
        use_between_workers(between)
        assert get_layer() is channel_layers["default"] is channel_layers["eventcast"] is between
        assert channel_layers["other"] is not between
        assert channel_layers["own"] is own


@pytest.mark.usefixtures("unchanged")
def test_layer_between_workers_is_used_without_any_setting() -> None:
    between = InMemoryChannelLayer()
    with override_settings(CHANNEL_LAYERS={}):
        use_between_workers(between)
        assert get_layer() is between
