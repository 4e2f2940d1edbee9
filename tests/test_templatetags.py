from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
import pytest
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import RequestFactory, override_settings
from django.utils.functional import SimpleLazyObject

from eventcast.exceptions import InvalidChannel


def render(source: str, **context: Any) -> str:
    return Template("{% load eventcast %}" + source).render(Context(context))


def test_script_is_client_and_element() -> None:
    assert render("{% eventcast_script %}") == (
        '<script src="/static/eventcast/eventcast.js"></script>\n'
        '<script src="/static/eventcast/event-cast.js"></script>'
    )


def test_script_leaves_out_the_element_when_told() -> None:
    assert render("{% eventcast_script element=False %}") == '<script src="/static/eventcast/eventcast.js"></script>'


def test_script_has_the_nonce_of_the_context() -> None:
    assert render("{% eventcast_script %}", csp_nonce="a+b").count(' nonce="a+b"') == 2


def test_script_has_a_nonce_that_was_not_read_before() -> None:
    # Both Django's and django-csp's nonces are false until they are read.
    nonce = type("Nonce", (SimpleLazyObject,), {"__bool__": lambda self: False})(lambda: "lazy")
    request = HttpRequest()
    request.csp_nonce = nonce
    assert ' nonce="lazy"' in render("{% eventcast_script %}", request=request)


def test_script_escapes_the_nonce() -> None:
    assert '"><script>' not in render("{% eventcast_script %}", csp_nonce='"><script>')


@pytest.mark.parametrize("request_", [None, RequestFactory().get("/")])
def test_script_has_no_nonce_without_a_policy(request_: HttpRequest | None) -> None:
    assert "nonce" not in render("{% eventcast_script %}", request=request_)


if django.VERSION >= (6, 0):  # no skip: that would have to be allowed where nothing may be skipped

    @override_settings(SECURE_CSP={"script-src": ["<CSP_NONCE_SENTINEL>"]})
    def test_script_has_the_nonce_of_djangos_middleware() -> None:
        from django.middleware.csp import ContentSecurityPolicyMiddleware

        def view(request: HttpRequest) -> HttpResponse:
            return HttpResponse(render("{% eventcast_script element=False %}", request=request))

        middleware: Callable[[HttpRequest], Any] = ContentSecurityPolicyMiddleware(view)
        response = middleware(RequestFactory().get("/"))
        nonce = response.content.decode().split('nonce="')[1].split('"')[0]
        assert response["Content-Security-Policy"] == f"script-src 'nonce-{nonce}'"


def test_url_encodes_a_channel() -> None:
    assert render("{% eventcast_url name %}", name="/a b/中/%?#") == "/a%20b/%E4%B8%AD/%25%3F%23"


def test_url_can_be_kept_in_a_variable() -> None:
    assert render("{% eventcast_url '//a' as url %}<{{ url }}>") == "</%2Fa>"


def test_url_refuses_what_is_no_channel() -> None:
    with pytest.raises(InvalidChannel):
        render("{% eventcast_url 'a' %}")
