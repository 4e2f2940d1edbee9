"""Pages for people: a channel's page, the start page, and the page of a refusal.

They are rendered without the site's context processors, because those may query the database and block the event loop.
Templates of the site with the same names replace those of this package.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import global_settings, settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.template import Context, Engine, TemplateDoesNotExist, loader
from django.templatetags.static import static
from django.urls import NoReverseMatch, Resolver404, ResolverMatch, resolve, reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language, get_language_from_request, gettext, override
from django.utils.translation.trans_real import DjangoTranslation
from django.views.i18n import JSONCatalog

import eventcast
from eventcast.conf import conf
from eventcast.engine import names, patterns
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Refused, Sentence
from eventcast.security import admission
from eventcast.security.authorization import asking
from eventcast.security.authorization.sessions import Sessions

HTML = "text/html"
LOCALE = "django.middleware.locale.LocaleMiddleware"
ROOT = Path(eventcast.__file__).parent


def channel_page(request: HttpRequest, wanted: str | Pattern, refusal: Refused | None = None) -> HttpResponse:
    """The page of a channel, or of all channels that match a pattern.

    :param refusal: the reason why this request may not listen. The page then asks for a login, or for a key or token,
        which its script sends with everything that it asks for.
    """
    many = isinstance(wanted, Pattern)
    name = str(wanted)
    context = {
        "name": name,
        "printable": names.printable(name),
        "url": request.build_absolute_uri(None if many else names.url_path(name)),
        "many": many,
        "limit": str(conf.MAX_MESSAGE_SIZE),
        **_ways_in(request, wanted),
        "admin": path_of("admin:eventcast_channel_changelist"),
    }
    return _page("eventcast/channel.html", context, request.get_host(), refusal)


def start_page(request: HttpRequest) -> HttpResponse:
    """The first page of the standalone server: what it is, a channel to open, and the live channels."""
    context = {
        "mount": request.path,
        "url": request.build_absolute_uri(request.path),
        **_ways_in(request, patterns.parse(f"{request.path}<path:any>")),
        "admin": path_of("admin:index"),
    }
    return _page("eventcast/start.html", context, request.get_host())


def refusal_page(request: HttpRequest, refusal: Refused) -> HttpResponse:
    """The page of a refusal: its sentence, its code, and what one can do now. It is in the language that the site's
    ``LocaleMiddleware`` finds, also where the door has refused the request before that."""
    wants_login = refusal.status in (401, 403) and request.method == "GET" and admission.cookies_count()
    asked = LOCALE in settings.MIDDLEWARE and not hasattr(request, "LANGUAGE_CODE")
    with override(get_language_from_request(request)) if asked else nullcontext():
        context = {"login": login_url(request) if wants_login else "", "back": request.path}
        response = _page("eventcast/refused.html", context, refusal=refusal)
    patch_vary_headers(response, ["Accept"])
    return response


def _ways_in(request: HttpRequest, wanted: str | Pattern) -> dict[str, Any]:
    """Whether a key or a token, and where a login, may let a client listen to a channel, or to all of a pattern."""
    deciders = asking.current().deciders("subscribe", wanted)
    by_login = any(each.uses_cookies for each in deciders)
    by_key = any(not isinstance(each, Sessions) for each in deciders)
    return {"takes_key": by_key, "login": login_url(request) if by_login else ""}


def login_url(request: HttpRequest) -> str:
    """The site's login page (``LOGIN_URL``), which leads back here; empty if the site has none."""
    url = resolve_url(settings.LOGIN_URL)
    if url == global_settings.LOGIN_URL and ((found := view_at(url)) is None or found.namespace == "eventcast"):
        return ""  # Django's default, where nothing is, or a channel.
    return f"{url}?{urlencode({'next': request.get_full_path()})}"


def translated(text: str) -> str:
    """A sentence in the current language; in English where no catalogue has it."""
    if not isinstance(text, Sentence):
        return gettext(text)
    values = {name: translated(value) if isinstance(value, Sentence) else value for name, value in text.values.items()}
    return gettext(text.template).format(**values) if values else gettext(text.template)


def translated_for(request: HttpRequest, text: str) -> str:
    """A sentence in the language that the client asks for; in English for programs, which ask for none."""
    if request.META.get("HTTP_ACCEPT_LANGUAGE", "*") == "*":
        return text
    with override(get_language_from_request(request)):
        return translated(text)


@cache
def words(language: str | None) -> dict[str, Any]:
    """The texts of this package's scripts in a language, by their English texts."""
    catalog = JSONCatalog()
    catalog.translation = DjangoTranslation(language or "en", domain="djangojs", localedirs=[str(ROOT / "locale")])
    has_texts = getattr(catalog.translation, "_catalog", None)  # None for a language that this package does not have
    return dict(catalog.get_catalog()) if has_texts else {}


def content_security_policy(static_url: str, connect: str = "") -> str:
    """A page's Content Security Policy: its own scripts and styles, and connections to this server only.

    :param static_url: the URL of static files. If they are on another host, it is allowed.
    :param connect: the host of the request, listed with ``ws:`` because ``'self'`` has no WebSockets in older browsers;
        empty for a page without scripts.
    """
    parts = urlsplit(static_url)
    files = f"'self' {parts.scheme or 'https'}://{parts.netloc}" if parts.netloc else "'self'"
    connections = f"'self' ws://{connect} wss://{connect}" if connect else "'none'"
    return (
        f"default-src 'none'; script-src {files}; style-src {files}; img-src {files}; connect-src {connections}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _page(template: str, context: dict[str, Any], connect: str = "", refusal: Refused | None = None) -> HttpResponse:
    context |= {"words": words(get_language()), "home": path_of("eventcast_start")}
    context |= {"refusal": refusal, "detail": translated(refusal.detail) if refusal else ""}
    status, headers = (refusal.status, refusal.answer_headers()) if refusal else (200, {})
    response = HttpResponse(_render(template, context), status=status, headers=headers)
    response["Content-Security-Policy"] = content_security_policy(static("eventcast/"), connect)
    response["Referrer-Policy"] = "same-origin"
    response["X-Content-Type-Options"] = "nosniff"
    # A script gets JSON from the same URL, which the browser's cache must not mix up with the page.
    response["Cache-Control"] = "no-store"
    return response


def view_at(path: str) -> ResolverMatch | None:
    """What the site's ``urls.py`` has at a path; None for nothing."""
    try:
        return resolve(path)
    except Resolver404:
        return None


def path_of(name: str) -> str:
    """The path of a view by its name in ``urls.py``; empty if it is not there."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def _render(template: str, context: dict[str, Any]) -> str:
    try:
        return loader.get_template(template).render(context)
    except TemplateDoesNotExist:
        # The site has no template engine, or one that does not search apps: the page works without one, too.
        return _own_engine().get_template(template).render(Context(context))


@cache
def _own_engine() -> Engine:
    return Engine(
        dirs=[str(ROOT / "templates")],
        libraries={"static": "django.templatetags.static", "i18n": "django.templatetags.i18n"},
        autoescape=True,
    )
