"""The static files of the standalone server: compressed, not sent twice, and open to modules of pages elsewhere."""

from __future__ import annotations

import gzip

import pytest

from tests.live.conftest import Talk
from tests.live.servers import ROOT, Server

CLIENT = "/static/eventcast/eventcast.js"
SOURCE = (ROOT / "eventcast/static/eventcast/eventcast.js").read_bytes()
COMPRESSED = ("Accept-Encoding", "br, gzip")


async def test_static_file_is_compressed_for_a_client_that_accepts_it(server: Server, http: Talk) -> None:
    plain = await http(server).request("GET", CLIENT)
    assert (plain.status, plain.body, "content-encoding" in plain.headers) == (200, SOURCE, False)
    small = await http(server).request("GET", CLIENT, headers=[COMPRESSED])
    assert (small.headers["content-encoding"], small.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(small.body) == SOURCE
    assert len(small.body) < len(SOURCE) / 2


@pytest.mark.parametrize("headers", [[], [COMPRESSED]])
async def test_static_file_is_not_sent_again_while_it_is_the_same(
    server: Server, http: Talk, headers: list[tuple[str, str]]
) -> None:
    first = await http(server).request("GET", CLIENT, headers=headers)
    known = first.headers["etag"]
    again = await http(server).request("GET", CLIENT, headers=[*headers, ("If-None-Match", known)])
    assert (again.status, again.body) == (304, b"")
    # A new version may have files with the time of the old one.
    late = [("If-None-Match", '"another"'), ("If-Modified-Since", first.headers["last-modified"])]
    assert (await http(server).request("GET", CLIENT, headers=[*headers, *late])).status == 200


async def test_head_has_the_headers_of_get(server: Server, http: Talk) -> None:
    for headers in ([], [COMPRESSED]):
        whole, head = [await http(server).request(each, CLIENT, headers=headers) for each in ("GET", "HEAD")]
        assert head.body == b""
        assert set(head.headers) == set(whole.headers)
        different = {name for name, value in head.headers.items() if value != whole.headers[name]}
        assert different <= {"date", *(["content-length"] if headers else [])}  # Django pads what it compresses.
        again = await http(server).request("HEAD", CLIENT, headers=[*headers, ("If-None-Match", head.headers["etag"])])
        assert again.status == 304


async def test_pages_of_any_origin_may_import_static_files(server: Server, http: Talk) -> None:
    first = await http(server).request("GET", CLIENT)
    again = await http(server).request("GET", CLIENT, headers=[("If-None-Match", first.headers["etag"])])
    for answer in (first, again):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["cache-control"] == "public, no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("target", ["/static/nothing.js", "/static/../a", "/static/", "/static/eventcast/"])
async def test_static_file_that_is_not_there_is_404(server: Server, http: Talk, target: str) -> None:
    assert (await http(server).request("GET", target)).status == 404
