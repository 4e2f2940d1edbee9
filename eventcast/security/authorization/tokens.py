"""Signed tokens: they say what their owner may do, where and until when. Nothing is stored."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterable

from django.core import signing
from django.http import HttpRequest

from eventcast.conf import setting_of_django
from eventcast.exceptions import Sentence, Unauthorized
from eventcast.security.authorization import grants
from eventcast.security.authorization.grants import Grant, Granting

SALT = "eventcast.token"
SEPARATOR = "."
"""Stands between the parts of a token. Django's colon is not allowed in the name of a subprotocol (RFC 6455)."""

SUBPROTOCOL_PREFIX = "eventcast.token."
"""Begins the WebSocket subprotocol that carries a token, because browsers can set no header on a WebSocket."""

HOUR = 3600.0


def token(
    *, subscribe: str | Iterable[str] = (), publish: str | Iterable[str] = (), expires_in: float = HOUR, user: str = ""
) -> str:
    """A token for a client that shall subscribe or publish, where :class:`Tokens` is the authorization.

    Every client that has the token may do what it says until it expires: send it over TLS only.

    :param subscribe: the channels it may listen to: patterns such as ``"/orders/<path:any>"``, or names.
    :param publish: the channels it may publish to.
    :param expires_in: seconds from now. Default: an hour.
    :param user: the name of its owner, as the list of subscribers shows it and ``eventcast.disconnect`` takes it.
    :raises InvalidPattern, InvalidChannel: one of the patterns is none.
    :raises ValueError: the token would allow nothing, or never expire.
    """
    granted = {"s": _texts(subscribe), "p": _texts(publish)}
    if not any(granted.values()):
        raise ValueError("A token has to allow something: give subscribe=, publish= or both.")
    if not (0 < expires_in < math.inf):
        raise ValueError(f"expires_in is a number of seconds above 0, not {expires_in!r}.")
    for texts in granted.values():
        grants.parse(texts)
    said = {name: texts for name, texts in granted.items() if texts} | ({"u": user} if user else {})
    return signing.Signer(sep=SEPARATOR, salt=SALT).sign_object(said | {"e": math.ceil(time.time() + expires_in)})


def _texts(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def read(text: str) -> Grant:
    """What a token says, if it is one of this server and has not expired."""
    keys = setting_of_django("SECRET_KEY", ""), tuple(setting_of_django("SECRET_KEY_FALLBACKS", ()))
    try:
        grant = _verified(text, *keys)
    except signing.BadSignature:
        raise Unauthorized("This is no token of this server, or it was changed.") from None
    if (grant.expires_at or 0) <= time.time():
        raise Unauthorized("The token has expired. Get a new one.")
    return grant


@functools.lru_cache(maxsize=1024)
def _verified(text: str, key: str, fallbacks: tuple[str, ...]) -> Grant:
    """What a token of these keys says. Remembered, because a publisher sends its token with each request."""
    said = signing.Signer(key=key, sep=SEPARATOR, salt=SALT, fallback_keys=[*fallbacks]).unsign_object(text)
    return Grant(said.get("u", ""), grants.parse(said.get("p", ())), grants.parse(said.get("s", ())), said["e"])


class Tokens(Granting):
    """A client that sends a token of :func:`token` may do what it says, until it expires; other clients may do nothing.

    The token is sent as ``Authorization: Bearer …``, or by a browser that opens a WebSocket as the subprotocol
    ``eventcast.token.…`` beside ``eventcast``.
    """

    kind = Sentence("token")

    def grant_of(self, request: HttpRequest) -> Grant:
        text = bearer(request)
        if not text:
            raise Unauthorized("Send a token, as 'Authorization: Bearer …' or as a WebSocket's subprotocol.")
        return read(text)


def bearer(request: HttpRequest) -> str:
    """The key or token that a request carries: ``Authorization: Bearer …`` (RFC 6750 section 2.1), or a subprotocol
    ``eventcast.token.…`` of a WebSocket; empty if there is neither. Never the URL: it stands in logs and histories."""
    scheme, _, value = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        return str(value.strip())
    for offered in request.META.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(","):
        if offered.strip().startswith(SUBPROTOCOL_PREFIX):
            return str(offered.strip().removeprefix(SUBPROTOCOL_PREFIX))
    return ""
