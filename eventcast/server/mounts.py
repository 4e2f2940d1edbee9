"""Where in a site the channels are: all places of its ``urls.py`` that include ``eventcast.urls``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.urls import URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern

from eventcast import urls


class Mounts:
    """The mounts of the site that the settings describe. They are looked for when they are asked for first."""

    def may_have(self, target: bytes) -> bool:
        """Whether a request target (RFC 9112 section 3.2) may lie below a mount: whether it is not sure that it is an
        absolute path of another part of the site."""
        path = unquote(target.partition(b"?")[0].decode("latin-1"))
        if not path.startswith("/"):
            return True
        path = path.removeprefix(getattr(settings, "FORCE_SCRIPT_NAME", None) or "")
        return any(_leads_below(chain, path) for chain in self._chains)

    @cached_property
    def _chains(self) -> list[tuple[re.Pattern[str], ...]]:
        return list(_find(get_resolver(), ()))


def _find(resolver: URLResolver, above: tuple[re.Pattern[str], ...]) -> Iterator[tuple[re.Pattern[str], ...]]:
    chain = (*above, _expression(resolver.pattern))
    if resolver.urlconf_module in (urls, urls.urlpatterns):
        yield chain
        return
    for each in resolver.url_patterns:
        if isinstance(each, URLResolver):
            yield from _find(each, chain)


def _expression(pattern: Any) -> re.Pattern[str]:
    if isinstance(pattern, LocalePrefixPattern):  # It knows the prefix of one language, the current one.
        return re.compile(f"(?:(?:{'|'.join(re.escape(code) for code, _ in settings.LANGUAGES)})/)?")
    # Its expression and not the pattern itself, whose converters may have to ask the database.
    expression: re.Pattern[str] = pattern.regex
    return expression


def _leads_below(chain: tuple[re.Pattern[str], ...], path: str) -> bool:
    for expression in chain:
        found = expression.search(path)
        if found is None:
            return False
        path = path[found.end() :]
    return True
