"""Figures as text, the same in a page and in the answers that update the page."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

UNKNOWN = "–"


def number(value: float) -> str:
    """A whole number with its digits grouped for the current language."""
    whole = int(value)
    # Most of the hundreds of numbers on a page are small, and Django's function takes ten times as long for them.
    return str(whole) if -1000 < whole < 1000 else str(number_format(whole, force_grouping=True))


def partial(text: str, missing: int) -> str:
    """A number, with a note if processes are missing from it."""
    sentence = ngettext("{number}, without {missing} process", "{number}, without {missing} processes", missing)
    return sentence.format(number=text, missing=missing) if missing else text


def per_second(value: float | None) -> str:
    """A rate, with one decimal place below 100."""
    if value is None:
        return UNKNOWN
    return number(round(value)) if value >= 100 or not value else str(number_format(max(value, 0.1), 1))


def moment(value: float) -> str:
    """Seconds since the epoch as date and time in the current time zone, and that zone: ``UTC+08:00``."""
    found = datetime.fromtimestamp(value, tz=timezone.get_current_timezone()).isoformat(" ", "seconds")
    return f"{found[:19]} UTC{found[19:]}".removesuffix("+00:00")


def time_zone_of(request: HttpRequest) -> AbstractContextManager[None]:
    """The time zone of the reader, which the page's script sends as ``?zone=Asia/Shanghai``, and uses for the messages
    in the page; without it, that of the server."""
    try:
        return timezone.override(ZoneInfo(request.GET["zone"]))
    except (KeyError, ValueError, OSError):  # no such zone, or not a zone's name
        return nullcontext()


def ago(value: float) -> str:
    """The time since ``value``, in seconds since the epoch; 0 means never."""
    seconds = int(max(time.time() - value, 0))
    if not value:
        return UNKNOWN
    if seconds < 2:
        return _("now")
    for size, text in ((86400, _("{} d ago")), (3600, _("{} h ago")), (60, _("{} min ago"))):
        if seconds >= size:
            return text.format(seconds // size)
    return _("{} s ago").format(seconds)
