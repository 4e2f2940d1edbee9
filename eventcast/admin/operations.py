"""Operations on a channel. Each one is written into the admin's history and then done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.contrib.admin.models import LogEntry
from django.db import router, transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from eventcast.admin import everywhere
from eventcast.admin.formats import number, partial
from eventcast.engine import presence, publishing
from eventcast.engine.asking import ask_now, question
from eventcast.exceptions import MissingData
from eventcast.http import payloads
from eventcast.models import Channel

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin


def publish(admin: ModelAdmin[Channel], request: HttpRequest, name: str) -> str:
    """Publish the field ``data`` of a form: a text, or a file. Return a sentence for the operator.

    :raises Refused: as ``eventcast.publish``.
    """
    is_typed = "data" in request.POST
    data = payloads.messages_in(request)[0]
    if isinstance(data, str) and is_typed:
        # Browsers end each line of a form's field with CRLF (HTML standard section 4.10.21.4).
        data = data.replace("\r\n", "\n")
    count = everywhere.infos([name])[name].subscribers
    if isinstance(data, str):
        size, sentence = len(data.encode(errors="replace")), _("Published a text message of {size} to {audience}.")
    else:
        size, sentence = len(data), _("Published a binary message of {size} to {audience}.")
    result = sentence.format(
        size=ngettext("{} byte", "{} bytes", size).format(number(size)),
        audience=ngettext("{} subscriber", "{} subscribers", count).format(number(count)),
    )
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
        answers = ask_now("own_subscribers", name=name)
        result = _("Disconnected all subscribers: {}.").format(partial(number(sum(answers.found)), answers.missing))
        with _logged(admin, request, name, result):
            everywhere.disconnect(name)
        return result
    if not re.fullmatch(r"([0-9a-f]{1,32}-)?[0-9]{1,19}", chosen):
        raise MissingData("The field 'subscriber' is the number of a subscriber, or 'all'.")
    found = everywhere.guest(name, chosen)
    if found is None:
        return _("That subscriber has left already.")
    user = found.user and _("user {}").format(found.user)
    known = ", ".join(text for text in (found.peer, user, found.transport) if text)
    result = _("Disconnected subscriber {id} ({known}).").format(id=found.id, known=known)
    with _logged(admin, request, name, result):
        everywhere.disconnect(name, chosen)
    return result


@question
def own_subscribers(name: str) -> int:
    """The subscribers of a channel in this process that "Disconnect all" closes."""
    return presence.subscriber_count(name, patterns=False)


def log_key(name: str) -> str:
    """A channel's name as the history stores it: PostgreSQL stores no NUL, and a path may contain one (``%00``)."""
    return name.replace("\0", "\N{SYMBOL FOR NULL}")


@contextmanager
def _logged(admin: ModelAdmin[Channel], request: HttpRequest, name: str, message: str) -> Iterator[None]:
    # Written first: without an entry in the history nothing is done, and a failed operation removes its entry.
    with transaction.atomic(using=router.db_for_write(LogEntry)):
        admin.log_change(request, Channel(name=log_key(name)), message)
        yield
