"""Sends texts through the class in the setting ``TEXT_GATEWAY``. A provider's class may replace the default."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string


class Gateway(Protocol):
    """Sends texts. Each text gets a new instance, made without arguments."""

    def send(self, phone: str, text: str) -> None:
        """Send ``text``, one line, to the number ``phone``. Any exception means that the text was not sent."""


class FileGateway:
    """Appends each text to the file ``TEXT_FILE``, for trials."""

    def send(self, phone: str, text: str) -> None:
        file = Path(settings.TEXT_FILE)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as texts:
            texts.write(f"{phone}: {text}\n")


def get_gateway() -> Gateway:
    """The gateway of the settings.

    :raises ImportError: there is no such class.
    """
    gateway: Gateway = import_string(settings.TEXT_GATEWAY)()
    return gateway
