"""``manage.py eventcast listen``: runs the listeners of all installed apps in this process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from django.db import connections

from eventcast.client.targets import parse_url
from eventcast.commandline import ExitCode, Failed, Tool, parsing, write
from eventcast.listeners import Registration, discover, registry

GRACE = 10.0
"""Seconds that calls have to end, by default. systemd (90 s) and Docker (10 s) wait at least as long before they
kill."""

NO_LISTENERS = """There are no listeners. Write them in listeners.py of an installed app:

    from eventcast import listener

    @listener("/orders/<int:id>")
    def handle(order, id): ..."""

logger = logging.getLogger("eventcast.listen")


class Listen(Tool):
    """Call the functions in the apps' listeners.py with the messages of their channels.

    SIGTERM and Ctrl-C stop the reading; the command ends when the calls that run and wait are made. A second signal
    ends it at once.
    """

    name = "listen"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("names", nargs="*", metavar="NAME", help="listeners, such as shop.mail or mail (default: all)")
        add("--list", action="store_true", help="print the listeners with their paths and options, and end")
        grace = "for calls that run and wait after a signal (default: %(default)g)"
        add("--grace", type=parsing.seconds_or_0, default=GRACE, metavar="SECONDS", help=grace)
        fail_fast = "end all listeners when the server refuses one (default: the others go on)"
        add("--fail-fast", action="store_true", help=fail_fast)

    def run(self, **options: Any) -> None:
        parse_url(self.url)  # a wrong URL ends the command before anything starts
        broken = discover()
        if broken:
            raise Failed("\n".join(map(str, broken)), ExitCode.USAGE) from broken[0]
        chosen = _choose(options["names"])
        if options["list"]:
            for each in chosen:
                details = " ".join(f"{name}={value}" for name, value in each.options.items())
                write(f"{each.name}  {each.path}  {details}{' async' if each.is_async else ''}\n")
            return
        connections.close_all()  # connections of this thread, which Django may have opened; listeners have their own
        _log_to_standard_error(logger)
        asyncio.run(self._listen(chosen, options["grace"], fail_fast=options["fail_fast"]))

    async def _listen(self, chosen: Sequence[Registration], grace: float, *, fail_fast: bool) -> None:
        from eventcast.listeners.sources import supply  # needs websockets, unlike --list
        from eventcast.listeners.supervisor import Supervisor

        source = functools.partial(supply, server=self.url, headers=self.headers)
        supervisor = Supervisor(chosen, source, grace=grace, fail_fast=fail_fast)
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows
                asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
        outcome = await supervisor.run()
        done = outcome.stopped and not outcome.abandoned and not outcome.ended
        code = ExitCode.DONE if done else ExitCode.REFUSED
        if outcome.abandoned or outcome.hanging:
            # Python would wait for threads of asyncio and asgiref that the functions use, even if these hang.
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        if code:
            left = len(chosen) - len(outcome.ended)
            raise Failed(f"{left} of {len(chosen)} listeners ran to the end; the log says why.", code)


def _choose(names: Sequence[str]) -> list[Registration]:
    if not registry:
        raise Failed(NO_LISTENERS, ExitCode.USAGE)
    try:
        return list(dict.fromkeys(map(registry.find, names))) or list(registry.values())
    except LookupError as error:
        raise Failed(str(error), ExitCode.USAGE) from error


def _log_to_standard_error(log: logging.Logger) -> None:
    """Write the log to standard error, unless the project's LOGGING has a handler for it."""
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(log.level or logging.INFO)
