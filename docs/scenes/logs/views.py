from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

HOSTS = "/logs/<str:host>"
"""The channels of log lines, one a host."""


def all_hosts(request: HttpRequest) -> HttpResponse:
    """The lines of all hosts, as they come: one subscription to a pattern of channels."""
    return render(request, "logs/lines.html", {"pattern": HOSTS})


def one_host(request: HttpRequest, host: str) -> HttpResponse:
    """The lines of one host, as they come."""
    return render(request, "logs/lines.html", {"host": host, "channel": f"/logs/{host}"})
