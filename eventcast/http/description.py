"""The HTTP side as programs read it: an OpenAPI description, which is a file, and says where it is mounted."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import eventcast

FILE = Path(eventcast.__file__).parent / "static" / "eventcast" / "openapi.json"


@cache
def description(mount: str) -> bytes:
    """The description (OpenAPI 3.1, JSON) of the channels below ``mount``, such as ``"/live/"``."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    document["info"]["version"] = eventcast.__version__
    document["servers"][0]["url"] = mount.removesuffix("/") or "/"
    return json.dumps(document, ensure_ascii=False).encode()
