"""How listeners are found, and what is said of those that cannot be imported."""

from __future__ import annotations

import sys

import pytest

from eventcast.listeners import discover, registry
from tests.conftest import MakeApp

# Until Python 3.11 a traceback has a decorator's call where its function is.
DECORATOR = 4 if sys.version_info >= (3, 11) else 5

RIGHT = """
from eventcast import listener

@listener("/a")
def handle(message): ...
"""


def test_discovery_imports_the_listeners_of_an_app(make_app: MakeApp) -> None:
    make_app("shop", RIGHT)
    assert discover() == []
    assert [each.name for each in registry.values()] == ["shop.handle"]


def test_discovery_goes_on_after_an_app_that_is_broken(make_app: MakeApp) -> None:
    configs = [make_app("shop", "1 / 0"), make_app("news", RIGHT), make_app("chat", "import no_such_package")]
    first, second = map(str, discover(configs))
    assert "shop/listeners.py, line 1: ZeroDivisionError" in first
    assert "chat/listeners.py, line 1: ModuleNotFoundError" in second
    assert [each.name for each in registry.values()] == ["news.handle"]


def test_discovery_looks_only_into_the_apps_it_is_given(make_app: MakeApp) -> None:
    make_app("shop", "1 / 0")
    assert discover([make_app("news", RIGHT)]) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("\nimport no_such_package", "line 2: ModuleNotFoundError: No module named 'no_such_package'"),
        ("from json import nothing", "line 1: ImportError: cannot import name 'nothing'"),
        ("\n\ndef handle(:", "line 3: SyntaxError: invalid syntax"),
        ("raise ValueError", "line 1: ValueError"),
        (RIGHT.replace("/a", "a"), f"line {DECORATOR}: ImproperlyConfigured: A path is absolute"),
        (RIGHT.replace('("/a")', ""), f"line {DECORATOR}: ImproperlyConfigured: The decorator needs a path"),
        (RIGHT.replace('"/a"', '"/a", timeout=3'), "line 4: TypeError: listener() got an unexpected keyword"),
    ],
)
def test_broken_listeners_are_told_with_place_and_error(make_app: MakeApp, source: str, said: str) -> None:
    (broken,) = discover([make_app("shop", source)])
    assert f"shop/listeners.py, {said}" in str(broken)
    assert broken.__cause__ is not None


def test_listeners_before_a_mistake_are_no_obstacle_to_the_next_try(make_app: MakeApp) -> None:
    config = make_app("shop", RIGHT + "1 / 0\n")
    first, second = discover([config]), discover([config])
    assert [str(broken) for broken in first] == [str(broken) for broken in second]
    assert "ZeroDivisionError" in str(first[0])
    assert "shop.listeners" not in sys.modules
