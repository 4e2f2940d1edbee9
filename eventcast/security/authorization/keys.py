"""Keys for programs: each is good for some paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from eventcast.conf import conf
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden, Unauthorized
from eventcast.security.authorization import grants
from eventcast.security.authorization.base import Action, ByAction, described
from eventcast.security.authorization.permits import Permit
from eventcast.security.authorization.tokens import bearer

SHORTEST = 16
"""Characters: fewer can be guessed."""

DIGEST_PREFIX = "sha256:"
FIELDS = ("key", "name", "publish", "subscribe")


@dataclass(frozen=True)
class Key:
    """One key, kept as its digest only."""

    digest: str = field(repr=False)
    """SHA-256 of the key's UTF-8 bytes, in hexadecimal."""
    name: str
    """The name of its owner, for logs and the list of subscribers."""
    publish: tuple[Pattern, ...]
    subscribe: tuple[Pattern, ...]


class Keys(ByAction):
    """A client that sends one of ``EVENTCAST["KEYS"]`` may do what stands beside it; other clients may do nothing.

    The key is sent as ``Authorization: Bearer …`` or ``X-API-Key: …``.
    """

    uses_cookies = False
    uses_database = False

    def __init__(self) -> None:
        self._keys = [_parse(entry) for entry in conf.KEYS]

    def permit(self, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
        """The permit of a key that is good for this.

        :raises Unauthorized, Forbidden: there is no key, or it is not good for this.
        """
        key = self._key_of(request)
        if not grants.hold(key.publish if action == "publish" else key.subscribe, wanted):
            raise Forbidden(f"The key {key.name!r:.100} may not {described(action, wanted)}.")
        return Permit(key.name, identity=f"key {key.name}")

    def _key_of(self, request: HttpRequest) -> Key:
        sent = bearer(request) or request.META.get("HTTP_X_API_KEY", "")
        if not sent:
            raise Unauthorized("Send a key, as 'Authorization: Bearer …' or 'X-API-Key: …'.")
        digest, found = _digest(sent), None
        for key in self._keys:  # No break, so that the time tells nothing about the keys.
            if constant_time_compare(digest, key.digest):
                found = key
        if found is None:
            raise Unauthorized("There is no such key.")
        return found

    @classmethod
    def problems(cls) -> list[str]:
        """What is wrong with ``EVENTCAST["KEYS"]``, without the keys themselves."""
        if found := grants.problems_of_entries("KEYS", conf.KEYS, "dicts", _problems):
            return found
        digests = [_parse(entry).digest for entry in conf.KEYS]
        return [
            f"EVENTCAST['KEYS'][{number}]: the same key stands there twice."
            for number, digest in enumerate(digests)
            if digest in digests[:number]
        ]


def _digest(key: str) -> str:
    # A header's value is bytes, which Django reads as Latin-1.
    return hashlib.sha256(key.encode("latin-1", errors="replace")).hexdigest()


def _parse(entry: Mapping[str, Any]) -> Key:
    key: str = entry["key"]
    if key.startswith(DIGEST_PREFIX):
        digest = key.removeprefix(DIGEST_PREFIX).lower()
    else:
        digest = hashlib.sha256(key.encode()).hexdigest()
    name = entry.get("name") or f"key {digest[:8]}"
    return Key(digest, name, grants.parse(entry.get("publish", ())), grants.parse(entry.get("subscribe", ())))


def _problems(entry: Any) -> list[str]:
    if found := grants.problems_of_fields(entry, FIELDS):
        return found
    key = entry.get("key")
    if not isinstance(key, str):
        found.append("'key' is missing.")
    elif key.startswith(DIGEST_PREFIX):
        if not re.fullmatch(r"[0-9a-fA-F]{64}", key.removeprefix(DIGEST_PREFIX)):
            found.append("after 'sha256:' come the 64 hexadecimal digits of the key's digest.")
    elif len(key) < SHORTEST or not key.isascii() or not key.isprintable() or key != key.strip():
        found.append(f"a key is {SHORTEST} or more printable ASCII characters, without blanks around them.")
    if not isinstance(entry.get("name", ""), str):
        found.append("'name' is a text.")
    for action in ("publish", "subscribe"):
        found += [f"'{action}': {problem}" for problem in grants.problems(entry.get(action, ()))]
    return found
