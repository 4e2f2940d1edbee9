"""Processes of a site that do not serve channels, and publish: ``python -m tests.live.elsewhere worker``."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any
from wsgiref.simple_server import make_server

import django
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from django.db.models.signals import post_save

import eventcast
from eventcast.exceptions import EventcastError


def say(*words: object) -> None:
    print(*words, flush=True)


def worker() -> None:
    """As Celery does it: the parent publishes, forks its workers, and all publish at the same time."""
    say("parent", eventcast.publish("/live/work", "parent"))
    children = []
    for number in range(3):
        pid = os.fork()
        if not pid:
            for task in range(20):
                eventcast.publish("/live/work", f"worker {number} task {task}")
            os._exit(0)
        children.append(pid)
    for task in range(20):
        eventcast.publish("/live/work", f"worker parent task {task}")
    for pid in children:
        os.waitpid(pid, 0)


def command() -> None:
    """A cron job: below the mount, several at once, and with an event's name."""
    say(eventcast.publish("work", {"from": "cron"}))
    say(eventcast.publish_many([("/live/work", "one"), ("work", b"\x00\xff"), ("/live/other", "two")]))
    say(eventcast.publish("work", "named", event="paid"))


def receiver() -> None:
    """A receiver of a signal, in transactions of which one is rolled back."""
    from django.contrib.contenttypes.models import ContentType
    from django.core.management import call_command

    call_command("migrate", verbosity=0)

    def saved(instance: Any, **kwargs: Any) -> None:
        say(eventcast.publish("/live/work", instance.model, on_commit=True))

    post_save.connect(saved, sender=ContentType)
    with transaction.atomic():
        ContentType.objects.create(app_label="shop", model="lost")
        transaction.set_rollback(True)
    with transaction.atomic():
        ContentType.objects.create(app_label="shop", model="kept")
        say("before the commit")


def coroutine() -> None:
    """Sync code in an ``async def`` does not wait, and the loop goes on; what was sent keeps its order."""

    async def run() -> None:
        for number in range(20):
            say(eventcast.publish("/live/work", f"{number}"))
        say(await eventcast.apublish("/live/work", "awaited"))

    asyncio.run(run())


def silent() -> None:
    """The server cannot be reached."""
    say(eventcast.publish("/live/work", "x", fail_silently=True))
    try:
        eventcast.publish("/live/work", "x")
    except EventcastError as error:
        say(type(error).__name__)


def wsgi() -> None:
    """The site under a WSGI server."""
    with make_server("127.0.0.1", 0, get_wsgi_application()) as server:
        say(f"listening on {server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    django.setup()
    globals()[sys.argv[1]]()
