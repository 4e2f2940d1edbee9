from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from eventcast import exceptions
from eventcast.exceptions import EventcastError, InvalidChannel, InvalidMessage, Refused


def subclasses(base: type[Refused]) -> Iterator[type[Refused]]:
    yield base
    for child in base.__subclasses__():
        yield from subclasses(child)


REFUSALS = [refusal for refusal in subclasses(Refused) if refusal.__module__ == exceptions.__name__]
CONTRACT = {
    "Refused": (400, "refused"),
    "InvalidChannel": (400, "invalid_channel"),
    "ChannelTooLong": (414, "channel_too_long"),
    "ReservedChannel": (404, "reserved_path"),
    "InvalidPattern": (400, "invalid_pattern"),
    "Unauthorized": (401, "unauthorized"),
    "Forbidden": (403, "forbidden"),
    "InvalidMessage": (400, "invalid_message"),
    "MissingData": (400, "missing_data"),
    "MalformedBody": (400, "malformed_body"),
    "InvalidEncoding": (400, "invalid_encoding"),
    "UnsupportedMediaType": (415, "unsupported_media_type"),
    "MessageTooLarge": (413, "message_too_large"),
    "TooManyMessages": (413, "too_many_messages"),
    "DisallowedHost": (400, "disallowed_host"),
    "OriginNotAllowed": (403, "origin_not_allowed"),
    "InvalidQuery": (400, "invalid_query"),
    "MethodNotAllowed": (405, "method_not_allowed"),
    "StreamingUnavailable": (501, "streaming_unavailable"),
    "LayerUnavailable": (503, "layer_unavailable"),
    "RequestTimeout": (408, "request_timeout"),
    "TooManyPublishes": (429, "too_many_publishes"),
    "TooManyConnections": (429, "too_many_connections"),
    "TooManyFrames": (429, "too_many_frames"),
    "ServerFull": (503, "server_full"),
    "ChannelFull": (503, "channel_full"),
    "TooManyPatterns": (503, "too_many_patterns"),
    "MetricsUnavailable": (501, "metrics_unavailable"),
}


def test_tree_has_one_root() -> None:
    errors = [value for value in vars(exceptions).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(error, EventcastError) for error in errors)


def test_codes_and_statuses_are_the_promised_ones() -> None:
    assert {refusal.__name__: (refusal.status, refusal.code) for refusal in REFUSALS} == CONTRACT


def test_codes_are_unique() -> None:
    assert len({refusal.code for refusal in REFUSALS}) == len(REFUSALS)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
def test_docstring_says_when_raised(refusal: type[Refused]) -> None:
    assert re.match(r"Raised (when|for) ", refusal.__doc__ or "")


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
def test_status_is_one_for_errors(refusal: type[Refused]) -> None:
    assert 400 <= refusal.status < 600


def test_as_json_holds_code_and_detail() -> None:
    assert json.loads(exceptions.MissingData("Send 数据.").as_json()) == {
        "error": "missing_data",
        "detail": "Send 数据.",
    }


def test_str_is_the_detail() -> None:
    assert str(Refused("why")) == "why"


@pytest.mark.parametrize(
    "error", [InvalidChannel, InvalidMessage, exceptions.ChannelTooLong, exceptions.MessageTooLarge]
)
def test_bad_arguments_are_value_errors(error: type[Refused]) -> None:
    assert issubclass(error, ValueError)


@pytest.mark.parametrize(
    "refusal",
    [error for error in REFUSALS if error.status == 503] + [exceptions.TooManyConnections],
    ids=lambda refusal: refusal.__name__,
)
def test_refusal_that_passes_says_when_to_retry(refusal: type[Refused]) -> None:
    assert int(refusal("wait").answer_headers()["Retry-After"]) >= 1


@pytest.mark.parametrize(("seconds", "header"), [(0.01, "1"), (1.0, "1"), (1.2, "2")])
def test_time_to_retry_is_told_in_whole_seconds(seconds: float, header: str) -> None:
    assert Refused("wait", retry_after=seconds).answer_headers() == {"Retry-After": header}


def test_unauthorized_says_how_to_be_known() -> None:
    assert exceptions.Unauthorized.headers["WWW-Authenticate"].startswith("Bearer ")


def test_method_not_allowed_says_what_is() -> None:
    assert {"GET", "POST", "PUT"} <= set(exceptions.MethodNotAllowed.headers["Allow"].split(", "))
