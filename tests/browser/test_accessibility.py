"""Every page, held to WCAG 2.2 AA by axe: light and dark, on a wide screen and on 320 pixels."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import LOOP, Visit
from tests.browser.office import LIST, Enter, listen, page_of
from tests.browser.test_channel_page import open_channel
from tests.live import conftest as live
from tests.live.conftest import Connect, Talk
from tests.live.servers import Server

pytestmark = LOOP

npm_packages = live.npm_packages

Check = Callable[[Page], Awaitable[None]]

# On the admin's pages what is Django's own is left to Django.
RUN = """() => axe.run(document.querySelector("#content") ?? document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}).then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) =>
        `${id}: ${html.slice(0, 160)} ${failureSummary.split("\\n").slice(1).join(" ").trim().slice(0, 200)}`)))"""


STILL = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("* { transition: none !important; animation: none !important }");
    document.adoptedStyleSheets = [sheet];
}"""


LOOKS = {
    "en-US": [("light", 1280), ("dark", 320)],
    "zh-CN": [("dark", 1280), ("light", 320)],
}
"""The looks in which each page is checked, by the language of the browser."""


@pytest.fixture(params=LOOKS)
def locale(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def check(npm_packages: Path, locale: str) -> Check:
    """Holds a page to axe's rules, in the looks of the language."""
    source = (npm_packages / "axe-core/axe.min.js").read_text()

    async def check(page: Page) -> None:
        found: dict[str, list[str]] = {}
        assert await page.evaluate("document.documentElement.lang") in (["zh-hans"] if locale == "zh-CN" else ["en"])
        await page.evaluate(source + "; undefined")
        # A transition would be judged in the middle of its colours.
        await page.evaluate(STILL)
        for scheme, width in LOOKS[locale]:
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            if problems := await page.evaluate(RUN):
                found[f"{scheme}, {width}"] = problems
        assert found == {}

    return check


async def test_start_page(
    visit: Visit, server: Server, channel: str, connect: Connect, locale: str, check: Check
) -> None:
    for name in ("a", "b"):
        await connect(server, f"{channel}/{name}")
    page = await visit(server.url, locale=locale)
    await expect(page.locator("#tree a").first).to_be_visible()
    await check(page)


async def test_channel_page(visit: Visit, server: Server, channel: str, http: Talk, locale: str, check: Check) -> None:
    page = await open_channel(visit, server, channel, locale=locale)
    for text in ('{"a": [1, true, "b", null]}', "text", ""):
        await http(server).post(channel, text)
    await http(server).post(channel, b"\x00", "application/octet-stream")
    await expect(page.locator("#list li")).to_have_count(4)
    await page.locator("#list .line").last.click()
    await page.locator("#pause").click()
    await page.locator("#data").fill("{")
    await check(page)
    await page.locator("#keys").click()
    await check(page)
    await page.locator("#help form button").click()
    await page.evaluate("dispatchEvent(new Event('offline'))")
    await page.evaluate("document.getElementById('refusal').hidden = false")
    await check(page)


@pytest.mark.parametrize("target", ["/-/subscribe?pattern=/a/<b>", "/-/nothing", "/admin/login/"])
async def test_pages_without_messages(visit: Visit, server: Server, target: str, locale: str, check: Check) -> None:
    await check(await visit(server.url + target, locale=locale))


@pytest.mark.parametrize("target", ["/admin/", LIST])
async def test_pages_of_the_admin(
    office: Server, enter: Enter, connect: Connect, channel: str, target: str, locale: str, check: Check
) -> None:
    await connect(office, channel)
    page = await enter(office, target, locale=locale)
    await expect(page.locator("[data-figure=rate]")).not_to_have_text("–")
    await check(page)


async def test_channel_in_the_admin(
    office: Server, enter: Enter, connect: Connect, http: Talk, channel: str, locale: str, check: Check
) -> None:
    await connect(office, channel)
    page = await listen(await enter(office, page_of(channel), locale=locale, timezone_id="Asia/Kolkata"))
    await http(office).post(channel, '{"a": [1, true, "b", null]}')
    await page.locator("#list .line").click()
    # All times of the page are in the zone of its reader, and not in that of the server.
    for place in ("#list .when", "[data-figure=last_message]", "tbody [data-figure=connected]"):
        await expect(page.locator(place)).to_have_text(re.compile(r"\d\d:\d\d:\d\d(\.\d{3})? UTC\+05:30"))
    await check(page)


async def test_history_in_the_admin(office: Server, enter: Enter, channel: str, locale: str, check: Check) -> None:
    page = await enter(office, page_of(channel).replace("change", "history"), locale=locale)
    await expect(page.locator("#content")).to_contain_text("UTC")
    await check(page)
