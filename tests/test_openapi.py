"""docs/openapi.json has the paths, parameters, statuses and error codes of the code and of docs/protocol.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls.resolvers import RoutePattern

from eventcast import urls
from eventcast.exceptions import MethodNotAllowed
from tests.test_documentation import ROOT, rows

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
METHODS = {"get", "head", "options", "post", "put", "delete", "patch"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS & set(item):
            yield path, method, item[method]


def resolve(node: dict[str, Any]) -> Any:
    found: Any = DOCUMENT
    for key in node["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return found


def references(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def test_references_lead_to_components() -> None:
    for node in references(DOCUMENT):
        assert resolve(node)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))


def test_paths_are_those_of_the_code() -> None:
    own = {f"/{url.pattern}" for url in urls.urlpatterns if isinstance(url.pattern, RoutePattern)}
    assert set(DOCUMENT["paths"]) == {"/{channel}"} | own


def test_methods_of_a_channel_are_those_of_its_refusal() -> None:
    allowed = MethodNotAllowed.headers["Allow"]
    assert {method for path, method, _ in operations() if path == "/{channel}"} == set(allowed.lower().split(", "))


def test_error_codes_are_those_of_the_protocol() -> None:
    assert set(DOCUMENT["components"]["schemas"]["Refusal"]["properties"]["error"]["enum"]) == {
        code.strip("`") for _, code, _ in rows("protocol.md", "Errors")
    }


def test_refusals_have_the_statuses_of_the_protocol() -> None:
    # 500 is a failure of the server, and no client has to expect it.
    documented = {status for status, _, _ in rows("protocol.md", "Errors")} - {"500"}
    assert {name.removeprefix("Refused") for name in DOCUMENT["components"]["responses"]} == documented
    answers = {status for _, _, operation in operations() for status in operation["responses"]}
    assert documented <= answers


def test_post_and_put_are_the_same() -> None:
    post, put = (DOCUMENT["paths"]["/{channel}"][method] for method in ("post", "put"))
    assert post | {"operationId": ""} == put | {"operationId": ""}
    assert {"201", "202"} < set(post["responses"])


@pytest.mark.parametrize("parameter", ["prefix", "after", "limit"])
def test_parameters_of_the_list_are_those_of_the_protocol(parameter: str) -> None:
    assert any(f"{parameter}=" in cell for cell, _ in rows("protocol.md", "Requests"))
    assert parameter in {each["name"] for each in DOCUMENT["paths"]["/-/channels"]["get"]["parameters"]}
