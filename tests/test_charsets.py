from __future__ import annotations

import codecs
import contextlib
import encodings
import encodings.aliases
import time

from eventcast.http import payloads
from eventcast.http.payloads import encoding_named

ALLOWED = sorted(payloads._ENCODINGS)

NAMES_IN_USE = {
    "utf-8": "utf-8",
    "UTF-8": "utf-8",
    "utf8": "utf_8",
    "UTF-16LE": "utf_16_le",
    "us-ascii": "ascii",
    "ISO-8859-1": "latin_1",
    "iso_8859-1:1987": "latin_1",
    "latin1": "latin_1",
    "windows-1252": "cp1252",
    "Shift_JIS": "shift_jis",
    "big5-hkscs": "big5hkscs",
    "KOI8-R": "koi8_r",
    "macintosh": "mac_roman",
    "ISO-2022-JP": "iso2022_jp",
}
SLOW_OR_NOT_TEXT = ["punycode", "idna", "utf-7", "hex", "unicode_escape", "mbcs", "aliases"]
NO_NAMES = ["", "é", "latin1" + "é" * 3, "utf-8" + " " * 100, "x" * 10_000]

# 800 kB took 12 s in the worst encoding of Python, and take a few milliseconds in the allowed ones.
HOSTILE = [
    (pattern * 400_000)[:400_000] for pattern in (b"a", b"\xff", b"\x1b$B\x1b(B", b"\x81\x30\x81\x30", b"a-~{\x80")
]


def cpu_seconds(body: bytes, encoding: str) -> float:
    began = time.process_time()
    with contextlib.suppress(UnicodeError):
        body.decode(encoding)
    return time.process_time() - began


def test_encoding_named_knows_the_names_in_use() -> None:
    assert {charset: encoding_named(charset) for charset in NAMES_IN_USE} == NAMES_IN_USE


def test_encoding_named_knows_no_other() -> None:
    assert [charset for charset in [*SLOW_OR_NOT_TEXT, *NO_NAMES] if encoding_named(charset) is not None] == []


def test_encoding_named_does_not_remember_unknown_names() -> None:
    encoding_named("of-no-country")
    assert "of_no_country" not in encodings._cache  # type: ignore[attr-defined]


def test_allowed_encodings_are_pythons_own_and_of_text() -> None:
    assert [name for name in ALLOWED if encoding_named(name) != name or not codecs.lookup(name)._is_text_encoding] == []


def test_allowed_encodings_are_quick_whatever_the_bytes() -> None:
    assert [name for name in ALLOWED if max(cpu_seconds(body, name) for body in HOSTILE) >= 0.1] == []


def test_longest_alias_of_an_allowed_encoding_has_room() -> None:
    names = [name for name, encoding in encodings.aliases.aliases.items() if encoding in ALLOWED]
    assert 2 * max(map(len, names)) < payloads.LONGEST_CHARSET + 4
