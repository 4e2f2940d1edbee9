"""The Daphne whose insides are tried out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from daphne.server import twisted_loop

from tests.daphne.site import Site, daphne_on
from tests.fakes import insides_with


@pytest.fixture(scope="module")
def tcp_site() -> Iterator[Site]:
    with daphne_on("tcp:port=0:interface=127.0.0.1") as site:
        yield site


@pytest.fixture
def site(tcp_site: Site) -> Iterator[Site]:
    yield tcp_site
    twisted_loop.run_until_complete(tcp_site.hang_up())


@pytest.fixture
def changed_insides() -> Iterator[None]:
    """Something of Daphne is not as it should be."""
    with insides_with("a problem"):
        yield
