"""Origins: whether the page that sends a request may do so, told by the ``Origin`` that the browser adds (RFC 6454);
and hosts: whether a request was meant for this site, told by its ``Host``.

Any page on the web can make a browser send requests to a server that only the browser can reach: on the same machine,
in the same office, or where the user is logged in. The browser hides the answer from the page, but by then a POST has
done its work, and a WebSocket is not hidden at all. So pages of this server may do everything, and pages of other
origins only what ``ALLOWED_ORIGINS`` allows. Programs send no ``Origin`` and are not checked.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import DisallowedHost as DjangoDisallowedHost
from django.http import HttpRequest

from eventcast.conf import conf, setting_of_django, worked_out
from eventcast.exceptions import DisallowedHost, OriginNotAllowed, Sentence

ANY, OPAQUE = "*", "null"
"""The entry that allows any origin, and the origin of pages without one: files, sandboxed frames, ``data:`` URLs."""

REMEMBERED_HOSTS = 1000
"""Values of ``Host`` that are known to be allowed: checking one takes Django 10 µs."""

LONGEST = 300
"""Characters: a host name has up to 253, and a scheme is short."""

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
# The last label begins with a letter, because *.0.0.1 would be addresses of other people.
_WILDCARD = re.compile(r"(?:([a-z][a-z0-9+.-]*)://)?\*((?:\.[a-z0-9_-]+)*\.[a-z][a-z0-9_-]*)(?::([0-9]{1,5}))?")


class Origin(NamedTuple):
    """A scheme, a host and a port, in lower case and with the scheme's own port filled in; hence comparable."""

    scheme: str | None
    """None in a wildcard for any scheme."""
    host: str
    """In a wildcard, the end of the hosts that it stands for, with a dot before it."""
    port: int | None
    """None for schemes that have none, such as a browser extension's."""


def parse(text: str, syntax: re.Pattern[str] = _ORIGIN) -> Origin | None:
    """The origin that a header or an entry of ``ALLOWED_ORIGINS`` spells out; None if it is none, or ``null``."""
    # ASCII before lower case, or the Kelvin sign would be a k.
    if len(text) > LONGEST or not text.isascii() or (found := syntax.fullmatch(text.lower())) is None:
        return None
    scheme, host, port = found.groups()
    default = PORTS.get(scheme)
    if (default and not host) or int(port or 0) > 65535:
        return None
    return Origin(scheme, host, int(port) if port else default)


class Allowed:
    """``ALLOWED_ORIGINS``, read. An entry that cannot be read allows no origin; a system check says what is wrong."""

    def __init__(self, entries: Collection[str]) -> None:
        self.any = ANY in entries
        self.opaque = OPAQUE in entries
        self.exact = {origin for entry in entries if (origin := parse(entry))}
        self.wildcards = [wildcard for entry in entries if (wildcard := parse(entry, _WILDCARD))]

    def lets_in(self, text: str, *, cookies: bool = False) -> bool:
        """Whether a page of another host may send requests.

        :param text: its ``Origin``.
        :param cookies: cookies may let a request in, and browsers add them to the requests of any page. Then only
            named origins count; ``*`` and ``null``, which may be any page, do not.
        """
        if text == OPAQUE:
            return not cookies and (self.opaque or self.any)
        origin = parse(text)
        if origin is None or (self.any and not cookies) or origin in self.exact:
            return origin is not None
        return any(
            wildcard.scheme in (None, origin.scheme)
            and origin.port == (PORTS.get(origin.scheme or "") if wildcard.port is None else wildcard.port)
            and origin.host.endswith(wildcard.host)
            and len(origin.host) > len(wildcard.host)
            for wildcard in self.wildcards
        )


_read = functools.lru_cache(maxsize=16)(Allowed)


def allowed() -> Allowed:
    """``ALLOWED_ORIGINS`` as it is now."""
    entries = conf.ALLOWED_ORIGINS
    # A lone string is a collection of characters, and "*" may be one of them.
    listed = isinstance(entries, (list, tuple, set, frozenset))
    return _read(tuple(entry for entry in entries if isinstance(entry, str)) if listed else ())


def own(request: HttpRequest) -> str:
    """The origin of this server as the client sees it; empty if the ``Host`` is not in ``ALLOWED_HOSTS``.

    Settings for proxies, ``SECURE_PROXY_SSL_HEADER`` and ``USE_X_FORWARDED_HOST``, are Django's and work as everywhere.
    """
    is_secure = request.is_secure()
    if not is_secure and settings.SECURE_PROXY_SSL_HEADER:
        # Some proxies, Traefik among them, tell the scheme of a WebSocket by its own name.
        header, secure = settings.SECURE_PROXY_SSL_HEADER
        is_secure = secure == "https" and request.META.get(header, "").split(",", 1)[0].strip() == "wss"
    try:
        return f"{'https' if is_secure else 'http'}://{request.get_host()}"
    except DjangoDisallowedHost:
        return ""


def is_own(request: HttpRequest, text: str) -> bool:
    """Whether an ``Origin`` is this server's own: of the same scheme, host and port."""
    ours = own(request)
    return text == ours != "" or ((origin := parse(text)) is not None and origin == parse(ours))


def check(request: HttpRequest, *, cookies: bool = False) -> None:
    """Check that the page behind a request may send it.

    :param cookies: as in :meth:`Allowed.lets_in`.
    :raises OriginNotAllowed: ``ALLOWED_ORIGINS`` does not allow its origin; or, with ``cookies``, the request has
        cookies and would publish, and does not say where it comes from.
    """
    text = request.META.get("HTTP_ORIGIN")
    if text is None:
        if cookies and request.method in ("POST", "PUT") and request.META.get("HTTP_COOKIE"):
            _check_without_origin(request)
    elif not is_own(request, text) and not allowed().lets_in(text, cookies=cookies):
        named = Sentence(" by name, for cookies let it in") if cookies else ""
        raise OriginNotAllowed(
            "Pages of {text!r:.100} may not do this. They may if EVENTCAST['ALLOWED_ORIGINS'] lists "
            "their origin{named}. This server's own is {own!r:.100}: if browsers see another, have the "
            "proxy pass on Host and the scheme, and set SECURE_PROXY_SSL_HEADER (DJANGO_HTTPS).",
            text=text,
            named=named,
            own=own(request) or "unknown",
        )


def _check_without_origin(request: HttpRequest) -> None:
    """Check that a request with cookies and without ``Origin`` does not come from a page of another site.

    All browsers since 2020 send ``Origin`` with every POST, so this is about older ones. No page can forge
    ``Sec-Fetch-Site``. Django uses ``Referer`` in this case, too; its scheme counts, because an attacker on the network
    may write a page that comes over plain HTTP. A CSRF token is no help: in a form it would be in the body, which is
    not read yet, and a client that can set a header for the token can set ``Origin`` just as well.
    """
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        proven = site in ("same-origin", "none")
    else:
        text = "/".join(request.META.get("HTTP_REFERER", "").split("/", 3)[:3])
        proven = is_own(request, text) or allowed().lets_in(text, cookies=True)
    if not proven:
        raise OriginNotAllowed(
            "A request to publish with cookies has to say where it comes from, because any page could "
            "have sent it. Send 'Origin: {own}', or none of the cookies.",
            own=own(request) or "https://…",
        )


def check_host(request: HttpRequest) -> None:
    """Hold the ``Host`` of a request to ``ALLOWED_HOSTS`` where Django's own middleware does not see the request:
    another site's name that points here would give its pages a way in. A client of HTTP/1.0 may leave it out.

    :raises DisallowedHost: it is not in ``ALLOWED_HOSTS``.
    """
    host = request.META.get("HTTP_HOST", "")
    allowed = worked_out("eventcast hosts")
    if not host or host in allowed:
        return
    try:
        request.get_host()
    except DjangoDisallowedHost as error:
        raise DisallowedHost("{error!s:.200} (ALLOWED_HOSTS in the settings.)", error=error) from None
    # With this setting Django checks another header, and nothing is known about this one.
    if len(allowed) < REMEMBERED_HOSTS and not setting_of_django("USE_X_FORWARDED_HOST", False):
        allowed[host] = True


def may_be_listed(entry: object) -> bool:
    """Whether ``ALLOWED_ORIGINS`` may have an entry. An origin of a socket cannot be that of a page."""
    origin = (parse(entry) or parse(entry, _WILDCARD)) if isinstance(entry, str) else None
    return entry in (ANY, OPAQUE) or (origin is not None and origin.scheme not in ("ws", "wss"))
