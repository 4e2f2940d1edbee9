"""Where texts go: the class that the setting ``TEXT_GATEWAY`` names, which any provider's can take the place of."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string


class Gateway(Protocol):
    """Sends texts. Made anew for each, without arguments."""

    def send(self, phone: str, text: str) -> None:
        """Send ``text``, which is one line, to the number ``phone``. Any exception means that it was not sent."""


class FileGateway:
    """Appends each text to the file ``TEXT_FILE``, for trying things out."""

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
