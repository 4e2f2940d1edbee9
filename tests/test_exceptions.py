"""The tree of errors, and the answers that it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from eventcast import exceptions
from eventcast.exceptions import EventcastError, Refused


def subclasses(base: type[Refused]) -> Iterator[type[Refused]]:
    yield base
    for child in base.__subclasses__():
        yield from subclasses(child)


REFUSALS = [refusal for refusal in subclasses(Refused) if refusal.__module__ == exceptions.__name__]


def test_tree_has_one_root_and_each_error_says_when_it_is_raised() -> None:
    errors = [value for value in vars(exceptions).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert [error for error in errors if not issubclass(error, EventcastError)] == []
    errors.remove(EventcastError)
    assert [error for error in errors if not (error.__doc__ or "").startswith("Raised")] == []


def test_codes_are_unique() -> None:
    assert len({refusal.code for refusal in REFUSALS}) == len(REFUSALS)


def test_refusals_that_pass_say_when_to_retry() -> None:
    passing = [error for error in REFUSALS if error.status == 503] + [exceptions.TooManyConnections]
    assert [error for error in passing if not int(error("wait").answer_headers().get("Retry-After", 0))] == []


def test_bad_arguments_are_value_errors() -> None:
    for error in (exceptions.ChannelTooLong, exceptions.MessageTooLarge, exceptions.InvalidPattern):
        assert issubclass(error, ValueError)


def test_as_json_holds_code_and_detail() -> None:
    expected = {"error": "missing_data", "detail": "Send 数据."}
    assert json.loads(exceptions.MissingData("Send 数据.").as_json()) == expected


@pytest.mark.parametrize(("seconds", "header"), [(0.01, "1"), (1.0, "1"), (1.2, "2")])
def test_time_to_retry_is_told_in_whole_seconds(seconds: float, header: str) -> None:
    assert Refused("wait", retry_after=seconds).answer_headers() == {"Retry-After": header}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.InvalidRequest, 400, "invalid_request"),
        (exceptions.HeadTooLarge, 431, "head_too_large"),
        (exceptions.InvalidHandshake, 400, "invalid_handshake"),
        (exceptions.UnsupportedVersion, 426, "unsupported_version"),
        (exceptions.InternalError, 500, "internal_error"),
    ],
)
def test_errors_of_http_have_their_status_and_code(error: type[Refused], status: int, code: str) -> None:
    assert (error.status, error.code) == (status, code)


def test_unsupported_version_says_which_one_is_supported() -> None:
    answer = exceptions.UnsupportedVersion("another version").answer_headers()
    assert (answer["Sec-WebSocket-Version"], answer["Upgrade"]) == ("13", "websocket")
