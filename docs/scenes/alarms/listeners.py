"""The alarm of the log server: a line in a file and a mail when it falls silent, and again when it is back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.mail import send_mail

from eventcast import heartbeat

if TYPE_CHECKING:
    from eventcast.client.watching import Heartbeat


@heartbeat("/heartbeat/logserver", timeout=settings.HEARTBEAT_TIMEOUT)
def alarm_the_operators(event: Heartbeat) -> None:
    """Tell the operators once that the log server is silent, and once that it is back."""
    if event.alive:
        told = f"The log server is back after {event.silence:.0f} s."
    else:
        told = f"The log server has been silent for {event.silence:.0f} s."
    file = Path(settings.ALARM_FILE)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as alarms:
        alarms.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {told}\n")
    send_mail(told, f"Channel: {event.channel}\n", None, [settings.ALARM_EMAIL])
