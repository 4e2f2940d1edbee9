"""Figures as text, the same in a page and in the answers that update the page."""

from __future__ import annotations

import time
from datetime import datetime

from django.utils import timezone
from django.utils.formats import number_format

UNKNOWN = "–"


def number(value: float) -> str:
    """A whole number with its digits grouped for the current language."""
    whole = int(value)
    # Most of the hundreds of numbers on a page are small, and Django's function takes ten times as long for them.
    return str(whole) if -1000 < whole < 1000 else str(number_format(whole, force_grouping=True))


def per_second(value: float | None) -> str:
    """A rate, with one decimal place below 100."""
    if value is None:
        return UNKNOWN
    return number(round(value)) if value >= 100 or not value else str(number_format(max(value, 0.1), 1))


def moment(value: float) -> str:
    """Seconds since the epoch as date and time in the current time zone."""
    return datetime.fromtimestamp(value, tz=timezone.get_current_timezone()).strftime("%Y-%m-%d %H:%M:%S")


def ago(value: float) -> str:
    """The time since ``value``, in seconds since the epoch; 0 means never."""
    seconds = int(max(time.time() - value, 0))
    if not value:
        return UNKNOWN
    if seconds < 2:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
