"""The admin in a browser."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import LOOP
from tests.browser.office import LIST, Enter, Staff, listen, page_of
from tests.browser.test_client import NO_WEBSOCKETS
from tests.live import servers
from tests.live.clients import WebSocket
from tests.live.conftest import Connect, Start, Talk
from tests.live.servers import Server
from tests.live.waiting import until

pytestmark = LOOP

BACK = 30_000
"""Milliseconds until a page must show that the server is gone or back: twice the page's longest wait."""


def forget_refusals(server: Server) -> None:
    """Skip the log so far: Django logs each expected 403 with the traceback of its PermissionDenied."""
    server.checked = len(server.log)


def row(page: Page, name: str) -> Locator:
    return page.locator("#result_list tbody tr").filter(has=page.get_by_role("link", name=name, exact=True))


def messages(page: Page) -> Locator:
    return page.locator("#list > li:not(.gap)")


# --- the list ---------------------------------------------------------------------------------------------------------


async def test_list_is_updated_without_being_loaded_again(
    office: Server, enter: Enter, connect: Connect, channel: str
) -> None:
    names = [f"{channel}/{letter}" for letter in "abc"]
    for name in names:
        await connect(office, name)
    page = await enter(office, f"{LIST}?q={channel}/")
    await page.evaluate("globalThis.loaded = true")
    await expect(page.locator("#result_list tbody tr")).to_have_count(3)
    await expect(row(page, names[0]).locator(".field-subscribers")).to_have_text("1")

    await connect(office, names[0])
    await expect(row(page, names[0]).locator(".field-subscribers")).to_have_text("2")

    newcomer = await connect(office, f"{channel}/d")
    await expect(row(page, f"{channel}/d").locator(".field-subscribers")).to_have_text("1")
    await newcomer.leave()
    await expect(page.locator("#result_list tbody tr")).to_have_count(3)
    assert await page.evaluate("globalThis.loaded")


async def test_list_appears_with_the_first_channel_and_ends_with_the_last(
    office: Server, enter: Enter, connect: Connect, channel: str
) -> None:
    page = await enter(office, f"{LIST}?q={channel}/")
    await expect(page.locator("#eventcast-empty")).to_have_text("No live channel matches. Go to " + channel + "/")
    first = await connect(office, f"{channel}/a")
    await expect(row(page, f"{channel}/a").locator(".field-subscribers")).to_have_text("1")
    await expect(page.locator("#eventcast-empty")).to_be_hidden()
    await row(page, f"{channel}/a").get_by_role("link").focus()
    await first.leave()
    await expect(page.locator("#eventcast-empty")).to_be_visible()


async def test_list_leads_to_a_new_channel(office: Server, enter: Enter, connect: Connect, channel: str) -> None:
    odd = channel + "/a b/<i>&'\"%2F中"
    await connect(office, f"{channel}/first")
    page = await enter(office, f"{LIST}?q={channel}/")
    await expect(page.locator("#result_list tbody tr")).to_have_count(1)
    await connect(office, quote(odd))
    await page.get_by_role("link", name=odd).click()
    await expect(page.locator("h1").filter(has_text=odd)).to_be_visible()
    await listen(page)


async def test_index_has_totals_that_are_updated(
    office: Server, enter: Enter, connect: Connect, http: Talk, channel: str
) -> None:
    page = await enter(office, "/admin/", "viewer")
    shown = page.locator(".eventcast-totals [data-figure=channels]")
    for number in range(9):
        await connect(office, f"{channel}/{number}")

    async def is_so() -> bool:
        total = (await http(office).request("GET", "/-/channels")).json()["total"]["channels"]
        return total >= 9 and await shown.inner_text() == str(total)

    await until(is_so, "the index shows the number of channels")


async def test_hidden_page_asks_for_nothing(office: Server, enter: Enter) -> None:
    hidden = "Object.defineProperty(document, 'hidden', {get: () => globalThis.away ?? false})"
    page = await enter(office, LIST, before=hidden)
    async with page.expect_response("**/figures/**"):
        pass
    await page.clock.install()
    await page.evaluate("globalThis.away = true; document.dispatchEvent(new Event('visibilitychange'))")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.clock.run_for(60_000)
    assert asked == []
    async with page.expect_response("**/figures/**"):
        await page.evaluate("globalThis.away = false; document.dispatchEvent(new Event('visibilitychange'))")


# --- a channel --------------------------------------------------------------------------------------------------------


async def test_page_publishes_to_a_raw_client_and_to_its_own_tail(
    office: Server, enter: Enter, connect: Connect, channel: str
) -> None:
    client = await connect(office, channel)
    page = await listen(await enter(office, page_of(channel)))
    await page.get_by_role("textbox", name="Message").fill("来自后台\n<b>")
    await page.get_by_role("button", name="Send", exact=True).click()
    assert await client.receive() == "来自后台\n<b>"
    await expect(messages(page).locator(".text")).to_have_text(["来自后台\n<b>"])
    await expect(page.locator("#sent")).to_contain_text("16 bytes to 1 subscriber.")
    await page.locator("#file").set_input_files([{"name": "a.bin", "mimeType": "", "buffer": b"\xff\r\n"}])
    await page.get_by_role("button", name="Send", exact=True).click()
    assert await client.receive() == b"\xff\r\n"
    await expect(page.locator("#sent")).to_contain_text("a binary message of 3 bytes to 1 subscriber.")
    await page.get_by_role("link", name="History").click()
    await expect(page.locator("#change-history tbody tr")).to_have_count(2)


async def test_page_says_why_a_message_is_refused(office: Server, enter: Enter, channel: str) -> None:
    page = await enter(office, page_of(channel))
    await page.get_by_role("textbox", name="Message").fill("x" * 1_100_000)
    await page.get_by_role("textbox", name="Message").press("Control+Enter")
    await expect(page.locator("#sent")).to_contain_text("1048576 are allowed")


async def test_page_disconnects_exactly_one(
    office: Server, enter: Enter, connect: Connect, channel: str, http: Talk
) -> None:
    clients = [await connect(office, channel) for _ in range(3)]
    page = await enter(office, page_of(channel))
    port = clients[1].transport.get_extra_info("sockname")[1]
    await page.locator("#eventcast-subscribers tr", has_text=f":{port}").get_by_role("button").click()
    await until(lambda: clients[1].lost.done(), "the second one is disconnected")
    assert clients[1].close_code == 3000
    await expect(page.locator("#eventcast-subscribers tr", has_text=f":{port}")).to_have_count(0)
    await http(office).post(channel, "to the others")
    assert [await client.receive() for client in (clients[0], clients[2])] == ["to the others"] * 2


async def test_page_disconnects_all_after_a_confirmation(
    office: Server, enter: Enter, connect: Connect, channel: str
) -> None:
    clients = [await connect(office, channel) for _ in range(2)]
    page = await listen(await enter(office, page_of(channel)))
    answers = iter([False, True])
    page.on("dialog", lambda dialog: dialog.accept() if next(answers) else dialog.dismiss())
    reader = await page.context.new_page()
    await reader.goto(office.url + channel)
    await listen(reader)
    await page.get_by_role("button", name="Disconnect all").click()
    await clients[0].ping()
    await page.get_by_role("button", name="Disconnect all").click()
    await until(lambda: all(client.lost.done() for client in clients), "all are disconnected")
    assert [client.close_code for client in clients] == [3000, 3000]
    await expect(reader.locator("#gone-why")).to_have_text("An operator disconnected this page.")
    await expect(page.locator("#state")).to_have_text("Live")  # its own tail is left


async def test_tail_is_the_list_of_the_channels_page(office: Server, enter: Enter, http: Talk, channel: str) -> None:
    page = await listen(await enter(office, page_of(channel)))
    await http(office).post(channel, '{"a":1.0,"a":[12345678901234567890,{}]}', "application/json")
    await messages(page).locator(".line").click()
    assert await messages(page).locator("pre").text_content() == (
        '{\n  "a": 1.0,\n  "a": [\n    12345678901234567890,\n    {}\n  ]\n}'
    )
    await messages(page).get_by_role("button", name="Edit and send").click()
    await expect(page.locator("#data")).to_have_value('{"a":1.0,"a":[12345678901234567890,{}]}')


async def test_seven_pages_of_the_admin_do_not_freeze_the_host(office: Server, enter: Enter, channel: str) -> None:
    page = await listen(await enter(office, page_of(channel)))
    for number in range(6):
        another = await page.context.new_page()
        await another.goto(f"{office.url}{page_of(f'{channel}/{number}')}")
        await listen(another)
    await expect(another.locator("[data-figure=messages]").first).to_have_text("0")


async def test_tail_goes_on_where_no_websocket_opens(office: Server, enter: Enter, http: Talk, channel: str) -> None:
    page = await listen(await enter(office, page_of(channel), "viewer", before=NO_WEBSOCKETS))
    await http(office).post(channel, "hello")
    await expect(messages(page).locator(".text")).to_have_text(["hello"])


async def test_tail_pauses_and_clears(office: Server, enter: Enter, http: Talk, channel: str) -> None:
    page = await listen(await enter(office, page_of(channel), "viewer"))
    await page.get_by_role("button", name="Pause").click()
    for text in ("one", "two"):
        await http(office).post(channel, text)
    await page.get_by_role("button", name="Resume (2 new)").click()
    await expect(messages(page).locator(".text")).to_have_text(["two", "one"])
    await page.get_by_role("button", name="Clear").click()
    await expect(messages(page)).to_have_count(0)


async def test_tail_keeps_the_newest(office: Server, enter: Enter, http: Talk, channel: str) -> None:
    page = await listen(await enter(office, page_of(channel)))
    lines = "\n".join(f"line {number}" for number in range(3000))
    await http(office).post(channel, lines, "application/x-ndjson")
    await expect(page.locator("#rest")).to_have_text("The newest 200 of 3,000 messages")
    await expect(messages(page)).to_have_count(200)
    await expect(messages(page).first.locator(".text")).to_have_text("line 2999")


async def test_charts_begin_before_the_page(office: Server, enter: Enter, connect: Connect, channel: str) -> None:
    await connect(office, channel)  # The server records from the first subscriber on, every ten seconds.
    page = await enter(office, LIST)
    for name in ("subscribers", "rate"):
        await expect(page.locator(f"#eventcast-chart-{name} .eventcast-line")).to_have_attribute("d", re.compile("L"))
    await expect(page.locator("#eventcast-chart-rate")).to_contain_text(re.compile(r"\d min ago\s*now"))
    await page.goto(office.url + page_of(channel))
    await expect(page.locator("#eventcast-chart-subscribers b")).to_have_text("1")


# --- permissions ------------------------------------------------------------------------------------------------------


async def test_viewer_sees_but_does_nothing(
    office: Server, enter: Enter, connect: Connect, http: Talk, channel: str
) -> None:
    client = await connect(office, channel)
    page = await listen(await enter(office, page_of(channel), "viewer"))
    await http(office).post(channel, "hello")
    await expect(messages(page).locator(".text")).to_have_text(["hello"])
    await expect(page.locator("#eventcast-subscribers tbody tr")).to_have_count(1)
    for name in ("Publish", "Disconnect", "Disconnect all"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
    base = page_of(channel).removesuffix("change/")
    statuses = await page.evaluate(
        """async (base) => {
            const token = document.cookie.match(/csrftoken=(\\w+)/)?.[1] ?? "";
            const post = (what) => fetch(base + what, {
                method: "POST", body: new URLSearchParams({data: "no", subscriber: "all", csrfmiddlewaretoken: token}),
            }).then((answer) => answer.status);
            return [await post("publish/"), await post("disconnect/")];
        }""",
        base,
    )
    assert statuses == [403, 403]
    forget_refusals(office)
    await client.ping()
    assert list(client.messages) == ["hello"]


async def test_clerk_without_permissions_sees_nothing(
    office: Server, enter: Enter, connect: Connect, channel: str, http: Talk
) -> None:
    await connect(office, channel)
    page = await enter(office, "/admin/", "clerk")
    await expect(page.locator(".eventcast-totals")).to_have_count(0)
    base = page_of(channel).removesuffix("change/")
    targets = [
        LIST,
        f"{LIST}figures/",
        f"{LIST}totals/",
        *(f"{base}{end}/" for end in ("change", "figures", "messages")),
    ]
    script = "targets => Promise.all(targets.map((target) => fetch(target).then((answer) => answer.status)))"
    assert await page.evaluate(script, targets) == [403] * len(targets)
    forget_refusals(office)
    assert await http(office).count(channel) == 1


async def test_page_tells_its_user_of_the_logout(office: Server, enter: Enter, channel: str) -> None:
    page = await listen(await enter(office, page_of(channel)))
    await page.context.set_offline(True)
    await expect(page.locator("#gone")).to_be_visible()
    await page.context.clear_cookies()
    await page.context.set_offline(False)
    await expect(page.locator("#eventcast-trouble")).to_contain_text("You are logged out")
    await expect(page.locator("#gone")).to_be_hidden()
    await expect(page.locator("#state")).to_have_text("Not connected")


async def test_page_tells_of_the_first_answer_that_does_not_come(office: Server, enter: Enter) -> None:
    page = await enter(office, LIST)
    later = "AbortSignal.timeout = () => { AbortSignal.timeout = () => new AbortController().signal; "
    await page.add_init_script(later + 'return AbortSignal.abort(new DOMException("late", "TimeoutError")); };')
    await page.route("**/figures/**", lambda route: None)  # no second failure, as no answer comes
    await page.reload()
    await expect(page.locator("#eventcast-trouble")).to_have_text("The server does not answer. Trying again…")


# --- a server that comes and goes -------------------------------------------------------------------------------------


async def test_pages_show_that_the_server_is_gone_and_reconnect(start: Start, staff: Staff, enter: Enter) -> None:
    server = start(servers.daphne, env=staff.env)
    pages = [await enter(server, LIST), await listen(await enter(server, page_of("/a")))]
    pages.append(await enter(server, "/admin/"))
    troubles = [page.locator("#eventcast-trouble") for page in pages]
    for trouble in troubles:
        await expect(trouble).to_be_hidden()
    server.kill()
    server.process.wait()
    for trouble in troubles:
        await expect(trouble).to_have_text("The server does not answer. Trying again…", timeout=BACK)
    state = pages[1].locator("#state")
    await expect(state).to_have_text("Disconnected")

    again = start(servers.daphne, "-p", str(server.port), env=staff.env)
    client = await WebSocket.connect(again.port, "/a")
    for trouble in troubles:
        await expect(trouble).to_be_hidden(timeout=BACK)
    await expect(row(pages[0], "/a").locator(".field-messages")).to_have_text("0")
    await expect(state).to_have_text("Live", timeout=BACK)
    await pages[1].get_by_role("textbox", name="Message").fill("still here")
    await pages[1].get_by_role("button", name="Send", exact=True).click()
    assert await client.receive() == "still here"
    await expect(messages(pages[1]).locator(".text")).to_have_text(["still here"])
    await expect(pages[1].locator("#list .gap")).to_have_count(1)
    await expect(row(pages[0], "/a").locator(".field-messages")).to_have_text("1")
    await client.leave()
    # Killed, because Django would log the pages' requests that a shutdown interrupts.
    again.kill()


# --- the looks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_pages_fit_the_screen(
    office: Server, enter: Enter, connect: Connect, http: Talk, channel: str, scheme: str, width: int
) -> None:
    long = channel + "/long" * 60
    await connect(office, long)
    page = await enter(office, "/admin/", viewport={"width": width, "height": 800}, color_scheme=scheme)
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert await page.evaluate(fits)
    await page.goto(f"{office.url}{LIST}?q={long}")
    await expect(page.locator("#result_list tbody tr")).to_have_count(1)
    assert await page.evaluate(fits)
    await page.goto(office.url + page_of(long))
    await listen(page)
    await http(office).post(long, "x" * 3000)
    await http(office).post(long, bytes(range(256)), "application/octet-stream")
    await expect(messages(page)).to_have_count(2)
    assert await page.evaluate(fits)
    colours = await page.evaluate(
        "[...document.querySelectorAll('#eventcast-figures div, #eventcast-figures dd')].slice(0, 2)"
        ".map((each, index) => getComputedStyle(each)[index ? 'color' : 'backgroundColor'])"
    )
    ground, text = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (ground > text) is (scheme == "light")
