"""The fixture ``eventcast_outbox``, which pytest finds where eventcast is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from eventcast.testing import Outbox


@pytest.fixture
def eventcast_outbox() -> Iterator[Outbox]:
    """What the test publishes: ``eventcast_outbox.assert_published("/live/orders/42", {"paid": True})``."""
    from eventcast.testing import capture  # here, because pytest loads this file before Django's settings

    with capture() as outbox:
        yield outbox
