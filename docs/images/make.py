"""Makes the two pictures of the README from a running server: ``.venv/bin/python docs/images/make.py``.

Needs chromium and the packages of tests/requirements.txt.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
sys.path.insert(0, str(ROOT))

from eventcast.client import publish, subscribe  # noqa: E402

NAME, PASSWORD = "operator", "a password for two pictures"
LIST = "/admin/eventcast/channel/"

AUDIENCE = {"/orders/42": 2, "/deploys": 5, "/heartbeat/logserver": 1, "/logs/web1": 2, "/logs/web2": 2, "/news": 8}
"""The subscribers of each channel of the list."""

MINUTES = 4
"""Minutes that the admin's charts show."""

ORDER = [
    '{"order": 42, "status": "received", "name": "Zhang San", "amount": 365}',
    '{"order": 42, "status": "paid", "method": "card"}',
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "The parcel is on its way.",
]


@contextlib.contextmanager
def running_server(database: Path) -> Iterator[str]:
    """A standalone server with one operator; gives its URL."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EVENTCAST_", "DJANGO_"))}
    environment |= {"DATABASE_PATH": str(database), "PYTHONUNBUFFERED": "1", "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    manage = [sys.executable, str(ROOT / "manage.py")]
    for command in (["migrate"], ["createsuperuser", "--noinput", "--username", NAME, "--email", ""]):
        subprocess.run([*manage, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    serve = [*manage, "eventcast", "serve", "--port", "0"]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield next(found[1] for line in process.stdout if (found := re.search(r"publish +(http://[^/]+)/", line)))
        finally:
            process.terminate()


def picture_channel(page: Page, url: str) -> None:
    """The page of a channel, after some messages."""
    page.set_viewport_size({"width": 1120, "height": 440})
    page.goto(f"{url}/orders/42")
    expect(page.locator("#state")).to_have_text("Live")
    for message in ORDER:
        publish(f"{url}/orders/42", message)
    expect(page.locator("#list li")).to_have_count(len(ORDER))
    expect(page.locator("#count")).to_have_text(str(len(ORDER)))
    expect(page.locator("#subscribers")).to_have_text(str(AUDIENCE["/orders/42"] + 1))
    page.locator("#list .line").nth(2).click()
    page.locator("#data").focus()
    page.screenshot(path=FOLDER / "channel.png")


def picture_admin(page: Page, url: str) -> None:
    """The list of channels in the admin, while something is published."""
    page.set_viewport_size({"width": 1180, "height": 590})
    page.goto(f"{url}/admin/login/?next={LIST}")
    page.fill("#id_username", NAME)
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    expect(page.locator("#result_list tbody tr")).to_have_count(len(AUDIENCE))
    for second in range(MINUTES * 60):
        for channel in AUDIENCE:
            for _ in range(round(1 + math.sin(second / 20 + len(channel)))):
                publish(f"{url}{channel}", "GET /tea 200")
        page.wait_for_timeout(1000)
    page.screenshot(path=FOLDER / "admin.png")


def main() -> None:
    chromium = next(
        filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")))
    )
    with contextlib.ExitStack() as stack:
        database = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "db.sqlite3"
        url = stack.enter_context(running_server(database))
        for channel, count in AUDIENCE.items():
            for _ in range(count):
                stack.enter_context(subscribe(url + channel))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox"])
        page = browser.new_page(color_scheme="light")
        picture_channel(page, url)
        picture_admin(page, url)
        browser.close()


if __name__ == "__main__":
    main()
