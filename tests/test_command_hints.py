"""What the command lines ask and say where somebody may have meant something else."""

from __future__ import annotations

import pytest

from eventcast.client.answers import sentence
from eventcast.commandline import hints
from eventcast.exceptions import Forbidden, Refused, ReservedChannel


@pytest.mark.parametrize("path", ["/a/<id>", "/<int:id>/b", "/<a>/<b>"])
def test_pattern_looks_like_one(path: str) -> None:
    assert hints.looks_like_pattern(path)


@pytest.mark.parametrize("path", ["/a", "/a<b", "/a/<>", "/a/<1>", "/a/<b c>", "/<int:>"])
def test_channel_looks_like_no_pattern(path: str) -> None:
    assert not hints.looks_like_pattern(path)


@pytest.mark.parametrize(
    ("error", "asks"),
    [
        (ReservedChannel("No."), True),
        (Refused("No.", status=404), True),
        (Refused("No.", status=500), True),
        (Refused("No.", status=502), False),
        (Forbidden("No."), False),
    ],
)
def test_asking_asks_where_nothing_of_eventcast_is(error: Refused, asks: bool) -> None:
    with pytest.raises(Refused) as refused, hints.asking("Here?"):
        raise error
    assert refused.value.detail == ("No. Here?" if asks else "No.")


@pytest.mark.parametrize(
    ("url", "path", "example"),
    [
        ("http://host", "/a", "/live/a"),
        ("http://host/events/", "/a/b", "/events/a/b"),
        ("http://host/live", "/live/a", "/live/a"),
    ],
)
def test_whole_path_has_the_mount(url: str, path: str, example: str) -> None:
    assert hints.whole_path(url, path).endswith(f": {example}?")


@pytest.mark.parametrize(("text", "found"), [("a", "a."), ("a.", "a."), ("a..", "a."), ("a?", "a?")])
def test_sentence_has_one_full_stop(text: str, found: str) -> None:
    assert sentence(text) == found
