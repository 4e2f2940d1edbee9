from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

import eventcast
from deployment.services import services

POPUPS = "/deployment"
"""The channel of changes, in words. Other programs may publish there, too."""

STATES = "/deployment/services"
"""The channel of the state of all services, as JSON."""


@require_safe
@never_cache
def console(request: HttpRequest) -> HttpResponse:
    """The page: the services, and a form with three buttons for each."""
    return render(request, "deployment/console.html", {**services.snapshot(), "popups": POPUPS, "states": STATES})


@require_safe
@never_cache
def state(request: HttpRequest) -> HttpResponse:
    """The last message of the channel of states, for a page that may have missed it."""
    return JsonResponse(services.snapshot())


@require_POST
def act(request: HttpRequest, name: str) -> HttpResponse:
    """Start, stop or restart a service, and publish the change to every open console."""
    try:
        happened = services.act(name, request.POST.get("do", ""))
    except KeyError as error:
        raise Http404(f"There is no {error}.") from error
    if happened:
        eventcast.publish(STATES, services.snapshot())
        eventcast.publish(POPUPS, happened)
    return redirect("deployment:console")
