"""A call that waits for its turn, and what the messages it is made of say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventcast.engine.names import printable
from eventcast.exceptions import UndecodableMessage

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""What a function is called with."""


@dataclass(frozen=True)
class Call:
    """One call of a function: put into its queue by a source, made by a worker."""

    prepare: Callable[[], Arguments | None]
    """Makes the arguments, in the worker, where it may take its time; None if there is nothing to call it for.

    It may raise :class:`~eventcast.exceptions.UndecodableMessage`."""
    channel: str
    """Where it comes from."""
    size: int = 0
    """Bytes of memory it takes while it waits."""
    on_failure: Callable[[], object] | None = None
    """Called, in the worker, if the function raises. May not wait."""


def decode_json(data: str | bytes, channel: str) -> Any:
    """What a message says in JSON, be it text or binary (then UTF-8).

    :raises UndecodableMessage: it is no JSON.
    """
    try:
        return json.loads(data if isinstance(data, str) else data.decode())
    except (ValueError, RecursionError):  # of nested brackets there may be more than Python can hold
        unit = "characters" if isinstance(data, str) else "bytes"
        raise UndecodableMessage(
            f"A message of {len(data)} {unit} on {printable(channel)} is no JSON. Publish JSON, or take raw=True."
        ) from None
