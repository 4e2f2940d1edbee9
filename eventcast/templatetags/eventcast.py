"""``{% load eventcast %}``: the JavaScript client's script tags, the URLs of channels, and tokens."""

from __future__ import annotations

from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import escapejs, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from eventcast.engine import names
from eventcast.security.authorization.sessions import own_channel
from eventcast.security.authorization.tokens import token
from eventcast.security.users import name_of

register = template.Library()

PAGE_LIFE = 600.0
"""Seconds for which a token in a page is good."""

CLIENT, ELEMENT = "eventcast/eventcast.js", "eventcast/event-cast.js"


@register.simple_tag(takes_context=True)
def eventcast_script(context: template.Context, element: bool = True) -> SafeString:
    """The script tags of ``eventcast.js`` and of the element ``<event-cast>``.

    They have the nonce of the page's Content Security Policy, if there is one: from Django 6 (the middleware alone is
    enough, without the context processor ``csp``) or from django-csp.

    :param element: False leaves out the element's script.
    """
    attribute = _nonce_attribute(context)
    files = (CLIENT, ELEMENT) if element else (CLIENT,)
    return format_html_join("\n", '<script src="{}"{}></script>', ((static(file), attribute) for file in files))


@register.simple_tag
def eventcast_url(channel: str, user: Any = None) -> str:
    """The URL path of a channel, percent-encoded: ``{% eventcast_url "/orders/张三" %}``.

    :param channel: the channel's name, as for ``eventcast.publish``.
    :param user: a user; then the channel is the user's own, and its name that of ``eventcast.publish_to``.
    :raises InvalidChannel, ChannelTooLong: that cannot be a channel's name.
    """
    return names.url_path(names.check_channel(channel if user is None else own_channel(user, channel)))


@register.simple_tag(takes_context=True)
def eventcast_token(
    context: template.Context, subscribe: Any = (), publish: Any = (), expires_in: float = PAGE_LIFE, user: str = ""
) -> str:
    """A token for the page's reader: ``<event-cast path="/a" token="{% eventcast_token subscribe="/a" %}">``.

    The page must not be cached for others: the token is good for every client that has it.

    :param subscribe: the channels it may listen to, a text or a list, as for ``eventcast.token``; ``publish`` likewise.
    :param expires_in: seconds from now. Default: ten minutes.
    :param user: the name of its owner. Default: that of the request's user, if it is logged in.
    """
    owner = user or name_of(getattr(context.get("request"), "user", None))
    return token(subscribe=subscribe, publish=publish, expires_in=expires_in, user=owner)


@register.simple_tag(takes_context=True)
def eventcast_token_script(
    context: template.Context, renew: str = "", expires_in: float = PAGE_LIFE, **options: Any
) -> SafeString:
    """A script, with the page's nonce, that sets ``eventcastToken`` for ``eventcast(url, { token: eventcastToken })``.

    :param renew: the URL of a view that answers with a new token. Then ``eventcastToken`` is a function: it gives the
        token of the page for half of its life, and asks the view after that.
    :param options: ``subscribe``, ``publish`` and ``user``, as for ``eventcast_token``.
    """
    value = f'"{eventcast_token(context, expires_in=expires_in, **options)}"'  # letters, digits, "-", "_" and "."
    if renew:
        age = "performance.now()"  # and no clock, which may be wrong
        asked = f'(await fetch("{escapejs(renew)}")).text()'
        value = f"async () => {age} < {expires_in * 500:.0f} ? {value} : {asked}"
    script = mark_safe(f"window.eventcastToken = {value};")
    return format_html("<script{}>{}</script>", _nonce_attribute(context), script)


def _nonce_attribute(context: template.Context) -> str:
    request = context.get("request")
    nonces = (
        context.get("csp_nonce"),  # Django 6 with its context processor
        getattr(request, "csp_nonce", None),  # django-csp
        getattr(request, "_csp_nonce", None),  # read by django.middleware.csp.get_nonce() of Django 6
    )
    # Both kinds of nonce are false until their text is read: hence "is not None".
    nonce = next((each for each in nonces if each is not None), None)
    return "" if nonce is None else format_html(' nonce="{}"', nonce)
