from __future__ import annotations

import codecs
import contextlib
import encodings
import encodings.aliases
import time

import pytest

from eventcast.http import charsets
from eventcast.http.charsets import encoding_named

ALLOWED = sorted(charsets._ALLOWED)

# 800 kB took 12 s in the worst encoding of Python, and take a few milliseconds in these.
HOSTILE = [
    (pattern * 400_000)[:400_000] for pattern in (b"a", b"\xff", b"\x1b$B\x1b(B", b"\x81\x30\x81\x30", b"a-~{\x80")
]


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("utf8", "utf_8"),
        ("UTF-16LE", "utf_16_le"),
        ("us-ascii", "ascii"),
        ("ISO-8859-1", "latin_1"),
        ("iso_8859-1:1987", "latin_1"),
        ("latin1", "latin_1"),
        ("windows-1252", "cp1252"),
        ("Shift_JIS", "shift_jis"),
        ("big5-hkscs", "big5hkscs"),
        ("KOI8-R", "koi8_r"),
        ("macintosh", "mac_roman"),
        ("ISO-2022-JP", "iso2022_jp"),
    ],
)
def test_charset_is_known_by_the_names_in_use(charset: str, encoding: str) -> None:
    assert encoding_named(charset) == encoding


@pytest.mark.parametrize("encoding", ALLOWED)
def test_encoding_is_quick_whatever_the_bytes(encoding: str) -> None:
    for body in HOSTILE:
        began = time.process_time()
        with contextlib.suppress(UnicodeError):
            body.decode(encoding)
        assert time.process_time() - began < 0.1


@pytest.mark.parametrize("encoding", ALLOWED)
def test_encoding_is_one_of_python_and_of_text(encoding: str) -> None:
    assert encoding_named(encoding) == encoding
    assert codecs.lookup(encoding)._is_text_encoding


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "hex", "unicode_escape", "mbcs", "aliases", "é", ""])
def test_charset_that_is_slow_or_no_text_is_not_known(charset: str) -> None:
    assert encoding_named(charset) is None


@pytest.mark.parametrize("charset", ["latin1" + "é" * 3, "utf-8" + " " * 100, "x" * 10_000])
def test_charset_of_a_name_that_is_none_is_not_known(charset: str) -> None:
    assert encoding_named(charset) is None


def test_charset_that_is_not_known_is_not_remembered() -> None:
    encoding_named("of-nobody")
    assert "of_nobody" not in encodings._cache  # type: ignore[attr-defined]


def test_longest_name_has_room() -> None:
    names = [name for name, encoding in encodings.aliases.aliases.items() if encoding in ALLOWED]
    assert 2 * max(map(len, names)) < charsets.LONGEST_NAME + 4
