"""Operations on a channel. Each one is written into the admin's history and then done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.contrib.admin.models import LogEntry
from django.db import router, transaction
from django.http import HttpRequest
from django.template.defaultfilters import pluralize

from eventcast.admin.formats import number
from eventcast.engine import presence, publishing
from eventcast.exceptions import MissingData
from eventcast.models import Channel

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin


def publish(admin: ModelAdmin[Channel], request: HttpRequest, name: str) -> str:
    """Publish the field ``data`` of a form as text. Return a sentence for the operator.

    :raises Refused: as ``eventcast.publish``.
    """
    if "data" not in request.POST:
        raise MissingData("The form has no field 'data'.")
    # Browsers end each line of a form's field with CRLF (HTML standard section 4.10.21.4).
    data = request.POST["data"].replace("\r\n", "\n")
    count, size = presence.subscriber_count(name) - presence.watchers()[name], len(data.encode(errors="replace"))
    result = f"Published a text message of {_count(size, 'byte')} to {_count(count, 'subscriber')}."
    with _logged(admin, request, name, result):
        publishing.publish(name, data)
    return result


def disconnect(admin: ModelAdmin[Channel], request: HttpRequest, name: str) -> str:
    """Disconnect the subscriber with the number in the field ``subscriber``; the value ``all`` disconnects all.

    Return a sentence for the operator.

    :raises MissingData: the field is neither.
    """
    chosen = request.POST.get("subscriber", "")
    if chosen == "all":
        count = presence.subscriber_count(name, patterns=False) - presence.watchers()[name]
        result = f"Disconnected all subscribers: {number(count)}."
        with _logged(admin, request, name, result):
            presence.disconnect(name)
        return result
    if not (chosen.isascii() and chosen.isdecimal() and len(chosen) < 20):
        raise MissingData("The field 'subscriber' is the number of a subscriber, or 'all'.")
    found = presence.subscriber(name, int(chosen))
    if found is None:
        return "That subscriber has left already."
    known = [text for text in (found.peer, found.user and f"user {found.user}", found.transport) if text]
    result = f"Disconnected subscriber {found.id} ({', '.join(known)})."
    with _logged(admin, request, name, result):
        presence.disconnect(name, found.id)
    return result


def log_key(name: str) -> str:
    """A channel's name as the history stores it: PostgreSQL stores no NUL, and a path may contain one (``%00``)."""
    return name.replace("\0", "\N{SYMBOL FOR NULL}")


@contextmanager
def _logged(admin: ModelAdmin[Channel], request: HttpRequest, name: str, message: str) -> Iterator[None]:
    # Written first: without an entry in the history nothing is done, and a failed operation removes its entry.
    with transaction.atomic(using=router.db_for_write(LogEntry)):
        admin.log_change(request, Channel(name=log_key(name)), message)
        yield


def _count(value: int, what: str) -> str:
    return f"{number(value)} {what}{pluralize(value)}"
