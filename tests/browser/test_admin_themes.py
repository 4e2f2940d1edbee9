"""The admin's pages under themes that have styles of their own, and under a strict Content Security Policy."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest
from django.contrib.admin.utils import quote
from playwright.async_api import expect

from tests.browser.conftest import LOOP, Connect, Talk, Visit
from tests.live import servers
from tests.live.conftest import Start

pytestmark = LOOP


@pytest.mark.parametrize("theme", ["unfold", "jazzmin", "csp"])
async def test_theme_shows_all_of_a_channel(
    theme: str, start: Start, connect: Connect, http: Talk, visit: Visit
) -> None:
    if find_spec(theme) is None:
        pytest.skip(f"{theme} is not installed")
    env = {"DJANGO_SETTINGS_MODULE": "tests.site.defaults", "SITE_DEFAULTS": theme}
    server = start(servers.daphne, application="tests.site.defaults_asgi:application", env=env)
    session = re.findall(r"^session: (\w+)$", server.log, re.MULTILINE)[0]
    cookies = {"cookies": [{"name": "sessionid", "value": session, "url": server.url}]}
    await connect(server, "/live/orders/42")
    page = await visit(
        f"{server.url}/admin/eventcast/channel/{quote('/live/orders/42')}/change/", storage_state=cookies
    )
    await expect(page.get_by_text("/live/orders/42").first).to_be_visible()
    await http(server).post("/live/orders/42", "hello")
    await expect(page.locator("#eventcast-figures [data-figure=messages]")).to_have_text("1")
    line = page.locator("#eventcast-chart-rate .eventcast-line")
    await expect(line).to_have_css("stroke", re.compile(r"^rgb"))
    await expect(page.locator("#eventcast-figures div").first).to_have_css("border-top-style", "solid")
    await expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    # The list updates itself.
    await page.goto(f"{server.url}/admin/eventcast/channel/")
    await connect(server, "/live/orders/43")
    await expect(page.get_by_role("link", name="/live/orders/43")).to_be_visible()
