from __future__ import annotations

import asyncio
from typing import Any

from django.http import Http404

import eventcast


@eventcast.snapshot("/sync/<int:number>")
def sync(request: Any, number: int) -> dict[str, Any]:
    for each in range(3):
        eventcast.publish(f"/sync/{number}", f"meanwhile {each}")
    return {"state of": number, "for": request.GET.get("for")}


@eventcast.snapshot("/async/<int:number>", event="state")
async def asynchronous(request: Any, number: int) -> dict[str, Any]:
    for each in range(3):
        await eventcast.apublish(f"/async/{number}", f"meanwhile {each}")
        await asyncio.sleep(0)
    return {"state of": number, "for": request.GET.get("for")}


@eventcast.snapshot("/missing")
def missing(request: Any) -> None:
    raise Http404("There is no such order.")


@eventcast.snapshot("/broken")
def broken(request: Any) -> None:
    raise RuntimeError("a bug")


@eventcast.snapshot("/nothing")
def nothing(request: Any) -> None:
    return None


_released: dict[int, asyncio.Event] = {}


@eventcast.snapshot("/slow/<int:number>")
async def slow(request: Any, number: int) -> str:
    """Waits for a subscriber of ``/release/<int:number>``."""
    await _released.setdefault(number, asyncio.Event()).wait()
    return "at last"


@eventcast.snapshot("/release/<int:number>")
async def release(request: Any, number: int) -> None:
    _released.setdefault(number, asyncio.Event()).set()
