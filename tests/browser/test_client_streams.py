"""eventcast.js where no WebSocket opens: one stream for all channels of a page, by a real server."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page

from tests.browser.conftest import LOOP, Visit
from tests.browser.test_client import NO_WEBSOCKETS, open_page
from tests.live.conftest import Talk
from tests.live.http_client import HTTP
from tests.live.servers import Server

pytestmark = LOOP

HIDING = "Object.defineProperty(document, 'hidden', { get: () => globalThis.away ?? false });"
TURN = "away => { globalThis.away = away; document.dispatchEvent(new Event('visibilitychange')); }"

# Counts the streams, and how long each has lasted.
COUNTING = """
globalThis.streams = [];
globalThis.before = fetch;
globalThis.fetch = (url, options) => {
  if (options.headers.Accept.includes("ndjson")) streams.push({ url: url.href ?? url, signal: options.signal });
  return before(url, options);
};
globalThis.running = () => streams.filter(({ signal }) => !signal.aborted).length;
"""

OPEN = """([path, numbers]) => {
  globalThis.open ??= {};
  for (const number of numbers) {
    open[number] = { heard: [], states: [], errors: [] };
    open[number].channel = eventcast(path + number).on((data) => open[number].heard.push(data))
      .on("state", (state) => open[number].states.push(state))
      .on("error", ({ code }) => open[number].errors.push(code));
  }
}"""

OPENED = ["connecting", "connecting", "open"]  # first a WebSocket, then a stream

ALL_OPEN = "count => Object.values(open).filter(({ states }) => states.at(-1) == 'open').length == count"


async def nine(visit: Visit, server: Server, channel: str, *, before: str = "", **options: Any) -> Page:
    page = await open_page(visit, server, before=NO_WEBSOCKETS + COUNTING + before, **options)
    await page.evaluate(OPEN, [channel, list(range(9))])
    await page.wait_for_function(ALL_OPEN, arg=9)
    return page


async def say(speaker: HTTP, channel: str, text: str, numbers: Any = range(9)) -> None:
    for number in numbers:
        await speaker.post(f"{channel}{number}", text)


async def test_nine_channels_share_a_stream_and_a_page_sends_meanwhile(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    pages = [await nine(visit, server, channel) for _ in range(5)]
    page, speaker = pages[0], http(server)
    assert await page.evaluate("[streams.length, running()]") == [1, 1]
    assert (await page.evaluate("open[8].channel.send('sent')"))["subscribers"] == 5
    await say(speaker, channel, "said")
    for each in pages:
        await each.wait_for_function("open[8].heard.length == 2")
    assert await page.evaluate("Object.values(open).map(({ heard }) => heard)") == [["said"]] * 8 + [["sent", "said"]]


async def test_channels_that_come_and_go_leave_no_gap_and_tell_nothing_twice(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page, speaker = await nine(visit, server, channel), http(server)
    await page.evaluate("open[0].channel.close()")
    await page.evaluate(OPEN, [channel, [9]])
    sent = []
    while not await page.evaluate("open[9].states.at(-1) == 'open' && running() == 1"):
        sent.append(str(len(sent)))
        await say(speaker, channel, sent[-1], [1])
    await say(speaker, channel, "last", [1, 8, 9])
    await page.wait_for_function("[1, 8, 9].every((number) => open[number].heard.at(-1) == 'last')")
    assert await page.evaluate("[1, 8, 9].map((number) => open[number].heard)") == [[*sent, "last"], ["last"], ["last"]]
    assert await page.evaluate("open[1].states") == OPENED
    assert await speaker.count(f"{channel}0") == 0


async def test_revoked_channel_comes_back_and_a_refused_one_stays_away_while_others_go_on(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page, speaker = await nine(visit, server, channel), http(server)
    await page.evaluate(OPEN, ["/-/x", [10]])
    await page.wait_for_function("open[10].states.at(-1) == 'closed'")
    assert await page.evaluate("open[10].errors") == ["reserved_path"]
    await page.evaluate("""() => {
        const { parse } = JSON;
        JSON.parse = (text) => { // as if the server had said so
            JSON.parse = parse;
            return { type: "bye", code: 3000, reason: "The permission has expired.", retry: [0, 1],
                channel: parse(text).channel };
        };
    }""")
    await say(speaker, channel, "lost", [5])
    await page.wait_for_function("open[5].states.includes('waiting')")
    await page.wait_for_function(ALL_OPEN, arg=9)
    await page.wait_for_function("running() == 1")
    await say(speaker, channel, "last")
    await page.wait_for_function("Object.values(open).filter(({ heard }) => heard.at(-1) == 'last').length == 9")
    assert await page.evaluate("[4, 5].map((number) => open[number].states)") == [
        OPENED,
        [*OPENED, "waiting", *OPENED],
    ]
    assert await page.evaluate("open[5].errors") == []


async def test_hidden_page_gives_its_stream_back_and_listens_again_when_it_is_shown(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page, speaker = await nine(visit, server, channel, before=HIDING, clock=True), http(server)
    await page.evaluate(TURN, True)
    await page.clock.run_for(10_000)
    for number in (0, 8):
        await speaker.wait_for_count(f"{channel}{number}", 0)
    assert await page.evaluate("[running(), open[8].states.at(-1)]") == [0, "waiting"]
    await page.evaluate(TURN, False)
    await page.wait_for_function(ALL_OPEN, arg=9)
    assert await page.evaluate("[streams.length, running()]") == [2, 1]
    await say(speaker, channel, "again")
    await page.wait_for_function("Object.values(open).every(({ heard }) => heard.at(-1) == 'again')")
