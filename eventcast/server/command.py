"""``manage.py eventcast serve``: Daphne in this process, set up for broadcasting."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import socket
import sys
from typing import Any

from channels.routing import get_default_application
from daphne.access import AccessLogGenerator
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections

import eventcast
from eventcast.commandline import Subcommand
from eventcast.conf import OPEN, conf
from eventcast.http import pages, views
from eventcast.server.process import listen_on_tcp, listen_on_unix, serve
from eventcast.server.worker import Worker
from eventcast.server.workers import MOST_WORKERS, supervise

if sys.platform != "win32":  # which has no such limit
    import resource

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000


class Serve(Subcommand):
    """Start the server: the settings' ASGI_APPLICATION under Daphne, until Ctrl-C or SIGTERM."""

    name = "serve"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("-b", "--bind", metavar="ADDR", help=f"address to listen on (default: {DEFAULT_HOST})")
        add("-p", "--port", type=_port, help=f"port to listen on, 0 for any free one (default: {DEFAULT_PORT})")
        add("-u", "--unix-socket", metavar="SOCKET", help="listen on this Unix socket; with -b or -p, on both")
        add("--ping-interval", type=float, default=20, metavar="S", help="seconds between two pings (default: 20)")
        add(
            "--ping-timeout",
            type=float,
            default=30,
            metavar="S",
            help="seconds a ping may go unanswered until the subscriber counts as gone (default: 30)",
        )
        add("--access-log", metavar="FILE", help="log every request to this file, - for standard output (default: no)")
        add("--workers", type=_count, metavar="N", help="serve with N processes, without Redis (Linux only)")
        add(
            "--worker-timeout",
            type=float,
            default=15,
            metavar="S",
            help="seconds without a sign of life until a worker is killed and replaced (default: 15)",
        )
        add("--as-worker", metavar="NUMBER:DESCRIPTOR", help=argparse.SUPPRESS)  # how the parent starts its workers
        add("--no-migrate", action="store_true", help="don't apply migrations, which is done where SQLite is used")

    def handle(self, **options: Any) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)  # in a pipe or a file too, where a program may be waiting
        if options["verbosity"] < 2:
            # The banner replaces the lines that Daphne logs while it starts.
            logging.getLogger("daphne").setLevel(logging.WARNING)
        worker = Worker(options["as_worker"]) if options["as_worker"] else None
        workers = options["workers"] or 0
        bound = options["bind"], options["port"], options["unix_socket"]
        sockets = worker.sockets if worker is not None else _listen(*bound, workers)
        open_files = raise_open_files()
        try:
            application = get_default_application()
        except ImproperlyConfigured as error:
            raise CommandError(f"{error} Set ASGI_APPLICATION, for example to 'mysite.asgi.application'.") from error
        if not options["no_migrate"] and worker is None:
            self._migrate()
        access_log = _access_logger(options["access_log"])

        def announce() -> None:
            self.stdout.write(_banner(sockets, open_files, workers))

        if workers and worker is None:
            sys.exit(supervise(sockets, workers, options["worker_timeout"], announce))
        serve(
            application,
            sockets,
            worker=worker,
            ping_interval=options["ping_interval"],
            ping_timeout=options["ping_timeout"],
            on_listening=announce if worker is None else worker.serves,
            access_log=access_log,
            root_path=getattr(settings, "FORCE_SCRIPT_NAME", None) or "",
            websocket_timeout=-1,  # Daphne closes with 1000 after a day, which clients that reconnect take as final.
            websocket_handshake_timeout=conf.HANDSHAKE_TIMEOUT,
            websocket_connect_timeout=conf.HANDSHAKE_TIMEOUT,
        )

    def _migrate(self) -> None:
        if connections["default"].vendor != "sqlite":
            return  # a database that others share is migrated when its operator says so
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except Exception as error:
            # Every error is passed over, because broadcasting needs no database.
            self.stderr.write(
                self.style.WARNING(f"The database could not be migrated, only the admin needs it: {error}")
            )
        finally:
            connections.close_all()


def _port(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and int(value) <= 65535):
        raise argparse.ArgumentTypeError(f"{value!r} is not a port: 0 to 65535")
    return int(value)


def _count(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= MOST_WORKERS):
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of workers: 1 to {MOST_WORKERS}")
    if sys.platform != "linux":
        raise argparse.ArgumentTypeError("workers need Linux, which spreads connections over them")
    return int(value)


def _listen(host: str | None, port: int | None, unix_socket: str | None, workers: int = 0) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    place, way_out = "", "."
    try:
        if host is not None or port is not None or unix_socket is None:
            host, port = host or DEFAULT_HOST, DEFAULT_PORT if port is None else port
            place, way_out = f"{host}, port {port}", ", or choose another with -p."
            sockets += listen_on_tcp(host, port)
        if unix_socket is not None:
            numbered = [f"{unix_socket}.{number}" for number in range(1, workers + 1)]
            for place in numbered or [unix_socket]:
                way_out = "."
                sockets.append(listen_on_unix(place))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(f"{place} is already in use: end the program that listens there{way_out}") from None
        raise CommandError(f"Cannot listen on {place}: {error.strerror}") from None
    return sockets


def _access_logger(destination: str | None) -> AccessLogGenerator | None:
    if destination is None:
        return None
    if destination == "-":
        return AccessLogGenerator(sys.stdout)
    try:
        return AccessLogGenerator(open(destination, "a", buffering=1, encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"The access log cannot be written: {error}") from error


def _banner(sockets: list[socket.socket], open_files: str, workers: int = 0) -> str:
    prefix = pages.path_of("eventcast:channels").removesuffix("-/channels") or "/"
    admin = pages.path_of("admin:index")
    lines = [f"eventcast {eventcast.__version__} is listening; Ctrl-C ends it.", ""]
    curl = "curl -d data=hello" if conf.AUTHORIZATION == OPEN else "curl -H 'Authorization: Bearer KEY' -d data=hello"
    has_start = getattr(pages.view_at(prefix), "func", None) is views.start
    by_key = conf.AUTHORIZATION != "eventcast.authorization.Sessions"  # which takes logins only
    for address in (each.getsockname() for each in sockets):
        if isinstance(address, str):
            if by_key:
                lines.append(f"  try         {curl} --unix-socket {address} http://localhost{prefix}any/path")
            continue
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])
        authority = f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
        lines += [
            f"  open first  http://{authority}{prefix}{'' if has_start else 'any/path'}",
            f"  subscribe   ws://{authority}{prefix}any/path",
            f"  publish     http://{authority}{prefix}any/path",
            *([f"  admin       http://{authority}{admin}"] if admin else []),
            *([f"  try         {curl} http://{authority}{prefix}any/path"] if by_key else []),
        ]
    database = settings.DATABASES.get("default", {}).get("NAME")
    lines += [
        "",
        *([f"  users       manage.py createsuperuser makes one, in the database {database}"] if admin else []),
        f"  host names  {', '.join(settings.ALLOWED_HOSTS) or 'those of this machine'} (ALLOWED_HOSTS)",
        f"  open to     {'everybody' if conf.AUTHORIZATION == OPEN else conf.AUTHORIZATION} (AUTHORIZATION)",
        *([f"  workers     {workers}"] if workers else []),
        f"  open files  {open_files}",
        "",
    ]
    return "\n".join(lines)


def raise_open_files() -> str:
    """Allow this process as many open files, and so connections, as the system lets it; returns how many that is."""
    if sys.platform == "win32":
        return "as many as the system allows"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # macOS has a lower limit of its own
        logging.getLogger("eventcast").warning("The limit of open files stays at %d: %s", soft, error)
        return str(soft)
    limit = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    return limit if soft == hard else f"{limit}, raised from {soft}"
