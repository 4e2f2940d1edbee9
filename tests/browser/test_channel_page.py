"""The channel's page in a browser."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import LOOP, Visit
from tests.live import servers
from tests.live.clients import WebSocket
from tests.live.conftest import Connect, Start, Talk
from tests.live.servers import Server

pytestmark = LOOP

BACK = 60_000
"""Milliseconds until a page must have reconnected: the longest wait is half of it."""

LINE = "x" * 500_000


def messages(page: Page) -> Locator:
    return page.locator("#list li:not(.gap)")


def texts(page: Page) -> Locator:
    return messages(page).locator(".text")


async def unfold(page: Page) -> Locator:
    """Open the newest message; returns what it says."""
    await messages(page).first.locator(".line").click()
    return messages(page).first.locator("pre")


async def open_channel(visit: Visit, server: Server, target: str, **options: object) -> Page:
    page = await visit(server.url + target, **options)
    await expect(page.locator(".state[data-state=open]")).to_be_visible()
    return page


async def test_page_shows_messages_as_they_come_the_newest_first(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page = await open_channel(visit, server, channel)
    await expect(page.locator("h1")).to_have_text(channel)
    await expect(page.locator("#empty")).to_be_visible()
    for text in ("one", "two"):
        await http(server).post(channel, text)
    await expect(texts(page)).to_have_text(["two", "one"])
    await expect(page.locator("#count")).to_have_text("2")
    await expect(page.locator("#empty")).to_be_hidden()


async def test_page_indents_json_and_changes_no_token(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    await http(server).post(channel, '{"a":1.0,"a":[12345678901234567890,{}],"b":"c:\\"{}"}')
    await expect(messages(page).locator(".kind")).to_have_text("JSON")
    assert await (await unfold(page)).text_content() == (
        '{\n  "a": 1.0,\n  "a": [\n    12345678901234567890,\n    {}\n  ],\n  "b": "c:\\"{}"\n}'
    )


TEXTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '{"broken": [1, 2',
    "{}}",
    "&lt;b&gt;",
    "a\n\tb ",
    "",
]


async def test_page_shows_text_as_it_is(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    speaker = http(server)
    for text in TEXTS:
        await speaker.post(channel, text)
    await expect(messages(page).locator(".kind")).to_have_text(["text"] * len(TEXTS))
    assert await texts(page).all_text_contents() == TEXTS[::-1]
    for line in await messages(page).locator(".line").all():
        await line.click()
    assert await messages(page).locator("pre").all_text_contents() == TEXTS[::-1]
    assert await page.locator("script").count() == 11
    assert await page.locator("#list img").count() == 0


async def test_page_shows_markup_inside_json_as_it_is(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    await http(server).post(channel, '{"<b>": "<script>alert(1)</script>"}')
    assert await (await unfold(page)).text_content() == '{\n  "<b>": "<script>alert(1)</script>"\n}'


async def test_page_shows_the_beginning_of_a_long_line_and_all_of_it_when_asked(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page = await open_channel(visit, server, channel)
    await http(server).post(channel, LINE)
    await expect(messages(page).locator(".size")).to_have_text("500 kB")
    assert len(await (await unfold(page)).text_content() or "") == 2000
    await messages(page).get_by_role("button", name="Show all 500 kB").click()
    assert await messages(page).locator("pre").text_content() == LINE
    await messages(page).get_by_role("button", name="Show less").click()
    assert len(await messages(page).locator("pre").text_content() or "") == 2000


async def test_page_shows_binary_as_size_and_hex(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    await http(server).post(channel, b"\x00\xffhello, world <b>", "application/octet-stream")
    await expect(messages(page).locator(".kind")).to_have_text("binary")
    await expect(messages(page).locator(".size")).to_have_text("18 B")
    assert (await (await unfold(page)).inner_text()).splitlines() == [
        "0000  00 ff 68 65 6c 6c 6f 2c 20 77 6f 72 6c 64 20 3c  ··hello, world <",
        "0010  62 3e                                            b>",
    ]


async def test_page_sends_to_all_subscribers(visit: Visit, server: Server, channel: str, connect: Connect) -> None:
    page = await open_channel(visit, server, channel)
    client = await connect(server, channel)
    await page.get_by_role("textbox", name="Message").fill("来自页面的消息\n<b>")
    await page.get_by_role("button", name="Send", exact=True).click()
    assert await client.receive() == "来自页面的消息\n<b>"
    await expect(page.locator("#sent")).to_have_text("Reached 1 other subscriber")
    await expect(page.get_by_role("textbox", name="Message")).to_have_value("")
    await expect(messages(page)).to_have_count(1)


async def test_page_sends_with_control_and_enter(visit: Visit, server: Server, channel: str, connect: Connect) -> None:
    page = await open_channel(visit, server, channel)
    client = await connect(server, channel)
    await page.get_by_role("textbox", name="Message").fill("quick")
    await page.keyboard.press("Control+Enter")
    assert await client.receive() == "quick"


async def test_page_says_why_a_message_was_refused(visit: Visit, server: Server, channel: str) -> None:
    page = await open_channel(visit, server, channel)
    await page.get_by_role("textbox", name="Message").fill("x" * 1_100_000)
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator("#sent[data-failed]")).to_contain_text("bytes")
    assert len(await page.get_by_role("textbox", name="Message").input_value()) == 1_100_000


async def test_page_counts_who_is_there(visit: Visit, server: Server, channel: str, connect: Connect) -> None:
    # The page requests the counts every two seconds.
    hurried = "const interval = setInterval; setInterval = (ask, pause) => interval(ask, pause / 20)"
    page = await open_channel(visit, server, channel, before=hurried)
    await expect(page.locator("#subscribers")).to_have_text("1")
    client = await connect(server, channel)
    await expect(page.locator("#subscribers")).to_have_text("2")
    await client.leave()
    await expect(page.locator("#subscribers")).to_have_text("1")


@pytest.mark.parametrize(
    "target",
    [
        "/" + quote("a b/中文") + "/a%2Fb%252F/%3Fa=b%23c",
        "//host/a//b",
        "/a%0Ab%0D/%22%27%60/" + quote("<script>alert(1)</script>") + "/[a]{b}^|/a%5Cb;c&d",
        "/%E2%80%AE%F0%9F%98%80/" + "long/" * 180,
    ],
)
async def test_page_means_the_channel_of_its_url(
    visit: Visit, server: Server, http: Talk, connect: Connect, target: str
) -> None:
    page = await open_channel(visit, server, target)
    client = await connect(server, target)
    await page.get_by_role("textbox", name="Message").fill("from the page")
    await page.get_by_role("button", name="Send", exact=True).click()
    assert await client.receive() == "from the page"
    assert (await http(server).post(target, "to the page")).json()["subscribers"] == 2
    await expect(texts(page)).to_have_text(["to the page", "from the page"])
    await expect(page.locator("#subscribers")).to_have_text("2")


async def test_page_pauses_and_goes_on(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    await page.get_by_role("button", name="Pause").click()
    for text in ("one", "two"):
        await http(server).post(channel, text)
    await page.get_by_role("button", name="Resume (2 new)").click()
    await expect(texts(page)).to_have_text(["two", "one"])
    await page.get_by_role("button", name="Clear").click()
    await expect(messages(page)).to_have_count(0)
    await expect(page.locator("#empty")).to_be_visible()


LONG_TASKS = """
globalThis.longest = 0;
const seen = (list) => { for (const { duration } of list.getEntries()) longest = Math.max(longest, duration); };
new PerformanceObserver(seen).observe({ entryTypes: ["longtask"] });
"""


async def test_page_survives_a_flood_and_keeps_the_newest(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page = await open_channel(visit, server, channel, before=LONG_TASKS)
    speaker = http(server)
    for start in range(0, 10_000, 1000):
        lines = "\n".join(f'{{"number": {number}}}' for number in range(start, start + 1000))
        await speaker.post(channel, lines, "application/x-ndjson")
    await expect(page.locator("#rest")).to_have_text(re.compile(r"^The newest 200 of 10.000 messages$"))
    await expect(messages(page)).to_have_count(200)
    assert "9999" in await messages(page).first.inner_text()
    assert "9800" in await messages(page).last.inner_text()
    # The milliseconds of the tab's longest pause: some 200 on a busy machine.
    assert await page.evaluate("longest") < 1000


async def test_page_keeps_only_so_many_bytes(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    for _ in range(20):
        await http(server).post(channel, "x" * 1_000_000)
    await expect(page.locator("#rest")).to_have_text("The newest 16 of 20 messages")


async def test_page_says_that_the_server_is_gone_and_comes_back_by_itself(visit: Visit, start: Start) -> None:
    server = start(servers.daphne)
    page = await open_channel(visit, server, "/a", before="Math.random = () => 0.2")  # waits 1.2 s, then 2
    server.kill()
    await expect(page.locator("#state")).to_have_text("Disconnected")
    await expect(page.locator("#gone")).to_contain_text("The server cannot be reached. Reconnecting in")
    await expect(page.locator("#subscribers")).to_have_text("–")
    server.process.wait()

    again = start(servers.daphne, "-p", str(server.port))
    await expect(page.locator("#state")).to_have_text("Live", timeout=BACK)
    await expect(page.locator("#gone")).to_be_hidden()
    await expect(page.locator("#list .gap")).to_contain_text("messages published since")
    client = await WebSocket.connect(again.port, "/a")
    await page.get_by_role("textbox", name="Message").fill("still here")
    await page.get_by_role("button", name="Send", exact=True).click()
    assert await client.receive() == "still here"
    await expect(messages(page)).to_have_count(1)
    await client.leave()


async def test_page_reconnects_when_told(visit: Visit, start: Start) -> None:
    server = start(servers.daphne)
    page = await open_channel(visit, server, "/a", before="Math.random = () => 0.999", clock=True)
    await page.clock.pause_at(3600)  # by itself it comes back no more
    server.stop()
    await expect(page.locator("#gone")).to_contain_text("The server is going away. Reconnecting in 4 s")
    start(servers.daphne, "-p", str(server.port))
    await page.get_by_role("button", name="Reconnect now").click()
    await expect(page.locator("#state")).to_have_text("Live")


async def test_page_lives_under_the_mount_of_a_site(visit: Visit, start: Start, http: Talk) -> None:
    # A site without a template engine, and with its static files on another host.
    site = start(servers.daphne, application=servers.SITE, env={"DJANGO_SETTINGS_MODULE": "tests.site.settings"})
    page = await open_channel(visit, site, "/live/a")
    await expect(page.locator("h1")).to_have_text("/live/a")
    await page.get_by_role("textbox", name="Message").fill("hello")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(texts(page)).to_have_text(["hello"])
    await page.get_by_role("tab", name="JavaScript").click()
    assert "/assets/eventcast/eventcast.js" in await page.locator("#snippets pre").nth(2).inner_text()
    browser = [("Accept", "text/html,*/*;q=0.8")]
    answer = await http(site).request("GET", "/live/-/a", headers=browser)
    assert (answer.status, b"reserved_path" in answer.body) == (404, True)


async def test_page_sends_without_javascript(visit: Visit, server: Server, channel: str, connect: Connect) -> None:
    page = await visit(server.url + channel, java_script_enabled=False)
    client = await connect(server, channel)
    await expect(page.locator("noscript p")).to_be_visible()
    await page.get_by_role("textbox", name="Message").fill("plain")
    await page.get_by_role("button", name="Send", exact=True).click()
    assert await client.receive() == "plain"


async def test_page_fits_the_screen_and_is_as_dark(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel)
    await http(server).post(channel, "x" * 3000)
    await http(server).post(channel, bytes(range(256)), "application/octet-stream")
    await expect(messages(page)).to_have_count(2)
    await expect(page.locator("details")).to_have_attribute("open", "")
    for width in (390, 1280):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") == width
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        ground, text = await page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        brightness = [sum(map(int, re.findall(r"\d+", colour))) for colour in (ground, text)]
        assert (brightness[0] > brightness[1]) is (scheme == "light")


async def test_page_copies_without_tls(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_channel(visit, server, channel, permissions=["clipboard-read", "clipboard-write"])
    await http(server).post(channel, '{"a":1}')
    await unfold(page)
    await messages(page).get_by_role("button", name="Copy").click()
    await expect(messages(page).get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == '{"a":1}'
