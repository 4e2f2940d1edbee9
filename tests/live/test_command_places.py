"""Command lines that ask the right place, and those that ask a wrong one: a site with eventcast below /live/.

They run in this process, for a new one takes longer than what they do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from eventcast.__main__ import main
from eventcast.client import pattern_url, subscribe
from tests.live import servers
from tests.live.conftest import Fleet
from tests.live.servers import Server

MOUNT = "the mount included, such as /live/orders/42"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    fleet = Fleet(tmp_path_factory.mktemp("site"))
    server = fleet.start(servers.daphne, application=servers.SITE)
    server.allows_tracebacks = True  # Channels' own, of a WebSocket that no route of the site is for
    yield server
    fleet.stop()


@pytest.mark.parametrize("mount", ["/live", "/live/"])
def test_channels_are_found_below_the_mount(site: Server, capsys: pytest.CaptureFixture[str], mount: str) -> None:
    with subscribe(f"{site.url}/live/a"):
        assert main(["channels", "--url", site.url + mount]) == 0
    said = capsys.readouterr()
    assert ("/live/a" in said.out, said.err) == (True, "")


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["channels"], MOUNT),
        (["publish", "/a", "x"], MOUNT),
        (["beat", "/a"], MOUNT),
        (["subscribe", "--pattern", "/live/<a>"], "none of its routes has the path"),
        (["subscribe", "/a"], "none of its routes has the path"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_place_is_refused_with_its_cause(
    site: Server, capsys: pytest.CaptureFixture[str], arguments: list[str], cause: str
) -> None:
    assert main([*arguments, "--url", site.url]) == 1
    assert cause in capsys.readouterr().err


def test_refusal_tells_what_the_server_says(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["subscribe", "--pattern", "/<path:a>/b", "--url", server.url]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Refused: 400 invalid_pattern. 'path' goes over slashes")
    assert ".." not in said


# --- channels ---------------------------------------------------------------------------------------------------------


async def test_channels_lists_patterns_apart(server: Server, channel: str, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = f"{channel}/<int:id>"
    async with subscribe(pattern_url(server.url, pattern)), subscribe(f"{server.url}{channel}/1"):
        arguments = ["channels", "--prefix", channel, "--url", server.url]
        assert await asyncio.to_thread(main, arguments) == 0
        table = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert await asyncio.to_thread(main, [*arguments, "--json"]) == 0
    figures = {"subscribers": 1, "messages": 0, "delivered": 0, "lost": 0}
    assert table == [
        ["CHANNEL", "SUBSCRIBERS", "MESSAGES", "LOST"],
        [f"{channel}/1", "2", "0", "0"],
        ["PATTERN", "SUBSCRIBERS", "MESSAGES", "LOST"],
        [pattern, "1", "0", "0"],
    ]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"channel": f"{channel}/1", **figures, "subscribers": 2},
        {"pattern": pattern, **figures},
    ]


def test_channels_says_that_the_list_is_empty(server: Server, channel: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["channels", "--prefix", channel, "--json", "--url", server.url]) == 0
    assert capsys.readouterr() == ("", f"No channel that begins with {channel} has a subscriber.\n")


# --- patterns ---------------------------------------------------------------------------------------------------------


def test_publish_takes_a_pattern_for_a_channel_and_says_so(
    server: Server, channel: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", f"{channel}/<id>", "x", "--url", server.url]) == 0
    assert f"{channel}/<id> looks like a pattern" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/-/<id>"], "/-/<id> looks like a pattern, but means the channel of that name. For many channels use"),
        (["--pattern", "/a", "/-/x"], "The pattern /a has no converter such as <id>, and matches"),
    ],
    ids=["channel", "pattern"],
)  # fmt: skip
def test_subscribe_says_what_looks_like_something_else(
    server: Server, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["subscribe", *arguments, "--url", server.url]) == 1  # for /-/ is no channel
    assert capsys.readouterr().err.startswith(said)
