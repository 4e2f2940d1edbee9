from __future__ import annotations

import logging
import sys

import pytest

from eventcast_project import logs


def record_of(name: str, text: str) -> logging.LogRecord:
    try:
        raise ValueError
    except ValueError:
        return logging.LogRecord(name, logging.ERROR, "", 0, "It is %s", (text,), sys.exc_info())


def line(name: str, text: str = "wrong") -> str:
    record = record_of(name, text)
    assert logs.Brief().filter(record)
    return logging.Formatter().format(record)


def test_traceback_of_a_suspicious_request_is_left_out() -> None:
    assert line("django.security.DisallowedHost") == "It is wrong"


@pytest.mark.parametrize("name", ["django.request", "eventcast.publish"])
def test_traceback_of_a_fault_is_kept(name: str) -> None:
    assert "Traceback" in line(name)


@pytest.mark.parametrize("name", ["django.request", "django.security.DisallowedHost"])
def test_line_about_a_request_is_cut(name: str) -> None:
    assert line(name, "x" * 16_000).splitlines()[0] == f"It is {'x' * 494}…"


def test_line_about_anything_else_is_not_cut() -> None:
    assert "x" * 16_000 in line("mysite", "x" * 16_000)
