"""Names of channels that look like patterns."""

from __future__ import annotations

import pytest

from eventcast.commandline import looks_like_pattern


@pytest.mark.parametrize("path", ["/a/<id>", "/<int:id>/b", "/<a>/<b>"])
def test_pattern_looks_like_one(path: str) -> None:
    assert looks_like_pattern(path)


@pytest.mark.parametrize("path", ["/a", "/a<b", "/a/<>", "/a/<1>", "/a/<b c>", "/<int:>"])
def test_channel_looks_like_no_pattern(path: str) -> None:
    assert not looks_like_pattern(path)
