"""Pays an order, and POSTs it to the address in the setting ``PAYMENT_WEBHOOK``. What happens then is not its part."""

from __future__ import annotations

import json
import logging
import secrets
import urllib.request
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder

logger = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds that the POST may take: the customer waits for it."""


def pay(order: dict[str, Any], key: str = "") -> str:
    """Take the money for an order, and announce it.

    :param order: ``name``, ``amount``, ``address``, ``phone`` and ``email``.
    :param key: the order's key; default: a new one.
    :returns: the key.
    """
    key = key or secrets.token_hex(4)
    # Here the money would change hands.
    announce({"key": key, **order})
    return key


def announce(order: dict[str, Any]) -> None:
    """POST a paid order as JSON. A failure is logged, and the order stays paid."""
    request = urllib.request.Request(
        settings.PAYMENT_WEBHOOK + quote(order["key"], safe=""),
        json.dumps(order, cls=DjangoJSONEncoder).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            pass
    except OSError as error:
        logger.error("The payment of order %s could not be announced: %s", order["key"], error)
