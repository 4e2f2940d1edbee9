"""Listeners that say on standard output what they got."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from datetime import date
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.urls import register_converter

from eventcast import heartbeat, listener
from eventcast.listeners import Heartbeat


class DayConverter:
    """A converter of the site's own, which no server knows."""

    regex = r"\d{4}-\d\d-\d\d"

    def to_python(self, value: str) -> date:
        return date.fromisoformat(value)

    def to_url(self, value: date) -> str:
        return value.isoformat()


register_converter(DayConverter, "day")


def say(*words: object) -> None:
    # In one piece: several threads speak.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


# --- one channel, three that listen -----------------------------------------------------------------------------------

numbers: list[int] = []


@listener("/three")
def good(message: dict[str, int]) -> None:
    numbers.append(message["number"])
    if len(numbers) == message["of"]:
        say("good got", len(numbers), "in order" if numbers == sorted(numbers) else "in disorder")


@listener("/three", queue=100)
def raises(message: Any) -> None:
    raise RuntimeError(f"on {message}")


@listener("/three", queue=100, slow_after=0.2)
def sleeps(message: Any) -> None:
    threading.Event().wait()


@listener("/three", queue=100, slow_after=0.2)
async def blocks(message: Any) -> None:
    time.sleep(3600)  # noqa: ASYNC251  what an async function must not do, and stops only itself by


@listener("/three", queue=100, slow_after=0.2)
async def waits(message: Any) -> None:
    await forever()


async def forever() -> None:
    await asyncio.Event().wait()


# --- what they are called with ----------------------------------------------------------------------------------------


@listener("/json")
def takes_json(message: Any) -> None:
    say("json", repr(message))


@listener("/json", raw=True)
def takes_raw(message: str | bytes) -> None:
    say("raw", repr(message))


@listener("/json")
async def takes_json_async(message: Any) -> None:
    say("async", repr(message))


@listener("/user/<str:key>/<int:number>")
def matched_by_the_server(message: Any, key: str, number: int) -> None:
    say("pattern", repr(message), repr(key), repr(number))


@listener("/days/<day:first>/<day:last>")
def matched_here(message: Any, first: date, last: date) -> None:
    say("days", repr(message), (last - first).days)


@listener("/-/refused")
def refused(message: Any) -> None:
    say("never")


# --- the database -----------------------------------------------------------------------------------------------------


@listener("/database")
def stores(message: str) -> None:
    connected = "already connected" if connection.connection else "newly connected"
    ContentType.objects.create(app_label="plain", model=message)
    say("stored", message, connected)


@listener("/database")
async def stores_async(message: str) -> None:
    connected = "already connected" if await sync_to_async(lambda: connection.connection)() else "newly connected"
    await ContentType.objects.acreate(app_label="async", model=message)
    say("stored async", message, connected)


# --- the end ----------------------------------------------------------------------------------------------------------


@listener("/slow")
def slow(message: int) -> None:
    time.sleep(0.02)
    say("slow", message)


# --- heartbeats -------------------------------------------------------------------------------------------------------


@heartbeat("/heartbeat/logserver", timeout=1.5)
def service_alarm(found: Heartbeat) -> None:
    say("service", "alive" if found.alive else "silent", f"{found.silence:.1f}", found.channel)


@heartbeat("/heartbeat/<str:host>", timeout=1.5)
async def host_alarm(found: Heartbeat, host: str) -> None:
    say("host", "alive" if found.alive else "silent", f"{found.silence:.1f}", host)
