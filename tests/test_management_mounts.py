"""Which requests may be for a channel, so that the size of their bodies is ours to limit."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.test import override_settings
from django.urls import include, path, re_path
from django.urls.converters import StringConverter, register_converter

from eventcast.server.mounts import Mounts


class Tenant(StringConverter):
    def to_python(self, value: str) -> str:
        raise AssertionError("it would ask the database")


register_converter(Tenant, "tenant")


def upload(request: Any) -> None: ...


class Site:
    urlpatterns = (
        path("uploads/<path:name>", upload),
        path("live/", include("eventcast.urls")),
        path("api/", include([path("v1/", include([path("events/", include("eventcast.urls"))]))])),
        path("of/<tenant:name>/live/", include("eventcast.urls")),
        re_path(r"^v\d+/", include("eventcast.urls")),
        *i18n_patterns(path("news/", include("eventcast.urls"))),
    )


@pytest.fixture(autouse=True)
def site() -> Any:
    with override_settings(ROOT_URLCONF=Site):
        yield


BELOW = [
    "/live/",
    "/live/a?b=/uploads/c",
    "/%6Cive/a",
    "%2Flive/a",
    "/live/%FF",
    "/api/v1/events/a",
    "/of/shop/live/a",
    "/v2/a",
    "/de/news/a",
    "/zh-hans/news/a",
    "http://localhost/uploads/a",
    "live/a",
    "*",
    "",
]
ELSEWHERE = ["/", "/uploads/a", "/live", "//live/a", "/api/v1/a", "/of/a/b/live/a", "/v/a", "/xx/news/a"]


@pytest.mark.parametrize("target", BELOW)
def test_target_may_be_a_channel(target: str) -> None:
    assert Mounts().may_have(target.encode())


@pytest.mark.parametrize("target", ELSEWHERE)
def test_target_is_of_another_part_of_the_site(target: str) -> None:
    assert not Mounts().may_have(target.encode())


@pytest.mark.parametrize("target", ["/app/live/a", "/live/a"])
@override_settings(FORCE_SCRIPT_NAME="/app")
def test_target_may_be_a_channel_with_and_without_the_script_name(target: str) -> None:
    assert Mounts().may_have(target.encode())


@override_settings(ROOT_URLCONF=())
def test_site_without_a_mount_has_its_paths_for_itself() -> None:
    assert not Mounts().may_have(b"/live/a")
