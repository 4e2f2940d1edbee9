"""``manage.py eventcast bench``: how fast a server broadcasts, and what that takes."""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.urls import NoReverseMatch, reverse

from eventcast.bench import target as targets
from eventcast.bench.exceptions import BenchError
from eventcast.bench.load import SPARE_FILES, Load
from eventcast.bench.options import Options
from eventcast.bench.process import Server, listeners, raise_open_files
from eventcast.bench.report import Report
from eventcast.bench.server import OwnServer
from eventcast.commandline.subcommand import Subcommand

USAGE_ERROR, INTERRUPTED = 2, 130


class Bench(Subcommand):
    """Measure broadcasting: connect subscribers, publish, and count and check what arrives.

    Exit status: 0 if every message came to everybody once, whole and in order; 1 if not, or if it could not be
    measured; 2 for options that mean nothing.
    """

    name = "bench"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        default = Options()
        add("--url", help="a running server, such as http://127.0.0.1:8000 (default: start one of its own)")
        add("--path", help="the channel (default: bench below the mount)")
        add("--subscribers", type=int, default=default.subscribers, metavar="N", help="(default: %(default)s)")
        add(
            "--channels",
            type=int,
            default=default.channels,
            metavar="C",
            help="spread subscribers and messages over PATH/0 to PATH/C-1 (default: %(default)s)",
        )
        add("--size", type=int, default=default.size, metavar="BYTES", help="of a message (default: %(default)s)")
        add("--publishers", type=int, default=default.publishers, metavar="K", help="(default: %(default)s)")
        add("--messages", type=int, default=default.messages, metavar="M", help="in total (default: %(default)s)")
        add(
            "--in-flight",
            type=int,
            metavar="F",
            help="messages that not everybody has got yet, at most; 1: the next one goes out when all have the last"
            " (default: as many as publishers)",
        )
        add(
            "--idle-channels",
            type=int,
            default=default.idle_channels,
            metavar="C",
            help="then measure again beside so many other channels with a subscriber each, and compare",
        )
        add(
            "--idle-patterns",
            type=int,
            default=default.idle_patterns,
            metavar="P",
            help="the same beside so many patterns that match none of the channels",
        )
        add(
            "--pid",
            type=int,
            action="append",
            metavar="PID",
            help="a process of the server; its children are found (default: those that listen on the port)",
        )
        add(
            "--processes",
            type=int,
            default=default.processes,
            metavar="P",
            help="that hold the subscribers (default: as few as the limit of open files allows)",
        )
        add(
            "--timeout",
            type=float,
            default=default.timeout,
            metavar="S",
            help="seconds without a delivery after which the rest counts as lost (default: %(default)s)",
        )
        add("--json", action="store_true", help="print the figures as one JSON object")

    def handle(self, **options: Any) -> None:
        in_flight = options["publishers"] if options["in_flight"] is None else options["in_flight"]
        names = set(Options.__dataclass_fields__) - {"in_flight"}
        load = Options(in_flight=in_flight, **{name: options[name] for name in names})
        if not hasattr(select, "epoll"):
            raise CommandError("Only Linux has what this needs: epoll, and /proc.", returncode=USAGE_ERROR)
        try:
            load.check()
        except BenchError as error:
            raise CommandError(str(error), returncode=USAGE_ERROR) from None
        try:
            with _ended_by_sigterm(), self._server(options["url"], load) as server:
                report = self._measure(load, options, *server)
        except BenchError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=INTERRUPTED) from None
        self.stdout.write(json.dumps(report.as_json()) if options["json"] else report.as_text())
        if report.problems:
            raise CommandError(f"Something went wrong: {', '.join(report.problems)}.")

    @contextlib.contextmanager
    def _server(self, url: str | None, load: Options) -> Iterator[tuple[str, list[int]]]:
        """The URL of the server, and its process if that is known."""
        if url is not None:
            yield url, []
            return
        application = getattr(settings, "ASGI_APPLICATION", None)
        if not application:
            raise BenchError("Set ASGI_APPLICATION in the settings, or give the --url of a running server.")
        limit = raise_open_files() - SPARE_FILES
        if load.connections + load.publishers > limit:
            raise BenchError(f"A server may open {limit} connections here, by the limit of open files: ulimit -Hn")
        with OwnServer(application) as server:
            yield server.url, [server.pid]

    def _measure(self, load: Options, options: dict[str, Any], url: str, pids: list[int]) -> Report:
        target = targets.find(url, options["path"], _default_path())
        pids = options["pid"] or pids or (sorted(listeners(target.port)) if target.is_here else [])
        server = Server(pids) if pids else None
        if server is not None and not server.family():
            raise BenchError(f"There is no process {', '.join(map(str, pids))}.")
        progress = self._show if sys.stderr.isatty() else None
        try:
            with Load(load, target, server, progress) as run:
                connecting = run.connect(load.subscribers)
                result = run.measure()
                beside_idle = None
                if load.idle:
                    run.connect(load.idle, idle=True)
                    beside_idle = run.measure()
        finally:
            if progress is not None:
                progress("")
        return Report(target.url, target.path, load, connecting, result, beside_idle)

    def _show(self, line: str) -> None:
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()


def _default_path() -> str:
    try:
        return reverse("eventcast:channels").removesuffix("-/channels") + "bench"
    except NoReverseMatch:
        return "/bench"


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends this as Ctrl-C does, so that a server of its own is stopped."""
    previous: Any = None
    interrupt: Callable[..., None] = signal.default_int_handler
    with contextlib.suppress(ValueError):  # Not in the main thread, where nobody gets signals.
        previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
