"""``manage.py eventcast listen``: the listeners of all installed apps, in this process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from django.db import connections

from eventcast.client.targets import parse_url
from eventcast.commandline import ExitCode, Failed, Tool
from eventcast.commandline.remote import Remote
from eventcast.listeners import Registration, discover, registry

GRACE = 10.0
"""Seconds that calls have to end, by default. Below what systemd (90) and Docker (10) wait before they kill."""

WHERE = """There are no listeners. Write them in listeners.py of an installed app:

    from eventcast import listener

    @listener("/orders/<int:id>")
    def handle(order, id): ..."""

logger = logging.getLogger("eventcast.listen")


class Listen(Tool):
    """Call the functions in the apps' listeners.py with the messages of their channels.

    SIGTERM and Ctrl-C stop reading, and end this when the calls that run and wait are made; a second one at once.
    """

    name = "listen"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("names", nargs="*", metavar="NAME", help="listeners, such as shop.mail or mail (default: all)")
        add("--list", action="store_true", help="print them with their paths and options, and end")
        add(
            "--grace",
            type=_seconds,
            default=GRACE,
            metavar="SECONDS",
            help="for calls that run and wait when this is to end (default: %(default)g)",
        )
        add("--fail-fast", action="store_true", help="end all when one is refused (default: the others go on)")

    def run(self, **options: Any) -> None:
        parse_url(self.url)  # a wrong one ends this before anything starts
        broken = discover()
        if broken:
            raise Failed("\n".join(map(str, broken)), ExitCode.USAGE) from broken[0]
        chosen = _choose(options["names"])
        if options["list"]:
            for each in chosen:
                details = " ".join(f"{name}={value}" for name, value in each.options.items())
                print(each.name, each.path, f"{details}{' async' if each.is_async else ''}", sep="  ")
            return
        connections.close_all()  # what the start of the project opened in this thread is of no use to the others
        with _shown(logger):
            asyncio.run(self._listen(chosen, options["grace"], fail_fast=options["fail_fast"]))

    async def _listen(self, chosen: Sequence[Registration], grace: float, *, fail_fast: bool) -> None:
        from eventcast.listeners.sources import Server  # these need websockets, which --list does not
        from eventcast.listeners.supervisor import Supervisor, source_of

        supervisor = Supervisor(chosen, source_of(Server(self.url, self.headers)), grace=grace, fail_fast=fail_fast)
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows
                asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
        outcome = await supervisor.run()
        done = outcome.stopped and not outcome.abandoned and not outcome.ended
        code = ExitCode.DONE if done else ExitCode.REFUSED
        if outcome.abandoned or outcome.hanging:
            _exit(code)
        if code:
            left = len(chosen) - len(outcome.ended)
            raise Failed(f"{left or 'None'} of {len(chosen)} listened to the end; the log says why.", code)


class ListenSubcommand(Remote):
    __doc__ = Listen.__doc__
    name = Listen.name
    tool = Listen


def _choose(names: Sequence[str]) -> list[Registration]:
    if not len(registry):
        raise Failed(WHERE, ExitCode.USAGE)
    try:
        found = [registry.find(name) for name in names]
    except LookupError as error:
        raise Failed(str(error), ExitCode.USAGE) from error
    return list(dict.fromkeys(found)) or list(registry)


@contextlib.contextmanager
def _shown(log: logging.Logger) -> Iterator[None]:
    """Have the log on standard error, unless the project's LOGGING says where it, or all, is to go."""
    if log.hasHandlers():
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(level or logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


def _exit(code: ExitCode) -> NoReturn:
    """End now. Python itself would first wait for the threads that functions had asyncio or asgiref start, and these
    hang as long as what they call."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds, not {value!r}")
    return seconds
