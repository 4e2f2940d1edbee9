from __future__ import annotations

import eventcast
from tests.site.shop.celery import app


@app.task
def pack(number: int) -> None:
    eventcast.publish(f"orders/{number}", {"state": "packed"})
