"""The start page of the standalone server."""

from __future__ import annotations

from urllib.parse import quote

from django.conf import settings
from playwright.async_api import expect

from eventcast.authorization import token
from tests.browser.conftest import LOOP, Visit
from tests.live import servers
from tests.live.conftest import Connect, Start, Talk
from tests.live.servers import Server

pytestmark = LOOP


async def test_start_page_opens_a_channel(visit: Visit, server: Server, channel: str) -> None:
    page = await visit(server.url)
    await page.get_by_label("Channel", exact=True).fill(f"{channel}/a b?c"[1:])
    await page.get_by_role("button", name="Open").click()
    await expect(page.locator("h1")).to_have_text(f"{channel}/a b?c")
    await expect(page.locator("#state")).to_have_text("Live")


async def test_start_page_shows_the_live_channels_as_a_tree(
    visit: Visit, server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    for target in (f"{channel}/a", f"{channel}/b", f"{channel}/b", "/"):
        await connect(server, target)
    page = await visit(server.url)
    tree = page.locator("#tree")
    await expect(tree.get_by_role("link", name="b", exact=True)).to_be_visible()
    await expect(tree.locator("li", has=page.get_by_role("link", name="b", exact=True)).last).to_contain_text(
        "2 subscribers"
    )
    await http(server).post(f"{channel}/a", "one")
    await expect(tree).to_contain_text("messages/s")
    await tree.get_by_role("link", name="/", exact=True).click()
    await expect(page.locator("h1")).to_have_text("/")
    await expect(page.locator("#state")).to_have_text("Live")


async def test_start_page_leads_to_the_admin(visit: Visit, server: Server) -> None:
    page = await visit(server.url)
    await page.get_by_role("link", name="Admin").click()
    await expect(page).to_have_url(f"{server.url}/admin/login/?next=/admin/")
    await expect(page.locator("#content")).to_contain_text("createsuperuser")
    await page.goto(f"{server.url}/admin")
    await expect(page).to_have_url(f"{server.url}/admin/login/?next=/admin/")


async def test_programs_keep_the_channels_of_these_paths(server: Server, http: Talk, connect: Connect) -> None:
    for target in ("/", "/admin"):
        client = await connect(server, target)
        await http(server).post(target, "hello")
        assert await client.receive() == "hello"
        assert (await http(server).request("GET", target)).json()["channel"] == target


async def test_channel_page_leads_back_and_to_the_admin(visit: Visit, server: Server, channel: str) -> None:
    page = await visit(f"{server.url}{channel}/a%20%26b")
    await expect(page.get_by_role("link", name="Admin")).to_have_attribute(
        "href", f"/admin/eventcast/channel/?q={quote(f'{channel}/a &b', safe='')}"
    )
    await page.get_by_role("link", name="eventcast").click()
    await expect(page.locator("#open")).to_be_visible()


async def test_channels_below_a_path_are_watched_on_one_page(
    visit: Visit, server: Server, channel: str, connect: Connect, http: Talk
) -> None:
    for name in ("a", "b"):
        await connect(server, f"{channel}/{name}")
    page = await visit(server.url)
    await page.locator(f"#tree a.watch[href$='{quote(f'{channel}/<path:any>', safe='')}']").click()
    await expect(page.locator("h1")).to_have_text(f"{channel}/<path:any>")
    await expect(page.locator("#state")).to_have_text("Live")
    await expect(page.locator("#subscribers")).to_have_text("1")
    for name in ("a", "b"):
        await http(server).post(f"{channel}/{name}", f"to {name}")
    await expect(page.locator("#list .from")).to_have_text([f"{channel}/b", f"{channel}/a"])
    await expect(page.locator("#list .text")).to_have_text(["to b", "to a"])
    await expect(page.locator("#send")).to_have_count(0)
    await page.locator("#list .line").first.click()
    await page.get_by_role("link", name=f"{channel}/b").click()
    await expect(page.locator("h1")).to_have_text(f"{channel}/b")


async def test_pattern_of_a_reader_without_permission_asks_for_a_key(
    visit: Visit, start: Start, channel: str, http: Talk
) -> None:
    closed = {"EVENTCAST_AUTHORIZATION": "eventcast.authorization.Tokens", "DJANGO_SECRET_KEY": settings.SECRET_KEY}
    server = start(servers.serve, env=closed)
    page = await visit(f"{server.url}/-/subscribe?pattern={channel}/<host>")
    await expect(page.locator("#refusal-code")).to_have_text("unauthorized")
    await page.get_by_label("Key or token").fill(token(subscribe=f"{channel}/<host>"))
    await page.get_by_role("button", name="Use it").click()
    await expect(page.locator("#state")).to_have_text("Live")
    headers = [("Content-Type", "text/plain"), ("Authorization", f"Bearer {token(publish=f'{channel}/a')}")]
    assert (await http(server).request("POST", f"{channel}/a", b"hello", headers)).status == 201
    await expect(page.locator("#list .text")).to_have_text(["hello"])


async def test_pattern_that_means_nothing_is_a_page(visit: Visit, server: Server) -> None:
    page = await visit(server.url)
    await page.get_by_label("Channel", exact=True).fill("/<int:a>/<x:y>")
    await page.get_by_role("button", name="Open").click()
    await expect(page.locator("main")).to_contain_text("invalid_pattern")
