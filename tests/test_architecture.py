"""The rooms of the package: which room may import which, read from the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import eventcast

PACKAGE = Path(eventcast.__file__).parent

# From the ground up: a file imports only from its own room and from the rooms below.
FLOORS = [
    {"exceptions", "conf"},
    {"layers"},
    {"engine"},
    {"server.daphne", "routes"},
    {"security"},
    {"metrics", "snapshots"},
    {"http"},
    {"websocket"},
    {"client"},
    {"listeners"},
    {"commandline"},
    {"elsewhere", "authorization", "routing", "urls", "models", "migrations", "testing"},
    {"admin"},
    {"checks", "edits", "templatetags"},
    {"server"},
    {"management"},
    {"apps", "__init__", "__main__", "pytest_plugin"},
]
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}

SERVER_PACKAGES = {"daphne", "twisted", "autobahn"}
LONGEST_FILE = 290
"""Lines: a longer file holds a second idea."""

CIRCLES = [
    # A subscriber leaves its channel, and a channel writes to its subscribers.
    {"engine.fanout", "engine.fast_path", "engine.subscribers"},
    # The door makes its connections, and a connection asks its door for times, channels and Daphne.
    {"server.client_socket", "server.door", "server.http_connection", "server.reception"},
]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def room(module: str) -> str:
    return "server.daphne" if module.startswith("server.daphne") else module.partition(".")[0]


SOURCES = {module_name(path): ast.parse(path.read_text(), path) for path in sorted(PACKAGE.rglob("*.py"))}


def imports(module: str) -> Iterator[str]:
    """Every module that a file imports, for types only as well, wherever in the file the import stands."""
    for node in ast.walk(SOURCES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule.removeprefix("eventcast.") in SOURCES else node.module


def own_imports(module: str) -> set[str]:
    """The modules of eventcast that a file imports, without the package's name in front."""
    found = {name.removeprefix("eventcast.") for name in imports(module) if name.startswith("eventcast.")}
    return {name for name in found if name in SOURCES}


def names_of_eventcast(module: str) -> Iterator[str]:
    """What a file takes from ``eventcast`` itself."""
    for node in ast.walk(SOURCES[module]):
        if isinstance(node, ast.ImportFrom) and node.module == "eventcast":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "eventcast":
            yield node.attr


def circles() -> list[set[str]]:
    """The groups of modules that import each other (strongly connected components of more than one)."""
    reachable = {module: own_imports(module) - {module} for module in SOURCES}
    changed = True
    while changed:
        changed = False
        for found in reachable.values():
            further = set[str]().union(*(reachable[each] for each in found)) - found
            if further:
                found |= further
                changed = True
    groups = {frozenset({module, *(o for o in seen if module in reachable[o])}) for module, seen in reachable.items()}
    return [set(group) for group in groups if len(group) > 1]


def test_every_room_has_a_floor() -> None:
    assert {room(module) for module in SOURCES} - set(FLOOR) == set()


def test_rooms_import_only_from_below() -> None:
    offenders = [
        f"{module} imports {other}"
        for module in SOURCES
        for other in sorted(own_imports(module))
        if room(other) != room(module) and FLOOR[room(other)] >= FLOOR[room(module)]
    ]
    assert offenders == []


def test_modules_import_each_other_only_where_that_is_explained() -> None:
    assert [sorted(group) for group in circles() if group not in CIRCLES] == []


def test_package_does_not_use_the_names_that_it_offers_to_sites() -> None:
    # eventcast/__init__.py looks these up when they are used, which would hide the room that is meant.
    offenders = [
        f"{module} uses eventcast.{name}"
        for module in SOURCES
        if module != "__init__"
        for name in names_of_eventcast(module)
        if name in eventcast.__all__
    ]
    assert offenders == []


def test_engine_imports_no_request_view_or_consumer() -> None:
    forbidden = (
        "django.http",
        "django.urls.base",
        "django.urls.resolvers",
        "django.contrib",
        "django.core.handlers",
        "channels.consumer",
    )
    offenders = [
        f"{module} imports {other}"
        for module in SOURCES
        if room(module) in ("engine", "layers")
        for other in imports(module)
        if other.startswith(forbidden)
    ]
    assert offenders == []


def test_only_one_file_knows_the_insides_of_daphne_twisted_and_autobahn() -> None:
    offenders = [
        f"{module} imports {other}"
        for module in SOURCES
        if room(module) != "server.daphne"
        for other in imports(module)
        if other.partition(".")[0] in SERVER_PACKAGES and other != "daphne.access"  # how a line of the log looks
    ]
    assert offenders == []
    assert len((PACKAGE / "server/daphne.py").read_text().splitlines()) <= 250


def test_files_are_short_enough_to_hold_one_idea() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert [f"{path}: {length} lines" for path, length in lengths.items() if length > LONGEST_FILE] == []


def test_close_codes_stand_in_one_table() -> None:
    codes = {1001, 1008, 1009, 1013, 3000}
    offenders = [
        f"{module}:{node.lineno}"
        for module, tree in SOURCES.items()
        if module != "engine.closing" and not module.startswith("bench")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value in codes
    ]
    assert offenders == []
