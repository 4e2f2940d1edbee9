"""Every page, held to WCAG 2.2 AA by axe: light and dark, on a wide screen and on 320 pixels."""

from __future__ import annotations

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


@pytest.fixture
def check(npm_packages: Path) -> Check:
    """Holds a page to axe's rules, in each scheme and width."""
    source = (npm_packages / "axe-core/axe.min.js").read_text()

    async def check(page: Page) -> None:
        found: dict[str, list[str]] = {}
        await page.evaluate(source + "; undefined")
        # A transition would be judged in the middle of its colours.
        await page.evaluate(STILL)
        for width in (1280, 320):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                if problems := await page.evaluate(RUN):
                    found[f"{scheme}, {width}"] = problems
        assert found == {}

    return check


async def test_start_page(visit: Visit, server: Server, channel: str, connect: Connect, check: Check) -> None:
    for name in ("a", "b"):
        await connect(server, f"{channel}/{name}")
    page = await visit(server.url)
    await expect(page.locator("#tree a").first).to_be_visible()
    await check(page)


async def test_channel_page(visit: Visit, server: Server, channel: str, http: Talk, check: Check) -> None:
    page = await open_channel(visit, server, channel)
    await check(page)
    for text in ('{"a": [1, true, "b", null]}', "text", ""):
        await http(server).post(channel, text)
    await http(server).post(channel, b"\x00", "application/octet-stream")
    await expect(page.locator("#list li")).to_have_count(4)
    await page.locator("#list .line").last.click()
    await page.locator("#pause").click()
    await page.get_by_role("textbox", name="Message").fill("{")
    await check(page)
    await page.locator("#keys").click()
    await check(page)
    await page.get_by_role("button", name="Close").click()
    await page.evaluate("dispatchEvent(new Event('offline'))")
    await page.evaluate("document.getElementById('refusal').hidden = false")
    await check(page)


async def test_page_of_a_refusal(visit: Visit, server: Server, check: Check) -> None:
    await check(await visit(f"{server.url}/-/nothing"))


@pytest.mark.parametrize("target", ["/admin/", LIST])
async def test_pages_of_the_admin(
    office: Server, enter: Enter, connect: Connect, channel: str, target: str, check: Check
) -> None:
    await connect(office, channel)
    page = await enter(office, target)
    await expect(page.locator("[data-figure=rate]")).not_to_have_text("–")
    await check(page)


async def test_channel_in_the_admin(office: Server, enter: Enter, http: Talk, channel: str, check: Check) -> None:
    page = await listen(await enter(office, page_of(channel)))
    await http(office).post(channel, '{"a": [1, true, "b", null]}')
    await page.locator("#list .line").click()
    await check(page)
