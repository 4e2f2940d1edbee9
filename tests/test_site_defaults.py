"""Settings that a site applies to all its views do not change what eventcast's views do."""

from __future__ import annotations

import pytest
from django.db import connections
from django.test import AsyncClient, override_settings


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)


@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize("path", ["/a", "/-/channels"])
async def test_views_answer_with_atomic_requests(path: str) -> None:
    assert (await AsyncClient().get(path)).status_code == 200


@override_settings(
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
)
async def test_publishing_needs_no_login_of_the_site() -> None:
    assert (await AsyncClient().post("/a", {"data": "hello"})).status_code == 202


@override_settings(MIDDLEWARE=["django.middleware.gzip.GZipMiddleware"])
async def test_stream_is_not_compressed() -> None:
    headers = {"accept": "text/event-stream", "accept-encoding": "gzip"}
    response = await AsyncClient().get("/a", headers=headers)
    assert response["Content-Encoding"] == "identity"
    await response.streaming_content.aclose()
