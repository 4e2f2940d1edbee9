"""What a client makes of answers and frames."""

from __future__ import annotations

import ssl

import pytest

from eventcast.client.answers import no_answer, refusal, sentence
from eventcast.exceptions import (
    LayerUnavailable,
    MessageTooLarge,
    Refused,
    ReservedChannel,
    Unauthorized,
)


@pytest.mark.parametrize("error", [MessageTooLarge("so"), ReservedChannel("so"), LayerUnavailable("so")])
def test_refusal_is_what_the_server_raised(error: Refused) -> None:
    found = refusal(error.status, error.as_json())
    assert type(found) is type(error)
    assert (found.status, found.code, found.detail) == (error.status, error.code, "so")


def test_refusal_keeps_a_code_that_is_new_to_it() -> None:
    found = refusal(429, b'{"error": "too_many", "detail": "Wait."}', headers={"Retry-After": "7"})
    assert type(found) is Refused
    assert (found.status, found.code, found.detail, found.retry_after) == (429, "too_many", "Wait.", 7.0)


def test_refusal_reads_the_code_in_the_reason() -> None:
    found = refusal(404, b"<html>", reason="reserved_path")
    assert type(found) is ReservedChannel
    assert type(refusal(401, b"", reason="unauthorized")) is Unauthorized


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null", b"\xff"])
def test_refusal_takes_any_body(body: bytes) -> None:
    found = refusal(502, body, reason="Bad Gateway")
    assert (found.status, found.code) == (502, "refused")
    assert "502 Bad Gateway" in found.detail


@pytest.mark.parametrize(
    ("status", "websocket", "headers", "cause"),
    [
        (301, False, {"Location": "https://host/a"}, "a redirect to https://host/a."),
        (302, True, {"Location": "/login"}, "a redirect to /login."),
        (200, True, {}, "It is a WSGI server"),
        (200, False, {"Content-Type": "text/html"}, "a page or file of something else (text/html)"),
        (404, False, {}, "the whole path, the mount included"),
        (405, False, {}, "the whole path, the mount included"),
        (500, False, {}, "the server has failed, and its log says why."),
        (500, True, {}, "none of its routes has the path"),
        (502, False, {}, "a proxy does not reach the server"),
        (403, False, {}, "a proxy, or another part of the site"),
    ],
)
def test_refusal_names_the_cause_from_what_came(
    status: int, websocket: bool, headers: dict[str, str], cause: str
) -> None:
    detail = refusal(status, b"<html>", reason="So", headers=headers, websocket=websocket).detail
    assert f"{status} So" in detail
    assert cause in detail
    assert ("the mount included" in detail) == (status in (404, 405) or (status == 200 and not websocket))


@pytest.mark.parametrize(("text", "found"), [("a", "a."), ("a.", "a."), ("a..", "a."), ("a?", "a?")])
def test_sentence_has_one_full_stop(text: str, found: str) -> None:
    assert sentence(text) == found


@pytest.mark.parametrize(
    ("error", "secure", "asks"),
    [
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), True, True),
        (TimeoutError("timed out"), True, True),
        (TimeoutError("timed out"), False, False),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), True, False),
        (ConnectionRefusedError("refused"), True, False),
    ],
)
def test_no_answer_tells_where_there_may_be_no_tls(error: Exception, secure: bool, asks: bool) -> None:
    assert ("begins with http:" in str(no_answer("host", error, secure=secure))) == asks


@pytest.mark.parametrize("value", [None, "", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_refusal_leaves_other_times_out_of_account(value: str | None) -> None:
    assert refusal(503, b"", headers={} if value is None else {"Retry-After": value}).retry_after is None
