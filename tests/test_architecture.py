"""The house keeps its floors: what may import what, read from the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import eventcast

HOUSE = Path(eventcast.__file__).parent

# From the ground up; a module imports only from floors below its own, or from its own package.
FLOORS = [
    {"exceptions", "conf"},
    {"names", "messages", "figures", "addresses", "refusals", "charsets", "closing"},
    {"pages", "description", "patterns", "subscribers", "client"},
    {"transports", "layers"},
    {"memberships", "fanout", "quotas", "clients"},
    {"subscriptions"},
    {"hub"},
    {"presence"},
    {"publishing"},
    {"authorization"},
    {"origins"},
    {"cors"},
    {"throttling", "metrics"},
    {"admission", "revocation"},
    {"speaking"},
    {"bodies", "streams", "consumers", "listeners"},
    {"answers"},
    {"views", "own_paths"},
    {"routing", "urls"},
    {"models", "formats", "migrations"},
    {"admin", "templatetags"},
    {"checks", "bench", "commandline"},
    {"apps", "__main__"},
    {"management"},
]
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
ENGINE = {
    "names",
    "messages",
    "figures",
    "closing",
    "subscribers",
    "transports",
    "layers",
    "memberships",
    "fanout",
    "subscriptions",
    "addresses",
    "refusals",
    "quotas",
    "clients",
    "hub",
    "presence",
}
FILES = sorted(path for path in HOUSE.rglob("*.py") if path.name != "__init__.py" or path.parent != HOUSE)


def room(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports when it runs, wherever in it the import stands."""
    tree = ast.parse(path.read_text())
    for_types_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "eventcast":
                yield from (f"eventcast.{alias.name}" for alias in node.names)
            else:
                yield node.module


def name(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_module_imports_only_from_floors_below(path: Path) -> None:
    own = room(path)
    for module in imports(path):
        if module.startswith("eventcast.") and (other := module.split(".")[1]) != own and other in FLOOR:
            assert FLOOR[other] < FLOOR[own], f"{own} must not import {module}"


def test_every_room_has_its_floor() -> None:
    assert {room(path) for path in FILES} <= set(FLOOR)


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in ENGINE], ids=name)
def test_engine_knows_no_view_consumer_or_admin(path: Path) -> None:
    for module in imports(path):
        assert not module.startswith(("django.http", "django.urls", "django.contrib", "channels.consumer")), module


@pytest.mark.parametrize("path", FILES, ids=name)
def test_insides_of_the_server_are_known_in_one_package(path: Path) -> None:
    if name(path).startswith("transports/daphne/") or room(path) == "management":
        return
    for module in imports(path):
        assert module.split(".")[0] not in {"daphne", "twisted", "autobahn"}, module


@pytest.mark.parametrize("path", FILES, ids=name)
def test_file_is_short_enough_to_have_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 290
