"""<event-cast> in Chromium: appended messages and pop-ups."""

from __future__ import annotations

import re

from django.template import Context, Template
from playwright.async_api import Page, expect

from tests.browser.conftest import LOOP, Visit
from tests.live.conftest import Talk
from tests.live.servers import Server
from tests.test_documentation import section

pytestmark = LOOP

NONCE = "aGVsbG8"
# The strictest policy with which the scripts run and the page connects to its own server.
POLICY = f"default-src 'none'; script-src 'nonce-{NONCE}'; connect-src 'self'; base-uri 'none'"
MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"


async def open_page(
    visit: Visit, server: Server, body: str, channel: str, *, listening: bool = True, clock: bool = False
) -> Page:
    """A page with the tag of the template library, under a strict policy."""
    source = "<!doctype html>{% load eventcast %}{% eventcast_script %}<body>" + body
    html = Template(source).render(Context({"csp_nonce": NONCE, "path": channel}))
    page = await visit(server.url + "/blank", html=html, headers={"Content-Security-Policy": POLICY}, clock=clock)
    if listening:
        await expect(page.locator("event-cast")).to_have_attribute("state", "open")
    return page


LOG = '<event-cast path="{{ path }}"></event-cast>'
TOAST = '<input autofocus><event-cast toast path="{{ path }}"></event-cast>'


async def test_element_appends_text_that_stays_text(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server, LOG, channel)
    speaker = http(server)
    for text in (MARKUP, "  two\nlines", ""):
        await speaker.post(channel, text)
    await speaker.post(channel, b"\x00\x01", "application/octet-stream")
    items = page.locator("event-cast > div")
    await expect(items).to_have_count(4)
    assert await items.all_text_contents() == [MARKUP, "  two\nlines", "", "2 bytes"]
    assert await page.locator("img, b").count() == 0
    await expect(page.get_by_role("log")).to_have_count(1)


async def test_element_keeps_the_newest(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server, '<event-cast max="3" path="{{ path }}"><p>Log</p></event-cast>', channel)
    await http(server).post(channel, "\n".join(str(number) for number in range(1000)), "application/x-ndjson")
    await expect(page.locator("event-cast > div")).to_have_text(["997", "998", "999"])
    await expect(page.locator("event-cast > p")).to_have_text("Log")


async def test_element_leaves_it_to_the_page_to_show_a_message(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page = await open_page(visit, server, LOG, channel)
    await page.evaluate("""() => {
        document.querySelector("event-cast").addEventListener("message", (event) => {
            if (event.detail == "mine") event.preventDefault();
        });
    }""")
    for text in ("mine", "shown"):
        await http(server).post(channel, text)
    await expect(page.locator("event-cast > div")).to_have_text(["shown"])


async def test_element_follows_its_path_and_stops_when_removed(
    visit: Visit, server: Server, channel: str, http: Talk
) -> None:
    page = await open_page(visit, server, LOG, channel)
    speaker = http(server)
    await page.evaluate("path => document.querySelector('event-cast').setAttribute('path', path)", channel + "/other")
    await speaker.wait_for_count(channel + "/other", 1)
    await speaker.wait_for_count(channel, 0)
    await page.evaluate("document.querySelector('event-cast').remove()")
    await speaker.wait_for_count(channel + "/other", 0)


async def test_toast_is_a_status_that_takes_no_focus(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server, TOAST, channel)
    await expect(page.locator("input")).to_be_focused()
    await http(server).post(channel, MARKUP)
    await expect(page.get_by_role("status")).to_contain_text(MARKUP)
    await expect(page.locator("event-cast > div")).to_be_in_viewport(ratio=1)
    await expect(page.locator("input")).to_be_focused()
    assert await page.locator("img, b").count() == 0
    assert (
        await page.locator("event-cast > div").evaluate(
            "(item) => getComputedStyle(item).position + getComputedStyle(item.parentNode).position"
        )
        == "staticfixed"
    )


async def test_toast_goes_away(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server, TOAST.replace("toast", 'toast="3600"'), channel, clock=True)
    await http(server).post(channel, "bye")
    await expect(page.locator("event-cast > div")).to_have_count(1)
    await page.clock.fast_forward(3_540_000)
    await expect(page.locator("event-cast > div")).to_have_count(1)
    await page.clock.fast_forward(60_000)
    await expect(page.locator("event-cast > div")).to_have_count(0)


async def test_toast_stays_while_the_pointer_is_on_it(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server, TOAST, channel, clock=True)
    await http(server).post(channel, "read me")
    await page.locator("event-cast > div").hover()
    await page.clock.fast_forward(60_000)
    await expect(page.locator("event-cast > div")).to_have_count(1)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Dismiss")).to_be_focused()
    await page.mouse.move(0, 0)
    await page.clock.fast_forward(60_000)
    await expect(page.locator("event-cast > div")).to_have_count(1)
    await page.locator("input").focus()
    await page.clock.fast_forward(1)  # the element looks where the focus has gone
    await page.clock.fast_forward(8_000)
    await expect(page.locator("event-cast > div")).to_have_count(0)


async def test_toast_can_be_dismissed(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server, TOAST.replace("toast", 'toast dismiss="关闭"'), channel)
    for text in ("one", "two"):
        await http(server).post(channel, text)
    await page.locator("event-cast > div", has_text="one").get_by_role("button", name="关闭").click()
    await expect(page.locator("event-cast > div")).to_have_count(1)
    await expect(page.locator("event-cast")).to_contain_text("two")


async def test_escape_dismisses_the_newest_toast(visit: Visit, server: Server, channel: str, http: Talk) -> None:
    page = await open_page(visit, server, TOAST, channel)
    for text in ("one", "two", "three", "four"):
        await http(server).post(channel, text)
    await expect(page.locator("event-cast > div")).to_contain_text(["two", "three", "four"])
    await page.keyboard.press("Escape")
    await expect(page.locator("event-cast > div")).to_contain_text(["two", "three"])


async def test_examples_of_the_document_work(visit: Visit, server: Server, http: Talk) -> None:
    text = section("browser.md", "eventcast.js") + section("browser.md", "The element")
    examples = re.findall(r"^```html\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    page = await visit(server.url + "/blank", html=Template("".join(examples)).render(Context()))
    log, toasts = page.locator("event-cast").first, page.locator("event-cast").last
    for element in (log, toasts):
        await expect(element).to_have_attribute("state", "open")
    speaker = http(server)
    assert await speaker.count("/deploys") == 1, "the script and the element share a connection"
    await speaker.post("/log", "a line")
    await expect(log).to_have_text("a line")
    await speaker.post("/deploys", '{"service": "web"}', "application/json")
    await expect(toasts).to_contain_text('{"service": "web"}')


async def test_element_without_a_path_is_quiet(visit: Visit, server: Server, channel: str) -> None:
    page = await open_page(visit, server, "<event-cast></event-cast>", channel, listening=False)
    assert await page.locator("event-cast").get_attribute("state") is None
