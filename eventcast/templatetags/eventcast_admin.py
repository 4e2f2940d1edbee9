"""``{% load eventcast_admin %}``: the totals on an admin site's index, and the texts of its scripts."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import json_script
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from eventcast.http import pages

register = template.Library()


@register.simple_tag
def eventcast_words() -> SafeString:
    """The texts of the pages' scripts in the language of the page, as a block of JSON."""
    return json_script(pages.words(get_language()), "eventcast-words")


@register.inclusion_tag("admin/eventcast/channel/totals.html", takes_context=True)
def eventcast_totals(context: template.Context) -> dict[str, Any]:
    """The numbers of channels, subscribers and messages per second, kept up to date, with a link to the list.

    Empty for users without the view permission, and in admin sites without channels.
    """
    request = context.request  # type: ignore[attr-defined]  # set by render() with a request
    try:
        links = {
            name: reverse(f"admin:eventcast_channel_{name}", current_app=getattr(request, "current_app", None))
            for name in ("changelist", "totals")
        }
    except NoReverseMatch:
        return {}
    if not request.user.has_perm("eventcast.view_channel"):
        return {}
    from eventcast.admin import everywhere, reports  # here, because Django loads this file in sites without an admin

    return {"links": links, **reports.of_all(everywhere.look())}
