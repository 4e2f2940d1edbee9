"""Signed tokens: what may be done, where and until when stands in them, and nothing is stored."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

from django.core import signing
from django.http import HttpRequest

from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden, Unauthorized
from eventcast.security.authorization import grants
from eventcast.security.authorization.base import Authorization
from eventcast.security.authorization.bearer import bearer
from eventcast.security.authorization.permits import Permit

SALT = "eventcast.token"
SEPARATOR = "."
"""Between the parts of a token. Django's own is a colon, which cannot stand in the name of a subprotocol (RFC 6455)."""

HOUR = 3600.0


@dataclass(frozen=True)
class Token:
    """What a token says."""

    user: str
    expires_at: float
    """Seconds since the epoch."""
    publish: tuple[Pattern, ...]
    subscribe: tuple[Pattern, ...]


def token(
    *, subscribe: str | Iterable[str] = (), publish: str | Iterable[str] = (), expires_in: float = HOUR, user: str = ""
) -> str:
    """A token for whoever shall listen or publish where :class:`Tokens` says who may.

    Whoever has it may do what it says until it expires: give it to the one it is for, over TLS.

    :param subscribe: the channels it may listen to: patterns such as ``"/orders/<path:any>"``, or names.
    :param publish: the channels it may publish to.
    :param expires_in: seconds from now. Default: an hour.
    :param user: the name of whom it is for, as the list of subscribers shows it and ``eventcast.disconnect`` takes it.
    :raises InvalidPattern, InvalidChannel: one of the patterns means nothing.
    :raises ValueError: it would be good for nothing, or for ever.
    """
    granted = {"s": _texts(subscribe), "p": _texts(publish)}
    if not any(granted.values()):
        raise ValueError("A token is for something: say subscribe=, publish= or both.")
    if not (0 < expires_in < math.inf):
        raise ValueError(f"expires_in is a number of seconds above 0, not {expires_in!r}.")
    for texts in granted.values():
        grants.parse(texts)
    said = {name: texts for name, texts in granted.items() if texts} | ({"u": user} if user else {})
    return _signer().sign_object(said | {"e": math.ceil(time.time() + expires_in)})


def _texts(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def read(text: str) -> Token:
    """What a token says.

    :raises Unauthorized: it is none of ours, or has expired.
    """
    try:
        said = _signer().unsign_object(text)
    except signing.BadSignature:
        raise Unauthorized("This is no token of this server, or one that was changed.") from None
    if said["e"] <= time.time():
        raise Unauthorized("The token has expired. Get a new one.")
    return Token(said.get("u", ""), said["e"], grants.parse(said.get("p", ())), grants.parse(said.get("s", ())))


def _signer() -> signing.Signer:
    return signing.Signer(sep=SEPARATOR, salt=SALT)


class Tokens(Authorization):
    """Whoever has a token of :func:`token` may do what it says, until it expires; nobody else anything.

    It is sent as ``Authorization: Bearer …``, or by a browser that opens a WebSocket as the subprotocol
    ``eventcast.token.…`` beside ``eventcast``.
    """

    uses_cookies = False
    uses_database = False

    def can_publish(self, request: HttpRequest, channel: str) -> Permit:
        """Whether the token is good for publishing to the channel.

        :raises Unauthorized, Forbidden: no.
        """
        token = _token_of(request)
        return _permit(token, "publishing to this channel", grants.hold(token.publish, channel))

    def can_subscribe(self, request: HttpRequest, channel: str) -> Permit:
        """Whether the token is good for listening to the channel.

        :raises Unauthorized, Forbidden: no.
        """
        token = _token_of(request)
        return _permit(token, "subscribing to this channel", grants.hold(token.subscribe, channel))

    def can_subscribe_pattern(self, request: HttpRequest, pattern: Pattern) -> Permit:
        """Whether the token is good for listening to all of the pattern's channels.

        :raises Unauthorized, Forbidden: no.
        """
        token = _token_of(request)
        return _permit(token, "subscribing to all of these channels", grants.hold(token.subscribe, pattern))


def _token_of(request: HttpRequest) -> Token:
    text = bearer(request)
    if not text:
        raise Unauthorized("Send a token, as 'Authorization: Bearer …' or as a WebSocket's subprotocol.")
    return read(text)


def _permit(token: Token, what: str, good: bool) -> Permit:
    if not good:
        whose = f"The token of {token.user!r:.100}" if token.user else "The token"
        raise Forbidden(f"{whose} is not good for {what}.")
    return Permit(token.user, token.expires_at, identity=token.user and f"token {token.user}")
