"""Valid names of channels that are difficult for pages, URLs or databases."""

from __future__ import annotations

ODD_NAMES = [
    "/",
    "//a",
    "/a/",
    "/a b/中文",
    "/a%2Fb",
    "/a_2Fb",
    "/a/.../b",
    "/\"quotes\"/'single'/`",
    "/new\nline\r\ttab",
    "/<script>alert(1)</script>",
    "/{{ x }}/{% y %}",
    "/a?b=c#d&e;f",
    "/back\\slash",
    "/\u202eright-to-left",
    "/😀",
    "/nul\0",
    "/add/",
    "/figures/",
    "/" + "x" * 999,
    "/" + "中" * 341,
]
