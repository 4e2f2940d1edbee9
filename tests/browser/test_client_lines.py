"""eventcast.js and the subprotocol eventcast.v1 in Chromium: dead lines, losses, goodbyes and refusals."""

from __future__ import annotations

import pytest
from playwright.async_api import Page

from tests.browser.conftest import LOOP, Visit
from tests.browser.test_client import NO_WEBSOCKETS, SOCKETS, is_open, open_page, open_still_page
from tests.live import servers
from tests.live.conftest import Connect, Start, Talk
from tests.live.servers import Server

pytestmark = LOOP

# Fake WebSockets of a server that speaks eventcast.v1.
V1 = (
    """
globalThis.hello = { type: "hello", server: "eventcast/1", heartbeat: 20, channel: "/a", publish: false };
globalThis.begin = () => { listen("/a"); sockets[0].onopen(); sockets[0].say(hello); };
"""
    + SOCKETS
)

LAST = "[states.at(-1).state, sockets.length, sockets[0].closed ?? false]"


async def open_line(visit: Visit, server: Server) -> Page:
    page = await open_still_page(visit, server, before=V1)
    await page.evaluate("begin()")
    return page


async def test_client_is_open_after_hello_and_hears_what_follows(visit: Visit, server: Server) -> None:
    page = await open_still_page(visit, server, before=V1)
    await page.evaluate("() => { listen('/a'); sockets[0].onopen(); }")
    assert await page.evaluate("[sockets[0].offered, states.at(-1).state]") == [
        ["eventcast.v1", "eventcast"],
        "connecting",
    ]
    await page.evaluate("""() => {
        globalThis.abouts = [];
        eventcast("/a").on((data, about) => abouts.push(about));
        sockets[0].say(hello, { type: "news" }, { time: 1.5, channel: "/a", data: "" },
            { time: 2, channel: "/a", base64: "AP8=" }, { type: "lost", messages: 12, reason: "slow" });
    }""")
    assert await page.evaluate("heard.map((one) => one.byteLength ? [...new Uint8Array(one)] : one)") == ["", [0, 255]]
    assert await page.evaluate("abouts") == [{"time": 1.5, "channel": "/a"}, {"time": 2, "channel": "/a"}]
    assert await page.evaluate("states.slice(-2)") == [
        {"state": "open", "transport": "websocket"},
        {"lost": {"messages": 12, "reason": "slow"}},
    ]


async def test_silent_line_is_dead_within_30_seconds(visit: Visit, server: Server) -> None:
    page = await open_line(visit, server)
    await page.clock.run_for(19_000)
    await page.evaluate("sockets[0].say({ type: 'heartbeat' })")
    await page.clock.run_for(27_000)
    assert await page.evaluate(LAST) == ["open", 1, False]
    await page.clock.run_for(1_500)
    assert await page.evaluate(LAST) == ["waiting", 1, True]
    assert await page.evaluate("errors[0].message") == "No sign of life"
    await page.clock.run_for(4_000)
    assert await page.evaluate(LAST) == ["connecting", 2, True]


async def test_line_that_died_while_the_page_slept_is_dead_when_it_is_back(visit: Visit, server: Server) -> None:
    page = await open_line(visit, server)
    back = "document.dispatchEvent(new Event('visibilitychange'))"
    await page.evaluate(f"() => {{ const now = Date.now(); Date.now = () => now + 3600e3; {back}; }}")
    assert await page.evaluate(LAST) == ["open", 1, False], "what came meanwhile may not have been read yet"
    await page.clock.run_for(1_000)
    assert await page.evaluate(LAST) == ["waiting", 1, True]


async def test_line_that_lives_is_kept_after_a_sleep(visit: Visit, server: Server) -> None:
    page = await open_line(visit, server)
    back = "document.dispatchEvent(new Event('visibilitychange'))"
    await page.evaluate(f"() => {{ const now = Date.now(); Date.now = () => now + 3600e3; {back}; }}")
    await page.evaluate("sockets[0].say({ type: 'heartbeat' })")
    await page.clock.run_for(20_000)
    assert await page.evaluate(LAST) == ["open", 1, False]


async def test_client_believes_that_the_network_is_gone(visit: Visit, server: Server) -> None:
    page = await open_line(visit, server)
    await page.evaluate("dispatchEvent(new Event('offline'))")
    assert await page.evaluate(LAST) == ["waiting", 1, True]
    assert await page.evaluate("errors[0].message") == "offline"


async def test_client_comes_back_as_it_was_told(visit: Visit, server: Server) -> None:
    page = await open_line(visit, server)
    await page.evaluate("""() => {
        sockets[0].say({ type: "bye", code: 1013, reason: "Too much.", retry: [7, 7] });
        sockets[0].end(1013, "Too much.");
    }""")
    assert await page.evaluate("states.at(-1)") == {
        "state": "waiting", "delay": 7000, "code": 1013, "reason": "Too much.", "heard": 60_000,
    }  # fmt: skip
    assert await page.evaluate("errors") == []


async def test_client_that_need_not_come_back_stays_away(visit: Visit, server: Server) -> None:
    page = await open_line(visit, server)
    await page.evaluate("""() => {
        sockets[0].say({ type: "bye", code: 1008, reason: "No.", retry: null });
        sockets[0].end(1008, "No.");
        dispatchEvent(new Event("online"));
    }""")
    await page.clock.run_for(60_000)
    assert await page.evaluate("[states.at(-1), sockets.length]") == [
        {"state": "closed", "code": 1008, "reason": "No.", "heard": 60_000},
        1,
    ]
    assert await page.evaluate("errors") == [{"message": "No.", "code": 1008, "data": None}]
    await page.evaluate("() => { listen('/a'); }")
    assert await page.evaluate("sockets.length") == 2


# --- refusals, by a real server ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", NO_WEBSOCKETS])
async def test_refused_client_is_told_why_and_stops(visit: Visit, server: Server, before: str) -> None:
    page = await open_page(visit, server, before=before)
    await page.evaluate("() => { globalThis.channel = listen('/-/nothing'); }")
    await page.wait_for_function("states.at(-1).state == 'closed'")
    (error,) = await page.evaluate("errors")
    assert error["code"] == "reserved_path"
    assert "'-/channels' lists the channels" in error["message"]
    assert await page.evaluate("[states.at(-1).status, states.at(-1).code]") == [404, "reserved_path"]
    assert await page.evaluate("channel.state") == "closed"


async def test_client_of_a_full_channel_is_told_so_and_comes_back_later(
    visit: Visit, start: Start, connect: Connect, http: Talk
) -> None:
    server = start(servers.serve, env={"EVENTCAST_MAX_SUBSCRIBERS_PER_CHANNEL": "1"})
    first = await connect(server, "/a")
    page = await open_page(visit, server)
    await page.evaluate("() => { listen('/a'); }")
    await page.wait_for_function("errors.length")
    assert await page.evaluate("[errors[0].code, states.at(-1).state, states.at(-1).status]") == [
        "channel_full",
        "waiting",
        503,
    ]
    assert await page.evaluate("states.at(-1).delay") >= 10_000, "as Retry-After says"
    await first.leave()
    await http(server).wait_for_count("/a", 0)
    await page.evaluate("dispatchEvent(new Event('online'))")
    await is_open(page)
