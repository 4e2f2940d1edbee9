"""For the templates of an admin site."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse

from eventcast.engine import presence
from eventcast.http import formats

register = template.Library()


@register.inclusion_tag("admin/eventcast/channel/totals.html", takes_context=True)
def eventcast_totals(context: template.Context) -> dict[str, Any]:
    """How many channels and subscribers there are and how many messages pass, kept up to date, with a link to the list.

    Nothing for users who may not see channels, and in admin sites that have none.
    """
    request = context.request  # type: ignore[attr-defined]  # there without a context processor, too
    try:
        links = {
            name: reverse(f"admin:eventcast_channel_{name}", current_app=getattr(request, "current_app", None))
            for name in ("changelist", "totals")
        }
    except NoReverseMatch:
        return {}
    if not request.user.has_perm("eventcast.view_channel"):
        return {}
    totals = presence.totals()
    return {
        "links": links,
        "channels": formats.number(totals.channels),
        "subscribers": formats.number(totals.subscribers),
        "rate": formats.UNKNOWN,
    }
