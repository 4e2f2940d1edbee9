from __future__ import annotations

import re

import pytest
from django.test import RequestFactory, override_settings

from eventcast.authorization import Authorization
from eventcast.engine import patterns
from eventcast.exceptions import ReservedChannel, Unauthorized
from eventcast.http.answers import refused
from eventcast.http.pages import channel_page, content_security_policy, refusal_page

ODD = "/<script>alert(1)</script>/\"q\"/'a'/\n/\u202e%2F\\"


def page(name: str = "/orders/42", **headers: str) -> str:
    return channel_page(RequestFactory(headers=headers).get("/anything"), name).content.decode()


def test_page_is_html_that_no_cache_keeps() -> None:
    response = channel_page(RequestFactory().get("/a"), "/a")
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert response["Cache-Control"] == "no-store"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_page_shows_the_name() -> None:
    assert "<h1" in page()
    assert re.search(r"<h1[^>]*>/orders/42</h1>", page())


def test_page_escapes_the_name() -> None:
    found = page(ODD)
    assert "<script>alert" not in found
    assert "&lt;script&gt;alert(1)&lt;/script&gt;/&quot;q&quot;/&#x27;a&#x27;/\\n/\\u202e%2F\\\\</h1>" in found
    assert "/%3Cscript%3Ealert%281%29%3C/script%3E/%22q%22/%27a%27/%0A/%E2%80%AE%252F%5C" in found


def test_page_has_no_script_style_or_handler_of_its_own() -> None:
    found = page()
    data = '<script id="eventcast-words" type="application/json">'
    assert re.findall(r"<script(?![^>]* src=)[^>]*>", found) == [data]
    assert "<style" not in found
    assert not re.search(r"\s(style|on\w+)=", found)


def test_page_takes_its_files_from_the_static_url() -> None:
    with override_settings(STATIC_URL="https://files.example.com/s/"):
        response = channel_page(RequestFactory().get("/a"), "/a")
    assert 'src="https://files.example.com/s/eventcast/eventcast.js"' in response.content.decode()
    policy = response["Content-Security-Policy"]
    assert "script-src 'self' https://files.example.com;" in policy
    assert "style-src 'self' https://files.example.com;" in policy


@pytest.mark.parametrize("templates", [[], [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]])
def test_page_needs_no_template_engine_of_the_site(templates: list[dict[str, str]]) -> None:
    with override_settings(TEMPLATES=templates):
        assert "<h1" in page()


def test_page_of_the_site_goes_before_ours() -> None:
    loaders = [("django.template.loaders.locmem.Loader", {"eventcast/channel.html": "mine: {{ name }}"})]
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}
    with override_settings(TEMPLATES=[engine]):
        assert page("/a") == "mine: /a"


def test_page_runs_no_context_processor() -> None:
    engine = {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["tests.test_pages.forbidden"]},
    }
    with override_settings(TEMPLATES=[engine]):
        assert "<h1" in page()


def test_page_of_a_refusal_says_why_and_leads_to_the_login() -> None:
    request = RequestFactory(headers={"Accept": "text/html"}).get("/a?b=c")
    refusal = Unauthorized("<i>Log in.</i>")
    with override_settings(EVENTCAST={"AUTHORIZATION": "eventcast.authorization.Sessions"}, LOGIN_URL="/login/"):
        found = refused(request, refusal)
    assert (found.status_code, found["Content-Type"]) == (401, "text/html; charset=utf-8")
    assert found["WWW-Authenticate"] == Unauthorized.headers["WWW-Authenticate"]
    text = found.content.decode()
    assert "&lt;i&gt;Log in.&lt;/i&gt;" in text
    assert "<code>unauthorized</code>" in text
    assert 'href="/login/?next=%2Fa%3Fb%3Dc"' in text


def test_page_of_a_refusal_at_the_door_is_in_the_language_of_the_browser() -> None:
    request = RequestFactory().get("/a", headers={"Accept-Language": "zh-CN"})
    with override_settings(MIDDLEWARE=["django.middleware.locale.LocaleMiddleware"]):
        found = refusal_page(request, ReservedChannel("There is no channel here.")).content.decode()
        request.LANGUAGE_CODE = "en"  # type: ignore[attr-defined]  # as the middleware has found
        assert 'lang="en' in refusal_page(request, ReservedChannel("No.")).content.decode()
    assert 'lang="zh-hans"' in found
    assert "这里没有频道。" in found
    with override_settings(MIDDLEWARE=[]):
        assert 'lang="en' in refusal_page(request, ReservedChannel("No.")).content.decode()


def test_page_of_a_refusal_has_no_login_where_none_helps() -> None:
    with override_settings(LOGIN_URL="/login/"):
        assert "/login/" not in refusal_page(RequestFactory().get("/a"), Unauthorized("Send a key.")).content.decode()
        assert "/login/" not in refusal_page(RequestFactory().get("/a"), ReservedChannel("No.")).content.decode()


BOTH = {"subscribe": "eventcast.authorization.Sessions", "publish": "eventcast.authorization.Tokens"}
RULES = [
    ("/team/<path:any>", "eventcast.authorization.Sessions"),
    ("/api/<path:any>", "eventcast.authorization.Tokens"),
    ("/both/<path:any>", BOTH),
    ("/mixed/<path:any>", "tests.test_pages.Mixed"),
    ("/shut/<path:any>", {}),
]


class Mixed(Authorization):
    """A class of a site, which may know keys and users."""


@pytest.mark.parametrize(
    ("name", "login", "key"),
    [
        ("/team/a", True, False),
        ("/api/a", False, True),
        ("/both/a", True, False),
        ("/mixed/a", True, True),
        ("/shut/a", False, False),
        ("/a", False, False),
        ("/api/<path:any>", False, True),
    ],
)
def test_page_of_a_channel_offers_what_may_let_in(name: str, login: bool, key: bool) -> None:
    settings = {"AUTHORIZATION": "eventcast.authorization.Rules", "RULES": RULES}
    with override_settings(EVENTCAST=settings, LOGIN_URL="/login/"):
        wanted = patterns.parse(name) if "<" in name else name
        found = channel_page(RequestFactory().get("/a"), wanted, Unauthorized("No.")).content.decode()
    form = re.search(r'<form id="key-form"[^>]*>', found)
    assert form is not None
    assert ("/login/?next" in found, " hidden" not in form[0]) == (login, key)


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/json, text/html", "text/html; a*0=b; a*1=c; a*=x", ""]
)
def test_program_gets_a_refusal_as_json(accept: str) -> None:
    found = refused(RequestFactory(headers={"Accept": accept}).get("/a"), Unauthorized("No."))
    assert found["Content-Type"] == "application/json"


def forbidden(request: object) -> dict[str, object]:
    raise AssertionError("a context processor may ask the database, and the page is made in the event loop")


def test_policy_allows_nothing_but_the_page_itself() -> None:
    policy = dict(rule.split(" ", 1) for rule in content_security_policy("/static/", "example.com:8000").split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self' ws://example.com:8000 wss://example.com:8000",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


def test_policy_names_the_host_of_static_files_without_a_scheme() -> None:
    assert "script-src 'self' https://files.example.com;" in content_security_policy("//files.example.com/s/")
