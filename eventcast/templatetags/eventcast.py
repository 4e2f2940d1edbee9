"""``{% load eventcast %}``: the JavaScript client on a page, and the URLs of channels."""

from __future__ import annotations

from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from eventcast.engine import names

register = template.Library()

CLIENT, ELEMENT = "eventcast/eventcast.js", "eventcast/event-cast.js"


@register.simple_tag(takes_context=True)
def eventcast_script(context: template.Context, element: bool = True) -> SafeString:
    """The script tags of ``eventcast.js`` and of the element ``<event-cast>``.

    With the nonce of the page's Content Security Policy, if it has one: that of Django 6 (its middleware is enough, the
    context processor ``csp`` is not needed) or of django-csp.

    :param element: False leaves out the element.
    """
    nonce = _nonce(context)
    attribute = "" if nonce is None else format_html(' nonce="{}"', nonce)
    files = (CLIENT, ELEMENT) if element else (CLIENT,)
    return format_html_join("\n", '<script src="{}"{}></script>', ((static(file), attribute) for file in files))


@register.simple_tag
def eventcast_url(channel: str) -> str:
    """The URL path of a channel, percent-encoded: ``{% eventcast_url "/orders/张三" %}``.

    :param channel: its name, as ``eventcast.publish`` takes it.
    :raises InvalidChannel: it cannot be a channel's name; ``ChannelTooLong``: it is too long.
    """
    return names.url_path(names.check_channel(channel))


def _nonce(context: template.Context) -> Any:
    # Both kinds of nonce are false until somebody asks for their text: hence "is None".
    request = context.get("request")
    for found in (
        context.get("csp_nonce"),  # Django 6, by its context processor
        getattr(request, "csp_nonce", None),  # django-csp
        getattr(request, "_csp_nonce", None),  # what django.middleware.csp.get_nonce(), new in Django 6, looks at
    ):
        if found is not None:
            return found
    return None
