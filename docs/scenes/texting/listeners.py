"""Texts the customer about each payment, independently of the mails."""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string

from eventcast import listener
from texting.gateways import get_gateway


@listener("/eventcast/user/<str:key>")
def text_the_customer(order: dict[str, Any], key: str) -> None:
    """Send a text to the customer of a paid order."""
    text = render_to_string("texting/paid.txt", {"order": order, "key": key})
    get_gateway().send(order["phone"], " ".join(text.split()))
