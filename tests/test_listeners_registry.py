"""What may be registered as a listener, and how it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured

import eventcast
from eventcast.exceptions import UndecodableMessage
from eventcast.listeners import Registration, listener, registry
from eventcast.listeners.registry import Registry


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    with mock.patch.dict(registry, clear=True):
        yield


def registered() -> Registration:
    (only,) = registry.values()
    return only


def handle(message: Any, **kwargs: Any) -> None: ...


def test_listener_leaves_the_function_as_it_is() -> None:
    assert eventcast.listener("/a")(handle) is handle


def test_listener_is_named_after_app_and_function() -> None:
    listener("/a")(handle)
    assert registered().name == f"{__name__}.handle"
    handle.__module__, module = "django.contrib.auth.listeners", handle.__module__
    try:
        listener("/a")(handle)
    finally:
        handle.__module__ = module
    assert [each.name for each in registry.values()][1] == "auth.handle"


def test_listener_takes_another_name() -> None:
    listener("/a")(handle)
    listener("/b", name="other")(handle)
    assert [each.name.rpartition(".")[2] for each in registry.values()] == ["handle", "other"]


def test_listener_refuses_a_name_twice() -> None:
    listener("/a")(handle)
    with pytest.raises(ImproperlyConfigured, match=r"'/a' and of '/b'.*name="):
        listener("/b")(handle)


@pytest.mark.parametrize(
    "options",
    [
        {"queue": 0}, {"queue": "1"}, {"queue": True}, {"concurrency": 0}, {"concurrency": 1.5}, {"slow_after": 0},
        {"slow_after": "1"}, {"raw": "yes"}, {"name": ""}, {"name": "a b"}, {"name": 1},
    ],
    ids=str,
)  # fmt: skip
def test_listener_refuses_options_that_mean_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        listener("/a", **options)(handle)


def test_listener_refuses_to_do_without_a_path() -> None:
    without: Any = listener
    with pytest.raises(ImproperlyConfigured, match="needs a path"):
        without(handle)


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("/a", lambda: None),
        ("/<key>", lambda message: None),
        ("/<key>", lambda key: None),
        ("/a", lambda message, key: None),
    ],
)
def test_listener_refuses_a_function_that_cannot_be_called_so(path: str, function: Callable[..., Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match="cannot be called"):
        listener(path, name="x")(function)


def test_listener_refuses_a_function_that_yields() -> None:
    def yields(message: Any) -> Iterator[None]:
        yield

    with pytest.raises(ImproperlyConfigured, match="generator"):
        listener("/a")(yields)


@pytest.mark.parametrize(
    ("data", "message"),
    [('{"a": [1]}', {"a": [1]}), (b"[1]", [1]), ('"张"', "张"), ('"张"'.encode(), "张"), ("null", None)],
)
def test_arguments_have_what_the_json_says(data: str | bytes, message: Any) -> None:
    found = Registration(name="x", path="/<int:number>", function=handle).arguments("/3", data)
    assert found == ((message,), {"number": 3})


@pytest.mark.parametrize("data", ["text", b"\x00\xff"])
def test_arguments_have_the_message_as_it_was_published(data: str | bytes) -> None:
    assert Registration(name="x", path="/a", function=handle, raw=True).arguments("/a", data) == ((data,), {})


@pytest.mark.parametrize("data", ["", "{", "no", b"\xff", b"\xff\xfe1\x00", "[" * 100_000])
def test_arguments_refuse_what_is_no_json(data: str | bytes) -> None:
    with pytest.raises(UndecodableMessage, match=f"of {len(data)} .* on /a"):
        Registration(name="x", path="/a", function=handle).arguments("/a", data)


def test_arguments_are_none_for_other_channels() -> None:
    assert Registration(name="x", path="/<int:number>", function=handle).arguments("/a", "1") is None


def test_registrations_of_a_module_whose_import_failed_are_discarded() -> None:
    found = Registry()
    for name, module in (("stays", __name__), ("goes", "tests.no_such_module")):
        function = type(handle)(handle.__code__, {"__name__": module})
        found.add(Registration(name=name, path="/a", function=function))
    found.discard_unimported()
    assert list(found) == ["stays"]


def test_find_takes_the_short_name_where_only_one_has_it() -> None:
    found = Registry()
    for name in ("shop.mail", "shop.text", "news.mail"):
        found.add(Registration(name=name, path="/a", function=handle))
    assert (found.find("text").name, found.find("news.mail").name) == ("shop.text", "news.mail")
    with pytest.raises(LookupError, match=r"may be one of news\.mail, shop\.mail"):
        found.find("mail")
    with pytest.raises(LookupError, match=r"only news\.mail, shop\.mail, shop\.text"):
        found.find("nothing")
