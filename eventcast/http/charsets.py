"""The character encodings that text may come in: those that are in use, and quickly decoded whatever the bytes.

A client names the encoding, and Python knows some that take a minute for what fits into one request (``punycode`` and
``idna`` are quadratic), during which nothing is delivered to anybody.
"""

from __future__ import annotations

from encodings import normalize_encoding
from encodings.aliases import aliases

UTF_8 = "utf-8"

LONGEST_NAME = 40
"""Characters; the longest by which Python knows one of these has half as many."""

# Each took under 0.1 s for 8 MB of the worst bytes that were found for it. Not UTF-7, which browsers have given up.
_ALLOWED_NAMES = (
    "ascii utf_8 utf_8_sig utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le latin_1 "
    "iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11 iso8859_13 "
    "iso8859_14 iso8859_15 iso8859_16 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 "
    "cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp874 "
    "koi8_r koi8_t koi8_u kz1048 ptcp154 tis_620 mac_cyrillic mac_greek mac_iceland mac_latin2 mac_roman mac_turkish "
    "gb2312 gbk gb18030 hz big5 big5hkscs cp950 shift_jis shift_jis_2004 shift_jisx0213 cp932 "
    "euc_jp euc_jis_2004 euc_jisx0213 euc_kr cp949 johab "
    "iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr"
)
_ALLOWED = frozenset(_ALLOWED_NAMES.split())


def encoding_named(charset: str) -> str | None:
    """Python's name of the encoding that a client calls ``charset``; None if it is not one of those here."""
    if charset.lower() == UTF_8:
        return UTF_8
    # Not codecs.lookup(), which would import what a client names, and remember for ever that it is not there.
    if len(charset) > LONGEST_NAME or not charset.isascii():
        return None
    name = normalize_encoding(charset.lower()).replace(".", "_")
    name = aliases.get(name, name)
    return name if name in _ALLOWED else None
