"""``{% load eventcast %}``: the JavaScript client's script tags, and the URLs of channels."""

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

    They have the nonce of the page's Content Security Policy, if there is one: from Django 6 (the middleware alone is
    enough, without the context processor ``csp``) or from django-csp.

    :param element: False leaves out the element's script.
    """
    nonce = _nonce(context)
    attribute = "" if nonce is None else format_html(' nonce="{}"', nonce)
    files = (CLIENT, ELEMENT) if element else (CLIENT,)
    return format_html_join("\n", '<script src="{}"{}></script>', ((static(file), attribute) for file in files))


@register.simple_tag
def eventcast_url(channel: str) -> str:
    """The URL path of a channel, percent-encoded: ``{% eventcast_url "/orders/张三" %}``.

    :param channel: the channel's name, as for ``eventcast.publish``.
    :raises InvalidChannel, ChannelTooLong: that cannot be a channel's name.
    """
    return names.url_path(names.check_channel(channel))


def _nonce(context: template.Context) -> Any:
    # Both kinds of nonce are false until their text is read: hence "is None".
    request = context.get("request")
    for found in (
        context.get("csp_nonce"),  # Django 6 with its context processor
        getattr(request, "csp_nonce", None),  # django-csp
        getattr(request, "_csp_nonce", None),  # read by django.middleware.csp.get_nonce() of Django 6
    ):
        if found is not None:
            return found
    return None
