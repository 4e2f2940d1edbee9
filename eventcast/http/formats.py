"""Figures as people read them: the same text in a page and in what keeps it up to date."""

from __future__ import annotations

import time
from datetime import datetime

from django.utils import timezone
from django.utils.formats import number_format

UNKNOWN = "–"


def number(value: float) -> str:
    """A whole number, its digits grouped as the language has it."""
    whole = int(value)
    # Most are small, and there are hundreds on a page: Django takes ten times as long to find nothing to group.
    return str(whole) if -1000 < whole < 1000 else str(number_format(whole, force_grouping=True))


def per_second(value: float | None) -> str:
    """A rate: one decimal place where that says something."""
    if value is None:
        return UNKNOWN
    return number(round(value)) if value >= 100 or not value else str(number_format(max(value, 0.1), 1))


def moment(value: float) -> str:
    """Seconds since the epoch as date and time in the admin's time zone."""
    return datetime.fromtimestamp(value, tz=timezone.get_current_timezone()).strftime("%Y-%m-%d %H:%M:%S")


def ago(value: float) -> str:
    """How long ago something was that was ``value`` seconds after the epoch; 0 is never."""
    seconds = int(max(time.time() - value, 0))
    if not value:
        return UNKNOWN
    if seconds < 2:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
