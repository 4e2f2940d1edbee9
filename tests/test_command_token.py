"""``manage.py eventcast token``."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from eventcast.conf import PASSING_KEY
from eventcast.security.authorization import tokens
from eventcast.security.authorization.grants import Grant


def made_by(*arguments: str) -> Grant:
    output = StringIO()
    call_command("eventcast", "token", *arguments, stdout=output)
    return tokens.read(output.getvalue().removesuffix("\n"))


def test_token_is_for_what_the_options_say() -> None:
    made = made_by("--subscribe", "/a", "--subscribe", "/b/<x>", "--publish", "/c", "--user", "zhang")
    assert [pattern.text for pattern in made.subscribe] == ["/a", "/b/<x>"]
    assert [pattern.text for pattern in made.publish] == ["/c"]
    assert made.name == "zhang"


def test_token_expires_after_the_seconds_given() -> None:
    longer, shorter = made_by("--publish", "/c", "--expires", "7200"), made_by("--publish", "/c")
    assert 3590 <= longer.expires_at - shorter.expires_at <= 3610


@pytest.mark.parametrize(
    "arguments", [[], ["--subscribe", "a"], ["--publish", "/<date:x>"], ["--publish", "/a", "--expires", "0"]]
)
def test_token_that_cannot_be_made_is_an_error(arguments: list[str]) -> None:
    with pytest.raises(CommandError) as failed:
        made_by(*arguments)
    assert failed.value.returncode == 2


def test_token_signed_with_a_key_that_passes_is_not_made() -> None:
    with override_settings(SECRET_KEY=PASSING_KEY + "x"), pytest.raises(CommandError, match="DJANGO_SECRET_KEY"):
        made_by("--subscribe", "/a")
