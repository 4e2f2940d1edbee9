"""What an operator does to a channel. Each deed is written into the admin's history, and then done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.contrib.admin.models import LogEntry
from django.db import router, transaction
from django.http import HttpRequest
from django.template.defaultfilters import pluralize

from eventcast.engine import presence, publishing
from eventcast.exceptions import MissingData
from eventcast.http.formats import number
from eventcast.models import Channel

if TYPE_CHECKING:
    from eventcast.admin.permissions import ChannelPermissions


def publish(admin: ChannelPermissions, request: HttpRequest, name: str) -> str:
    """Publish the field ``data`` of a form as text; returns what to tell the operator.

    :raises Refused: as ``eventcast.publish``.
    """
    if "data" not in request.POST:
        raise MissingData("The form has no field 'data'.")
    # A form's lines end in CRLF however they were typed (HTML standard section 4.10.21.4).
    data = request.POST["data"].replace("\r\n", "\n")
    count, size = presence.subscriber_count(name), len(data.encode(errors="replace"))
    said = f"Published a text message of {_count(size, 'byte')} to {_count(count, 'subscriber')}."
    with _logged(admin, request, name, said):
        publishing.publish(name, data)
    return said


def disconnect(admin: ChannelPermissions, request: HttpRequest, name: str) -> str:
    """Disconnect the subscriber whose number is in the field ``subscriber``, or with ``all`` in it everybody; returns
    what to tell the operator.

    :raises MissingData: it is neither.
    """
    chosen = request.POST.get("subscriber", "")
    if chosen == "all":
        said = f"Disconnected all subscribers: {number(presence.subscriber_count(name, patterns=False))}."
        with _logged(admin, request, name, said):
            presence.disconnect(name)
        return said
    if not (chosen.isascii() and chosen.isdecimal() and len(chosen) < 20):
        raise MissingData("The field 'subscriber' is the number of a subscriber, or 'all'.")
    found = presence.subscriber(name, int(chosen))
    if found is None:
        return "That subscriber has left already."
    known = [text for text in (found.peer, found.user and f"user {found.user}", found.transport) if text]
    said = f"Disconnected subscriber {found.id} ({', '.join(known)})."
    with _logged(admin, request, name, said):
        presence.disconnect(name, found.id)
    return said


def log_key(name: str) -> str:
    """A channel's name as the history's table has it: PostgreSQL stores no NUL, which a path may hold as ``%00``."""
    return name.replace("\0", "\N{SYMBOL FOR NULL}")


@contextmanager
def _logged(admin: ChannelPermissions, request: HttpRequest, name: str, message: str) -> Iterator[None]:
    # Written first: what cannot be written down is not done, and what fails to be done is not written down.
    with transaction.atomic(using=router.db_for_write(LogEntry)):
        admin.log_change(request, Channel(name=log_key(name)), message)
        yield


def _count(value: int, what: str) -> str:
    return f"{number(value)} {what}{pluralize(value)}"
