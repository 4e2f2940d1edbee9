from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import django
import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import RequestFactory, override_settings
from django.utils.functional import SimpleLazyObject

from eventcast.exceptions import InvalidChannel
from eventcast.security.authorization import tokens


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


# --- tokens -----------------------------------------------------------------------------------------------------------


def granted(token: str) -> tuple[list[str], list[str], str]:
    grant = tokens.read(token)
    return [each.text for each in grant.subscribe], [each.text for each in grant.publish], grant.name


def test_token_is_good_for_what_the_tag_says() -> None:
    assert granted(render('{% eventcast_token subscribe="/orders/42" %}')) == (["/orders/42"], [], "")
    listed = render("{% eventcast_token subscribe=some publish='/chat' user='li' %}", some=["/a", "/b/<x>"])
    assert granted(listed) == (["/a", "/b/<x>"], ["/chat"], "li")


@pytest.mark.parametrize(("options", "seconds"), [("", 600), ("expires_in=60", 60)])
def test_token_of_a_page_is_short_lived(options: str, seconds: float) -> None:
    left = (tokens.read(render(f"{{% eventcast_token subscribe='/a' {options} %}}")).expires_at or 0) - time.time()
    assert 0 < left <= seconds + 1


def test_token_is_for_the_user_that_reads_the_page() -> None:
    request = HttpRequest()
    request.user = User(username="zhang")
    assert granted(render('{% eventcast_token subscribe="/a" %}', request=request))[2] == "zhang"
    request.user = AnonymousUser()
    assert granted(render('{% eventcast_token subscribe="/a" %}', request=request))[2] == ""


def test_token_for_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="allow something"):
        render("{% eventcast_token %}")


def test_token_script_sets_the_token_and_has_the_nonce() -> None:
    script = render('{% eventcast_token_script subscribe="/a" %}', csp_nonce="a+b")
    found = re.fullmatch(r'<script nonce="a\+b">window\.eventcastToken = "([\w.-]+)";</script>', script)
    assert found
    assert granted(found[1])[0] == ["/a"]


def test_token_script_asks_for_a_new_token_after_half_of_its_life() -> None:
    script = render('{% eventcast_token_script subscribe="/a" expires_in=60 renew=url %}', url='/x"</script>')
    assert re.fullmatch(
        r'<script>window\.eventcastToken = async \(\) => performance\.now\(\) < 30000 \? "[\w.-]+" : '
        r'\(await fetch\("/x\\u0022\\u003C/script\\u003E"\)\)\.text\(\);</script>',
        script,
    )


@override_settings(EVENTCAST={"SESSIONS": [{"path": "/users/<user.pk>/<path:any>", "subscribe": "owner"}]})
def test_url_may_be_that_of_a_users_own_channel() -> None:
    assert render('{% eventcast_url "orders/a b" user=user %}', user=User(pk=7)) == "/users/7/orders/a%20b"
