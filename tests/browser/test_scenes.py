"""The pages of docs/scenes: all consoles show each action, and log lines come from one host or from all hosts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import LOOP, Visit
from tests.live.conftest import Connect, Fleet, Talk
from tests.live.scenes import Stage, command

pytestmark = LOOP

MARKUP = "<img src=x onerror=alert(1)><b>bold</b>"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory: Path = tmp_path_factory.mktemp("stage")
    fleet = Fleet(directory)
    yield Stage(directory, fleet.start)
    fleet.stop()


async def test_consoles_all_show_what_one_of_them_does(visit: Visit, stage: Stage) -> None:
    consoles = [await visit(stage.url + "/scenes/deployment/") for _ in range(2)]
    for console in consoles:
        await expect(console.get_by_text("Live", exact=True)).to_be_visible()
        await expect(console.locator("event-cast")).to_have_attribute("state", "open")
    for button, happened, condition in (
        ("Stop billing", "billing was stopped", "stopped since"),
        ("Start billing", "billing was started", "running since"),
        ("Restart billing", "billing was restarted", "running since"),
    ):
        # By keyboard, so that the focus must stay while the list changes.
        await consoles[0].get_by_role("button", name=button, exact=True).focus()
        await consoles[0].keyboard.press("Enter")
        for console in consoles:
            await expect(console.get_by_role("status").filter(has_text=happened)).to_be_visible()
            await expect(console.locator('[data-service="billing"] .condition')).to_contain_text(condition)
        await expect(consoles[0].get_by_role("button", name=button, exact=True)).to_be_focused()
    stage.run(command("curl").replace("The database moves at noon", MARKUP))
    for console in consoles:
        await expect(console.get_by_role("status").filter(has_text=MARKUP)).to_be_visible()


async def test_console_works_without_javascript(visit: Visit, stage: Stage) -> None:
    page = await visit(stage.url + "/scenes/deployment/", java_script_enabled=False)
    await page.get_by_role("button", name="Stop search", exact=True).click()
    await expect(page.locator('[data-service="search"] .condition')).to_contain_text("stopped since")


async def test_console_catches_up_with_what_it_has_not_heard(visit: Visit, stage: Stage, http: Talk) -> None:
    page = (await http(stage.server).request("GET", "/scenes/deployment/")).body.decode()
    console = await visit(stage.url + "/scenes/deployment/")
    await console.get_by_role("button", name="Stop mailer", exact=True).click()
    await expect(console.locator('[data-service="mailer"] .condition')).to_contain_text("stopped since")
    late = await visit(stage.url + "/scenes/deployment/", html=page)
    await expect(late.locator('[data-service="mailer"] .condition')).to_contain_text("stopped since")


async def test_payment_is_announced_by_its_page(visit: Visit, stage: Stage, connect: Connect) -> None:
    listener = await connect(stage.server, "/-/subscribe?pattern=/eventcast/user/%3Ckey%3E")
    page = await visit(stage.url + "/scenes/payment/")
    await page.get_by_label("Name").fill(MARKUP)
    await page.get_by_role("button", name="Pay").click()
    await expect(page.get_by_role("status")).to_contain_text(f"is paid. Thank you, {MARKUP}.")
    order = json.loads(json.loads(await listener.receive())["data"])
    assert order.pop("key")
    assert order == {
        "name": MARKUP,
        "amount": "365.00",
        "address": "12 St James's Square, London",
        "phone": "+44 20 5550 0199",
        "email": "ada@example.com",
    }


async def test_log_lines_of_two_hosts_are_on_the_page_of_all(visit: Visit, stage: Stage, http: Talk) -> None:
    one = await visit(stage.url + "/scenes/logs/web1/")
    every = await visit(stage.url + "/scenes/logs/")
    for page in (one, every):
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    (stage.folder / "app.log").touch()
    with stage.running(command("tail")), stage.running(command("while").replace("sleep 1", "sleep 0.1")):
        await expect(every.get_by_role("log")).to_contain_text("GET /tea 200")
        await expect(every.get_by_role("log")).not_to_contain_text("ERROR")
        stage.run(command("echo").replace("out of tea", f"'{MARKUP}'"))
        for page in (one, every):
            await expect(page.get_by_role("log").locator(".severe")).to_have_text(f"ERROR '{MARKUP}'")
        await http(stage.server).post("/logs/web1", b"caf\xe9", "application/octet-stream")
        for page in (one, every):
            await expect(page.get_by_text("caf�")).to_be_visible()
    assert await every.get_by_role("log").get_by_role("link").first.get_attribute("href") == "/scenes/logs/web2/"
    await expect(one.get_by_role("log")).not_to_contain_text("tea 200")


@pytest.mark.parametrize("page", ["", "payment/", "deployment/", "logs/", "logs/%3Cb%3E/"])
async def test_page_has_a_strict_policy_and_escapes_its_address(page: str, stage: Stage, http: Talk) -> None:
    answer = await http(stage.server).request("GET", "/scenes/" + page)
    assert answer.status == 200
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert b"<b>" not in answer.body
