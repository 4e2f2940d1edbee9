"""Keys for programs: each is good for some paths."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from secrets import compare_digest
from typing import Any

from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.exceptions import Sentence, Unauthorized
from eventcast.security.authorization import grants
from eventcast.security.authorization.grants import Grant, Granting
from eventcast.security.authorization.tokens import bearer

SHORTEST = 16
"""Characters: fewer can be guessed."""

DIGEST_PREFIX = "sha256:"
FIELDS = ("key", "name", "publish", "subscribe")


class Keys(Granting):
    """A client that sends one of ``EVENTCAST["KEYS"]`` may do what stands beside it; other clients may do nothing.

    The key is sent as ``Authorization: Bearer …`` or ``X-API-Key: …``.
    """

    kind = Sentence("key")

    def __init__(self) -> None:
        self._grants = [(_digest_of(entry), _grant(entry)) for entry in conf.KEYS]
        """By the SHA-256 of the key's UTF-8 bytes, in hexadecimal."""

    def grant_of(self, request: HttpRequest) -> Grant:
        sent = bearer(request) or request.META.get("HTTP_X_API_KEY", "")
        if not sent:
            raise Unauthorized("Send a key, as 'Authorization: Bearer …' or 'X-API-Key: …'.")
        # A header's value is bytes, which Django reads as Latin-1.
        digest, found = hashlib.sha256(sent.encode("latin-1", errors="replace")).hexdigest(), None
        for known, grant in self._grants:  # No break, so that the time tells nothing about the keys.
            if compare_digest(digest, known):
                found = grant
        if found is None:
            raise Unauthorized("There is no such key.")
        return found

    @classmethod
    def problems(cls) -> list[str]:
        """What is wrong with ``EVENTCAST["KEYS"]``, without the keys themselves."""
        if found := grants.problems_of_entries("KEYS", conf.KEYS, _problems, FIELDS):
            return found
        digests = [_digest_of(entry) for entry in conf.KEYS]
        return [
            f"EVENTCAST['KEYS'][{number}]: the same key stands there twice."
            for number, digest in enumerate(digests)
            if digest in digests[:number]
        ]


def _digest_of(entry: Mapping[str, Any]) -> str:
    key: str = entry["key"]
    if key.startswith(DIGEST_PREFIX):
        return key.removeprefix(DIGEST_PREFIX).lower()
    return hashlib.sha256(key.encode()).hexdigest()


def _grant(entry: Mapping[str, Any]) -> Grant:
    name = entry.get("name") or f"key {_digest_of(entry)[:8]}"
    return Grant(name, grants.parse(entry.get("publish", ())), grants.parse(entry.get("subscribe", ())))


def _problems(entry: Any) -> list[str]:
    found: list[str] = []
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
