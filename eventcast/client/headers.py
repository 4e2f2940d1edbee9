"""What may stand in the headers of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile("[\t\x20-\x7e\x80-\xff]*")


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers, if each is one (RFC 9110 section 5). Values stand in no error: they may be secret.

    :raises ValueError: a name is no token, or a value has characters that are not Latin-1, or a line feed.
    """
    found = dict(headers or {})
    for name, value in found.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"Not the name of a header: {name!r:.100}.")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"The value of the header {name} has characters that are not Latin-1, or a line feed.")
    return found
