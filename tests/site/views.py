"""The pages of an existing site: plain, with a session, with a form under CSRF protection, and one that publishes."""

from __future__ import annotations

import threading

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

import eventcast


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("the shop's home page")


def visits(request: HttpRequest) -> HttpResponse:
    """How often this session has been here, this time included."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


def guestbook(request: HttpRequest) -> HttpResponse:
    """GET gives the CSRF token, POST needs it."""
    if request.method == "POST":
        return HttpResponse(f"thank you, {request.POST['name']}")
    return HttpResponse(get_token(request))


@csrf_exempt
@require_POST
def room(request: HttpRequest) -> HttpResponse:
    """Says something in the site's chat, as the documentation of Channels does it in a view."""
    say = async_to_sync(get_channel_layer().group_send)
    say("room", {"type": "say", "text": request.POST["data"]})
    return HttpResponse(status=204)


@csrf_exempt  # what calls it is a payment service, not a browser
@require_POST
def pay(request: HttpRequest, number: int) -> HttpResponse:
    """A sync view that publishes from Python."""
    return JsonResponse({"subscribers": eventcast.publish(f"/live/orders/{number}", {"paid": number})})


@csrf_exempt
@require_POST
def pack(request: HttpRequest, number: int) -> HttpResponse:
    """Publishes from a thread of its own, which has no event loop."""
    found: list[int | None] = []
    thread = threading.Thread(
        target=lambda: found.append(eventcast.publish(f"/live/orders/{number}", {"packed": number}))
    )
    thread.start()
    thread.join()
    return JsonResponse({"subscribers": found[0]})


@csrf_exempt
@require_POST
def ship(request: HttpRequest, number: int) -> HttpResponse:
    """Publishes when the database transaction is over, and not at all when it is rolled back (``?lost=1``)."""
    with transaction.atomic():
        eventcast.publish(f"/live/orders/{number}", {"shipped": number}, on_commit=True)
        transaction.set_rollback("lost" in request.GET)
    return HttpResponse("on its way")


@csrf_exempt
@require_POST
async def deliver(request: HttpRequest, number: int) -> HttpResponse:
    """An async view that publishes."""
    return JsonResponse({"subscribers": await eventcast.apublish(f"/live/orders/{number}", {"delivered": number})})
