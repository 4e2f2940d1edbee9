"""System checks of the three edits: each one that is forgotten or disagrees with the others is found."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.apps import apps
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path, re_path

from eventcast.edits import check_edits
from eventcast.routing import EventcastConsumer, EventcastRouter, websocket_urlpatterns


class Wrapper:
    """As Sentry's and Starlette's middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def router(prefix: str = "/live/") -> EventcastRouter:
    return EventcastRouter(ASGIHandler(), prefix=prefix)


def channels(route: Any) -> ProtocolTypeRouter:
    return ProtocolTypeRouter({"http": ASGIHandler(), "websocket": AuthMiddlewareStack(URLRouter([route]))})


urlpatterns: list[Any] = []
application: Any = None
LIVE = path("live/", include("eventcast.urls"))


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Only the setting: an app that is loaded once adds its checks for all tests.
    monkeypatch.setattr(settings, "INSTALLED_APPS", ["daphne", "eventcast"])
    with override_settings(ROOT_URLCONF=__name__, ASGI_APPLICATION=f"{__name__}.application"):
        yield


def messages(monkeypatch: pytest.MonkeyPatch, routes: list[Any], asgi: Any) -> list[CheckMessage]:
    monkeypatch.setitem(globals(), "urlpatterns", [path("", home), *routes])
    monkeypatch.setitem(globals(), "application", asgi)
    return check_edits()


def ids(*found: CheckMessage) -> list[str]:
    return [str(message.id) for message in found]


# --- right ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("routes", "asgi"),
    [
        ([LIVE], router()),
        ([re_path(r"^live/", include("eventcast.urls"))], router()),
        ([path("a/", include([path("b/", include("eventcast.urls"))]))], router("/a/b/")),
        ([path("", include("eventcast.urls"))], router("/")),
        ([LIVE], ASGIStaticFilesHandler(router())),
        ([LIVE], Wrapper(router())),
        ([LIVE], ProtocolTypeRouter({"http": ASGIHandler(), "websocket": router()})),
        ([LIVE], channels(path("live/", URLRouter(websocket_urlpatterns)))),
        ([LIVE], channels(re_path(r"^live/", EventcastConsumer.as_asgi()))),
        ([LIVE], AllowedHostsOriginValidator(channels(path("live/", EventcastConsumer.as_asgi())))),
    ],
)
def test_edits_that_agree_are_right(monkeypatch: pytest.MonkeyPatch, routes: list[Any], asgi: Any) -> None:
    assert messages(monkeypatch, routes, asgi) == []


@pytest.mark.parametrize(
    ("routes", "asgi"),
    [
        ([LIVE], lambda scope: None),
        ([path("<slug:tenant>/", include("eventcast.urls"))], router()),
        ([LIVE], channels(re_path(r"^(live|x)/", EventcastConsumer.as_asgi()))),
    ],
)
def test_edits_that_cannot_be_compared_are_right(monkeypatch: pytest.MonkeyPatch, routes: list[Any], asgi: Any) -> None:
    assert messages(monkeypatch, routes, asgi) == []


@override_settings(FORCE_SCRIPT_NAME="/app")
def test_script_name_belongs_to_the_prefix_of_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    assert messages(monkeypatch, [LIVE], router("/app/live/")) == []
    assert messages(monkeypatch, [LIVE], channels(path("live/", EventcastConsumer.as_asgi()))) == []
    (found,) = messages(monkeypatch, [LIVE], router())
    assert found.id == "eventcast.W011"
    assert "prefix='/app/live/'" in str(found.hint)


@override_settings(ROOT_URLCONF=None)
def test_project_that_serves_nothing_needs_no_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "INSTALLED_APPS", ["eventcast"])
    assert check_edits() == []


@override_settings(ROOT_URLCONF="eventcast.urls")
def test_urls_may_be_eventcasts_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert messages(monkeypatch, [], router("/")) == []


def test_check_leaves_the_loggers_of_the_site_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
    (tmp_path / "asgi_of_a_test.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    logger = logging.getLogger("tests.a_logger_of_the_site")
    with override_settings(ASGI_APPLICATION="asgi_of_a_test.application", LOGGING={"version": 1}):
        found = messages(monkeypatch, [LIVE], None)
        assert settings.LOGGING_CONFIG == "logging.config.dictConfig"
    assert ids(*found) == ["eventcast.W009"]
    assert not logger.disabled


# --- forgotten --------------------------------------------------------------------------------------------------------


def test_missing_daphne_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "INSTALLED_APPS", ["eventcast"])
    (found,) = messages(monkeypatch, [LIVE], router())
    assert found.id == "eventcast.W007"
    assert "above 'django.contrib.staticfiles'" in str(found.hint)


def test_missing_app_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "eventcast.urls")
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "eventcast")
    with pytest.raises(ImproperlyConfigured, match="Add 'eventcast' to INSTALLED_APPS"):
        include("eventcast.urls")


def test_missing_path_in_urls_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = messages(monkeypatch, [], router())
    assert found.id == "eventcast.W008"
    assert "include('eventcast.urls')" in str(found.hint)


@pytest.mark.parametrize(
    "asgi",
    [
        ASGIHandler(),
        ASGIStaticFilesHandler(ASGIHandler()),
        ProtocolTypeRouter({"http": ASGIHandler()}),
        ProtocolTypeRouter({"websocket": URLRouter([])}),
    ],
)
def test_missing_router_is_found(monkeypatch: pytest.MonkeyPatch, asgi: Any) -> None:
    (found,) = messages(monkeypatch, [LIVE], asgi)
    assert found.id == "eventcast.W009"
    assert "EventcastRouter(django_application, prefix='/live/')" in str(found.hint)


@pytest.mark.parametrize("name", [None, "no_such_project.asgi.application", "tests.test_edits.missing", "application"])
def test_missing_application_is_found(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    with override_settings(ASGI_APPLICATION=name):
        (found,) = messages(monkeypatch, [LIVE], None)
    assert found.id == "eventcast.W003"
    assert ("is not set" if name is None else "cannot be imported") in found.msg


# --- disagreeing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asgi",
    [router("/events/"), router("/"), router("/live/x/"), channels(path("events/", EventcastConsumer.as_asgi()))],
)
def test_different_mounts_are_found(monkeypatch: pytest.MonkeyPatch, asgi: Any) -> None:
    (found,) = messages(monkeypatch, [LIVE], asgi)
    assert found.id == "eventcast.W011"
    assert "EventcastRouter(..., prefix='/live/') in asgi.py" in str(found.hint)


def test_both_ways_to_mend_different_mounts_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = messages(monkeypatch, [LIVE], router("/events/"))
    assert found.msg == "Channels are below '/live/' in urls.py, and below '/events/' in asgi.py."
    assert "path('events/', include('eventcast.urls')) in urls.py" in str(found.hint)


def test_hints_name_no_prefix_that_the_router_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    without_slash = [path("live", include("eventcast.urls"))]
    (found,) = messages(monkeypatch, without_slash, router())
    assert found.hint == "Write path('live/', include('eventcast.urls')) in urls.py."
    (found,) = messages(monkeypatch, without_slash, ASGIHandler())
    assert "EventcastRouter(django_application, prefix='/live/')" in str(found.hint)


def test_mount_with_a_language_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = messages(monkeypatch, i18n_patterns(LIVE), router())
    assert found.id == "eventcast.W011"
    assert "out of i18n_patterns()" in str(found.hint)
