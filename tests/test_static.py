"""The static files are small, and never use text as code or HTML."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

import eventcast

STATIC = Path(eventcast.__file__).parent / "static" / "eventcast"
SCRIPTS = sorted(STATIC.rglob("*.js"))


def test_client_is_under_5_kilobytes_compressed() -> None:
    assert len(gzip.compress((STATIC / "eventcast.js").read_bytes())) < 5000


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_script_uses_no_text_as_html_or_code(script: Path) -> None:
    dangerous = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML|DOMParser|\beval\b|Function\("
    # "createContextualFragment" and the attributes of a frame parse HTML too.
    dangerous += r"|createContextualFragment|srcdoc"
    # Only the admin's list parses HTML, in one place: its own, rendered by Django's templates.
    allowed = ["DOMParser"] if script.relative_to(STATIC).as_posix() == "admin/list.js" else []
    assert re.findall(dangerous, script.read_text()) == allowed
