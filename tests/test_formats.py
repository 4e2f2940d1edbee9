from __future__ import annotations

import time

import pytest
from django.test import override_settings
from django.utils import timezone, translation

from eventcast.admin import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7.0, "7"),
        (999, "999"),
        (-999, "-999"),
        (1000, "1,000"),
        (-1000, "-1,000"),
        (1234567, "1,234,567"),
        (10**18, "1,000,000,000,000,000,000"),
    ],
)
def test_number_groups_digits(value: float, text: str) -> None:
    assert formats.number(value) == text


def test_number_groups_digits_for_the_language() -> None:
    with translation.override("de"):
        assert formats.number(1234567) == "1.234.567"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.001, "0.1"),
        (0.25, "0.2"),
        (1.0, "1.0"),
        (99.94, "99.9"),
        (100.4, "100"),
        (1234.5, "1,234"),
    ],
)
def test_rate_has_a_decimal_place_below_100(value: float | None, text: str) -> None:
    assert formats.per_second(value) == text


def test_rate_has_the_decimal_sign_of_the_language() -> None:
    with translation.override("de"):
        assert formats.per_second(1.5) == "1,5"


def test_moment_is_in_the_time_zone_of_the_site() -> None:
    with override_settings(TIME_ZONE="UTC"), timezone.override("Asia/Shanghai"):
        assert formats.moment(0) == "1970-01-01 08:00:00 UTC+08:00"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "now"),
        (0.5, "now"),
        (2.5, "2 s ago"),
        (59.5, "59 s ago"),
        (61, "1 min ago"),
        (3599, "59 min ago"),
        (3601, "1 h ago"),
        (86401, "1 d ago"),
        (400 * 86400 + 1, "400 d ago"),
    ],
)
def test_ago_is_in_the_largest_unit(seconds: float, text: str) -> None:
    assert formats.ago(time.time() - seconds) == text


def test_ago_of_never_is_unknown() -> None:
    assert formats.ago(0) == "–"
