"""Every request, however odd, gets one of the answers that docs/openapi.json names: no 5xx, and no silence."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.live import servers
from tests.live.conftest import Fleet
from tests.live.servers import Server
from tests.live.waiting import TIMEOUT
from tests.test_openapi import DOCUMENT

CODES = set(DOCUMENT["components"]["schemas"]["Refusal"]["properties"]["error"]["enum"])
PATHS: dict[str, Any] = DOCUMENT["paths"]

many = settings(max_examples=200, suppress_health_check=list(HealthCheck))


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes | None
    """None of a stream, which does not end."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for this module alone; the fixture fails if the server has logged a traceback."""
    fleet = Fleet(tmp_path_factory.mktemp("fuzzing"))
    yield fleet.start(servers.serve)
    fleet.stop()


def ask(server: Server, request: bytes, method: str = "GET") -> Answer:
    """Send bytes, and read the answer to them."""
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        stream = "content-length" not in headers
        return Answer(response.status, headers, None if stream else response.read())


def check(answer: Answer, promised: dict[str, Any]) -> None:
    """Hold an answer to what the description of its operation promises."""
    assert str(answer.status) in promised, answer
    described = promised[str(answer.status)]
    if "$ref" in described:
        described = DOCUMENT["components"]["responses"][described["$ref"].rpartition("/")[2]]
    assert {name.lower() for name in described.get("headers", ())} <= set(answer.headers)
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if answer.status >= 400 and answer.body and kind == "text/html":
        assert any(code in answer.body.decode() for code in CODES)
    elif answer.status >= 400 and answer.body:
        found = json.loads(answer.body)
        assert found["error"] in CODES
        assert found["detail"]
    if "content" in described and answer.body:
        assert kind in described["content"]


# --- what clients may write -------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
targets = st.one_of(
    texts.map(lambda text: "/" + quote(text, safe="/;:@!$&'()*+,=~")),
    st.binary(max_size=20).map(lambda path: "/" + quote(path)),
    st.sampled_from(
        ["//", "/%2F", "/a//b", "/.", "/..", "/%00", "/%FF", "/%0d%0a", "/-", "/-/", "//-/x", "/" + "x" * 1024]
    ),
)
queries = st.one_of(
    st.just(""),
    st.dictionaries(
        st.sampled_from(["prefix", "after", "limit", "pattern", "x"]),
        st.one_of(texts, st.integers().map(str)),
        max_size=4,
    ).map(lambda query: "?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())),
    st.text("abc%=&+?/<>:;0123456789", max_size=30).map("?{}".format),
)
patterns = st.lists(
    st.sampled_from(["/", "a", "<a>", "<int:b>", "<path:c>", "<", ">", ":", "<x:y>", "-", "<uuid:d>", "<a", "é"]),
    max_size=12,
).map("".join)
kinds = st.one_of(
    st.sampled_from(sorted(PATHS["/{channel}"]["post"]["requestBody"]["content"])),
    st.sampled_from(
        [
            "multipart/form-data; boundary=b",
            "text/plain; charset=utf-16",
            "text/plain; charset=x",
            "a",
            "",
            "application/x+json",
            "text/plain;charset",
            "multipart/mixed; boundary=b",
        ]
    ),
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0", exclude_categories=["Cc"]), max_size=20),
)
parts = st.lists(
    st.tuples(st.sampled_from(["data", "x", "", 'd"', "data\n"]), st.binary(max_size=20), st.booleans()), max_size=3
).map(
    lambda fields: (
        b"".join(
            b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
            % (name.encode(), b'; filename="f"' * file, content)
            for name, content, file in fields
        )
        + b"--b--\r\n"
    )
)
bodies = st.one_of(
    st.binary(max_size=60),
    texts.map(str.encode),
    st.lists(st.tuples(st.sampled_from(["data", "x", ""]), texts)).map(
        lambda fields: "&".join(f"{name}={quote(value)}" for name, value in fields).encode()
    ),
    st.text("data=&%+ \n{}[]\"':;,0aF", max_size=40).map(str.encode),
    parts,
)
accepts = st.sampled_from(
    [
        "",
        "*/*",
        "application/json",
        "text/html",
        "text/html;q=x",
        "application/x-ndjson",
        "text/event-stream",
        "a/b",
        "q=",
        ",;,",
    ]
)
headers = st.dictionaries(
    st.sampled_from(
        [
            "Content-Encoding",
            "Origin",
            "Range",
            "If-None-Match",
            "X-Forwarded-For",
            "Authorization",
            "Cookie",
            "Daphne-Root-Path",
            "Content-Disposition",
            "Expect-X",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"]), max_size=20),
    max_size=3,
)


def request(
    method: str, target: str, body: bytes, kind: str | None, accept: str, more: dict[str, str], chunked: bool
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", f"Accept: {accept}"]
    lines += [f"{name}: {value}" for name, value in more.items()]
    lines += [f"Content-Type: {kind}"] if kind is not None else []
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    elif body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


# --- what they get ----------------------------------------------------------------------------------------------------


@many
@given(
    method=st.sampled_from(["POST", "PUT"]),
    target=targets,
    query=queries,
    body=bodies,
    kind=st.none() | kinds,
    more=headers,
    chunked=st.booleans(),
)
def test_publish_is_answered_as_described(
    server: Server,
    method: str,
    target: str,
    query: str,
    body: bytes,
    kind: str | None,
    more: dict[str, str],
    chunked: bool,
) -> None:
    assume("\n" not in target)
    answer = ask(server, request(method, target + query, body, kind, "*/*", more, chunked), method)
    check(answer, PATHS["/{channel}"][method.lower()]["responses"])


@many
@given(method=st.sampled_from(["GET", "HEAD", "OPTIONS"]), target=targets, query=queries, accept=accepts, more=headers)
def test_question_is_answered_as_described(
    server: Server, method: str, target: str, query: str, accept: str, more: dict[str, str]
) -> None:
    answer = ask(server, request(method, target + query, b"", None, accept, more, False), method)
    check(answer, PATHS["/{channel}"][method.lower()]["responses"])


@many
@given(
    method=st.sampled_from(["GET", "GET", "GET", "POST", "DELETE"]),
    path=st.sampled_from(sorted(path for path in PATHS if path != "/{channel}")),
    query=st.one_of(queries, patterns.map(lambda pattern: "?pattern=" + quote(pattern)), st.just("?pattern=/<a>")),
    accept=accepts,
    more=headers,
)
def test_servers_own_path_is_answered_as_described(
    server: Server, method: str, path: str, query: str, accept: str, more: dict[str, str]
) -> None:
    answer = ask(server, request(method, path + query, b"", None, accept, more, False), method)
    check(answer, PATHS[path]["get"]["responses"])


@settings(max_examples=200)
@given(method=st.text("ABCGETPOSTZ-_!", min_size=1, max_size=8), target=targets)
def test_method_of_any_name_is_answered(server: Server, method: str, target: str) -> None:
    assert ask(server, request(method, target, b"", None, "*/*", {}, False), method).status < 500


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=200))
def test_bytes_that_are_no_request_do_no_harm(server: Server, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as connection:
        connection.sendall(data + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 2"))
